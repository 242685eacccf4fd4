package tensor

import (
	"slices"
	"testing"

	"ringmaster/internal/rng"
	"ringmaster/internal/tensor/kernel"
)

// headCase is a model that ends with many logits: 2 samples of 25 rows each, of 40 logits.
type headCase struct {
	bias, tied, weighted, again bool
	smoothing                   float32
}

// record records the case for training or for evaluation, with so many logits in memory at a time.
func (k headCase) record(training bool, room int) (*bench, *Program) {
	const samples, length, vocabulary, width = 2, 25, 40, 12
	b := newBench(77, training)
	b.g.headRoom = room
	if k.again {
		b.g.Recompute()
	}
	tokens, targets := b.g.Integers(samples, length), b.g.Integers(samples*length)
	table := b.param(vocabulary, width)
	w, bias := table, (*Value)(nil)
	if !k.tied {
		w = b.param(vocabulary, width)
	}
	if k.bias {
		bias = b.param(vocabulary)
	}
	x := b.g.Embedding(tokens, table, nil)
	for range 3 {
		x = b.g.Add(x, b.g.Dropout(b.g.GELU(b.g.Linear(b.g.LayerNorm(x, nil, nil, 1e-5), b.param(width, width), nil, kernel.None)), 0.1))
	}
	var weights *Value
	if k.weighted {
		weights = b.g.Input(samples)
	}
	b.g.CrossEntropy(b.g.Reshape(b.g.Linear(x, w, bias, kernel.None), -1, vocabulary), targets, weights, nil, k.smoothing)
	p := b.g.Compile()
	p.Bind(nans(p.Length()))
	if k.weighted {
		p.Set(weights, []float32{0.5, 2})
	}
	from, to := make([]int32, samples*length), make([]int32, samples*length)
	for i := range from {
		from[i], to[i] = int32(i*7%vocabulary), int32(i*11%vocabulary)
		if i%9 == 4 {
			to[i] = IgnoredTarget
		}
	}
	p.SetIntegers(tokens, from)
	p.SetIntegers(targets, to)
	return b, p
}

// run is the sums and the gradient.
func (k headCase) run(b *bench, p *Program, team *kernel.Team) (Context, []float32) {
	grad := nans(b.next)
	c := Context{Team: team, Key: rng.NewKey(5, 1), Gradient: grad}
	p.Forward(&c, b.params)
	p.Backward(&c, grad, nil)
	return c, grad
}

var headCases = []headCase{{}, {bias: true}, {tied: true, smoothing: 0.1}, {weighted: true, bias: true, smoothing: 0.2}, {tied: true, bias: true, again: true}}

// TestPiecesOfLogitsChangeNoBit computes loss and gradients with pieces of several sizes, with several threads and on every tier: all are those
// of the whole, bit for bit.
func TestPiecesOfLogitsChangeNoBit(t *testing.T) {
	team := kernel.NewTeam(3)
	defer team.Close()
	for i, k := range headCases {
		b, p := k.record(true, headRoom)
		want, grad := k.run(b, p, nil)
		if want.Count != 44 || want.Loss == 0 {
			t.Fatalf("case %d: %+v", i, want)
		}
		for _, room := range []int{1999, 40 * 16, 1} {
			for _, tier := range kernel.Tiers() {
				restore := kernel.Force(tier)
				b, p := k.record(true, room)
				for range 2 {
					got, bits := k.run(b, p, team)
					if got.Loss != want.Loss || got.Count != want.Count || got.Correct != want.Correct {
						t.Errorf("case %d, %d logits at a time, %s: %+v, the whole %+v", i, room, tier, got, want)
					}
					sameBits(t, grad, bits)
				}
				restore()
			}
		}
	}
}

// TestPiecesOfOutputs gives the rows of an evaluation piece by piece.
func TestPiecesOfOutputs(t *testing.T) {
	outputs := func(room int) (rows []float32, calls int, c Context) {
		b, p := headCases[3].record(false, room)
		c.Outputs = func(first int, piece []float32) {
			if first*40 != len(rows) {
				t.Errorf("a piece begins at row %d, %d elements have come", first, len(rows))
			}
			calls++
			rows = append(rows, piece...)
		}
		p.Forward(&c, b.params)
		return rows, calls, c
	}
	want, once, whole := outputs(headRoom)
	got, calls, pieces := outputs(40 * 16)
	if once != 1 || calls != 4 || len(want) != 50*40 || !slices.Equal(got, want) || whole.Loss != pieces.Loss {
		t.Errorf("%d rows in %d calls with loss %v, want %d in 4 with %v", len(got)/40, calls, pieces.Loss, len(want)/40, whole.Loss)
	}
}

// wideHead has 64 rows of 1000 logits, with so many in memory at a time.
func wideHead(room int) *Program {
	b := newBench(3, true)
	b.g.headRoom = room
	x, targets := b.g.GELU(b.param(64, 8)), b.g.Integers(64)
	b.g.CrossEntropy(b.g.Linear(x, b.param(1000, 8), nil, kernel.None), targets, nil, nil, 0)
	p := b.g.Compile()
	p.SetIntegers(targets, make([]int32, 64))
	return p
}

// TestPiecesOfLogitsSaveMemory wants a program with pieces to need less than the logits that it computes.
func TestPiecesOfLogitsSaveMemory(t *testing.T) {
	whole, pieces := wideHead(headRoom), wideHead(16*1000)
	if whole.Length() < 2*64*1000 || pieces.Length() > 16*1000+4*64*8 {
		t.Errorf("pieces of 16 rows need %d floats, all rows %d", pieces.Length(), whole.Length())
	}
	if f, b := pieces.MultiplyAdds(); f != 64*8*1000 || b != 2*f {
		t.Errorf("%d and %d multiply-adds", f, b)
	}
}

// TestOnlyAPlainHeadIsCut leaves what the loss or others need as a whole.
func TestOnlyAPlainHeadIsCut(t *testing.T) {
	for name, record := range map[string]func(g *Graph, b *bench, targets *Integers){
		"class weights": func(g *Graph, b *bench, targets *Integers) {
			g.CrossEntropy(g.Linear(b.param(20, 4), b.param(6, 4), nil, kernel.None), targets, nil, make([]float32, 6), 0)
		},
		"an activation": func(g *Graph, b *bench, targets *Integers) {
			g.CrossEntropy(g.Linear(b.param(20, 4), b.param(6, 4), nil, kernel.ReLUActivation), targets, nil, nil, 0)
		},
		"held": func(g *Graph, b *bench, targets *Integers) {
			y := g.Linear(b.param(20, 4), b.param(6, 4), nil, kernel.None)
			g.Hold(y)
			g.CrossEntropy(y, targets, nil, nil, 0)
		},
		"not the last": func(g *Graph, b *bench, targets *Integers) {
			y := g.Linear(b.param(20, 4), b.param(6, 4), nil, kernel.None)
			g.CrossEntropy(g.Add(y, g.Tanh(y)), targets, nil, nil, 0)
		},
		"several losses": func(g *Graph, b *bench, targets *Integers) {
			g.JoinLosses(1, 1)
			for range 2 {
				g.CrossEntropy(g.Linear(b.param(20, 4), b.param(6, 4), nil, kernel.None), targets, nil, nil, 0)
			}
		},
	} {
		b := newBench(3, true)
		b.g.headRoom = 1
		record(b.g, b, b.g.Integers(20))
		for _, n := range b.g.nodes {
			if _, cut := n.op.(*head); cut {
				t.Errorf("%s: the logits are cut in pieces", name)
			}
		}
	}
}
