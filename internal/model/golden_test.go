package model

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/plan"
	"ringmaster/internal/rng"
)

// golden is a model that testdata/golden.py recorded from PyTorch.
type golden struct {
	Name    string
	Loss    float64
	Plain   float64 // without label smoothing
	Logits  []float64
	Tensors []struct {
		Name        string
		Shape       []int
		Norm        float64
		Projections []float64
	}
	Statistics []struct {
		Name   string
		Values []float64
	}
	Steps []goldenStep
	Run   []float64
}

// goldenCase is the same model and batch here.
type goldenCase struct {
	cfg       config.Model
	spec      Spec
	samples   int
	tolerance float64 // relative to the norms
	smoothing float32
}

var goldenCases = map[string]goldenCase{
	"mlp": {config.Model{Kind: config.ModelMLP, Layers: []int{20, 16, 12, 10}}, Spec{Input: []int{20}, Classes: 10}, 6, 1e-6, 0},
	"gpt": {config.Model{Kind: config.ModelGPT, Depth: 2, Heads: 2, Width: 16},
		Spec{Tokens: true, Classes: 13, Context: 9}, 3, 2e-6, 0},
	"gpt bias": {config.Model{Kind: config.ModelGPT, Depth: 2, Heads: 4, Width: 24, Bias: true},
		Spec{Tokens: true, Classes: 13, Context: 9}, 3, 2e-6, 0},
	"bert": {config.Model{Kind: config.ModelBERT, Depth: 2, Heads: 2, Width: 16},
		Spec{Tokens: true, Classes: 13, Context: 9, Hidden: true}, 3, 2e-6, 0},
	"bert classes": {config.Model{Kind: config.ModelBERT, Depth: 2, Heads: 2, Width: 16},
		Spec{Tokens: true, Classes: 5, Vocabulary: 13, Context: 9, Rows: 1}, 3, 2e-6, 0},
	"bert padded": {config.Model{Kind: config.ModelBERT, Depth: 2, Heads: 2, Width: 16, Positions: 20},
		Spec{Tokens: true, Classes: 5, Vocabulary: 13, Context: 12, Rows: 1, Ragged: true, Segments: true}, 3, 2e-6, 0},
	"t5":           {smallT5(true), Spec{Tokens: true, Input: []int{12}, Classes: 13, Context: 9}, 3, 2e-6, 0},
	"t5 untied":    {smallT5(false), Spec{Tokens: true, Input: []int{12}, Classes: 13, Context: 9}, 3, 2e-6, 0},
	"llama":        {smallLLaMA(2, 0, false), Spec{Tokens: true, Classes: 13, Context: 9}, 3, 2e-6, 0},
	"llama tied":   {smallLLaMA(1, 6, true), Spec{Tokens: true, Classes: 13, Context: 9}, 3, 2e-6, 0},
	"sequential":   {config.Model{Kind: config.ModelSequential, Stack: goldenStack}, photos(16, 7), 6, 1e-5, 0},
	"mobilenetv2":  {config.Model{Kind: config.ModelMobileNetV2, Variant: "imagenet"}, photos(64, 6), 4, 1e-4, 0},
	"mlp smoothed": {config.Model{Kind: config.ModelMLP, Layers: []int{20, 16, 12, 10}}, Spec{Input: []int{20}, Classes: 10}, 6, 1e-6, 0.1},
	"gpt smoothed": {config.Model{Kind: config.ModelGPT, Depth: 2, Heads: 2, Width: 16},
		Spec{Tokens: true, Classes: 13, Context: 9}, 3, 2e-6, 0.3},
	"mobilenetv2 cifar": {config.Model{Kind: config.ModelMobileNetV2, Variant: "cifar"}, photos(16, 10), 4, 1e-4, 0},
}

