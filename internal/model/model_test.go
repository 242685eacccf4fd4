package model

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/plan"
	"ringmaster/internal/rng"
	"ringmaster/internal/tensor/kernel"
)

var digits = Spec{Input: []int{784}, Classes: 10}

func classifier(t testing.TB) *Model {
	return mustBuild(t, config.Model{Kind: config.ModelMLP, Layers: []int{784, 128, 128, 10}}, digits)
}

func initial(m *Model, seed uint64) (params, stats []float32) {
	params, stats = make([]float32, m.Len()), make([]float32, m.StatsLen())
	if err := m.Init(context.Background(), params, stats, seed); err != nil {
		panic(err)
	}
	return params, stats
}

// randomBatch draws inputs (or tokens) and targets that fit the spec.
func randomBatch(spec Spec, n int, seed uint64) *dataset.Batch {
	if spec.Tokens && (spec.Input != nil || spec.Rows == 1) {
		return hashedBatch(spec, n, uint32(10*seed), uint32(10*seed+1))
	}
	r := rand.New(rand.NewPCG(seed, 7))
	b := emptyBatch(spec, n)
	in, targets := &b.Columns[0], targetsOf(b)
	if spec.Tokens {
		for i := range targets {
			in.Ints[i] = int32(r.IntN(spec.Classes))
			targets[i] = int32(r.IntN(spec.Classes))
		}
		return b
	}
	for i := range in.Floats {
		in.Floats[i] = r.Float32()
	}
	for i := range targets {
		targets[i] = int32(r.IntN(spec.Classes))
	}
	return b
}

func TestMLPTensors(t *testing.T) {
	m := classifier(t)
	if m.Len() != 118282 {
		t.Errorf("%d parameters, want 118282", m.Len())
	}
	var names []string
	at := 0
	for _, p := range m.Params() {
		names = append(names, p.Name)
		if p.Interval.Begin != at {
			t.Errorf("%s begins at %d, want %d", p.Name, p.Interval.Begin, at)
		}
		at = p.Interval.End
	}
	if got := strings.Join(names, " "); got != "0.weight 0.bias 2.weight 2.bias 4.weight 4.bias" {
		t.Errorf("names %s", got)
	}
	if w := m.Params()[0]; w.Shape[0] != 128 || w.Shape[1] != 784 {
		t.Errorf("0.weight has shape %v", w.Shape)
	}
}

func TestMLPMustFitTheData(t *testing.T) {
	for _, c := range []struct {
		layers []int
		spec   Spec
		want   string
	}{
		{[]int{700, 10}, digits, "model.layers: the first layer takes 700 values but the data has 784 a sample"},
		{[]int{784, 12}, digits, "model.layers: the last layer gives 12 values but the data has 10 classes"},
		{[]int{784}, digits, "model.layers: 1 width and no layer"},
		{[]int{784, 10}, Spec{Tokens: true, Classes: 65, Context: 8}, "the data are tokens, which take a model of kind gpt, llama, sequential or graph"},
	} {
		_, err := build(config.Model{Kind: config.ModelMLP, Layers: c.layers}, c.spec)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("layers %v: %v, want %s", c.layers, err, c.want)
		}
	}
}

// ending is a context that ends when it is looked at for the last time.
type ending struct {
	context.Context
	looks int
}

func (e *ending) Err() error {
	if e.looks--; e.looks <= 0 {
		return context.Canceled
	}
	return nil
}

// TestInitInBlocks wants a tensor of several blocks to be the one that a single fill makes, and nothing made that nobody wants any more.
func TestInitInBlocks(t *testing.T) {
	for name, with := range map[string]fill{"uniform": uniform(-1, 1), "normal": normal(1)} {
		b := &builder{model: &Model{}}
		b.parameter("before", false, ones, 3)
		k := b.parameter("large", false, with, 2*fillBlock+5)
		want := make([]float32, 2*fillBlock+5)
		with(want, rng.InitKey(1, uint64(k)), 0)
		params, _ := initial(b.model, 1)
		if !slices.Equal(params[3:], want) {
			t.Errorf("%s: a tensor filled in blocks is another one", name)
		}
		clear(params)
		err := b.model.Init(&ending{Context: t.Context(), looks: 3}, params, nil, 1)
		if made := 3 + fillBlock; err == nil || !slices.Equal(params[3:made], want[:fillBlock]) || slices.ContainsFunc(params[made:], func(x float32) bool { return x != 0 }) {
			t.Errorf("%s: an Init that was ended at its third look gave %v, and made more or less than two blocks", name, err)
		}
	}
}

