package model

import "ringmaster/internal/tensor"

// norm is torch.nn.LayerNorm or, with rms, torch.nn.RMSNorm over the last axis: weight and bias of its width.
type norm struct {
	weight, bias int
	epsilon      float32
	rms          bool
}

func newLayerNorm(b *builder, name string, width int, withBias bool, epsilon float64) *norm {
	l := &norm{bias: none, epsilon: float32(epsilon)}
	l.weight = b.parameter(name+".weight", true, ones, width)
	if withBias {
		l.bias = b.parameter(name+".bias", true, zeros, width)
	}
	return l
}

func newRMSNorm(b *builder, name string, width int, epsilon float64) *norm {
	return &norm{weight: b.parameter(name+".weight", true, ones, width), bias: none, epsilon: float32(epsilon), rms: true}
}

func makeNorm(p *part, in shape) (layer, shape, error) {
	if in.form != vector && in.form != sequence {
		return nil, shape{}, p.refuse("a vector or a sequence", in, "put flatten before it, or take batch_norm or group_norm")
	}
	if p.Kind == "rms_norm" {
		return newRMSNorm(p.builder, p.name, in.features(), p.Epsilon), in, nil
	}
	return newLayerNorm(p.builder, p.name, in.features(), true, p.Epsilon), in, nil
}

func (l *norm) record(r *recorder, x *tensor.Value) *tensor.Value {
	if l.rms {
		return r.RMSNorm(x, r.param(l.weight), l.epsilon)
	}
	return r.LayerNorm(x, r.param(l.weight), r.param(l.bias), l.epsilon)
}
