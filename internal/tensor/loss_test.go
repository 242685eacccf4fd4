package tensor

import (
	"math"
	"slices"
	"testing"

	"ringmaster/internal/tensor/kernel"
)

// lossOf records a loss on 6 rows of 3 values from 3 samples and runs it; with a weight for each sample, or none.
func lossOf(weights []float32, team *kernel.Team, record func(g *Graph, x, w *Value) func(*Program)) (*Context, []float32) {
	b := newBench(5, true)
	x := b.param(6, 3)
	var w *Value
	if weights != nil {
		w = b.g.Input(3)
	}
	bind := record(b.g, b.g.Slice(x, 0, 3), w)
	p := b.g.Compile()
	p.Bind(nans(p.Length()))
	if w != nil {
		p.Set(w, weights)
	}
	bind(p)
	c, grad := &Context{Team: team}, nans(18)
	p.Forward(c, b.params)
	p.Backward(c, grad, nil)
	return c, grad
}

// TestWeightedLosses weighs samples of two rows each: losses and gradients are scaled by the weights, and a sample of weight 0 is as if
// it were not there.
func TestWeightedLosses(t *testing.T) {
	losses := map[string]func(g *Graph, x, w *Value) func(*Program){
		"cross entropy": func(g *Graph, x, w *Value) func(*Program) {
			targets := g.Integers(6)
			g.CrossEntropy(x, targets, w, nil, 0.1)
			return func(p *Program) { p.SetIntegers(targets, []int32{0, 1, 2, 2, 1, 0}) }
		},
		"squared error": func(g *Graph, x, w *Value) func(*Program) {
			targets := g.Input(6, 3)
			g.SquaredError(x, targets, w)
			return func(p *Program) { p.Set(targets, drawn(18, 3, 0)) }
		},
	}
	for name, record := range losses {
		plain, plainGrad := lossOf(nil, nil, record)
		if ones, grad := lossOf([]float32{1, 1, 1}, nil, record); ones.Loss != plain.Loss || ones.Count != 6 || ones.Correct != plain.Correct || !slices.Equal(grad, plainGrad) {
			t.Errorf("%s: weights of 1 come to %+v, none to %+v", name, ones, plain)
		}
		weights := []float32{2, 0, 0.5}
		got, grad := lossOf(weights, nil, record)
		want := 0.0
		for k, w := range weights {
			one := make([]float32, 3)
			one[k] = 1
			alone, _ := lossOf(one, nil, record)
			want += float64(w) * alone.Loss
		}
		if math.Abs(got.Loss-want) > 1e-12 || got.Count != 4 {
			t.Errorf("%s: loss %v of %d rows, want %v of 4", name, got.Loss, got.Count, want)
		}
		for i, g := range grad {
			if want := weights[i/6] * plainGrad[i]; g != want {
				t.Errorf("%s: gradient[%d] is %v, want %v", name, i, g, want)
			}
		}
		team := kernel.NewTeam(3)
		if threads, other := lossOf(weights, team, record); threads.Loss != got.Loss || !slices.Equal(other, grad) {
			t.Errorf("%s: three threads come to other bits", name)
		}
		team.Close()
	}
}
