package model

import (
	"ringmaster/internal/config"
	"ringmaster/internal/tensor"
)

// function is a layer without parameters.
type function func(r *recorder, x *tensor.Value) *tensor.Value

func (f function) record(r *recorder, x *tensor.Value) *tensor.Value { return f(r, x) }

// functions are those that change no shape; softmax and log_softmax go along the features or channels.
var functions = map[string]function{
	"relu":    func(r *recorder, x *tensor.Value) *tensor.Value { return r.ReLU(x) },
	"relu6":   func(r *recorder, x *tensor.Value) *tensor.Value { return r.ReLU6(x) },
	"gelu":    func(r *recorder, x *tensor.Value) *tensor.Value { return r.GELU(x) },
	"silu":    func(r *recorder, x *tensor.Value) *tensor.Value { return r.SiLU(x) },
	"sigmoid": func(r *recorder, x *tensor.Value) *tensor.Value { return r.Sigmoid(x) },
	"tanh":    func(r *recorder, x *tensor.Value) *tensor.Value { return r.Tanh(x) },

	"softplus":    func(r *recorder, x *tensor.Value) *tensor.Value { return r.Softplus(x) },
	"softmax":     func(r *recorder, x *tensor.Value) *tensor.Value { return r.Softmax(x) },
	"log_softmax": func(r *recorder, x *tensor.Value) *tensor.Value { return r.LogSoftmax(x) },
}

// activation is the function between a transformer block's two linear layers, by its name in the configuration.
func (r *recorder) activation(name string, x *tensor.Value) *tensor.Value {
	if name == config.ActivationGELUNew {
		return r.GELUTanh(x)
	}
	return r.GELU(x)
}

// makeLeaky makes the functions that have a slope of their own below 0.
func makeLeaky(p *part, in shape) (layer, shape, error) {
	slope, alpha := float32(p.Slope), float32(p.Alpha)
	if p.Kind == "elu" {
		return function(func(r *recorder, x *tensor.Value) *tensor.Value { return r.ELU(x, alpha) }), in, nil
	}
	return function(func(r *recorder, x *tensor.Value) *tensor.Value { return r.LeakyReLU(x, slope) }), in, nil
}

func makeDropout(p *part, in shape) (layer, shape, error) {
	rate := float32(p.Rate)
	return function(func(r *recorder, x *tensor.Value) *tensor.Value { return r.Dropout(x, rate) }), in, nil
}
