package model

import (
	"math/rand/v2"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

// randomStack draws layers, whether they fit or not.
func randomStack(r *rand.Rand, depth int) []config.Layer {
	stack := make([]config.Layer, 1+r.IntN(5))
	for i := range stack {
		l := config.Layer{Kind: config.LayerKinds[r.IntN(len(config.LayerKinds))], Bias: r.IntN(2) == 0,
			Out: 1 + r.IntN(8), Kernel: 1 + r.IntN(4), Stride: 1 + r.IntN(3), Dilation: 1 + r.IntN(2), Groups: 1,
			Epsilon: 1e-5, Momentum: 0.1, Rate: 0.3, Affine: r.IntN(2) == 0, Heads: 1 + r.IntN(2), Causal: r.IntN(2) == 0,
			Layers: 1 + r.IntN(2), Bidirectional: r.IntN(2) == 0, Scale: 1 + r.IntN(2), Mode: [2]string{"nearest", "bilinear"}[r.IntN(2)],
			Form: [2]string{"learned", "sinusoidal"}[r.IntN(2)], Slope: 0.1, Alpha: 1, Codes: 2 + r.IntN(4), Commitment: 0.25, OutputPadding: r.IntN(2), Shape: randomShape(r)}
		if r.IntN(4) == 0 {
			l.Groups = 1 + r.IntN(4)
		}
		l.Padding = r.IntN(l.Kernel/2 + 1)
		if l.Kind == "residual" && depth < 2 {
			l.Stack = randomStack(r, depth+1)
		}
		stack[i] = l
	}
	return stack
}

func randomShape(r *rand.Rand) []int {
	dims := make([]int, 1+r.IntN(3))
	for i := range dims {
		dims[i] = 1 + r.IntN(4)
	}
	dims[r.IntN(len(dims))] = -1
	return dims
}

// TestWhatBuildsRuns wants every stack of layers either refused with a reason when the model is built, or to train: no
// stack may get as far as a panic.
func TestWhatBuildsRuns(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 9))
	specs := []Spec{photos(8, 5), {Input: []int{36}, Classes: 5}, {Input: []int{1, 9, 7}, Classes: 5},
		{Tokens: true, Classes: 5, Context: 6}}
	built := 0
	for range 3000 {
		spec := specs[r.IntN(len(specs))]
		stack := append(randomStack(r, 0), config.Layer{Kind: "linear", Out: 5})
		if spec.Tokens {
			stack = append([]config.Layer{{Kind: "embedding", Out: 4}}, stack...)
		} else if r.IntN(2) == 0 {
			stack = append(stack[:len(stack)-1], config.Layer{Kind: "global_average_pool"}, config.Layer{Kind: "linear", Out: 5})
		}
		m, err := build(config.Model{Kind: config.ModelSequential, Stack: stack}, spec)
		if err != nil {
			continue
		}
		built++
		params, stats := initial(m, 1)
		grad := make([]float32, m.Len())
		replica := m.NewReplica(nil)
		for _, n := range []int{3, 1} {
			batch := randomBatch(spec, n, 1)
			result := replica.Gradient(params, stats, grad, batch, rng.SeatKey(1, 0, 0, 0), nil, nil)
			if result.Count != uint64(n*max(spec.Context, 1)) || !result.Finite {
				t.Fatalf("%+v: %+v", stack, result)
			}
			for i, g := range grad {
				if g != g {
					t.Fatalf("%+v: gradient[%d] is NaN", stack, i)
				}
			}
			if got := replica.Evaluate(params, stats, batch, Result{}); got.Count != uint64(n*max(spec.Context, 1)) || !got.Finite {
				t.Fatalf("%+v: evaluation %+v", stack, got)
			}
		}
	}
	if built < 300 {
		t.Errorf("only %d of 3000 stacks were built; the draw should fit more often", built)
	}
}
