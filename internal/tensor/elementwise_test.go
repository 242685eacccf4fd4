package tensor

import (
	"testing"

	"ringmaster/internal/rng"
)

func TestElementwiseGradients(t *testing.T) {
	for name, f := range map[string]func(*Graph, *Value) *Value{
		"relu": (*Graph).ReLU, "relu6": (*Graph).ReLU6, "gelu": (*Graph).GELU, "gelu tanh": (*Graph).GELUTanh,
		"silu": (*Graph).SiLU, "sigmoid": (*Graph).Sigmoid, "tanh": (*Graph).Tanh,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(11, true)
			b.checkGradient(t, f(b.g, b.param(3, 21)), &Context{})
		})
	}
}

// It has a stream that two blocks add to and that is used again at the end, so that gradients are overwritten,
// added to and passed on in place.
func TestGradientsOfAStreamUsedTwiceAddUp(t *testing.T) {
	b := newBench(12, true)
	x := b.param(3, 6)
	w1, w2 := b.param(6, 6), b.param(6, 6)
	h := b.g.Tanh(x)
	h = b.g.Add(h, b.g.Linear(b.g.LayerNorm(h, nil, nil, 1e-5), w1, nil, 0))
	h2 := b.g.Add(h, b.g.Linear(b.g.Sigmoid(h), w2, nil, 0))
	y := b.g.Add(h2, h)
	y = b.g.Add(y, y)
	b.checkGradient(t, y, &Context{})
}

func TestDropoutsOfOneGraphDrawApart(t *testing.T) {
	b := newBench(13, true)
	x := b.param(1000)
	h := b.g.Dropout(x, 0.25)
	y := b.g.Dropout(h, 0.5)
	c := &Context{Key: rng.NewKey(1, 2)}
	p := b.compile(y)
	grad := nans(b.next)
	p.Forward(c, b.params)
	first := append([]float32(nil), y.Data()...)
	p.Backward(c, grad, nil)
	kept := 0
	weights := b.g.nodes[2].op.(*probe).weights
	for i, v := range first {
		scale := v / b.params[i]
		if v != 0 {
			kept++
			if scale < 2.66 || scale > 2.67 {
				t.Fatalf("element %d is scaled by %g, want 1/(0.75*0.5)", i, scale)
			}
		}
		if (grad[i] != 0) != (v != 0) || v != 0 && grad[i]/weights[i] != scale && absolute(grad[i]/weights[i]-scale) > 1e-5 {
			t.Fatalf("element %d: scaled by %g, its gradient by %g", i, scale, grad[i]/weights[i])
		}
	}
	if kept < 330 || kept > 420 {
		t.Errorf("%d of 1000 kept, want about 375: two layers must draw apart", kept)
	}
	c.Key = rng.NewKey(1, 3)
	p.Forward(c, b.params)
	same := 0
	for i, v := range y.Data() {
		if (v != 0) == (first[i] != 0) {
			same++
		}
	}
	if same > 650 {
		t.Errorf("%d of 1000 elements fell alike under another key", same)
	}
	if evaluation := NewGraph(false); evaluation.Dropout(x, 0.5) != x {
		t.Error("dropout is on in evaluation")
	}
}

func absolute(x float32) float32 { return max(x, -x) }

func TestNormGradients(t *testing.T) {
	for _, c := range []struct{ rms, scaled, shifted bool }{{}, {scaled: true}, {scaled: true, shifted: true}, {rms: true}, {rms: true, scaled: true}} {
		b := newBench(14, true)
		x := b.param(4, 7)
		var gamma, beta *Value
		if c.scaled {
			gamma = b.param(7)
		}
		if c.shifted {
			beta = b.param(7)
		}
		y := b.g.norm(x, gamma, beta, 1e-5, c.rms)
		b.checkGradient(t, y, &Context{})
	}
}

// TestEmbeddingGradient looks tokens up more than once and ties the table to the head.
func TestEmbeddingGradient(t *testing.T) {
	b := newBench(15, true)
	table, positions := b.param(6, 5), b.param(4, 5)
	x := b.g.Embedding(b.tokens(2, 3, 1, 5, 1, 0, 1, 2), table, positions)
	y := b.g.Linear(x, table, nil, 0)
	b.checkGradient(t, y, &Context{})

	b = newBench(16, true)
	y = b.g.Embedding(b.tokens(3, 2, 1, 5, 1, 0, 1, 2), b.param(6, 5), nil)
	b.checkGradient(t, y, &Context{})
}

func TestEmbeddingRefusesUnknownTokens(t *testing.T) {
	b := newBench(17, false)
	p := b.compile(b.g.Embedding(b.tokens(1, 1, 6), b.param(6, 5), nil))
	defer func() {
		if recover() == nil {
			t.Error("token 6 of a vocabulary of 6 was looked up")
		}
	}()
	p.Forward(&Context{}, b.params)
}
