package tensor

import (
	"math"
	"testing"

	"ringmaster/internal/rng"
)

// turns is a table of angles for heads of the given width.
func (b *bench) turns(length, dim int) *Value {
	table := make([]float32, length*dim)
	for t := range length {
		for i := range dim / 2 {
			angle := float64(t+1) / float64(i+1)
			table[t*dim+i], table[t*dim+dim/2+i] = float32(math.Cos(angle)), float32(math.Sin(angle))
		}
	}
	return b.g.Constant(table, length, dim)
}

// TestRotaryTurnsPairs compares with the formula, with and without places.
func TestRotaryTurnsPairs(t *testing.T) {
	for _, packed := range []bool{false, true} {
		b := newBench(3, true)
		x, table := b.param(2, 5, 12), b.turns(6, 4)
		places := []int{0, 1, 2, 3, 4, 0, 1, 2, 3, 4}
		var of *Integers
		if packed {
			places = []int{0, 1, 0, 1, 2, 0, 0, 0, 1, 2}
			of = b.g.ConstantIntegers([]int32{0, 1, 0, 1, 2, 0, 0, 0, 1, 2}, 2, 5)
		}
		y := b.g.Rotary(x, table, 4, of)
		b.compile(y).Forward(&Context{}, b.params)
		for i, got := range y.Data() {
			place, column := places[i/12], i%4
			pair := i%12/4*4 + column%2 + i/12*12
			angle := float64(place+1) / float64(column%2+1)
			first, second := float64(x.Data()[pair]), float64(x.Data()[pair+2])
			want := first*math.Cos(angle) - second*math.Sin(angle)
			if column >= 2 {
				want = second*math.Cos(angle) + first*math.Sin(angle)
			}
			if math.Abs(float64(got)-want) > 1e-6 {
				t.Fatalf("packed %v: element %d is %g, want %g", packed, i, got, want)
			}
		}
	}
}

func TestRotaryGradient(t *testing.T) {
	b := newBench(4, true)
	x, table := b.param(2, 5, 12), b.turns(5, 4)
	y := b.g.Rotary(x, table, 4, b.g.ConstantIntegers([]int32{0, 1, 0, 1, 2, 0, 0, 0, 1, 2}, 2, 5))
	b.checkGradient(t, b.g.Add(b.g.Rotary(x, table, 4, nil), b.g.Multiply(x, y)), &Context{})
}

// TestAttentionOfGroups lets two heads of queries share a head of keys and values, in one block and in several.
func TestAttentionOfGroups(t *testing.T) {
	for _, length := range []int{5, 130} {
		b := newBench(5, true)
		q, kv := b.param(2, length, 12), b.param(2, length, 13)
		y := b.g.Attention(Columns{q, 0}, Columns{kv, 1}, Columns{kv, 7}, AttentionOptions{Heads: 4, KeyHeads: 2, Dim: 3, Scale: 0.5, Causal: true})
		op := b.g.nodes[0].op.(*attention)
		b.compile(y).Forward(&Context{}, b.params)
		for i, want := range plainAttention(op, nil) {
			if got := float64(y.Data()[i]); !(math.Abs(got-want) < 2e-6) {
				t.Fatalf("%d positions: element %d is %g, want %g", length, i, got, want)
			}
		}
	}
}

func TestAttentionOfGroupsGradient(t *testing.T) {
	for _, c := range []struct {
		name           string
		keyHeads       int
		biased, packed bool
	}{{"groups", 2, false, false}, {"one", 1, false, false}, {"biased", 2, true, false}, {"packed", 2, false, true}} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(6, true)
			o := AttentionOptions{Heads: 4, KeyHeads: c.keyHeads, Dim: 3, Scale: 0.6, Causal: true, Rate: 0.2}
			if c.biased {
				o.Bias, o.Rate = b.param(4, 5, 5), 0
			}
			if c.packed {
				o.Places = documentPlaces(b.g, 5, []int{2, 3}, []int{1})
			}
			q, k, v := b.param(2, 5, 12), b.param(2, 5, 3*c.keyHeads), b.param(2, 5, 3*c.keyHeads)
			b.checkGradient(t, b.g.Attention(Columns{q, 0}, Columns{k, 0}, Columns{v, 0}, o), &Context{Key: rng.NewKey(1)})
		})
	}
	b := newBench(7, true)
	x := b.param(1, 130, 24) // side by side, as one layer gives them
	b.checkDirections(t, b.g.Attention(Columns{x, 0}, Columns{x, 12}, Columns{x, 18}, AttentionOptions{Heads: 4, KeyHeads: 2, Dim: 3, Scale: 0.6, Causal: true}), &Context{})
}