var goldenStack = []config.Layer{
	{Kind: "conv", Out: 8, Kernel: 3, Stride: 1, Padding: 1, Dilation: 1, Groups: 1, Bias: true},
	{Kind: "batch_norm", Epsilon: 1e-5, Momentum: 0.1},
	{Kind: "relu"},
	{Kind: "residual", Stack: []config.Layer{
		{Kind: "conv", Out: 8, Kernel: 3, Stride: 1, Padding: 2, Dilation: 2, Groups: 4},
		{Kind: "batch_norm", Epsilon: 1e-3, Momentum: 0.3},
		{Kind: "silu"},
	}},
	{Kind: "max_pool", Kernel: 3, Stride: 2, Padding: 1},
	{Kind: "conv", Out: 12, Kernel: 2, Stride: 2, Dilation: 1, Groups: 1, Bias: true},
	{Kind: "relu6"},
	{Kind: "average_pool", Kernel: 2, Stride: 2},
	{Kind: "gelu"},
	{Kind: "flatten"},
	{Kind: "linear", Out: 20, Bias: true},
	{Kind: "layer_norm", Epsilon: 1e-5},
	{Kind: "tanh"},
	{Kind: "linear", Out: 9},
	{Kind: "batch_norm", Epsilon: 1e-5, Momentum: 0.1},
	{Kind: "sigmoid"},
	{Kind: "linear", Out: 5, Bias: true},
	{Kind: "relu"},
	{Kind: "linear", Out: 7, Bias: true},
}

func smallT5(tied bool) config.Model {
	return config.Model{Kind: config.ModelT5, Depth: 2, Heads: 3, Width: 16, HeadWidth: 6, Hidden: 24, Buckets: 8, Distance: 7, Tied: tied}
}

func smallLLaMA(keyHeads, dim int, tied bool) config.Model {
	return config.Model{Kind: config.ModelLLaMA, Depth: 2, Heads: 4, KVHeads: keyHeads, Width: 16, HeadWidth: dim, Hidden: 24, Tied: tied, RopeTheta: 500, Epsilon: 1e-5}
}

// hash is the script's bits.
func hash(i int, seed uint32) uint32 {
	x := uint32(i) + seed*0x9E3779B9
	for _, multiplier := range []uint32{0x7FEB352D, 0x846CA68B} {
		x ^= x >> 16
		x *= multiplier
	}
	return x ^ x>>16
}

// drawn is the script's draw.
func drawn(n int, seed uint32, scale, shift float64) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32((float64(hash(i, seed))/(1<<32)-0.5)*scale + shift)
	}
	return out
}

func chosen(n int, seed uint32, below int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(hash(i, seed) % uint32(below))
	}
	return out
}

// filled is the script's fill.
func filled(m *Model) []float32 {
	params := make([]float32, m.Len())
	for k, p := range m.Params() {
		n := p.Interval.Len()
		scale, shift := 2*math.Sqrt(3/(float64(n)/float64(p.Shape[0]))), 0.0
		if len(p.Shape) == 1 {
			scale = 0.4
			if p.Name[len(p.Name)-6:] == "weight" {
				shift = 1
			}
		}
		copy(params[p.Interval.Begin:], drawn(n, uint32(k), scale, shift))
	}
	return params
}

func goldenBatch(spec Spec, n int) *dataset.Batch { return hashedBatch(spec, n, 500, 501) }

func hashedBatch(spec Spec, n int, inputs, targets uint32) *dataset.Batch {
	b := emptyBatch(spec, n)
	in := &b.Columns[0]
	if spec.Tokens {
		in.Ints = chosen(len(in.Ints), inputs, spec.vocabulary())
	} else {
		in.Floats = drawn(len(in.Floats), inputs, 2, 0)
	}
	copy(targetsOf(b), chosen(len(targetsOf(b)), targets, spec.Classes))
	if len(b.Columns) > 2 {
		for i := range in.Lengths {
			in.Lengths[i] = []int32{12, 5, 8}[i%3]
		}
		below := spec.Classes
		if spec.Segments {
			below = 2
		}
		b.Columns[1].Ints = chosen(len(b.Columns[1].Ints), inputs+2, below)
	}
	return b
}

// TestModelsAgainstPyTorch compares names, shapes, logits, loss, gradients and running statistics of small models of every
// family with PyTorch's recorded values.
func TestModelsAgainstPyTorch(t *testing.T) {
	models := append(goldens(t, "testdata/golden.json"), goldens(t, "testdata/transformers.json")...)
	if len(models) != len(goldenCases) {
		t.Fatalf("%d models in the files, %d here", len(models), len(goldenCases))
	}
	for _, g := range models {
		t.Run(g.Name, func(t *testing.T) { g.check(t, goldenCases[g.Name]) })
	}
}

// goldens are the models of a recorded file.
func goldens(t *testing.T, path string) []golden {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Models []golden }
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	return file.Models
}

