package tensor

import "ringmaster/internal/tensor/kernel"

// linear is y = act(x·wᵀ + b): x is (rows, in), w is (out, in) as PyTorch keeps it, b is (out), y is (rows, out).
type linear struct {
	rows, in, out int
	x, w, b, y    *Value // b may be nil
	dx, dw, db    *sink
	act           kernel.Activation
	product       kernel.MatMul  // reused, so that a run allocates nothing
	columns       *share         // of db
	panels        *kernel.Panels // of w, in programs of rows
	rounding      *rounding
	rounded       *buffer // scratch: rows of w
	piece         int     // rows of w in a product
	pieces        pieces
	leastRows     int // of a piece
}

// Linear is x·wᵀ + b along the last axis of x, with an activation (kernel.None or kernel.ReLUActivation) applied by the same kernel.
// w is (out, in); b is (out) or nil.
func (g *Graph) Linear(x, w, b *Value, act kernel.Activation) *Value {
	in, out := x.Dim(-1), w.Dim(0)
	invariant(len(w.Shape) == 2 && w.Dim(1) == in, "linear: weight %v on %v", w.Shape, x.Shape)
	invariant(b == nil || b.size == out, "linear: bias for %d outputs", out)
	invariant(act == kernel.None || act == kernel.ReLUActivation, "linear: activation %d has no fused form", act)
	op := &linear{rows: x.Rows(), in: in, out: out, x: x, w: w, b: b, act: act, leastRows: min(leastProduct, g.pieceSize)}
	n := g.record()
	n.keep(x, w)
	n.multiplies(x)
	op.dx, op.dw = n.gradient(x, true), n.gradient(w, true)
	if op.dx != nil {
		op.dx.afterReads = true
	}
	op.roundWeights(g, n)
	if b != nil {
		n.use(b)
		op.db = n.gradient(b, false)
	}
	shape := append(append([]int{}, x.Shape[:len(x.Shape)-1]...), out)
	op.y = n.make(shape...)
	if act == kernel.ReLUActivation {
		n.keep(op.y)
	}
	op.columns = newShare(func(begin, end int) {
		kernel.ColSumPart(op.db.data(), op.y.grad.data, op.rows, begin, end)
	})
	n.op = op
	return op.y
}

func (o *linear) forward(c *Context) {
	if o.pieces.each > 0 {
		o.forwardPieces(c)
		return
	}
	o.outputs(c, kernel.MatMul{M: o.rows, K: o.in, A: o.x.Data(), LDA: o.in, C: o.y.Data(), LDC: o.out, Act: o.act, ZerosA: o.x.role == input})
}

// weightPiece is how many weights are rounded at a time: some that stay in the caches.
const weightPiece = 1 << 18

// roundWeights makes room for rounded weights, where the graph computes with such.
func (o *linear) roundWeights(g *Graph, n *node) {
	o.rounding, o.piece = g.rounding(), max(o.out, 1)
	if o.rounding == nil {
		return
	}
	o.piece = max(1, min(o.out, weightPiece/max(o.in, 1)))
	o.rounded = newBuffer(o.piece * o.in)
	n.forward, n.backward = append(n.forward, o.rounded), append(n.backward, o.rounded)
}

// weights are the rows [begin, end) of w, as products read them: valid until the next call.
func (o *linear) weights(c *Context, begin, end int) []float32 {
	w := o.w.Data()[begin*o.in : end*o.in]
	if o.rounding == nil {
		return w
	}
	rounded := o.rounded.data[:len(w)]
	o.rounding.round(c, rounded, w)
	return rounded
}

// outputs multiplies with all rows of w, and adds the bias. p says the rest.
func (o *linear) outputs(c *Context, p kernel.MatMul) {
	y := p.C
	for begin, end := 0, 0; begin < o.out; begin = end {
		end = min(begin+o.piece, o.out)
		p.N, p.B, p.LDB, p.TransB, p.C = end-begin, o.weights(c, begin, end), o.in, true, y[begin:]
		if o.b != nil {
			p.Bias = o.b.Data()[begin:end]
		}
		o.multiply(c, p)
	}
}

