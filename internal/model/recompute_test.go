package model

import (
	"encoding/hex"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
	"ringmaster/internal/tensor/kernel"
)

// TestRecomputingKeepsTheDigests trains every family without keeping activations: parameters and running statistics are the recorded
// ones, and a step allocates nothing.
func TestRecomputingKeepsTheDigests(t *testing.T) {
	team := kernel.NewTeam(2)
	defer team.Close()
	for name, c := range families {
		m := mustBuild(t, c.cfg, c.spec).Recomputing()
		got := trainModel(t, m, c, 20, team)
		if hex.EncodeToString(got[:]) != familyDigests[name] {
			t.Errorf("%s: digest %x, recorded %s", name, got, familyDigests[name])
		}
	}
}

// deepModels are deep enough that most of their activations can be dropped.
var deepModels = map[string]goldenCase{
	"gpt": {cfg: config.Model{Kind: config.ModelGPT, Depth: 12, Heads: 4, Width: 64, Dropout: 0.1},
		spec: Spec{Tokens: true, Classes: 97, Context: 64}, samples: 2},
	"llama": {cfg: config.Model{Kind: config.ModelLLaMA, Depth: 12, Heads: 4, KVHeads: 2, Width: 64, RopeTheta: 10000, Epsilon: 1e-6, Dropout: 0.1},
		spec: Spec{Tokens: true, Classes: 97, Context: 64}, samples: 2},
	"bert": {cfg: config.Model{Kind: config.ModelBERT, Depth: 6, Heads: 4, Width: 64, Dropout: 0.1},
		spec: Spec{Tokens: true, Classes: 97, Context: 64, Hidden: true}, samples: 2},
	"t5": {cfg: config.Model{Kind: config.ModelT5, Depth: 6, Heads: 4, Width: 64, Buckets: 32, Distance: 128, Tied: true, Dropout: 0.1},
		spec: Spec{Tokens: true, Input: []int{64}, Classes: 97, Context: 64}, samples: 2},
	"mobilenetv2": {cfg: config.Model{Kind: config.ModelMobileNetV2, Variant: "cifar"}, spec: photos(32, 10), samples: 2},
	"sequential":  {cfg: config.Model{Kind: config.ModelSequential, Stack: residualStack(12)}, spec: photos(16, 7), samples: 4},
}

// residualStack is a list of residual blocks of convolutions.
func residualStack(blocks int) []config.Layer {
	conv := config.Layer{Kind: "conv", Out: 8, Kernel: 3, Stride: 1, Padding: 1, Dilation: 1, Groups: 1}
	norm := config.Layer{Kind: "batch_norm", Epsilon: 1e-5, Momentum: 0.1}
	relu := config.Layer{Kind: "relu"}
	stack := []config.Layer{conv, norm, relu}
	for range blocks {
		stack = append(stack, config.Layer{Kind: "residual", Stack: []config.Layer{conv, norm, relu, conv, norm}}, relu)
	}
	return append(stack, config.Layer{Kind: "global_average_pool"}, config.Layer{Kind: "linear", Out: 7, Bias: true})
}

// TestRecomputingHalvesActivations wants the planned memory of a gradient to be at most half, with the same bits.
func TestRecomputingHalvesActivations(t *testing.T) {
	for name, c := range deepModels {
		m := mustBuild(t, c.cfg, c.spec)
		whole, dropped := m.TrainingBytes(c.samples), m.Recomputing().TrainingBytes(c.samples)
		t.Logf("%s: %d KiB of %d", name, dropped>>10, whole>>10)
		if 2*dropped > whole {
			t.Errorf("%s: %d bytes, %d where all activations are kept", name, dropped, whole)
		}
		params, stats := initial(m, 1)
		gradient := func(m *Model) [32]byte {
			grad, r := make([]float32, m.Len()), m.NewReplica(nil)
			r.Gradient(params, stats, grad, randomBatch(c.spec, c.samples, 1), rng.SeatKey(1, 2, 3, 0), nil, nil)
			return digest(append(grad, r.Statistics()...))
		}
		if gradient(m) != gradient(m.Recomputing()) {
			t.Errorf("%s: another gradient", name)
		}
	}
}

// TestLogitsAreNeverWhole wants what a gradient or an evaluation takes to be far less than the logits of a large vocabulary, tied to the
// embedding or not.
func TestLogitsAreNeverWhole(t *testing.T) {
	const vocabulary, rows = 50000, 512
	for name, c := range map[string]goldenCase{
		"gpt": {cfg: config.Model{Kind: config.ModelGPT, Depth: 1, Heads: 1, Width: 8},
			spec: Spec{Tokens: true, Classes: vocabulary, Context: 64}},
		"llama": {cfg: config.Model{Kind: config.ModelLLaMA, Depth: 1, Heads: 1, Width: 8, RopeTheta: 10000, Epsilon: 1e-6},
			spec: Spec{Tokens: true, Classes: vocabulary, Context: 64}},
		"bert": {cfg: config.Model{Kind: config.ModelBERT, Depth: 1, Heads: 1, Width: 8},
			spec: Spec{Tokens: true, Classes: vocabulary, Context: 64, Hidden: true}},
		"t5": {cfg: config.Model{Kind: config.ModelT5, Depth: 1, Heads: 1, Width: 8, Buckets: 8, Distance: 16, Tied: true},
			spec: Spec{Tokens: true, Input: []int{64}, Classes: vocabulary, Context: 64}},
		"t5 with a head of its own": {cfg: config.Model{Kind: config.ModelT5, Depth: 1, Heads: 1, Width: 8, Buckets: 8, Distance: 16},
			spec: Spec{Tokens: true, Input: []int{64}, Classes: vocabulary, Context: 64}},
	} {
		m := mustBuild(t, c.cfg, c.spec)
		training, evaluation := m.TrainingBytes(rows/64), m.EvaluationBytes(rows/64)
		if logits := int64(4 * rows * vocabulary); 4*training > logits || 4*evaluation > logits {
			t.Errorf("%s: %d bytes in training and %d in evaluation, all logits are %d", name, training, evaluation, logits)
		}
	}
}