func TestInitIsGlorotUniform(t *testing.T) {
	m := classifier(t)
	params, _ := initial(m, 1)
	again, _ := initial(m, 1)
	other, _ := initial(m, 2)
	same := 0
	for i := range params {
		if params[i] != again[i] {
			t.Fatal("one seed gave two initial states")
		}
		if params[i] == other[i] && params[i] != 0 {
			same++
		}
	}
	if same > 10 {
		t.Errorf("%d weights are the same under another seed", same)
	}
	w := params[:784*128]
	bound := math.Sqrt(6.0 / (784 + 128))
	var squares, most float64
	for _, v := range w {
		squares += float64(v) * float64(v)
		most = max(most, math.Abs(float64(v)))
	}
	if most > bound || most < 0.99*bound {
		t.Errorf("largest weight %g, bound %g", most, bound)
	}
	if v := squares / float64(len(w)); math.Abs(v/(bound*bound/3)-1) > 0.02 {
		t.Errorf("variance %g, want %g", v, bound*bound/3)
	}
	for _, v := range params[784*128 : 784*128+128] {
		if v != 0 {
			t.Fatal("a bias does not begin at zero")
		}
	}
}

// reference is the classifier's loss and gradient in float64 with plain loops.
func reference(widths []int, params []float32, b *dataset.Batch) (loss float64, grad []float64) {
	grad = make([]float64, len(params))
	layers := len(widths) - 1
	for s := range b.N {
		acts := make([][]float64, layers+1)
		for _, v := range b.Columns[0].Floats[s*widths[0] : (s+1)*widths[0]] {
			acts[0] = append(acts[0], float64(v))
		}
		at := make([]int, layers)
		for l, off := 0, 0; l < layers; l++ {
			at[l] = off
			in, out := widths[l], widths[l+1]
			acts[l+1] = make([]float64, out)
			for o := range out {
				z := float64(params[off+in*out+o])
				for i := range in {
					z += float64(params[off+o*in+i]) * acts[l][i]
				}
				if l < layers-1 {
					z = max(z, 0)
				}
				acts[l+1][o] = z
			}
			off += (in + 1) * out
		}
		logits, sum := acts[layers], 0.0
		for _, z := range logits {
			sum += math.Exp(z)
		}
		delta := make([]float64, len(logits))
		for c, z := range logits {
			delta[c] = math.Exp(z) / sum
		}
		target := targetsOf(b)[s]
		loss -= math.Log(delta[target])
		delta[target]--
		for l := layers - 1; l >= 0; l-- {
			in, out := widths[l], widths[l+1]
			below := make([]float64, in)
			for o, d := range delta {
				if l < layers-1 && acts[l+1][o] <= 0 {
					continue
				}
				grad[at[l]+in*out+o] += d
				for i := range in {
					grad[at[l]+o*in+i] += d * acts[l][i]
					below[i] += d * float64(params[at[l]+o*in+i])
				}
			}
			delta = below
		}
	}
	return loss, grad
}

func TestMLPAgainstFloat64(t *testing.T) {
	widths := []int{30, 17, 9, 5}
	spec := Spec{Input: []int{5, 6}, Classes: 5}
	m := mustBuild(t, config.Model{Kind: config.ModelMLP, Layers: widths}, spec)
	params, _ := initial(m, 3)
	batch := randomBatch(spec, 7, 1)
	grad := make([]float32, m.Len())
	got := m.NewReplica(nil).Gradient(params, nil, grad, batch, rng.Key{}, nil, nil)
	loss, want := reference(widths, params, batch)
	if got.Count != 7 || !got.Finite || math.Abs(got.Loss-loss) > 1e-5*loss {
		t.Errorf("result %+v, want loss %g", got, loss)
	}
	for i := range want {
		if math.Abs(float64(grad[i])-want[i]) > 2e-6*(1+math.Abs(want[i])) {
			t.Fatalf("gradient[%d] = %g, want %g", i, grad[i], want[i])
		}
	}
}

// TestGradientSaysWhatIsReady compares, each time, what is called final with what is there at the end. In gpt the head's
// weight is the embedding's, so its gradient is begun first and final last.
func TestGradientSaysWhatIsReady(t *testing.T) {
	for name, c := range families {
		t.Run(name, func(t *testing.T) {
			m := mustBuild(t, c.cfg, c.spec)
			params, stats := initial(m, 1)
			batch, key := randomBatch(c.spec, c.samples, 1), rng.SeatKey(1, 2, 3, 4)
			r := m.NewReplica(nil)
			whole, grad := make([]float32, m.Len()), make([]float32, m.Len())
			result := r.Gradient(params, stats, whole, batch, key, nil, nil)
			for i := range grad {
				grad[i] = float32(math.NaN())
			}
			var borders []int
			for border := 0; border < m.Len(); border += 1 + m.Len()/20 {
				borders = append(borders, border)
			}
			r.TellAt(borders)
			before, forwards, calls := m.Len(), 0, 0
			ready := func(from int) {
				calls++
				if forwards != 1 || from >= before {
					t.Fatalf("ready(%d) after %d, %d forwards", from, before, forwards)
				}
				for i := from; i < before; i++ {
					if grad[i] != whole[i] {
						t.Fatalf("ready(%d) but gradient[%d] is %g, at last %g", from, i, grad[i], whole[i])
					}
				}
				before = from
			}
			r.Gradient(params, stats, grad, batch, key, ready, func(res Result) {
				if res != result {
					t.Errorf("result %+v, before %+v", res, result)
				}
				forwards++
			})
			if before != 0 || calls < 2 {
				t.Errorf("ready ended at %d after %d calls", before, calls)
			}
		})
	}
}

