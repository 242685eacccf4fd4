package tensor

import "ringmaster/internal/tensor/kernel"

// elementwise is y = f(x) for every element.
type elementwise struct {
	what     FunctionStep
	x, y     *Value
	dx       *sink
	compute  *share // y
	traverse *share // dx
}

// ofEach records an elementwise operation; what it computes is still to be said.
func (g *Graph) ofEach(x *Value, what FunctionStep) (*elementwise, *node) {
	what.X = x
	op := &elementwise{what: what, x: x}
	n := g.record()
	n.use(x)
	if op.dx = n.gradient(x, false); op.dx != nil {
		op.dx.inPlace = true
	}
	op.y = n.make(x.Shape...)
	n.op = op
	return op, n
}

// elementwise records a function whose derivative is a function of y.
func (g *Graph) elementwise(x *Value, function Function, f func(dst, x []float32), df func(dx, dy, y []float32)) *Value {
	op, n := g.ofEach(x, FunctionStep{Function: function})
	if function == SigmoidFunction || function == TanhFunction { // near their ends the derivative is in the last digits
		n.keepExactly(op.y)
	} else {
		n.keep(op.y)
	}
	op.compute = newShare(func(begin, end int) { f(op.y.Data()[begin:end], x.Data()[begin:end]) })
	op.traverse = newShare(func(begin, end int) {
		df(op.dx.data()[begin:end], op.y.grad.data[begin:end], op.y.Data()[begin:end])
	})
	return op.y
}

// sloped records a function whose derivative is dear: forward, which has most of it at hand, saves it in the place of x.
func (g *Graph) sloped(x *Value, what FunctionStep, f func(dst, x []float32), slope func(dst, slope, x []float32)) *Value {
	op, n := g.ofEach(x, what)
	if !g.training {
		op.compute = newShare(func(begin, end int) { f(op.y.Data()[begin:end], x.Data()[begin:end]) })
		return op.y
	}
	if g.bfloat16 {
		op.slopeInCodes(n, slope)
		return op.y
	}
	saved := n.saved(x.size)
	op.compute = newShare(func(begin, end int) { slope(op.y.Data()[begin:end], saved.data[begin:end], x.Data()[begin:end]) })
	op.traverse = newShare(func(begin, end int) {
		kernel.Mul(op.dx.data()[begin:end], op.y.grad.data[begin:end], saved.data[begin:end])
	})
	return op.y
}

// slopeBlock is how many slopes are computed, then kept in two bytes each, while they are in the first cache.
const slopeBlock = 1 << 11

// slopeInCodes saves what slope gives rounded to bfloat16.
func (o *elementwise) slopeInCodes(n *node, slope func(dst, slope, x []float32)) {
	saved := n.saved((o.x.size + 1) / 2)
	o.compute = newRoomShare(slopeBlock, func(begin, end int, room []float32) {
		for i := begin; i < end; i += slopeBlock {
			j := min(i+slopeBlock, end)
			slope(o.y.Data()[i:j], room[:j-i], o.x.Data()[i:j])
			kernel.EncodeBFloat16(kernel.Halves(saved.data)[i:j], room[:j-i])
		}
	})
	o.traverse = newRoomShare(slopeBlock, func(begin, end int, room []float32) {
		for i := begin; i < end; i += slopeBlock {
			j := min(i+slopeBlock, end)
			kernel.DecodeBFloat16(room[:j-i], kernel.Halves(saved.data)[i:j])
			kernel.Mul(o.dx.data()[i:j], o.y.grad.data[i:j], room[:j-i])
		}
	})
}

func (o *elementwise) forward(c *Context)  { o.compute.run(c, o.x.size, 1) }
func (o *elementwise) backward(c *Context) { o.traverse.run(c, o.x.size, 1) }

// ReLU is max(x, 0).
func (g *Graph) ReLU(x *Value) *Value {
	return g.elementwise(x, ReLUFunction, kernel.ReLU, kernel.ReLUBackward)
}

// ReLU6 is x clamped to [0, 6].
func (g *Graph) ReLU6(x *Value) *Value {
	return g.elementwise(x, ReLU6Function, kernel.ReLU6, kernel.ReLU6Backward)
}

// Sigmoid is 1/(1+e^-x).
func (g *Graph) Sigmoid(x *Value) *Value {
	return g.elementwise(x, SigmoidFunction, kernel.Sigmoid, kernel.SigmoidBackward)
}

// Tanh is the hyperbolic tangent.
func (g *Graph) Tanh(x *Value) *Value {
	return g.elementwise(x, TanhFunction, kernel.Tanh, kernel.TanhBackward)
}

// GELU is x Phi(x), with Phi by erf.
func (g *Graph) GELU(x *Value) *Value {
	return g.sloped(x, FunctionStep{Function: GELUFunction}, kernel.GELU, kernel.GELUSlope)
}

// GELUTanh is GELU's tanh form ("gelu_new").
func (g *Graph) GELUTanh(x *Value) *Value {
	return g.sloped(x, FunctionStep{Function: GELUTanhFunction}, kernel.GELUTanh, kernel.GELUTanhSlope)
}

