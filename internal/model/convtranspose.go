package model

import "ringmaster/internal/tensor"

// convTranspose is torch.nn.ConvTranspose2d: weight (in, out/groups, kernel, kernel), bias (out). On a signal, with options.Flat, it
// is torch.nn.ConvTranspose1d: weight (in, out/groups, kernel).
type convTranspose struct {
	weight, bias int
	options      tensor.ConvOptions
	extra        int // rows and columns at the end: PyTorch's output_padding
}

func makeConvTranspose(p *part, in shape) (layer, shape, error) {
	options := tensor.ConvOptions{Stride: p.Stride, Padding: p.Padding, Dilation: max(p.Dilation, 1), Groups: max(p.Groups, 1), Flat: p.Kind == "conv_transpose1d"}
	window, err := p.window(in, options.Flat)
	if err != nil {
		return nil, shape{}, err
	}
	if err := p.checkGroups(in.dims[0]); err != nil {
		return nil, shape{}, err
	}
	out, err := grown(in, window, p.OutputPadding)
	if err != nil {
		return nil, shape{}, p.errorf("%s: %w", p.what(), err)
	}
	dims := []int{in.dims[0], p.Out / options.Groups, p.Kernel, p.Kernel}
	if options.Flat {
		dims = dims[:3]
	}
	first := torchUniform(volume(dims[1:]))
	return &convTranspose{p.weight(".weight", first, dims...), p.bias(".bias", first, p.Out), options, p.OutputPadding}, out.with(p.Out), nil
}

// grown is what a transposed convolution gives of signals or images, but for the channels.
func grown(in shape, w tensor.Window, extra int) (shape, error) {
	if in.form == signal {
		_, length, err := w.Grown(1, in.dims[1], extra)
		return signalOf(in.dims[0], length), err
	}
	height, width, err := w.Grown(in.dims[1], in.dims[2], extra)
	return imagesOf(in.dims[0], height, width), err
}

func (l *convTranspose) record(r *recorder, x *tensor.Value) *tensor.Value {
	if l.options.Flat {
		y := r.ConvTranspose(asRow(r, x), flatWeight(r, l.weight), r.param(l.bias), l.options, l.extra)
		return r.Reshape(y, x.Dim(0), y.Dim(2), y.Dim(3))
	}
	return r.ConvTranspose(x, r.param(l.weight), r.param(l.bias), l.options, l.extra)
}