// inputs multiplies gradients of rows of y with w to those of x: outputs ascending.
func (o *linear) inputs(c *Context, dx, dy []float32, rows int, add bool) {
	for begin, end := 0, 0; begin < o.out; begin = end {
		end = min(begin+o.piece, o.out)
		o.multiply(c, kernel.MatMul{M: rows, N: o.in, K: end - begin, A: dy[begin:], LDA: o.out, B: o.weights(c, begin, end), LDB: o.in,
			C: dx, LDC: o.in, Accumulate: add || begin > 0})
	}
}

func (o *linear) multiply(c *Context, p kernel.MatMul) {
	o.product = p
	c.Team.MatMul(&o.product)
}

// backward may spoil the gradient of y: y has one producer, so nobody reads it afterwards.
func (o *linear) backward(c *Context) {
	if o.pieces.each > 0 {
		o.backwardPieces(c)
		return
	}
	dy := o.y.grad.data
	if o.act == kernel.ReLUActivation {
		kernel.ReLUBackward(dy, dy, o.y.Data())
	}
	if o.db.wanted() {
		o.columns.run(c, o.out, o.rows)
		c.final(o.db, 0)
	}
	o.rounding.gradient(c, dy)
	for begin, end := 0, o.out; o.dw.wanted() && end > 0; end = begin { // dw is dyᵀ·x, rows ascending
		begin = c.part(o.dw, o.in, end)
		o.multiply(c, kernel.MatMul{
			M: end - begin, N: o.in, K: o.rows, A: dy[begin:], LDA: o.out, TransA: true, B: o.x.Data(), LDB: o.in,
			C: o.dw.data()[begin*o.in:], LDC: o.in, Accumulate: o.dw.add, ZerosB: o.x.role == input,
		})
		c.final(o.dw, begin*o.in)
	}
	if o.dx.wanted() {
		o.inputs(c, o.dx.data(), dy, o.rows, o.dx.add)
	}
}

func (o *linear) ends() (x, y *Value, dx *sink) { return o.x, o.y, o.dx }
func (o *linear) workIn() *pieces               { return &o.pieces }

func (o *linear) pieceOf(elements int) int {
	if o.act != kernel.None || o.b != nil || o.panels != nil {
		return 0
	}
	return max(o.leastRows, elements/(o.in+o.out))
}

// forwardPieces is forward between batch norms.
func (o *linear) forwardPieces(c *Context) {
	for begin, end := 0, 0; begin < o.rows; begin = end {
		end = min(begin+o.pieces.each, o.rows)
		o.pieces.enterForward(c, begin, end)
		o.multiply(c, kernel.MatMul{M: end - begin, N: o.out, K: o.in, A: o.x.Data()[begin*o.in : end*o.in], LDA: o.in, B: o.w.Data(), LDB: o.in, TransB: true,
			C: o.y.Data()[begin*o.out : end*o.out], LDC: o.out, ZerosA: o.x.role == input})
		o.pieces.leaveForward(c, begin, end)
	}
}

// backwardPieces is backward between batch norms: the chains of dw go on from piece to piece.
func (o *linear) backwardPieces(c *Context) {
	o.pieces.beginBackward()
	for begin, end := 0, 0; begin < o.rows; begin = end {
		end = min(begin+o.pieces.each, o.rows)
		o.pieces.enterBackward(c, begin, end)
		dy, x := o.y.grad.data[begin*o.out:end*o.out], o.x.Data()[begin*o.in:end*o.in]
		if o.dw.wanted() {
			o.multiply(c, kernel.MatMul{M: o.out, N: o.in, K: end - begin, A: dy, LDA: o.out, TransA: true, B: x, LDB: o.in,
				C: o.dw.data(), LDC: o.in, Accumulate: o.dw.add || begin > 0, ZerosB: o.x.role == input})
		}
		if o.dx.wanted() {
			o.inputs(c, o.dx.data()[begin*o.in:end*o.in], dy, end-begin, o.dx.add)
		}
		o.pieces.leaveBackward(c, begin, end)
	}
	o.pieces.endBackward()
	if o.dw.wanted() {
		c.final(o.dw, 0)
	}
}
