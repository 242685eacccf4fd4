package tensor

import (
	"math"
	"slices"
	"testing"

	"ringmaster/internal/plan"
	"ringmaster/internal/rng"
	"ringmaster/internal/tensor/kernel"
)

// inBFloat16 is a graph under test that computes in bfloat16.
func inBFloat16(seed uint64, training bool) *bench {
	b := newBench(seed, training)
	b.g.BFloat16()
	return b
}

// TestBFloat16Plans runs random graphs in bfloat16: in a planned arena, with memory apart for each buffer, and with random segments computed
// again: the same gradients, bit for bit, and none of them NaN, which all memory is full of at first. Forward gives the same loss without training.
func TestBFloat16Plans(t *testing.T) {
	replayed := 0
	for seed := range uint64(400) {
		b, y := randomGraphOf(inBFloat16(seed, true))
		c := &Context{Statistics: make([]float32, 8), Key: rng.NewKey(seed, 1)}
		p := b.compile(y)
		want, got := nans(b.next), nans(b.next)
		p.Forward(c, b.params)
		loss := c.Loss
		p.Backward(c, want, nil)
		if slices.ContainsFunc(want, func(g float32) bool { return g != g }) {
			t.Fatalf("graph %d: a gradient is NaN", seed)
		}
		check := func(how string) {
			t.Helper()
			for range 2 {
				p.Forward(c, b.params)
				p.Backward(c, got, nil)
				if c.Loss != loss {
					t.Fatalf("graph %d: loss %g %s, %g in the arena", seed, c.Loss, how, loss)
				}
				sameBits(t, want, got)
				clear(got)
			}
		}
		bindApart(p)
		check("apart")
		var again []plan.Interval
		for at := b.random.IntN(4); at < len(p.nodes); {
			end := min(at+1+b.random.IntN(8), len(p.nodes))
			again = append(again, plan.Interval{Begin: at, End: end})
			at = end + b.random.IntN(3)
		}
		p.replan(b.g, again)
		for _, turn := range p.turns {
			if turn.again {
				replayed++
			}
		}
		check("with segments computed again")
	}
	if replayed < 400 {
		t.Errorf("only %d operations were computed again", replayed)
	}
}

// TestBFloat16RoundsOperands computes a layer from operands that are rounded by hand, in float32: the same bits.
func TestBFloat16RoundsOperands(t *testing.T) {
	const rows, in, out = 70, 33, 20
	round := func(x []float32) []float32 {
		y := make([]float32, len(x))
		kernel.RoundBFloat16(y, x)
		return y
	}
	for _, tier := range kernel.Tiers() {
		restore := kernel.Force(tier)
		b := inBFloat16(5, true)
		x, w, bias := b.param(rows, in), b.param(out, in), b.param(out)
		y := b.g.Linear(x, w, bias, kernel.None)
		p := b.compile(y)
		slope := p.nodes[1].op.(*probe).weights
		grad, c := nans(b.next), &Context{}
		p.Forward(c, b.params)
		gotY := slices.Clone(y.Data())
		p.Backward(c, grad, nil)

		xr, wr, dr := round(b.params[:rows*in]), round(b.params[rows*in:][:out*in]), round(slope)
		want := make([]float32, b.next)
		wantY := make([]float32, rows*out)
		(*kernel.Team)(nil).MatMul(&kernel.MatMul{M: rows, N: out, K: in, A: xr, LDA: in, B: wr, LDB: in, TransB: true, C: wantY, LDC: out, Bias: b.params[(rows+out)*in:]})
		(*kernel.Team)(nil).MatMul(&kernel.MatMul{M: rows, N: in, K: out, A: dr, LDA: out, B: wr, LDB: in, C: want, LDC: in})
		(*kernel.Team)(nil).MatMul(&kernel.MatMul{M: out, N: in, K: rows, A: dr, LDA: out, TransA: true, B: xr, LDB: in, C: want[rows*in:], LDC: in})
		kernel.ColSum(want[(rows+out)*in:], slope, rows)
		sameBits(t, wantY, gotY)
		sameBits(t, want, grad)
		restore()
	}
}

// TestBFloat16PiecesOfWeights rounds weights piece by piece, with the bits of all at once.
func TestBFloat16PiecesOfWeights(t *testing.T) {
	run := func(piece int) []float32 {
		b := inBFloat16(6, true)
		y := b.g.Linear(b.param(40, 30), b.param(50, 30), b.param(50), kernel.ReLUActivation)
		b.g.nodes[0].op.(*linear).piece = piece
		p := b.compile(y)
		grad, c := nans(b.next), &Context{}
		p.Forward(c, b.params)
		p.Backward(c, grad, nil)
		return append(grad, float32(c.Loss))
	}
	sameBits(t, run(50), run(7))
}

// TestBFloat16HalvesWhatIsKept wants what a residual block keeps for backward to take half the memory.
func TestBFloat16HalvesWhatIsKept(t *testing.T) {
	const block = 32 * (3*64/2 + 2)
	length := func(blocks int) int { return residuals(inBFloat16(30, true), blocks).Length() }
	if each := float64(length(30)-length(10)) / 20; each < block || each > 1.05*block {
		t.Errorf("a block costs %.0f floats, %d are needed", each, block)
	}
}

// TestBFloat16KeepsSpecialNumbers sends infinities and NaN through a product.
func TestBFloat16KeepsSpecialNumbers(t *testing.T) {
	b := inBFloat16(7, true)
	x := b.g.Input(3, 1)
	y := b.g.Linear(x, b.param(1, 1), nil, kernel.None)
	p := b.compile(y)
	b.params[0] = 1
	p.Set(x, []float32{float32(math.Inf(1)), float32(math.NaN()), 1 + 1.0/256})
	p.Forward(&Context{}, b.params)
	if got := y.Data(); !math.IsInf(float64(got[0]), 1) || got[1] == got[1] || got[2] != 1 {
		t.Errorf("products of infinity, NaN and 1+1/256 with 1 are %v", got)
	}
}

// everyProduct records a little of everything that multiplies.
func everyProduct(b *bench) *Program {
	x := b.g.GELU(b.g.Linear(b.param(60, 8), b.param(8, 8), b.param(8), kernel.ReLUActivation))
	for range 3 {
		q := b.g.Reshape(x, 2, 30, 8)
		y := b.g.Attention(Columns{q, 0}, Columns{q, 2}, Columns{q, 4}, AttentionOptions{Heads: 1, Dim: 2, Scale: 1, Causal: true})
		x = b.g.Add(x, b.g.Linear(b.g.Reshape(y, 60, 2), b.param(8, 2), nil, kernel.None))
		x = b.g.Reshape(b.g.LSTM(b.g.Linear(b.g.Reshape(x, 2, 30, 8), b.param(32, 8), nil, kernel.None), b.param(32, 8), nil, false), 60, 8)
		image := b.g.Reshape(x, 2, 6, 5, 8)
		image = b.g.Conv(image, b.param(8, 8, 3, 3), b.param(8), ConvOptions{Stride: 1, Padding: 1, Dilation: 1, Groups: 1})
		image = b.g.Conv(image, b.param(8, 1, 3, 3), nil, ConvOptions{Stride: 1, Padding: 1, Dilation: 1, Groups: 8})
		x = b.g.Reshape(b.g.ConvTranspose(image, b.param(8, 8, 1, 1), nil, ConvOptions{Stride: 1, Dilation: 1, Groups: 1}, 0), 60, 8)
	}
	return b.compile(x)
}