func (g *golden) check(t *testing.T, c goldenCase) {
	m, err := buildSmoothed(c.cfg, c.spec, c.smoothing)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Params()) != len(g.Tensors) {
		t.Fatalf("%d parameters, PyTorch has %d", len(m.Params()), len(g.Tensors))
	}
	_, stats := initial(m, 1)
	params, batch := filled(m), goldenBatch(c.spec, c.samples)
	grad := make([]float32, m.Len())
	r := m.NewReplica(nil)
	result := r.Gradient(params, stats, grad, batch, rng.Key{}, nil, nil)
	if math.Abs(result.Loss-g.Loss) > c.tolerance*g.Loss {
		t.Errorf("loss %.9g, PyTorch has %.9g", result.Loss, g.Loss)
	}
	for k, want := range g.Tensors {
		got := m.Params()[k]
		if got.Name != want.Name || fmt.Sprint(got.Shape) != fmt.Sprint(want.Shape) {
			t.Fatalf("parameter %d is %s %v, in PyTorch %s %v", k, got.Name, got.Shape, want.Name, want.Shape)
		}
		checkProjections(t, c, k, got, grad, want.Norm, want.Projections)
	}
	if len(g.Run) > 0 {
		g.checkRun(t, c, m, params)
	}
	for i := range g.Steps {
		g.Steps[i].check(t, c, m, params, stats, grad, result.Count)
	}
	g.checkStatistics(t, c, m, stats, r.Statistics(), result.Count)
	if m.StatsLen() == 0 { // with statistics, evaluation is another function
		if loss := r.Evaluate(params, stats, batch, Result{}).Loss; math.Abs(loss-g.Plain) > c.tolerance*g.Plain {
			t.Errorf("the evaluation's loss is %.9g, PyTorch's without label smoothing %.9g", loss, g.Plain)
		}
		logits, _, _ := r.Predict(params, stats, batch)
		for i, want := range g.Logits {
			if math.Abs(float64(logits[i])-want) > 10*c.tolerance {
				t.Fatalf("logit %d is %g, PyTorch has %g", i, logits[i], want)
			}
		}
	}
}

// projectionsOf are the norm of the k-th tensor's values and their projections on two random vectors.
func projectionsOf(k int, values []float32) (norm float64, sums [2]float64) {
	squares := 0.0
	for i, v := range values {
		squares += float64(v) * float64(v)
		for j := range sums {
			seed := uint32(1000*(j+1) + k)
			sums[j] += float64(v) * float64(float32((float64(hash(i, seed))/(1<<32)-0.5)*2))
		}
	}
	return math.Sqrt(squares), sums
}

// checkProjections compares a gradient's norm and its projections on two random vectors of entries within [-1, 1].
func checkProjections(t *testing.T, c goldenCase, k int, p Tensor, grad []float32, norm float64, projections []float64) {
	t.Helper()
	got, sums := projectionsOf(k, grad[p.Interval.Begin:p.Interval.End])
	bound := 10 * c.tolerance * (1 + norm)
	if math.Abs(got-norm) > bound {
		t.Errorf("gradient of %s has norm %g, PyTorch's %g", p.Name, got, norm)
	}
	for j, want := range projections {
		if math.Abs(sums[j]-want) > bound {
			t.Errorf("projection %d of the gradient of %s is %g, PyTorch's %g (norm %g)", j, p.Name, sums[j], want, norm)
		}
	}
}

func (g *golden) checkStatistics(t *testing.T, c goldenCase, m *Model, running, batch []float32, count uint64) {
	t.Helper()
	sum := make([]float32, len(batch))
	FoldStatistics(sum, batch, count)
	m.ApplyStatistics(running, sum, count)
	at := map[string]plan.Interval{}
	for _, s := range m.Stats() {
		at[s.Name] = s.Interval
	}
	if len(at) != len(g.Statistics) {
		t.Fatalf("%d running statistics, PyTorch has %d", len(at), len(g.Statistics))
	}
	for _, want := range g.Statistics {
		values := running[at[want.Name].Begin:at[want.Name].End]
		for i, v := range want.Values {
			if math.Abs(float64(values[i])-v) > c.tolerance*(1+math.Abs(v)) {
				t.Fatalf("%s[%d] is %g, PyTorch has %g", want.Name, i, values[i], v)
			}
		}
	}
}
