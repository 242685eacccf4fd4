package tensor

import (
	"math"
	"testing"

	"ringmaster/internal/rng"
)

// plainAttention is attention in float64 with plain loops, the whole matrix of scores at once.
func plainAttention(o *attention, lengths []int32) []float64 {
	out := make([]float64, o.samples*o.queries*o.Heads*o.Dim)
	at := func(x Columns, n, t, h, d int) float64 {
		return float64(x.Data()[(n*x.Dim(1)+t)*x.Dim(2)+x.Offset+h*o.Dim+d])
	}
	for n := range o.samples {
		for h := range o.Heads {
			for i := range o.queries {
				weights, sum := make([]float64, o.keys), 0.0
				for j := range o.keys {
					if o.Causal && j > i || o.Padded && j >= int(lengths[n]) || o.Places != nil && j < i-int(o.Places.Data()[n*o.queries+i]) {
						continue
					}
					score := 0.0
					for d := range o.Dim {
						score += at(o.q, n, i, h, d) * at(o.k, n, j, h*o.KeyHeads/o.Heads, d)
					}
					score *= float64(o.Scale)
					if o.Bias != nil {
						score += float64(o.Bias.Data()[(h*o.queries+i)*o.keys+j])
					}
					weights[j] = math.Exp(score)
					sum += weights[j]
				}
				for d := range o.Dim {
					y := 0.0
					for j, w := range weights {
						if w != 0 {
							y += w / sum * at(o.v, n, j, h*o.KeyHeads/o.Heads, d)
						}
					}
					out[((n*o.queries+i)*o.Heads+h)*o.Dim+d] = y
				}
			}
		}
	}
	return out
}

// It covers lengths below, at and over the block, with every option.
func TestAttentionIsThePlainFormulaAtAllLengths(t *testing.T) {
	lengths := []int32{3, 0}
	for _, c := range []struct {
		name                   string
		queries, keys          int
		causal, padded, biased bool
	}{
		{"full", 5, 7, false, false, false},
		{"causal", 6, 6, true, false, false},
		{"causal blocks", 130, 130, true, false, false},
		{"blocks", 65, 129, false, false, false},
		{"padded", 4, 6, false, true, false},
		{"biased", 5, 6, false, false, true},
		{"biased causal blocks", 66, 66, true, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(5, true)
			x := b.param(2, c.queries, 12)
			kv := b.param(2, c.keys, 12)
			o := AttentionOptions{Heads: 2, Dim: 3, Scale: 0.5, Causal: c.causal, Padded: c.padded}
			if c.biased {
				o.Bias = b.param(2, c.queries, c.keys)
			}
			y := b.g.Attention(Columns{x, 6}, Columns{kv, 0}, Columns{kv, 6}, o)
			op := b.g.nodes[0].op.(*attention)
			p := b.compile(y)
			ctx := &Context{Lengths: lengths}
			p.Forward(ctx, b.params)
			for i, want := range plainAttention(op, lengths) {
				if got := float64(y.Data()[i]); !(math.Abs(got-want) < 2e-6) {
					t.Fatalf("element %d is %g, want %g", i, got, want)
				}
			}
		})
	}
}

// documentPlaces are the places of positions in documents of these lengths one after another, the last as long as there is room; sample by sample.
func documentPlaces(g *Graph, length int, samples ...[]int) *Integers {
	var data []int32
	for _, documents := range samples {
		for i := 0; i < length; {
			n := length - i
			if len(documents) > 0 {
				n, documents = documents[0], documents[1:]
			}
			for place := range n {
				data = append(data, int32(place))
			}
			i += n
		}
	}
	return g.ConstantIntegers(data, len(samples), length)
}