// TestLargeLayerIsReadyInParts: a bucket that ends within a layer need not wait for all of the layer.
func TestLargeLayerIsReadyInParts(t *testing.T) {
	m := classifier(t)
	params, _ := initial(m, 1)
	weight := m.Params()[0].Interval
	within := weight.Begin + weight.Len()/3
	r := m.NewReplica(nil)
	r.TellAt([]int{0, within})
	var told []int
	r.Gradient(params, nil, make([]float32, m.Len()), randomBatch(digits, 4, 1), rng.Key{}, func(from int) { told = append(told, from) }, nil)
	if n := len(told); n < 2 || told[n-1] != 0 || told[n-2] > within || told[n-2] == 0 {
		t.Errorf("ready at %v, border at %d", told, within)
	}
}

func TestEmptySeat(t *testing.T) {
	m := classifier(t)
	params, _ := initial(m, 1)
	grad := make([]float32, m.Len())
	for i := range grad {
		grad[i] = 1
	}
	told := -1
	res := m.NewReplica(nil).Gradient(params, nil, grad, &dataset.Batch{}, rng.Key{}, func(from int) { told = from }, nil)
	if res != (Result{Finite: true}) || told != 0 {
		t.Errorf("result %+v, ready(%d)", res, told)
	}
	for i, v := range grad {
		if math.Float32bits(v) != 0 {
			t.Fatalf("gradient[%d] = %g", i, v)
		}
	}
}

func TestStepAllocatesNothing(t *testing.T) {
	m := classifier(t)
	params, _ := initial(m, 1)
	grad := make([]float32, m.Len())
	full, ragged := randomBatch(digits, 8, 1), randomBatch(digits, 5, 1)
	r := m.NewReplica(nil)
	step := func() {
		r.Gradient(params, nil, grad, full, rng.Key{}, nil, nil)
		r.Gradient(params, nil, grad, ragged, rng.Key{}, nil, nil)
		r.Evaluate(params, nil, full, Result{})
	}
	step()
	if n := testing.AllocsPerRun(20, step); n != 0 {
		t.Errorf("%g allocations a step", n)
	}
}

// TestReplicasAgree wants the same bits from any number of threads, a used replica and a fresh one.
func TestReplicasAgree(t *testing.T) {
	m := classifier(t)
	params, _ := initial(m, 1)
	want := make([]float32, m.Len())
	batch := randomBatch(digits, 8, 1)
	used := m.NewReplica(nil)
	for n := 1; n < 20; n++ {
		used.Gradient(params, nil, want, randomBatch(digits, n, uint64(n)), rng.Key{}, nil, nil)
	}
	result := used.Gradient(params, nil, want, batch, rng.Key{}, nil, nil)
	for _, threads := range []int{1, 2, 3} {
		team := kernel.NewTeam(threads)
		got := make([]float32, m.Len())
		if again := m.NewReplica(team).Gradient(params, nil, got, batch, rng.Key{}, nil, nil); again != result {
			t.Errorf("%d threads: %+v, want %+v", threads, again, result)
		}
		for i := range want {
			if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
				t.Fatalf("%d threads: gradient[%d] = %g, want %g", threads, i, got[i], want[i])
			}
		}
		team.Close()
	}
}

func TestEvaluateMatchesForward(t *testing.T) {
	m := classifier(t)
	params, _ := initial(m, 1)
	batch := randomBatch(digits, 6, 1)
	r := m.NewReplica(nil)
	trained := r.Gradient(params, nil, make([]float32, m.Len()), batch, rng.Key{}, nil, nil)
	if got := r.Evaluate(params, nil, batch, Result{}); got != trained {
		t.Errorf("evaluation %+v, training %+v", got, trained)
	}
	logits, rows, classes := r.Predict(params, nil, batch)
	correct := uint64(0)
	for i := range rows {
		if int32(kernel.ArgMax(logits[i*classes:(i+1)*classes])) == targetsOf(batch)[i] {
			correct++
		}
	}
	if rows != 6 || classes != 10 || correct != trained.Correct {
		t.Errorf("%d rows of %d, %d correct, want %d", rows, classes, correct, trained.Correct)
	}
	params[0] = float32(math.NaN())
	if got := r.Evaluate(params, nil, batch, Result{}); got.Finite {
		t.Error("a NaN loss is called finite")
	}
}

func TestStatisticsFold(t *testing.T) {
	m := &Model{momentum: []float64{0.1}, statLength: 1, stats: []Tensor{{Interval: plan.Interval{Begin: 0, End: 1}}}}
	sum := make([]float32, 1)
	FoldStatistics(sum, []float32{2}, 3)
	FoldStatistics(sum, []float32{6}, 1)
	running := []float32{1}
	m.ApplyStatistics(running, sum, 4)
	if math.Abs(float64(running[0])-(0.9+0.1*3)) > 1e-6 {
		t.Errorf("running statistic %g, want 1.2", running[0])
	}
	m.ApplyStatistics(running, []float32{0}, 0)
	if math.Abs(float64(running[0])-1.2) > 1e-6 {
		t.Errorf("no samples moved the running statistic to %g", running[0])
	}
}
