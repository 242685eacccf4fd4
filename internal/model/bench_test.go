package model

import (
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

// BenchmarkGradient is one seat's forward and backward on one thread, without the optimizer.
func BenchmarkGradient(b *testing.B) {
	for _, c := range []struct {
		name string
		cfg  config.Model
		spec Spec
		n    int
	}{
		{"mlp/8", config.Model{Kind: config.ModelMLP, Layers: []int{784, 128, 128, 10}}, digits, 8},
		{"mlp/32", config.Model{Kind: config.ModelMLP, Layers: []int{784, 128, 128, 10}}, digits, 32},
		{"mlp/256", config.Model{Kind: config.ModelMLP, Layers: []int{784, 128, 128, 10}}, digits, 256},
		{"cnn/32", config.Model{Kind: config.ModelSequential, Stack: smallCNN}, digits, 32},
		{"gpt/12", config.Model{Kind: config.ModelGPT, Depth: 4, Heads: 4, Width: 128}, shakespeare, 12},
		{"mobilenetv2/32x32/32", config.Model{Kind: config.ModelMobileNetV2, Variant: "cifar"}, photos(32, 10), 32},
		{"mobilenetv2/224x224/4", config.Model{Kind: config.ModelMobileNetV2}, photos(224, 1000), 4},
	} {
		b.Run(c.name, func(b *testing.B) {
			m := mustBuild(b, c.cfg, c.spec)
			params, stats := initial(m, 1)
			batch := randomBatch(c.spec, c.n, 1)
			grad := make([]float32, m.Len())
			r := m.NewReplica(nil)
			r.Gradient(params, stats, grad, batch, rng.Key{}, nil, nil)
			b.ReportAllocs()
			for b.Loop() {
				r.Gradient(params, stats, grad, batch, rng.Key{}, nil, nil)
			}
			b.ReportMetric(float64(c.n*b.N)/b.Elapsed().Seconds(), "samples/s")
			b.ReportMetric(float64(4*len(r.arena))/(1<<20), "MiB")
		})
	}
}

func photos(edge, classes int) Spec {
	return Spec{Input: []int{3, edge, edge}, Classes: classes}
}

// smallCNN is the usual first convolutional network for digits.
var smallCNN = []config.Layer{
	{Kind: "conv", Out: 32, Kernel: 3, Stride: 1, Padding: 1, Dilation: 1, Groups: 1, Bias: true}, {Kind: "relu"},
	{Kind: "max_pool", Kernel: 2, Stride: 2},
	{Kind: "conv", Out: 64, Kernel: 3, Stride: 1, Padding: 1, Dilation: 1, Groups: 1, Bias: true}, {Kind: "relu"},
	{Kind: "max_pool", Kernel: 2, Stride: 2},
	{Kind: "flatten"},
	{Kind: "linear", Out: 128, Bias: true}, {Kind: "relu"},
	{Kind: "linear", Out: 10, Bias: true},
}
