package tensor

import (
	"math"
	"math/rand/v2"
	"testing"

	"ringmaster/internal/plan"
	"ringmaster/internal/tensor/kernel"
)

// probe ends a graph with the loss sum(weights*x), computed in float64: its gradient is the weights, whatever the
// operations under test do, and it is linear, so that finite differences see only their curvature.
type probe struct {
	x       *Value
	dx      *sink
	weights []float32
}

func (g *Graph) probe(x *Value, weights []float32) {
	op := &probe{x: x, weights: weights}
	n := g.record()
	n.use(x)
	op.dx = n.gradient(x, false)
	n.op = op
}

func (o *probe) forward(c *Context) {
	for i, v := range o.x.Data() {
		c.Loss += float64(v) * float64(o.weights[i])
	}
}

func (o *probe) backward(*Context) { copy(o.dx.data(), o.weights) }

// bench is a graph under test: everything that a gradient flows into is a parameter.
type bench struct {
	g      *Graph
	next   int
	params []float32
	random *rand.Rand

	frozen  func() bool // whether the next parameter is; nil: none is
	trained []plan.Interval
	slopes  int // of the gradient
}

func newBench(seed uint64, training bool) *bench {
	return &bench{g: NewGraph(training), random: rand.New(rand.NewPCG(seed, 1))}
}

// param is a parameter with values from a normal distribution.
func (b *bench) param(shape ...int) *Value {
	n := Volume(shape)
	at := plan.Interval{Begin: b.next, End: b.next + n}
	b.next += n
	b.params = append(b.params, b.draw(n)...)
	if b.frozen != nil && b.frozen() {
		return b.g.Frozen(at, shape...)
	}
	b.slopes += n
	b.trained = append(b.trained, at)
	return b.g.ParameterAt(at, plan.Interval{Begin: b.slopes - n, End: b.slopes}, shape...)
}

// tokens is an input of whole numbers with these values.
func (b *bench) tokens(samples, length int, values ...int32) *Integers {
	v := b.g.Integers(samples, length)
	v.data = values
	return v
}

func (b *bench) draw(n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(b.random.NormFloat64())
	}
	return out
}

// compile ends the graph with a probe of y and binds an arena full of NaN, so that reading what was never written shows.
func (b *bench) compile(y *Value) *Program {
	b.g.probe(y, b.draw(y.Size()))
	p := b.g.Compile()
	p.Bind(nans(p.Length()))
	return p
}

func nans(n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(math.NaN())
	}
	return out
}

// checkGradient compares the gradient of every parameter with central differences.
func (b *bench) checkGradient(t *testing.T, y *Value, c *Context) {
	t.Helper()
	p := b.compile(y)
	grad := nans(b.next)
	p.Forward(c, b.params)
	p.Backward(c, grad, nil)
	const h = 1.0 / 128
	for i, at := range b.params {
		b.params[i] = at + h
		p.Forward(c, b.params)
		above := c.Loss
		b.params[i] = at - h
		p.Forward(c, b.params)
		below := c.Loss
		b.params[i] = at
		want := (above - below) / (2 * h)
		if diff := math.Abs(float64(grad[i]) - want); !(diff <= 4e-3*(1+math.Abs(want))) {
			t.Errorf("gradient of parameter %d is %g, differences say %g", i, grad[i], want)
		}
	}
	b.checkThreads(t, p, c, grad)
}

// checkDirections compares the gradient with central differences along random directions.
func (b *bench) checkDirections(t *testing.T, y *Value, c *Context) {
	t.Helper()
	p := b.compile(y)
	grad := nans(b.next)
	p.Forward(c, b.params)
	p.Backward(c, grad, nil)
	at := append([]float32(nil), b.params...)
	squares := 0.0
	for _, g := range grad {
		squares += float64(g) * float64(g)
	}
	for range 6 {
		direction := b.draw(b.next)
		slope := 0.0
		for i, d := range direction {
			slope += float64(d) * float64(grad[i])
		}
		loss := func(step float32) float64 {
			for i, d := range direction {
				b.params[i] = at[i] + float32(step*d)
			}
			p.Forward(c, b.params)
			return c.Loss
		}
		var want float64
		for _, h := range []float32{1.0 / 4096, 1.0 / 16384} { // closer where a kink is near
			if want = (loss(h) - loss(-h)) / (2 * float64(h)); math.Abs(slope-want) <= 2e-3*(1+math.Sqrt(squares)) {
				break
			}
		}
		if !(math.Abs(slope-want) <= 2e-3*(1+math.Sqrt(squares))) {
			t.Errorf("slope along a direction is %g, differences say %g", slope, want)
		}
	}
	copy(b.params, at)
	b.checkThreads(t, p, c, grad)
}

// checkThreads runs the program with several threads and wants the same bits.
func (b *bench) checkThreads(t *testing.T, p *Program, c *Context, want []float32) {
	t.Helper()
	for _, threads := range []int{2, 3} {
		team := kernel.NewTeam(threads)
		c.Team = team
		grad := nans(b.next)
		p.Forward(c, b.params)
		p.Backward(c, grad, nil)
		sameBits(t, grad, want)
		team.Close()
	}
	c.Team = nil
}

func sameBits(t *testing.T, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("element %d is %g (%08x), want %g (%08x)", i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

func TestLinearGradient(t *testing.T) {
	for _, act := range []kernel.Activation{kernel.None, kernel.ReLUActivation} {
		b := newBench(1, true)
		x, w, bias := b.param(2, 3, 5), b.param(4, 5), b.param(4)
		y := b.g.Linear(x, w, bias, act)
		if y.Shape[0] != 2 || y.Shape[1] != 3 || y.Shape[2] != 4 {
			t.Fatalf("shape %v", y.Shape)
		}
		b.checkGradient(t, y, &Context{})
	}
}

// TestSharedParameter uses one weight in three places, so that its gradient is overwritten once and added to twice.
func TestSharedParameter(t *testing.T) {
	b := newBench(2, true)
	x, w := b.param(3, 4), b.param(4, 4)
	y := b.g.Linear(x, w, nil, kernel.None)
	y = b.g.Linear(y, w, nil, kernel.ReLUActivation)
	y = b.g.Linear(y, w, nil, kernel.None)
	b.checkGradient(t, y, &Context{})
}
