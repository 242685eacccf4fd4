package tensor

import (
	"math"
	"testing"
)

// quantized records x (2, 3, 4) against a table of 5, and gives the program with the weights of its probe.
func quantized(b *bench, commitment float32) (x, table, y *Value, nearest []int32, p *Program, weights []float32) {
	x, table = b.param(2, 3, 4), b.param(5, 4)
	y, nearest = b.g.Quantize(x, table, commitment)
	weights = b.draw(y.Size())
	b.g.probe(y, weights)
	p = b.g.Compile()
	p.Bind(nans(p.Length()))
	return x, table, y, nearest, p, weights
}

// Each row is the nearest of the table's, as float64 finds it.
func TestQuantizeTakesTheNearest(t *testing.T) {
	b := newBench(3, true)
	x, table, y, nearest, p, _ := quantized(b, 0.25)
	p.Forward(&Context{}, b.params)
	for row := range 6 {
		best, least := 0, math.Inf(1)
		for code := range 5 {
			apart := 0.0
			for d := range 4 {
				diff := float64(x.Data()[4*row+d]) - float64(table.Data()[4*code+d])
				apart += diff * diff
			}
			if apart < least {
				best, least = code, apart
			}
		}
		if int(nearest[row]) != best {
			t.Errorf("row %d takes code %d, the nearest is %d", row, nearest[row], best)
		}
		sameBits(t, y.Data()[4*row:4*row+4], table.Data()[4*best:4*best+4])
	}
}

// The penalty is (1+commitment) times a mean of squares, of which the table learns the one part and x the other: finite differences
// see their sum. The gradient of the result goes to x as it is.
func TestQuantizeGradient(t *testing.T) {
	const commitment = 0.5
	b := newBench(4, true)
	_, _, _, _, p, weights := quantized(b, commitment)
	grad := nans(b.next)
	p.Forward(&Context{}, b.params)
	p.Backward(&Context{}, grad, nil)
	penalty := func() (sum float64) {
		p.Forward(&Context{}, b.params)
		for _, v := range b.g.penalties[0] {
			sum += v
		}
		return sum
	}
	const h = 1.0 / 512
	moved := 0.0
	for i, at := range b.params {
		b.params[i] = at + h
		above := penalty()
		b.params[i] = at - h
		below := penalty()
		b.params[i] = at
		want := (above - below) / (2 * h) / (1 + commitment)
		moved += math.Abs(want)
		if i < len(weights) { // x
			want = want*commitment + float64(weights[i])
		}
		if math.Abs(float64(grad[i])-want) > 1e-3 {
			t.Errorf("gradient of parameter %d is %g, differences say %g", i, grad[i], want)
		}
	}
	if moved < 1 {
		t.Errorf("the penalty hardly moves: %g", moved)
	}
	b.checkThreads(t, p, &Context{}, grad)
	checkTiers(t, func(b *bench) *Value {
		y, _ := b.g.Quantize(b.param(3, 5, 7, 4), b.param(9, 4), 0.25)
		return y
	})
}

// The loss of a graph contains the penalties before it, sample by sample: alone, and joint with another.
func TestLossContainsPenalties(t *testing.T) {
	for _, joint := range []bool{false, true} {
		b := newBench(5, false)
		x, table, target := b.param(3, 2, 4), b.param(5, 4), b.g.Input(3, 8)
		y, _ := b.g.Quantize(x, table, 0.25)
		if joint {
			b.g.JoinLosses(1, 2)
			b.g.SquaredError(b.g.Reshape(y, 3, 8), target, nil)
		}
		b.g.SquaredError(b.g.Reshape(y, 3, 8), target, nil)
		p := b.g.Compile()
		p.Bind(nans(p.Length()))
		targets := b.draw(24)
		p.Set(target, targets)
		c := &Context{}
		p.Forward(c, b.params)
		want := 0.0
		for sample, penalty := range b.g.penalties[0] {
			squares := 0.0
			for i, v := range y.Data()[8*sample : 8*sample+8] {
				d := float64(v - targets[8*sample+i])
				squares += d * d / 8
			}
			want += squares*map[bool]float64{false: 1, true: 3}[joint] + penalty
		}
		if math.Abs(c.Loss-want) > 1e-9*want || c.Count != 3 || b.g.penalties[0][1] <= 0 {
			t.Errorf("joint %v: a loss of %g over %d, want %g", joint, c.Loss, c.Count, want)
		}
	}
}

// A row that is no number shows in the loss, and takes a code that there is.
func TestQuantizeOfNaN(t *testing.T) {
	b := newBench(6, true)
	_, _, _, nearest, p, _ := quantized(b, 0.25)
	b.params[5] = float32(math.NaN())
	p.Forward(&Context{}, b.params)
	if nearest[1] < 0 || nearest[1] > 4 || !math.IsNaN(b.g.penalties[0][0]) || math.IsNaN(b.g.penalties[0][1]) {
		t.Errorf("code %d, penalties %v", nearest[1], b.g.penalties[0])
	}
}
