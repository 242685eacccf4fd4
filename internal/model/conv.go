package model

import (
	"ringmaster/internal/tensor"
)

// conv is torch.nn.Conv2d: weight (out, in/groups, kernel, kernel), bias (out). On a signal, with options.Flat, it is
// torch.nn.Conv1d: weight (out, in/groups, kernel).
type conv struct {
	weight, bias int
	options      tensor.ConvOptions
}

// newConv declares the layer under the prefix name. biases is nil for a layer without bias.
func newConv(b *builder, name string, in, out, kernel int, options tensor.ConvOptions, weights, biases fill) *conv {
	l := &conv{bias: none, options: options}
	l.weight = b.parameter(name+".weight", true, weights, out, in/options.Groups, kernel, kernel)
	if biases != nil {
		l.bias = b.parameter(name+".bias", true, biases, out)
	}
	return l
}

func makeConv(p *part, in shape) (layer, shape, error) {
	options := tensor.ConvOptions{Stride: p.Stride, Padding: p.Padding, Dilation: max(p.Dilation, 1), Groups: max(p.Groups, 1), Flat: p.Kind == "conv1d"}
	window, err := p.window(in, options.Flat)
	if err != nil {
		return nil, shape{}, err
	}
	if err := p.checkGroups(in.dims[0]); err != nil {
		return nil, shape{}, err
	}
	out, err := slid(in, window)
	if err != nil {
		return nil, shape{}, p.errorf("%s: %w", p.what(), err)
	}
	dims := []int{p.Out, in.dims[0] / options.Groups, p.Kernel, p.Kernel}
	if options.Flat {
		dims = dims[:3]
	}
	first := torchUniform(volume(dims[1:]))
	return &conv{p.weight(".weight", first, dims...), p.bias(".bias", first, p.Out), options}, out.with(p.Out), nil
}

// checkGroups checks that the groups divide the channels that come in and those that leave.
func (p *part) checkGroups(channels int) error {
	if groups := max(p.Groups, 1); channels%groups != 0 || p.Out%groups != 0 {
		return p.errorf("%s in %d groups takes multiples of that many channels, not %d in and %d out", p.what(), groups, channels, p.Out)
	}
	return nil
}

func (l *conv) record(r *recorder, x *tensor.Value) *tensor.Value {
	if l.options.Flat {
		y := r.Conv(asRow(r, x), flatWeight(r, l.weight), r.param(l.bias), l.options)
		return r.Reshape(y, x.Dim(0), y.Dim(2), y.Dim(3))
	}
	return r.Conv(x, r.param(l.weight), r.param(l.bias), l.options)
}

// asRow is a signal as images of one row.
func asRow(r *recorder, x *tensor.Value) *tensor.Value {
	return r.Reshape(x, x.Dim(0), 1, x.Dim(1), x.Dim(2))
}

// flatWeight is the weight of a kernel along a signal as that of a kernel of one row.
func flatWeight(r *recorder, k int) *tensor.Value {
	w := r.param(k)
	return r.Reshape(w, w.Dim(0), w.Dim(1), 1, w.Dim(2))
}
