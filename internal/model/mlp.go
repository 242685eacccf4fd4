package model

import (
	"strconv"

	"ringmaster/internal/config"
	"ringmaster/internal/plural"
	"ringmaster/internal/tensor"
	"ringmaster/internal/tensor/kernel"
)

// mlp is linear layers with ReLU between them, named as torch.nn.Sequential(Linear, ReLU, Linear, ...) names them:
// "0.weight", "0.bias", "2.weight", ... Weights begin Glorot-uniform and biases at zero, as Keras has it.
type mlp struct {
	field  string
	in     int
	layers chain
}

func buildMLP(b *builder, cfg config.Model, spec Spec) (network, error) {
	if err := spec.values(); err != nil {
		return nil, err
	}
	widths := cfg.Layers
	if len(widths) < 2 {
		return nil, config.KeyErrorf("model.layers", "%s and no layer; list the input's, any hidden ones and the classes", plural.Of(len(widths), "width"))
	}
	if in := tensor.Volume(spec.Input); widths[0] != in {
		return nil, config.KeyErrorf("model.layers", "the first layer takes %s but the data has %d a sample: make the first width %d", plural.Of(widths[0], "value"), in, in)
	}
	if out := widths[len(widths)-1]; out != spec.Classes {
		return nil, config.KeyErrorf("model.layers", "the last layer gives %s but the data has %s", plural.Of(out, "value"), spec.wants)
	}
	m := &mlp{field: spec.Field, in: widths[0]}
	for k, in := range widths[:len(widths)-1] {
		out, act := widths[k+1], kernel.ReLUActivation
		if k == len(widths)-2 {
			act = kernel.None
		}
		m.layers = append(m.layers, newLinear(b, strconv.Itoa(2*k), in, out, zeros, act, glorotUniform(in, out)))
	}
	return m, nil
}

func (m *mlp) record(r *recorder, n int) *tensor.Value {
	return m.layers.record(r, r.Floats(m.field, n, m.in))
}
