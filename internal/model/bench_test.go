package model

import (
	"syscall"
	"testing"
	"time"

	"ringmaster/internal/config"
	"ringmaster/internal/optim"
	"ringmaster/internal/plan"
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

// transformers are the shapes of well-known models, with no dropout.
var transformers = map[string]goldenCase{
	"t5-small": {cfg: config.Model{Kind: config.ModelT5, Depth: 6, Heads: 8, Width: 512, Hidden: 2048, Buckets: 32, Distance: 128, Tied: true},
		spec: Spec{Tokens: true, Input: []int{64}, Classes: 32128, Context: 64}, samples: 4},
	"bert-l4-h8-d512": {cfg: config.Model{Kind: config.ModelBERT, Depth: 4, Heads: 8, Width: 512},
		spec: Spec{Tokens: true, Classes: 30522, Context: 128, Hidden: true}, samples: 4},
	"gpt2-small": {cfg: config.Model{Kind: config.ModelGPT, Depth: 12, Heads: 12, Width: 768, Bias: true, Activation: config.ActivationGELUNew},
		spec: Spec{Tokens: true, Classes: 50257, Context: 256}, samples: 1},
}

// BenchmarkTransformers is a training step on one thread: forward, backward and AdamW. It reports the time of the CPU, which other work on
// the machine disturbs less, and the memory of activations as they are and with train.recompute.
func BenchmarkTransformers(b *testing.B) {
	for name, c := range transformers {
		for _, again := range []bool{false, true} {
			m := mustBuild(b, c.cfg, c.spec)
			label := name
			if again {
				m, label = m.Recomputing(), name+"/recompute"
			}
			b.Run(label, func(b *testing.B) { benchmarkStep(b, m, c) })
		}
	}
}

func benchmarkStep(b *testing.B, m *Model, c goldenCase) {
	params, stats := initial(m, 1)
	groups := []optim.Group{{Interval: plan.Interval{End: m.Len()}, LRFactor: 1, WeightDecay: 0.01}}
	adam, err := optim.New(config.Optimizer{Kind: config.OptimizerAdamW, Form: config.FormPyTorch, LR: 1e-4, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8}, config.Schedule{}, m.Len(), groups)
	if err != nil {
		b.Fatal(err)
	}
	batch, grad, r, step := randomBatch(c.spec, c.samples, 1), make([]float32, m.Len()), m.NewReplica(nil), uint64(0)
	run := func() {
		step++
		result := r.Gradient(params, stats, grad, batch, rng.SeatKey(1, step, 0, 0), nil, nil)
		for _, bucket := range plan.Buckets(m.Len()) {
			adam.Step(nil, step, params, grad, bucket.Interval, float64(result.Count), 1)
		}
	}
	run()
	began, from := 0, cpuTime()
	for b.Loop() {
		run()
		began++
	}
	b.ReportMetric((cpuTime()-from).Seconds()*1000/float64(began), "cpu-ms/step")
	b.ReportMetric(float64(m.TrainingBytes(c.samples))/(1<<20), "activation-MiB")
}

// cpuTime is what the process has used of CPUs.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