// TestAttentionKeepsDocumentsApart covers documents that end within blocks, at their borders, and that span several.
func TestAttentionKeepsDocumentsApart(t *testing.T) {
	for _, length := range []int{9, 64, 200} {
		b := newBench(5, true)
		x := b.param(2, length, 18)
		o := AttentionOptions{Heads: 2, Dim: 3, Scale: 0.5, Causal: true}
		if length == 200 {
			o.Places = documentPlaces(b.g, length, []int{3, 61, 64, 1, 40}, []int{150, 2})
		} else {
			o.Places = documentPlaces(b.g, length, []int{2, 1, 4}, nil)
		}
		y := b.g.Attention(Columns{x, 0}, Columns{x, 6}, Columns{x, 12}, o)
		op := b.g.nodes[0].op.(*attention)
		b.compile(y).Forward(&Context{}, b.params)
		for i, want := range plainAttention(op, nil) {
			if got := float64(y.Data()[i]); !(math.Abs(got-want) < 2e-6) {
				t.Fatalf("%d positions: element %d is %g, want %g", length, i, got, want)
			}
		}
	}
}

func TestAttentionOfDocumentsGradient(t *testing.T) {
	b := newBench(6, true)
	x := b.param(2, 6, 18)
	y := b.g.Attention(Columns{x, 0}, Columns{x, 6}, Columns{x, 12}, AttentionOptions{Heads: 2, Dim: 3, Scale: 0.6, Causal: true, Rate: 0.3,
		Places: documentPlaces(b.g, 6, []int{2, 3}, []int{1})})
	b.checkGradient(t, y, &Context{Key: rng.NewKey(1)})

	b = newBench(7, true)
	x = b.param(1, 200, 18)
	y = b.g.Attention(Columns{x, 0}, Columns{x, 6}, Columns{x, 12}, AttentionOptions{Heads: 2, Dim: 3, Scale: 0.6, Causal: true,
		Places: documentPlaces(b.g, 200, []int{3, 61, 70, 1, 40})})
	b.checkDirections(t, y, &Context{})
}

func TestAttentionRefusesPlacesThatAreNone(t *testing.T) {
	b := newBench(6, true)
	x := b.param(1, 3, 18)
	y := b.g.Attention(Columns{x, 0}, Columns{x, 6}, Columns{x, 12}, AttentionOptions{Heads: 2, Dim: 3, Scale: 0.6, Causal: true, Places: b.g.ConstantIntegers([]int32{0, 1, 1}, 1, 3)})
	p := b.compile(y)
	defer func() {
		if recover() == nil {
			t.Error("a place that follows none was taken")
		}
	}()
	p.Forward(&Context{}, b.params)
}

func TestAttentionGradient(t *testing.T) {
	for _, c := range []struct {
		name                           string
		length                         int
		causal, padded, biased, packed bool
	}{
		{"packed", 5, true, false, false, true},
		{"separate", 5, false, false, false, false},
		{"padded", 5, false, true, false, true},
		{"biased", 4, true, false, true, true},
		{"dropped", 6, true, false, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(6, true)
			o := AttentionOptions{Heads: 2, Dim: 3, Scale: 0.6, Causal: c.causal, Padded: c.padded}
			if c.biased {
				o.Bias = b.param(2, c.length, c.length)
			}
			if c.name == "dropped" {
				o.Rate = 0.3
			}
			var q, k, v Columns
			if c.packed {
				x := b.param(2, c.length, 18)
				q, k, v = Columns{x, 0}, Columns{x, 6}, Columns{x, 12}
			} else {
				q, k, v = Columns{b.param(2, c.length, 6), 0}, Columns{b.param(2, 3, 6), 0}, Columns{b.param(2, 3, 6), 0}
			}
			y := b.g.Attention(q, k, v, o)
			b.checkGradient(t, y, &Context{Lengths: []int32{3, 0}, Key: rng.NewKey(1)})
		})
	}
}

// TestAttentionBlocksGradient compares the gradient over several blocks with that of directions at random, where checking
// each parameter would take long.
func TestAttentionBlocksGradient(t *testing.T) {
	b := newBench(7, true)
	x := b.param(1, 130, 18)
	y := b.g.Attention(Columns{x, 0}, Columns{x, 6}, Columns{x, 12}, AttentionOptions{Heads: 2, Dim: 3, Scale: 0.6, Causal: true})
	b.checkDirections(t, y, &Context{})
}
