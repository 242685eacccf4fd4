package tensor

import (
	"math/rand/v2"
	"testing"

	"ringmaster/internal/plan"
	"ringmaster/internal/rng"
	"ringmaster/internal/tensor/kernel"
)

// bindApart gives every buffer memory of its own, but for those that stand for another: the planner's dumb counterpart.
func bindApart(p *Program) {
	own := map[*buffer][]float32{}
	for _, b := range p.buffers {
		r := b.root()
		if own[r] == nil {
			own[r] = nans(r.size)
		}
		b.data = own[r]
	}
}

// randomGraph records operations on values of shape (6, 8) that are drawn from all so far, so that gradients meet in every
// way, and ends with the sum of what nobody has used.
func randomGraph(seed uint64) (*bench, *Value) { return randomGraphOf(newBench(seed, true)) }

func randomGraphOf(b *bench) (*bench, *Value) {
	shared := b.param(8, 8)
	values := []*Value{b.param(6, 8)}
	unused := map[int]bool{0: true}
	pick := func() *Value {
		k := b.random.IntN(len(values))
		if b.random.IntN(2) == 0 {
			k = len(values) - 1
		}
		delete(unused, k)
		return values[k]
	}
	for range 4 + b.random.IntN(12) {
		unused[len(values)] = true
		var y *Value
		switch x := pick(); b.random.IntN(15) {
		case 0:
			y = b.g.Linear(x, shared, nil, kernel.ReLUActivation)
		case 1:
			y = b.g.Linear(x, b.param(8, 8), b.param(8), kernel.None)
		case 2:
			y = b.g.Add(x, pick())
		case 3:
			y = b.g.LayerNorm(x, b.param(8), nil, 1e-5)
		case 4:
			y = b.g.GELU(x)
		case 5:
			y = b.g.Dropout(b.g.Tanh(x), 0.2)
		case 6:
			y = b.g.Concat(b.g.Slice(x, 3, 8), b.g.Slice(pick(), 1, 4))
		case 7:
			at := plan.Interval{Begin: 0, End: 8}
			y = b.g.BatchNorm(x, b.param(8), b.param(8), at, at, BatchNormOptions{Epsilon: 1e-5, Activation: ReLU6Norm})
		case 8:
			q := b.g.Reshape(x, 2, 3, 8)
			y = b.g.Reshape(b.g.Attention(Columns{q, 0}, Columns{q, 2}, Columns{q, 4}, AttentionOptions{Heads: 1, Dim: 2, Scale: 1}), 6, 2)
			y = b.g.Concat(y, b.g.Slice(x, 2, 8))
		case 9:
			y = b.g.Multiply(b.g.Sigmoid(x), pick())
		case 10:
			y = b.g.Reshape(b.g.Positions(b.g.Reshape(x, 2, 3, 8), b.param(3, 8)), 6, 8)
		case 11:
			gates := b.g.Linear(b.g.Reshape(x, 2, 3, 8), b.param(32, 8), nil, kernel.None)
			y = b.g.Reshape(b.g.LSTM(gates, b.param(32, 8), nil, b.random.IntN(2) == 0), 6, 8)
		case 12:
			gates := b.g.Linear(b.g.Reshape(x, 2, 3, 8), b.param(24, 8), b.param(24), kernel.None)
			y = b.g.Reshape(b.g.GRU(gates, b.param(24, 8), b.param(24), b.random.IntN(2) == 0), 6, 8)
		case 13:
			y = b.g.GroupNorm(b.g.Reshape(x, 2, 3, 8), b.param(8), b.param(8), 2, 1e-5)
			y = b.g.Reshape(y, 6, 8)
		case 14:
			y = b.g.ConvTranspose(b.g.Reshape(x, 2, 3, 1, 8), b.param(8, 8, 1, 1), b.param(8), ConvOptions{Stride: 1, Dilation: 1, Groups: 1}, 0)
			y = b.g.Reshape(y, 6, 8)
		}
		values = append(values, y)
	}
	var total *Value
	for k, v := range values {
		switch {
		case !unused[k]:
		case total == nil:
			total = v
		default:
			total = b.g.Add(total, v)
		}
	}
	return b, b.g.Linear(total, shared, nil, kernel.None)
}

// TestPlannedMemoryChangesNoBit runs random graphs in a planned arena and with memory apart for each buffer: the same
// gradients, bit for bit, and none of them NaN, which all memory is full of at first.
func TestPlannedMemoryChangesNoBit(t *testing.T) {
	for seed := range uint64(400) {
		b, y := randomGraph(seed)
		c := &Context{Statistics: make([]float32, 8), Key: rng.NewKey(seed, 1)}
		p := b.compile(y)
		planned, apart := nans(b.next), nans(b.next)
		p.Forward(c, b.params)
		loss := c.Loss
		p.Backward(c, planned, nil)
		bindApart(p)
		p.Forward(c, b.params)
		p.Backward(c, apart, nil)
		if c.Loss != loss {
			t.Fatalf("graph %d: loss %g in the arena, %g apart", seed, loss, c.Loss)
		}
		for i, g := range apart {
			if g != g {
				t.Fatalf("graph %d: gradient[%d] is NaN", seed, i)
			}
		}
		sameBits(t, planned, apart)
	}
}

// TestFrozenParametersChangeNoBit freezes parameters of random graphs at random, some of them in bfloat16. The gradients of the others are the same, and
// what is told about them is final.
func TestFrozenParametersChangeNoBit(t *testing.T) {
	frozen := 0
	for seed := range uint64(400) {
		begin := newBench
		if seed%3 == 2 {
			begin = inBFloat16
		}
		whole, y := randomGraphOf(begin(seed, true))
		all := nans(whole.next)
		c := &Context{Statistics: make([]float32, 8), Key: rng.NewKey(seed, 1)}
		p := whole.compile(y)
		p.Forward(c, whole.params)
		p.Backward(c, all, nil)

		b, draw, first := begin(seed, true), rand.New(rand.NewPCG(seed, 2)), true
		b.frozen = func() bool { // the first one leads to everything else
			keep := first && seed%2 == 0 || draw.IntN(3) == 0
			first = false
			return !keep
		}
		b, y = randomGraphOf(b)
		if b.slopes == 0 {
			continue
		}
		var want []float32
		for _, in := range b.trained {
			want = append(want, all[in.Begin:in.End]...)
		}
		frozen += b.next - b.slopes
		some, told := nans(b.slopes), b.slopes
		p = b.compile(y)
		p.Forward(c, b.params)
		p.Backward(c, some, func(from int) {
			if from >= told {
				t.Fatalf("graph %d: final from %d on, after %d", seed, from, told)
			}
			sameBits(t, some[from:told], want[from:told])
			told = from
		})
		if told != 0 {
			t.Fatalf("graph %d: final from %d on at the end", seed, told)
		}
		sameBits(t, some, want)
	}
	if frozen == 0 {
		t.Error("nothing was frozen")
	}
}

// TestRandomGraphsGradients compares some of these graphs with finite differences along random directions.
func TestRandomGraphsGradients(t *testing.T) {
	for seed := range uint64(12) {
		b, y := randomGraph(1000 + seed)
		b.checkDirections(t, y, &Context{Statistics: make([]float32, 8), Key: rng.NewKey(seed, 1)})
	}
}
