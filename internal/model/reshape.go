package model

import (
	"slices"

	"ringmaster/internal/tensor"
)

func makeFlatten(_ *part, in shape) (layer, shape, error) {
	return function(func(r *recorder, x *tensor.Value) *tensor.Value { return flatten(r, x, in) }), vectorOf(in.size()), nil
}

// flatten makes one vector of each sample, in PyTorch's order.
func flatten(r *recorder, x *tensor.Value, in shape) *tensor.Value {
	if in.form == signal {
		x = asRow(r, x)
	}
	return r.Flatten(x)
}

// makeReshape gives the elements, in PyTorch's order, another shape: a vector, a sequence or images.
func makeReshape(p *part, in shape) (layer, shape, error) {
	dims := slices.Clone(p.Shape)
	if k := slices.Index(dims, -1); k >= 0 {
		dims[k] = 1
		dims[k] = in.size() / volume(dims)
	}
	if len(dims) < 1 || len(dims) > 3 || volume(dims) != in.size() {
		return nil, shape{}, p.errorf("%s cannot make %s of %s: there are %d values", p.what(), extent(p.Shape), in, in.size())
	}
	out := shape{form: []form{vector, sequence, images}[len(dims)-1], dims: dims}
	return function(func(r *recorder, x *tensor.Value) *tensor.Value {
		x = r.Reshape(flatten(r, x, in), append([]int{r.samples}, dims...)...)
		if out.form == images {
			return r.ChannelsLast(x)
		}
		return x
	}), out, nil
}

// makeTranspose turns a sequence into a signal whose channels are its features, or back. In memory both are the same.
func makeTranspose(p *part, in shape) (layer, shape, error) {
	switch in.form {
	case sequence:
		return chain{}, signalOf(in.dims[1], in.dims[0]), nil
	case signal:
		return chain{}, sequenceOf(in.dims[1], in.dims[0]), nil
	}
	return nil, shape{}, p.refuse("a sequence or a signal", in, "")
}

// makeToSequence makes a sequence of pixels, row by row, of images: x.flatten(2).transpose(1, 2) in PyTorch.
func makeToSequence(p *part, in shape) (layer, shape, error) {
	if in.form != images {
		return nil, shape{}, p.refuse("images", in, "take reshape")
	}
	out := sequenceOf(in.steps(), in.dims[0])
	return function(func(r *recorder, x *tensor.Value) *tensor.Value {
		return r.Reshape(x, r.samples, out.dims[0], out.dims[1])
	}), out, nil
}

// makeLastStep keeps the last step of a sequence.
func makeLastStep(p *part, in shape) (layer, shape, error) {
	if in.form != sequence {
		return nil, shape{}, p.refuse("a sequence", in, "")
	}
	return function(func(r *recorder, x *tensor.Value) *tensor.Value { return r.Step(x, in.dims[0]-1) }), vectorOf(in.dims[1]), nil
}

// makeUpsample is torch.nn.Upsample, with align_corners=False where it mixes pixels.
func makeUpsample(p *part, in shape) (layer, shape, error) {
	if in.form != images {
		return nil, shape{}, p.refuse("images", in, "")
	}
	scale, bilinear := p.Scale, p.Mode == "bilinear"
	return function(func(r *recorder, x *tensor.Value) *tensor.Value { return r.Upsample(x, scale, bilinear) }),
		imagesOf(in.dims[0], in.dims[1]*scale, in.dims[2]*scale), nil
}
