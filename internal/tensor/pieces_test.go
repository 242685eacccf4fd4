package tensor

import (
	"slices"
	"testing"

	"ringmaster/internal/plan"
	"ringmaster/internal/tensor/kernel"
)

// inverted records an inverted residual block between other batch norms, on images whose lines end within a block of statistics.
func inverted(b *bench, window Window) *Value {
	at := 0
	norm := func(x *Value, act BatchNormActivation) *Value {
		c := x.Dim(-1)
		at += 2 * c
		return b.g.BatchNorm(x, b.param(c), b.param(c), plan.Interval{Begin: at - 2*c, End: at - c}, plan.Interval{Begin: at - c, End: at}, BatchNormOptions{Epsilon: 1e-5, Activation: act})
	}
	conv := func(x *Value, out, groups int, w Window) *Value {
		return b.g.Conv(x, b.param(out, x.Dim(-1)/groups, w.Height, w.Width), nil, ConvOptions{Stride: w.Stride, Padding: w.Padding, Extra: w.Extra, Dilation: w.Dilation, Groups: groups})
	}
	point := Window{Height: 1, Width: 1, Stride: 1, Dilation: 1}
	x := norm(conv(b.param(5, 9, 7, 6), 6, 1, point), PlainNorm)
	y := norm(conv(x, 20, 1, point), ReLU6Norm)
	y = norm(conv(y, 20, 20, window), ReLUNorm)
	y = norm(conv(y, 6, 1, point), PlainNorm)
	if y.Size() == x.Size() {
		y = b.g.Add(x, y)
	}
	return norm(conv(y, 7, 1, point), ReLU6Norm)
}

var pieceWindows = []Window{
	{Height: 3, Width: 3, Stride: 1, Padding: 1, Dilation: 1},
	{Height: 3, Width: 3, Stride: 2, Padding: 1, Dilation: 1},
	{Height: 3, Width: 3, Stride: 2, Padding: 0, Extra: 1, Dilation: 1}, // Keras'
	{Height: 5, Width: 3, Stride: 1, Padding: 0, Dilation: 2},
	{Height: 2, Width: 1, Stride: 3, Padding: 0, Dilation: 1}, // some lines are not read
	{Height: 3, Width: 3, Stride: 1, Padding: 2, Dilation: 1},
}

// TestPiecesChangeNoBit works through pieces of several lengths with several threads: losses, statistics and gradients are those of whole tensors.
func TestPiecesChangeNoBit(t *testing.T) {
	for _, window := range pieceWindows {
		var want, statistics []float32
		var loss float64
		for _, size := range []int{0, 1, 700, 3000} {
			b := newBench(7, true)
			b.g.piecesFrom, b.g.pieceSize = 1, size
			if size == 0 {
				b.g.piecesFrom = 1 << 30
			}
			p := b.compile(inverted(b, window))
			joined := 0
			for _, n := range p.nodes {
				if op, ok := n.op.(piecewise); ok && op.workIn().each > 0 {
					joined++
				}
			}
			if joined != 5*min(size, 1) {
				t.Fatalf("size %d: %d layers work in pieces", size, joined)
			}
			for _, threads := range []int{1, 3} {
				team := kernel.NewTeam(threads)
				c := &Context{Statistics: make([]float32, 200), Team: team}
				grad := nans(b.next)
				for range 2 {
					p.Forward(c, b.params)
					p.Backward(c, grad, nil)
				}
				team.Close()
				if want == nil {
					want, statistics, loss = grad, c.Statistics, c.Loss
				}
				sameBits(t, grad, want)
				sameBits(t, c.Statistics, statistics)
				if c.Loss != loss {
					t.Errorf("%+v, size %d, %d threads: loss %v, want %v", window, size, threads, c.Loss, loss)
				}
			}
		}
	}
}

// TestPiecesAreOfNoUseElsewhere: where a value is read twice in between, and in bfloat16, layers work on whole tensors, and so they do where something is
// computed again.
func TestPiecesAreOfNoUseElsewhere(t *testing.T) {
	joined := func(prepare func(b *bench), record func(b *bench) *Value) (n int) {
		b := newBench(8, true)
		b.g.piecesFrom, b.g.pieceSize = 1, 1
		prepare(b)
		p := b.compile(record(b))
		if slices.ContainsFunc(p.turns, func(t turn) bool { return t.again }) != b.g.recompute {
			t.Errorf("recompute: %v", b.g.recompute)
		}
		for _, node := range p.nodes {
			if norm, ok := node.op.(*batchNorm); ok && (norm.measures != nil || norm.applies != nil) {
				n++
			}
		}
		return n
	}
	block := func(b *bench) *Value { return inverted(b, pieceWindows[0]) }
	if n := joined(func(*bench) {}, block); n != 5 {
		t.Errorf("%d batch norms are joined, want 5", n)
	}
	if n := joined(func(b *bench) { b.g.BFloat16() }, block); n != 0 {
		t.Errorf("%d batch norms are joined in bfloat16", n)
	}
	if n := joined(func(b *bench) { b.g.Recompute() }, block); n != 0 {
		t.Errorf("%d batch norms are joined although something is computed again", n)
	}
	if n := joined(func(*bench) {}, func(b *bench) *Value { // its input goes elsewhere too
		x := b.g.Linear(b.param(4, 5, 5, 3), b.param(3, 3), nil, kernel.None)
		y := b.g.BatchNorm(x, b.param(3), b.param(3), plan.Interval{End: 3}, plan.Interval{Begin: 3, End: 6}, BatchNormOptions{Epsilon: 1e-5})
		return b.g.Add(x, y)
	}); n != 0 {
		t.Errorf("%d batch norms are joined whose input others read", n)
	}
}
