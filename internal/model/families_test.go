package model

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
	"ringmaster/internal/tensor/kernel"
)

func TestMobileNetV2Tensors(t *testing.T) {
	for _, c := range []struct {
		variant         string
		classes, params int
	}{
		{"imagenet", 1000, 3504872}, {"imagenet", 10, 2236682}, {"cifar", 10, 2236682},
	} {
		m := mustBuild(t, config.Model{Kind: config.ModelMobileNetV2, Variant: c.variant}, photos(32, c.classes))
		if m.Len() != c.params || len(m.Params()) != 158 || len(m.Stats()) != 2*52 || m.StatsLen() != 34112 {
			t.Errorf("%s, %d classes: %d parameters in %d tensors, %d statistics in %d", c.variant, c.classes,
				m.Len(), len(m.Params()), m.StatsLen(), len(m.Stats()))
		}
	}
	_, err := build(config.Model{Kind: config.ModelMobileNetV2}, digits)
	if err == nil || !strings.Contains(err.Error(), "channels x height x width but the data has samples of 784") {
		t.Errorf("error %v", err)
	}
}

func TestMobileNetV2BeginsAsTorchvision(t *testing.T) {
	m := mustBuild(t, config.Model{Kind: config.ModelMobileNetV2}, photos(32, 1000))
	params, stats := initial(m, 1)
	for _, p := range m.Params() {
		values := params[p.Interval.Begin:p.Interval.End]
		var want float64 // the standard deviation
		switch {
		case len(p.Shape) == 4:
			want = math.Sqrt(2 / float64(p.Shape[0]*p.Shape[2]*p.Shape[3]))
		case len(p.Shape) == 2:
			want = 0.01
		default:
			value := float32(0)
			if strings.HasSuffix(p.Name, "weight") {
				value = 1
			}
			for _, v := range values {
				if v != value {
					t.Fatalf("%s begins with %g", p.Name, v)
				}
			}
			continue
		}
		squares := 0.0
		for _, v := range values {
			squares += float64(v) * float64(v)
		}
		if got := math.Sqrt(squares / float64(len(values))); math.Abs(got/want-1) > 4/math.Sqrt(float64(len(values))) {
			t.Errorf("%s begins with a deviation of %g, want %g", p.Name, got, want)
		}
	}
	for _, s := range m.Stats() {
		if v := stats[s.Interval.Begin]; (v == 1) != strings.HasSuffix(s.Name, "running_var") || v != 0 && v != 1 {
			t.Errorf("%s begins with %g", s.Name, v)
		}
	}
}

