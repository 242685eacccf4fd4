package model

import (
	"math"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/loss"
	"ringmaster/internal/rng"
)

// pairsOf is a small T5 on pairs of up to 32 and 48 tokens.
func pairsOf(t *testing.T, trimmed bool) *Model {
	t.Helper()
	schema := dataset.Schema{
		{Name: dataset.SourceTokens, Type: dataset.Int32, Role: dataset.Input, Shape: []int{32}, Ragged: true, Classes: 19, Trimmed: trimmed},
		{Name: dataset.ShiftedTokens, Type: dataset.Int32, Role: dataset.Input, Shape: []int{48}, Classes: 19, Trimmed: trimmed},
		{Name: dataset.TargetTokens, Type: dataset.Int32, Role: dataset.Target, Shape: []int{48}, Classes: 19, Trimmed: trimmed},
	}
	l, err := loss.New(config.Train{Loss: config.LossCrossEntropy}, schema)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Build(config.Model{Kind: config.ModelT5, Depth: 2, Heads: 2, Width: 24, Buckets: 8, Distance: 16, Tied: true}, schema, l)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// pairBatch is pairs of these lengths.
func pairBatch(m *Model, lengths ...[2]int) *dataset.Batch {
	b := &dataset.Batch{}
	b.Resize(len(lengths), m.schema)
	for i, n := range lengths {
		b.Columns[0].Lengths[i] = int32(n[0])
		for k := range 32 {
			b.Columns[0].Ints[32*i+k] = 0
			if k < n[0] {
				b.Columns[0].Ints[32*i+k] = int32(1 + (7*i+3*k)%18)
			}
		}
		for k := range 48 {
			b.Columns[1].Ints[48*i+k], b.Columns[2].Ints[48*i+k] = 0, -1
			if k < n[1] {
				b.Columns[2].Ints[48*i+k] = int32(1 + (5*i+2*k)%18)
			}
			if k > 0 && k < n[1] {
				b.Columns[1].Ints[48*i+k] = b.Columns[2].Ints[48*i+k-1]
			}
		}
	}
	return b
}

// TestTrimmedBatchesHaveTheSameGradient compares batches that are computed at the length of their longest sample with whole ones.
func TestTrimmedBatchesHaveTheSameGradient(t *testing.T) {
	whole, trimmed := pairsOf(t, false), pairsOf(t, true)
	params, _ := initial(whole, 1)
	one, other := whole.NewReplica(nil), trimmed.NewReplica(nil)
	for _, lengths := range [][][2]int{{{3, 2}, {5, 7}}, {{32, 48}, {1, 1}, {2, 2}}, {{9, 40}}, {{3, 2}, {5, 7}}} {
		want, got := make([]float32, whole.Len()), make([]float32, whole.Len())
		batch := pairBatch(whole, lengths...)
		a := one.Gradient(params, nil, want, batch, rng.Key{}, nil, nil)
		b := other.Gradient(params, nil, got, batch, rng.Key{}, nil, nil)
		if a.Count != b.Count || a.Correct != b.Correct || math.Abs(a.Loss-b.Loss) > 1e-5*math.Abs(a.Loss) {
			t.Errorf("%v: sums are %+v, whole %+v", lengths, b, a)
		}
		for i := range want {
			if d := math.Abs(float64(want[i] - got[i])); d > 1e-4 {
				t.Fatalf("%v: gradient %d is %g, whole %g", lengths, i, got[i], want[i])
			}
		}
	}
	if n := len(other.programs); n != 3 {
		t.Errorf("%d programs were recorded, want one for each of three shapes", n)
	}
	for i, want := range []widths{{6, 9, 9}, {32, 48, 48}, {10, 42, 42}} {
		if got := other.programs[i].widths; got != want {
			t.Errorf("program %d has widths %v, want %v", i, got, want)
		}
	}
	// An evaluation is of whole batches, whose bits do not depend on the others in the batch.
	batch := pairBatch(whole, [2]int{3, 2}, [2]int{5, 7})
	if a, b := one.Evaluate(params, nil, batch, Result{}), other.Evaluate(params, nil, batch, Result{}); a != b {
		t.Errorf("evaluated as %+v, whole %+v", b, a)
	}
}

// TestTrimmedBatchesHaveBoundedPrograms takes every length there is: the arena is made once.
func TestTrimmedBatchesHaveBoundedPrograms(t *testing.T) {
	m := pairsOf(t, true)
	params, _ := initial(m, 1)
	grad, r := make([]float32, m.Len()), m.NewReplica(nil)
	r.Gradient(params, nil, grad, pairBatch(m, [2]int{1, 1}), rng.Key{}, nil, nil)
	arena := &r.arena[0]
	for source := 1; source <= 32; source++ {
		for target := 1; target <= 48; target += 3 {
			r.Gradient(params, nil, grad, pairBatch(m, [2]int{source, target}), rng.Key{}, nil, nil)
		}
	}
	if n := len(r.programs); n != maxTrimmedPrograms || arena != &r.arena[0] {
		t.Errorf("%d programs are kept, want %d; the arena is another one: %v", n, maxTrimmedPrograms, arena != &r.arena[0])
	}
}
