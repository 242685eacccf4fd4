package tensor

import "ringmaster/internal/tensor/kernel"

// recurrent is what LSTM and GRU share: gates that are computed of a step's input and of what the step before gave, which a cell
// turns into what the step gives. The inputs' part x (samples, steps, gates*hidden) comes from a linear layer over all steps at once.
// The part of the step before is a product, each element one chain along the hidden values, ascending, from the bias or +0; at the
// first step it is the bias itself, or 0. dw is one chain over samples, and steps within them, both ascending.
type recurrent struct {
	samples, steps, hidden, gates int
	reverse                       bool // from the last step to the first
	cell                          cell
	x, w, b, y                    *Value
	dx, dw, db                    *sink
	active                        *buffer   // (samples, steps, gates*hidden): the gates
	across                        *buffer   // scratch (samples, gates*hidden): the part of the step before
	dacross                       *buffer   // (samples, steps, gates*hidden): its gradient; nil where that is dx
	dh                            *buffer   // scratch (samples, hidden): gradient of what the step gives, from the step after it
	zeros                         []float32 // what comes before the first step
	product                       kernel.MatMul
	at, before                    int // the step under way and the one before it; -1: none
	compute, traverse, columns    *share
	rounding                      *rounding
	rounded                       recurrentRounded
}

// recurrentRounded is scratch for what products read where the graph computes in bfloat16.
type recurrentRounded struct {
	w *buffer
	y *buffer // (samples, hidden): what the step before gave
	d *buffer // (samples, steps, gates*hidden): the gradient of its part
}

// cell is what one step does with one sample.
type cell interface {
	forward(o *recurrent, sample int)
	begin() // of backward
	backward(o *recurrent, sample int)
}

// recurrent records what LSTM and GRU share.
func (g *Graph) recurrent(x, w, b *Value, gates int, reverse bool) (*recurrent, *node) {
	op := &recurrent{samples: x.Dim(0), steps: x.Dim(1), hidden: w.Dim(1), gates: gates, reverse: reverse, x: x, w: w, b: b}
	width := gates * op.hidden
	invariant(len(x.Shape) == 3 && x.Dim(2) == width && len(w.Shape) == 2 && w.Dim(0) == width && (b == nil || b.size == width),
		"%d gates of %v with %v", gates, x.Shape, w.Shape)
	op.zeros = make([]float32, op.hidden)
	n := g.record()
	n.use(x)
	n.keep(w)
	op.dx, op.dw = n.gradient(x, false), n.gradient(w, false)
	if b != nil {
		n.use(b)
		op.db = n.gradient(b, false)
	}
	if n.wanted && g.training && !op.dx.wanted() {
		op.dx = n.scratch(x)
	}
	op.y = n.make(op.samples, op.steps, op.hidden)
	n.keep(op.y)
	op.roundOperands(g, n)
	op.active = n.saved(op.samples * op.steps * width)
	op.across = newBuffer(op.samples * width)
	n.forward = append(n.forward, op.across)
	n.backward = append(n.backward, op.across)
	op.dh = n.temporaryBackward(op.samples * op.hidden)
	op.compute = newShare(func(begin, end int) {
		for sample := begin; sample < end; sample++ {
			op.cell.forward(op, sample)
		}
	})
	op.traverse = newShare(func(begin, end int) {
		for sample := begin; sample < end; sample++ {
			op.cell.backward(op, sample)
		}
	})
	op.columns = newShare(func(begin, end int) {
		kernel.ColSumPart(op.db.data(), op.carried(), op.samples*op.steps, begin, end)
	})
	n.op = op
	return op, n
}

// roundOperands makes room for rounded operands.
func (o *recurrent) roundOperands(g *Graph, n *node) {
	if o.rounding = g.rounding(); o.rounding == nil {
		return
	}
	r := recurrentRounded{w: newBuffer(o.w.size), y: newBuffer(o.samples * o.hidden), d: n.temporaryBackward(o.samples * o.steps * o.gates * o.hidden)}
	n.forward = append(n.forward, r.w, r.y)
	n.backward = append(n.backward, r.w)
	o.rounded = r
}

// weightsOf is w as products read it: rounded when a pass begins.
func (o *recurrent) weightsOf(c *Context) []float32 {
	if o.rounding == nil {
		return o.w.Data()
	}
	o.rounding.round(c, o.rounded.w.data, o.w.Data())
	return o.rounded.w.data
}

