package model

import "ringmaster/internal/tensor"

// groupNorm is torch.nn.GroupNorm or, with as many groups as channels, torch.nn.InstanceNorm2d or 1d: weight and bias of the channels,
// where it has them.
type groupNorm struct {
	weight, bias int
	groups       int
	epsilon      float32
}

func makeGroupNorm(p *part, in shape) (layer, shape, error) {
	channels := in.features()
	l := &groupNorm{weight: none, bias: none, groups: p.Groups, epsilon: float32(p.Epsilon)}
	switch {
	case in.form == sequence:
		return nil, shape{}, p.refuse("a signal or images", in, "put transpose before it, or take layer_norm")
	case p.Kind == "instance_norm" && in.form == vector:
		return nil, shape{}, p.refuse("a signal or images", in, "take layer_norm")
	case p.Kind == "instance_norm" && in.steps() == 1:
		return nil, shape{}, p.errorf("%s gets %s: one value a channel, of which nothing would be left; take it away", p.what(), in)
	case p.Kind == "instance_norm":
		l.groups = channels
	case l.groups < 1 || channels%l.groups != 0:
		return nil, shape{}, p.errorf("%s cannot divide %d channels into %d groups", p.what(), channels, l.groups)
	case in.size() == l.groups:
		return nil, shape{}, p.errorf("%s gets %s: one value a group, of which nothing would be left; take fewer groups", p.what(), in)
	}
	if p.Affine {
		l.weight = p.builder.parameter(p.name+".weight", true, ones, channels)
		l.bias = p.builder.parameter(p.name+".bias", true, zeros, channels)
	}
	return l, in, nil
}

func (l *groupNorm) record(r *recorder, x *tensor.Value) *tensor.Value {
	return r.GroupNorm(x, r.param(l.weight), r.param(l.bias), l.groups, l.epsilon)
}