func TestSequentialMustFit(t *testing.T) {
	conv := config.Layer{Kind: "conv", Out: 4, Kernel: 3, Stride: 1, Dilation: 1, Groups: 1}
	linear := func(out int) config.Layer { return config.Layer{Kind: "linear", Out: out} }
	for _, c := range []struct {
		spec  Spec
		stack []config.Layer
		want  string
	}{
		{digits, []config.Layer{linear(9)}, "model.stack[0]: the last layer gives 9 values but the data has 10 classes"},
		{digits, []config.Layer{conv, linear(10)}, "model.stack[1]: linear takes a vector or a sequence but gets images of 4 x 26 x 26; put flatten"},
		{digits, []config.Layer{linear(8), conv}, "model.stack[1]: conv takes images but gets 8 values"},
		{Spec{Input: []int{12}, Classes: 10}, []config.Layer{conv}, "conv takes images but the data has 12 values a sample, which make no square"},
		{photos(2, 10), []config.Layer{conv}, "model.stack[0]: conv: a kernel that reaches over 3x3 pixels does not fit into 2x2 with padding 0"},
		{photos(8, 10), []config.Layer{{Kind: "conv", Out: 4, Kernel: 3, Stride: 1, Dilation: 1, Groups: 2}}, "takes multiples of that many channels, not 3 in and 4 out"},
		{photos(8, 10), []config.Layer{{Kind: "residual", Stack: []config.Layer{conv}}}, "model.stack[0]: the residual block gives images of 4 x 6 x 6 but its input is images of 3 x 8 x 8"},
		{photos(8, 10), []config.Layer{{Kind: "residual", Stack: []config.Layer{linear(3)}}}, "model.stack[0].stack[0]: linear takes a vector or a sequence"},
		{photos(8, 10), []config.Layer{{Kind: "layer_norm", Epsilon: 1e-5}}, "model.stack[0]: layer_norm takes a vector or a sequence"},
		{photos(8, 192), []config.Layer{{Kind: "flatten"}}, "no layer has parameters"},
		{photos(8, 10), []config.Layer{{Kind: "fold"}}, `there is no layer "fold"`},
		{shakespeare, []config.Layer{linear(65)}, "model.stack[0]: linear takes values but gets 64 tokens; put an embedding before it"},
		{photos(512, 10), []config.Layer{{Kind: "conv", Out: 1 << 16, Kernel: 1, Stride: 1, Dilation: 1, Groups: 1}}, "65536 x 512 x 512 values a sample, more than"},
		{Spec{Input: []int{1 << 16}, Classes: 10}, []config.Layer{linear(1 << 16)}, "the model has more than"},
		{photos(28, 10), []config.Layer{ // 2^68 weights, 0 in 64 bits
			{Kind: "conv", Out: 1 << 24, Kernel: 1, Stride: 1024, Dilation: 1, Groups: 1},
			{Kind: "conv", Out: 1 << 24, Kernel: 1024, Stride: 1024, Padding: 1024, Dilation: 1, Groups: 1},
		}, "model.stack[1]: with conv the model has more than"},
	} {
		_, err := build(config.Model{Kind: config.ModelSequential, Stack: c.stack}, c.spec)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %s", c.stack, err, c.want)
		}
	}
}

// TestSequentialOnFlatImages takes flat samples for square images where the first layer wants images.
func TestSequentialOnFlatImages(t *testing.T) {
	stack := []config.Layer{
		{Kind: "conv", Out: 2, Kernel: 3, Stride: 2, Dilation: 1, Groups: 1, Bias: true}, {Kind: "global_average_pool"}, {Kind: "linear", Out: 10},
	}
	flat := mustBuild(t, config.Model{Kind: config.ModelSequential, Stack: stack}, digits)
	images := mustBuild(t, config.Model{Kind: config.ModelSequential, Stack: stack}, Spec{Input: []int{1, 28, 28}, Classes: 10})
	params, _ := initial(flat, 1)
	batch := randomBatch(digits, 3, 1)
	if a, b := flat.NewReplica(nil).Evaluate(params, nil, batch, Result{}), images.NewReplica(nil).Evaluate(params, nil, batch, Result{}); a != b {
		t.Errorf("flat samples give %+v, images %+v", a, b)
	}
}

// TestFusingChangesNoBit compares layers that are fused with the same layers kept apart by a function that does nothing.
func TestFusingChangesNoBit(t *testing.T) {
	apart := config.Layer{Kind: "dropout", Rate: 0}
	body := func(between ...config.Layer) []config.Layer {
		var stack []config.Layer
		add := func(l config.Layer, then string) {
			stack = append(append(append(stack, l), between...), config.Layer{Kind: then})
		}
		for _, kernel := range []int{3, 1} {
			add(config.Layer{Kind: "conv", Out: 3, Kernel: kernel, Stride: 1, Dilation: 1, Groups: 1, Bias: true}, "relu")
		}
		add(config.Layer{Kind: "conv", Out: 3, Kernel: 3, Stride: 2, Dilation: 1, Groups: 3}, "relu")
		stack = append(stack, config.Layer{Kind: "flatten"})
		add(config.Layer{Kind: "linear", Out: 9, Bias: true}, "relu")
		add(config.Layer{Kind: "batch_norm", Epsilon: 1e-5, Momentum: 0.1}, "relu")
		add(config.Layer{Kind: "batch_norm", Epsilon: 1e-5, Momentum: 0.1}, "relu6")
		return append(stack, config.Layer{Kind: "linear", Out: 10})
	}
	var digests [][32]byte
	for _, stack := range [][]config.Layer{body(), body(apart)} {
		m := mustBuild(t, config.Model{Kind: config.ModelSequential, Stack: stack}, digits)
		params, stats := initial(m, 1)
		grad := make([]float32, m.Len())
		m.NewReplica(nil).Gradient(params, stats, grad, randomBatch(digits, 7, 1), rng.Key{}, nil, nil)
		digests = append(digests, digest(grad))
	}
	if digests[0] != digests[1] {
		t.Error("fused and separate layers give different gradients")
	}
}

