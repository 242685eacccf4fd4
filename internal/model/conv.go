package model

import (
	"math"

	"ringmaster/internal/tensor"
)

// conv is torch.nn.Conv2d: weight (out, in/groups, kernel, kernel), bias (out).
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

func (l *conv) record(r *recorder, x *tensor.Value) *tensor.Value {
	return r.Conv(x, r.param(l.weight), r.param(l.bias), l.options)
}

// kaimingNormal draws from a normal distribution of variance 2/(out*taps), PyTorch's kaiming_normal_ with mode fan_out.
func kaimingNormal(out, taps int) fill { return normal(math.Sqrt(2 / float64(out*taps))) }

// torchUniform is what PyTorch's linear and convolution layers begin with, weights and biases: uniform within
// 1/sqrt(inputs of an output).
func torchUniform(inputs int) fill {
	a := float32(1 / math.Sqrt(float64(inputs)))
	return uniform(-a, a)
}