// given is what the step before gave each sample, and how far the samples are apart.
func (o *recurrent) given() (y []float32, stride int) {
	if o.rounding == nil {
		return o.y.Data()[o.before*o.hidden:], o.steps * o.hidden
	}
	for n := range o.samples {
		kernel.RoundBFloat16(o.rounded.y.data[n*o.hidden:][:o.hidden], o.of(o.y.Data(), n, o.before, o.hidden))
	}
	return o.rounded.y.data, o.hidden
}

// slopes is the gradient of the part of the step before, as products read it.
func (o *recurrent) slopes() []float32 {
	if o.rounding == nil {
		return o.carried()
	}
	return o.rounded.d.data
}

// roundSlopes rounds those of the step under way.
func (o *recurrent) roundSlopes() {
	if o.rounding == nil {
		return
	}
	width := o.gates * o.hidden
	for n := range o.samples {
		kernel.RoundBFloat16(o.of(o.rounded.d.data, n, o.at, width), o.of(o.carried(), n, o.at, width))
	}
}

// carried is the gradient of the part of the step before.
func (o *recurrent) carried() []float32 {
	if o.dacross != nil {
		return o.dacross.data
	}
	return o.dx.data()
}

// of is the vector of a sample and step in data of (samples, steps, width).
func (o *recurrent) of(data []float32, sample, step, width int) []float32 {
	at := (sample*o.steps + step) * width
	return data[at : at+width]
}

// previous is what the step before gave in data of (samples, steps, hidden).
func (o *recurrent) previous(data []float32, sample int) []float32 {
	if o.before < 0 {
		return o.zeros
	}
	return o.of(data, sample, o.before, o.hidden)
}

// sequence sets the k-th step that is worked on.
func (o *recurrent) sequence(k int) {
	o.at, o.before = k, k-1
	if o.reverse {
		o.at, o.before = o.steps-1-k, o.steps-k
		if k == 0 {
			o.before = -1
		}
	}
}

func (o *recurrent) multiply(c *Context, p kernel.MatMul) {
	o.product = p
	c.Team.MatMul(&o.product)
}

func (o *recurrent) forward(c *Context) {
	width, w := o.gates*o.hidden, o.weightsOf(c)
	for k := range o.steps {
		o.sequence(k)
		if k == 0 {
			clear(o.across.data)
			for n := 0; n < o.samples && o.b != nil; n++ {
				copy(o.across.data[n*width:], o.b.Data())
			}
		} else {
			y, stride := o.given()
			o.multiply(c, kernel.MatMul{M: o.samples, N: width, K: o.hidden, A: y, LDA: stride,
				B: w, LDB: o.hidden, TransB: true, C: o.across.data, LDC: width, Bias: elements(o.b)})
		}
		o.compute.run(c, o.samples, 8*width)
	}
}

func (o *recurrent) backward(c *Context) {
	width, w := o.gates*o.hidden, o.weightsOf(c)
	clear(o.dh.data)
	o.cell.begin()
	for k := o.steps - 1; k >= 0; k-- {
		o.sequence(k)
		o.traverse.run(c, o.samples, 8*width)
		o.roundSlopes()
		if k > 0 {
			o.multiply(c, kernel.MatMul{M: o.samples, N: o.hidden, K: width, A: o.slopes()[o.at*width:], LDA: o.steps * width,
				B: w, LDB: o.hidden, C: o.dh.data, LDC: o.hidden, Accumulate: true})
		}
	}
	if o.db.wanted() {
		o.columns.run(c, width, o.samples*o.steps)
	}
	if o.dw.wanted() {
		o.weights(c)
	}
}

// weights computes dw from each step's gradient and what the step before it gave.
func (o *recurrent) weights(c *Context) {
	if o.steps == 1 {
		clear(o.dw.data())
		return
	}
	width := o.gates * o.hidden
	step, before := 1, 0
	if o.reverse {
		step, before = 0, 1
	}
	for n := range o.samples {
		o.multiply(c, kernel.MatMul{M: width, N: o.hidden, K: o.steps - 1,
			A: o.slopes()[(n*o.steps+step)*width:], LDA: width, TransA: true,
			B: o.y.Data()[(n*o.steps+before)*o.hidden:], LDB: o.hidden,
			C: o.dw.data(), LDC: o.hidden, Accumulate: n > 0})
	}
}

func (o *recurrent) multiplyAdds() (forward, backward int) {
	n := o.samples * (o.steps - 1) * o.gates * o.hidden * o.hidden
	return n, times(n, o.dx, o.dw)
}

// split cuts a vector of gates into the gates.
func (o *recurrent) split(v []float32, gate int) []float32 {
	return v[gate*o.hidden : (gate+1)*o.hidden]
}