func digest(values []float32) [32]byte {
	raw := make([]byte, 4*len(values))
	for i, v := range values {
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(v))
	}
	return sha256.Sum256(raw)
}

// families are small forms of every family.
var families = map[string]goldenCase{
	"mlp": {cfg: config.Model{Kind: config.ModelMLP, Layers: []int{50, 33, 10}}, spec: Spec{Input: []int{50}, Classes: 10}, samples: 7},
	"gpt": {cfg: config.Model{Kind: config.ModelGPT, Depth: 2, Heads: 2, Width: 24, Bias: true, Dropout: 0.1},
		spec: Spec{Tokens: true, Classes: 19, Context: 17}, samples: 3},
	"llama": {cfg: config.Model{Kind: config.ModelLLaMA, Depth: 2, Heads: 4, KVHeads: 2, Width: 24, RopeTheta: 10000, Epsilon: 1e-6, Dropout: 0.1},
		spec: Spec{Tokens: true, Classes: 19, Context: 17}, samples: 3},
	"bert": {cfg: config.Model{Kind: config.ModelBERT, Depth: 2, Heads: 2, Width: 24, Dropout: 0.1},
		spec: Spec{Tokens: true, Classes: 19, Context: 17, Hidden: true}, samples: 3},
	"bert classes": {cfg: config.Model{Kind: config.ModelBERT, Depth: 1, Heads: 2, Width: 24, Dropout: 0.1},
		spec: Spec{Tokens: true, Classes: 3, Vocabulary: 19, Context: 17, Rows: 1}, samples: 3},
	"t5": {cfg: config.Model{Kind: config.ModelT5, Depth: 2, Heads: 2, Width: 24, Buckets: 8, Distance: 16, Tied: true, Dropout: 0.1},
		spec: Spec{Tokens: true, Input: []int{12}, Classes: 19, Context: 7}, samples: 3},
	"sequential":  {cfg: config.Model{Kind: config.ModelSequential, Stack: goldenStack}, spec: photos(16, 7), samples: 5},
	"mobilenetv2": {cfg: config.Model{Kind: config.ModelMobileNetV2, Variant: "imagenet", Dropout: 0.2}, spec: photos(12, 5), samples: 6},
	"quantized":   {cfg: config.Model{Kind: config.ModelSequential, Stack: quantizedStack}, spec: photos(12, 5), samples: 6},
}

var quantizedStack = []config.Layer{
	{Kind: "conv", Out: 6, Kernel: 4, Stride: 2, Padding: 1, Dilation: 1, Groups: 1, Bias: true},
	{Kind: "quantize", Codes: 9, Commitment: 0.25, Init: config.InitUniform, Gain: 1},
	{Kind: "flatten"},
	{Kind: "linear", Out: 5, Bias: true},
}

// train takes steps of plain gradient descent and returns the digest of parameters and statistics.
func train(t *testing.T, c goldenCase, steps uint64, team *kernel.Team) [32]byte {
	return trainModel(t, mustBuild(t, c.cfg, c.spec), c, steps, team)
}

