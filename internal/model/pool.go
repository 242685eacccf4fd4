package model

import "ringmaster/internal/tensor"

// window is the layer's window on what comes in: along a signal where flat, else over images.
func (p *part) window(in shape, flat bool) (tensor.Window, error) {
	w := tensor.Window{Height: p.Kernel, Width: p.Kernel, Stride: p.Stride, Padding: p.Padding, Dilation: max(p.Dilation, 1)}
	switch {
	case flat && in.form != signal:
		do := ""
		if in.form == sequence {
			do = "put transpose before it"
		}
		return w, p.refuse("a signal", in, do)
	case flat:
		w.Height, w.Flat = 1, true
	case in.form != images:
		return w, p.refuse("images", in, "")
	}
	return w, nil
}

// slid is what a window gives of signals or images, channel by channel.
func slid(in shape, w tensor.Window) (shape, error) {
	if in.form == signal {
		_, length, err := w.Out(1, in.dims[1])
		return signalOf(in.dims[0], length), err
	}
	height, width, err := w.Out(in.dims[1], in.dims[2])
	return imagesOf(in.dims[0], height, width), err
}

// pool is torch.nn.MaxPool2d or AvgPool2d, or those along a signal.
type pool struct {
	window  tensor.Window
	largest bool
}

func makePool(p *part, in shape) (layer, shape, error) {
	window, err := p.window(in, in.form == signal)
	if err != nil {
		return nil, shape{}, err
	}
	out, err := slid(in, window)
	if err != nil {
		return nil, shape{}, p.errorf("%s: %w", p.what(), err)
	}
	return &pool{window, p.Kind == "max_pool"}, out, nil
}

// makeGlobalPool is a pool whose window is all there is, and gives a vector of the channels or features.
func makeGlobalPool(p *part, in shape) (layer, shape, error) {
	if in.form == vector || in.form == tokens {
		return nil, shape{}, p.refuse("images, a signal or a sequence", in, "")
	}
	window := tensor.Window{Height: 1, Width: in.steps(), Stride: 1, Dilation: 1, Flat: true}
	if in.form == images {
		window = tensor.Window{Height: in.dims[1], Width: in.dims[2], Stride: 1, Dilation: 1}
	}
	largest := p.Kind == "global_max_pool"
	return function(func(r *recorder, x *tensor.Value) *tensor.Value {
		if len(x.Shape) == 3 {
			x = asRow(r, x)
		}
		if largest {
			return r.Flatten(r.MaxPool(x, window))
		}
		return r.Flatten(r.AdaptiveAveragePool(x, 1, 1))
	}), vectorOf(in.features()), nil
}

func (l *pool) record(r *recorder, x *tensor.Value) *tensor.Value {
	of := r.AveragePool
	if l.largest {
		of = r.MaxPool
	}
	if l.window.Flat {
		y := of(asRow(r, x), l.window)
		return r.Reshape(y, x.Dim(0), y.Dim(2), y.Dim(3))
	}
	return of(x, l.window)
}
