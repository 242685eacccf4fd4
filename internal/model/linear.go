package model

import (
	"ringmaster/internal/tensor"
	"ringmaster/internal/tensor/kernel"
)

// linear is torch.nn.Linear: weight (out, in), bias (out); with an activation fused to it.
type linear struct {
	weight, bias int
	act          kernel.Activation
	adapter      *adapter // nil: none
}

// newLinear declares the layer under the prefix name ("0", "classifier.1"). biases is nil for a layer without bias.
func newLinear(b *builder, name string, in, out int, biases fill, act kernel.Activation, weights fill) *linear {
	l := &linear{bias: none, act: act}
	l.weight = b.parameter(name+".weight", true, weights, out, in)
	if biases != nil {
		l.bias = b.parameter(name+".bias", true, biases, out)
	}
	l.adapter = b.adapt(name, in, out)
	return l
}

func makeLinear(p *part, in shape) (layer, shape, error) {
	if in.form != vector && in.form != sequence {
		do := "put flatten or global_average_pool before it"
		if in.form == signal {
			do = "put transpose, flatten or global_average_pool before it"
		}
		return nil, shape{}, p.refuse("a vector or a sequence", in, do)
	}
	first := torchUniform(in.features())
	l := &linear{weight: p.weight(".weight", first, p.Out, in.features()), bias: p.bias(".bias", first, p.Out)}
	l.adapter = p.builder.adapt(p.name, in.features(), p.Out)
	return l, in.with(p.Out), nil
}

func (l *linear) record(r *recorder, x *tensor.Value) *tensor.Value {
	if l.adapter == nil {
		return r.Linear(x, r.param(l.weight), r.param(l.bias), l.act)
	}
	y := l.adapter.record(r, x, r.Linear(x, r.param(l.weight), r.param(l.bias), kernel.None))
	if l.act == kernel.ReLUActivation {
		y = r.ReLU(y)
	}
	return y
}