func trainModel(t *testing.T, m *Model, c goldenCase, steps uint64, team *kernel.Team) [32]byte {
	params, stats := initial(m, 1)
	grad, sum := make([]float32, m.Len()), make([]float32, m.StatsLen())
	r := m.NewReplica(team)
	for step := range steps {
		n := c.samples - int(step%2)
		result := r.Gradient(params, stats, grad, randomBatch(c.spec, n, step), rng.SeatKey(1, step, 0, 0), nil, nil)
		if !result.Finite {
			t.Fatalf("loss %g in step %d", result.Loss, step)
		}
		rate := float32(0.01) / float32(result.Count)
		for i, g := range grad {
			params[i] -= float32(rate * g)
		}
		clear(sum)
		FoldStatistics(sum, r.Statistics(), result.Count)
		m.ApplyStatistics(stats, sum, result.Count)
	}
	return digest(append(params, stats...))
}

// familyDigests guard the bits: any CPU, GOAMD64 and GOARCH must give them. They change only with the numerics contract.
var familyDigests = map[string]string{
	"mlp":          "8ab50e71b921ae5502c1c18dd9a87551ca498f7295f8b1d32ac16425a94bf543",
	"gpt":          "17a7b444ea241a85e46f6f92c62114808ea1564b6c29132dea9c0377aa6f7dc3",
	"llama":        "3eeb009644349a5a3ff8a80f4d4b94aa975551a9e115b1039fb52dbc7b1ac9c1",
	"bert":         "6ef660d9cef00ebe38662691509d436559689ac67957abd2c771980bc2ef666d",
	"bert classes": "2280f407d7206c87e18d8eff377f75d0657f47e735517dfff2937871f8959275",
	"t5":           "f1548b9d90c75d62a5f0b33e09bc1557c20f163095d5e943493d63f5eda01900",
	"sequential":   "e72f3917a8b71721faf401e46861bb031b4dd71f83c9e402889b58a3643a1599",
	"mobilenetv2":  "11f196e7489a1ea9c430c282329fadd61eabeac041cc78b803e8d2577f288f34",
	"quantized":    "e1d8f7fac9db3141fb2bb6bb9a5f7be12c5de7d83716e8cabfb261c17cca68da",
	"lstm":         "bba25a91bd769fac7b50cf7f0b3b191f76db354c89ba7051fce8e7803b806290",
	"tied":         "b0e75a24ce00efc24c203f5cd47b6eaf11a8550282791a4dddbe44cb7c11e1e9",
	"parts":        "af51ec5529825ecdb0edbfd5ed27777171a72ef290b8a0a10d7a7b12afbd3ce4",
	"squeeze":      "33c53c0fe7517e136443e7513cd681c21a84f58fc6fe2ddf7ec0b69c4b2bf165",
}

// TestSameBitsOnAllTiers trains every family with every kernel tier that the machine has, and with several threads.
func TestSameBitsOnAllTiers(t *testing.T) {
	for name, c := range families {
		t.Run(name, func(t *testing.T) {
			const steps = 20
			want := train(t, c, steps, nil)
			if got := hex.EncodeToString(want[:]); got != familyDigests[name] {
				t.Errorf("digest %s, recorded %s", got, familyDigests[name])
			}
			for _, tier := range kernel.Tiers() {
				restore := kernel.Force(tier)
				got := train(t, c, steps, nil)
				restore()
				if got != want {
					t.Errorf("tier %v gives other bits", tier)
				}
			}
			team := kernel.NewTeam(3)
			defer team.Close()
			if got := train(t, c, steps, team); got != want {
				t.Error("three threads give other bits")
			}
		})
	}
}

// TestFamiliesAllocateNothing wants replays without allocation for every family.
func TestFamiliesAllocateNothing(t *testing.T) {
	for name, c := range families {
		m := mustBuild(t, c.cfg, c.spec)
		params, stats := initial(m, 1)
		grad := make([]float32, m.Len())
		batch := randomBatch(c.spec, c.samples, 1)
		r := m.NewReplica(nil)
		step := func() { r.Gradient(params, stats, grad, batch, rng.SeatKey(1, 2, 3, 4), nil, nil) }
		step()
		if n := testing.AllocsPerRun(5, step); n != 0 {
			t.Errorf("%s: %g allocations a step", name, n)
		}
	}
}
