package model

import "ringmaster/internal/tensor"

// joint adds or multiplies what comes in, from left to right.
type joint struct {
	multiply bool
}

func makeJoint(p *part, in []shape) (layer, shape, error) {
	if p.Kind == "multiply" && len(in) == 2 && in[1].form == vector && in[0].form != vector && in[0].features() == in[1].dims[0] {
		return channelScale{}, in[0], nil
	}
	for _, s := range in[1:] {
		if !s.equals(in[0]) {
			return nil, shape{}, p.errorf("%s takes equal shapes but gets %s and %s", p.what(), in[0], s)
		}
	}
	return &joint{multiply: p.Kind == "multiply"}, in[0], nil
}

func (l *joint) record(_ *recorder, x *tensor.Value) *tensor.Value { return x }

func (l *joint) join(r *recorder, xs []*tensor.Value) *tensor.Value {
	y := xs[0]
	for _, x := range xs[1:] {
		if l.multiply {
			y = r.Multiply(y, x)
		} else {
			y = r.Add(y, x)
		}
	}
	return y
}

// channelScale multiplies the channels or features of the first input by the values of the second.
type channelScale struct{}

func (channelScale) record(_ *recorder, x *tensor.Value) *tensor.Value { return x }

func (channelScale) join(r *recorder, xs []*tensor.Value) *tensor.Value {
	return r.ScaleChannels(xs[0], xs[1])
}

// concat puts what comes in side by side along the channels or features.
type concat struct{}

func makeConcat(p *part, in []shape) (layer, shape, error) {
	total := 0
	for _, s := range in {
		if !s.with(1).equals(in[0].with(1)) {
			return nil, shape{}, p.errorf("%s takes shapes that agree but for channels or features, and gets %s and %s", p.what(), in[0], s)
		}
		if total += s.features(); total > maxActivation {
			return nil, shape{}, p.errorf("%s gives more than %d channels or features", p.what(), maxActivation)
		}
	}
	return concat{}, in[0].with(total), nil
}

func (concat) record(_ *recorder, x *tensor.Value) *tensor.Value { return x }

func (concat) join(r *recorder, xs []*tensor.Value) *tensor.Value { return r.Concat(xs...) }