// SiLU is x sigmoid(x).
func (g *Graph) SiLU(x *Value) *Value {
	return g.sloped(x, FunctionStep{Function: SiLUFunction}, kernel.SiLU, kernel.SiLUSlope)
}

// Scale is x times a factor.
func (g *Graph) Scale(x *Value, factor float32) *Value {
	op, _ := g.ofEach(x, FunctionStep{Function: ScaleFunction, Slope: factor})
	op.compute = newShare(func(begin, end int) { kernel.Scale(op.y.Data()[begin:end], factor, x.Data()[begin:end]) })
	op.traverse = newShare(func(begin, end int) { kernel.Scale(op.dx.data()[begin:end], factor, op.y.grad.data[begin:end]) })
	return op.y
}

// sum is y = a + b, a residual: the gradient of y becomes that of a in its place where it can.
type sum struct {
	a, b, y *Value
	da, db  *sink
	compute *share
	pass    *share
	passed  *sink // to which pass brings the gradient
}

// Add is a + b, of equal sizes; the result has a's shape. Let a be the stream that goes past a residual block and b what the
// block gives: then no gradient is copied for a.
func (g *Graph) Add(a, b *Value) *Value {
	invariant(a.size == b.size, "sum of %v and %v", a.Shape, b.Shape)
	op := &sum{a: a, b: b}
	n := g.record()
	n.use(a, b)
	if op.da = n.gradient(a, true); op.da != nil {
		op.da.inPlace = a.storage != b.storage
	}
	op.db = n.gradient(b, true)
	op.y = n.make(a.Shape...)
	op.compute = newShare(func(begin, end int) {
		kernel.Add(op.y.Data()[begin:end], a.Data()[begin:end], b.Data()[begin:end])
	})
	op.pass = newShare(op.passPart)
	n.op = op
	return op.y
}

func (o *sum) forward(c *Context) { o.compute.run(c, o.y.size, 1) }

func (o *sum) backward(c *Context) {
	for _, s := range [...]*sink{o.da, o.db} {
		if s.wanted() && !s.inPlace {
			o.passed = s
			o.pass.run(c, o.y.size, 1)
		}
	}
}

func (o *sum) passPart(begin, end int) {
	to, dy := o.passed.data()[begin:end], o.y.grad.data[begin:end]
	if o.passed.add {
		kernel.AddTo(to, dy)
	} else {
		copy(to, dy)
	}
}

// dropout is y = x with elements set to zero at random and the others scaled up. The random numbers are drawn again for
// backward, so nothing is saved.
type dropout struct {
	x, y  *Value
	dx    *sink
	rate  float32
	layer uint64

	compute  *share
	key      [2]uint32
	to, from []float32
}

// dropoutStream is where the streams of dropout begin below a seat's key, out of the way of those of augmentation.
const dropoutStream = 1 << 32

// dropoutLayer is the number of the next layer that draws.
func (g *Graph) dropoutLayer() uint64 {
	g.dropouts++
	return uint64(g.dropouts - 1)
}

// Dropout sets each element to zero with the probability rate and divides the others by 1-rate; in a graph for
// evaluation it is x itself. Each use in a graph draws from a stream of its own.
func (g *Graph) Dropout(x *Value, rate float32) *Value {
	invariant(rate >= 0 && rate < 1, "dropout of %v", rate)
	if !g.training || rate == 0 {
		return x
	}
	op := &dropout{x: x, rate: rate, layer: g.dropoutLayer()}
	n := g.record()
	n.use(x)
	if op.dx = n.gradient(x, false); op.dx != nil {
		op.dx.inPlace = true
	}
	op.y = n.make(x.Shape...)
	op.compute = newShare(op.applyPart)
	n.op = op
	return op.y
}

func (o *dropout) apply(c *Context, to, from []float32) {
	o.key, o.to, o.from = c.Key.Derive(dropoutStream+o.layer), to, from
	o.compute.run(c, len(to), 1)
}

func (o *dropout) applyPart(begin, end int) {
	kernel.Dropout(o.to[begin:end], o.from[begin:end], o.key, uint64(begin), o.rate)
}

func (o *dropout) forward(c *Context)  { o.apply(c, o.y.Data(), o.x.Data()) }
func (o *dropout) backward(c *Context) { o.apply(c, o.dx.data(), o.y.grad.data) }

// Function is the function of that name of each element; slope is what FunctionStep says.
func (g *Graph) Function(x *Value, function Function, slope float32) *Value {
	switch function {
	case ReLUFunction:
		return g.ReLU(x)
	case ReLU6Function:
		return g.ReLU6(x)
	case SigmoidFunction:
		return g.Sigmoid(x)
	case TanhFunction:
		return g.Tanh(x)
	case GELUFunction:
		return g.GELU(x)
	case GELUTanhFunction:
		return g.GELUTanh(x)
	case SiLUFunction:
		return g.SiLU(x)
	case SoftplusFunction:
		return g.Softplus(x)
	case LeakyReLUFunction:
		return g.LeakyReLU(x, slope)
	case ELUFunction:
		return g.ELU(x, slope)
	case ScaleFunction:
		return g.Scale(x, slope)
	}
	panic("tensor: a function without a name")
}
