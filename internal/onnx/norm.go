package onnx

import (
	"slices"

	"ringmaster/internal/tensor"
)

func (g *graph) batchNorm(w tensor.BatchNormStep, y *tensor.Value) {
	x := ""
	if len(w.X.Shape) > 2 {
		x = g.first(w.X)
	} else {
		x = g.last(w.X)
	}
	inputs := []string{x, g.last(w.Gamma), g.last(w.Beta), g.statistic(w.Mean), g.statistic(w.Variance)}
	name := g.makeLayer("BatchNormalization", w.Gamma, inputs, attribute{"epsilon", w.Epsilon})
	switch w.Activation {
	case tensor.ReLUNorm:
		name = g.make("Relu", []string{name})
	case tensor.ReLU6Norm:
		name = g.relu6(name)
	}
	if len(w.X.Shape) > 2 {
		g.putFirst(y, name)
	} else {
		g.put(y, name)
	}
}

// norm goes along the last axis. Without scales it is written as the normalisation of one channel, which takes one scale and one shift.
func (g *graph) norm(w tensor.NormStep, y *tensor.Value) {
	switch {
	case w.RMS:
		g.put(y, g.rmsNorm(w))
	case w.Gamma == nil:
		shape := []int{w.X.Rows(), 1, w.X.Dim(-1)}
		inputs := []string{g.last(viewed(w.X, shape)), g.numbers(1), g.numbers(0)}
		g.put(y, g.make("InstanceNormalization", inputs, attribute{"epsilon", w.Epsilon}), shape...)
	default:
		inputs := []string{g.last(w.X), g.last(w.Gamma)}
		if w.Beta != nil {
			inputs = append(inputs, g.last(w.Beta))
		}
		g.put(y, g.makeLayer("LayerNormalization", w.Gamma, inputs, attribute{"axis", -1}, attribute{"epsilon", w.Epsilon}))
	}
}

func (g *graph) rmsNorm(w tensor.NormStep) string {
	x := g.last(w.X)
	mean := g.make("ReduceMean", []string{g.make("Mul", []string{x, x})}, attribute{"axes", []int{-1}}, attribute{"keepdims", 1})
	root := g.make("Sqrt", []string{g.make("Add", []string{mean, g.number(w.Epsilon)})})
	y := g.make("Div", []string{x, root})
	if w.Gamma == nil {
		return y
	}
	return g.makeLayer("Mul", w.Gamma, []string{y, g.last(w.Gamma)})
}

// channelAffine is a scale and a shift of each channel.
func (g *graph) channelAffine(w tensor.ChannelAffineStep, y *tensor.Value) {
	shape := []int{w.Gamma.Size()}
	if g.leads(w.X) {
		for range len(w.X.Shape) - 2 {
			shape = append(shape, 1)
		}
	}
	gamma, beta := g.last(viewed(w.Gamma, shape)), g.last(viewed(w.Beta, shape))
	g.each(y, func(x []string, _ int) string {
		return g.make("Add", []string{g.makeLayer("Mul", w.Gamma, []string{x[0], gamma}), beta})
	}, w.X)
}

// scaleChannels multiplies the channels of each sample by factors of its own.
func (g *graph) scaleChannels(w tensor.ScaleChannelsStep, y *tensor.Value) {
	shape := slices.Clone(w.X.Shape)
	for k := 1; k < len(shape)-1; k++ {
		shape[k] = 1
	}
	if g.leads(w.X) {
		shape = turn(shape)
	}
	factors := g.last(viewed(w.S, shape))
	g.each(y, func(x []string, _ int) string { return g.make("Mul", []string{x[0], factors}) }, w.X)
}
