package model

import (
	"ringmaster/internal/plan"
	"ringmaster/internal/tensor"
)

// batchNorm is torch.nn.BatchNorm2d (or BatchNorm1d): weight and bias, running_mean and running_var, with an activation
// fused to it. num_batches_tracked, which PyTorch counts but does not use with a fixed momentum, is the step: only exports have it.
type batchNorm struct {
	at             string // the key in the job file, else what the names of its tensors begin with
	weight, bias   int
	mean, variance plan.Interval // of the running statistics
	options        tensor.BatchNormOptions
}

func newBatchNorm(b *builder, name string, channels int, epsilon, momentum float64, act tensor.BatchNormActivation) *batchNorm {
	l := &batchNorm{at: name, options: tensor.BatchNormOptions{Epsilon: float32(epsilon), Activation: act}}
	l.weight = b.parameter(name+".weight", true, ones, channels)
	l.bias = b.parameter(name+".bias", true, zeros, channels)
	l.mean = b.statistic(name+".running_mean", momentum, zeros, channels)
	l.variance = b.statistic(name+".running_var", momentum, ones, channels)
	return l
}

func makeBatchNorm(p *part, in shape) (layer, shape, error) {
	if in.form == sequence || in.form == tokens {
		return nil, shape{}, p.refuse("a vector, a signal or images", in, "put transpose before it, or take layer_norm")
	}
	l := newBatchNorm(p.builder, p.name, in.dims[0], p.Epsilon, p.Momentum, tensor.PlainNorm)
	l.at = p.at
	return l, in, nil
}

func (l *batchNorm) record(r *recorder, x *tensor.Value) *tensor.Value {
	if x.Rows() == 1 && r.undefined == "" {
		r.undefined = l.at
	}
	return r.BatchNorm(x, r.param(l.weight), r.param(l.bias), l.mean, l.variance, l.options)
}

// Undefined is the first batch norm that sees a single value of each channel in a batch of one sample, of which there is no variance:
// its key in the job file, or what the names of its tensors begin with; "" where none does.
func (m *Model) Undefined() string {
	r := newRecorder(m, true, 1)
	m.network.record(r, 1)
	return r.undefined
}
