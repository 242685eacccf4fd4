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
}

// Linear is x·wᵀ + b along the last axis of x, with an activation (kernel.None or kernel.ReLUActivation) applied by the same kernel.
// w is (out, in); b is (out) or nil.
func (g *Graph) Linear(x, w, b *Value, act kernel.Activation) *Value {
	in, out := x.Dim(-1), w.Dim(0)
	invariant(len(w.Shape) == 2 && w.Dim(1) == in, "linear: weight %v on %v", w.Shape, x.Shape)
	invariant(b == nil || b.size == out, "linear: bias for %d outputs", out)
	invariant(act == kernel.None || act == kernel.ReLUActivation, "linear: activation %d has no fused form", act)
	op := &linear{rows: x.Rows(), in: in, out: out, x: x, w: w, b: b, act: act}
	n := g.record()
	n.keep(x, w)
	op.dx, op.dw = n.gradient(x, true), n.gradient(w, true)
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
	p := kernel.MatMul{
		M: o.rows, N: o.out, K: o.in, A: o.x.Data(), LDA: o.in, B: o.w.Data(), LDB: o.in, TransB: true,
		C: o.y.Data(), LDC: o.out, Act: o.act, ZerosA: o.x.role == input,
	}
	if o.b != nil {
		p.Bias = o.b.Data()
	}
	o.multiply(c, p)
}

func (o *linear) multiply(c *Context, p kernel.MatMul) {
	o.product = p
	c.Team.MatMul(&o.product)
}

// backward may spoil the gradient of y: y has one producer, so nobody reads it afterwards.
func (o *linear) backward(c *Context) {
	dy := o.y.grad.data
	if o.act == kernel.ReLUActivation {
		kernel.ReLUBackward(dy, dy, o.y.Data())
	}
	if o.db.wanted() {
		o.columns.run(c, o.out, o.rows)
		c.final(o.db, 0)
	}
	for begin, end := 0, o.out; o.dw.wanted() && end > 0; end = begin { // dw is dyᵀ·x, rows ascending
		begin = c.part(o.dw, o.in, end)
		o.multiply(c, kernel.MatMul{
			M: end - begin, N: o.in, K: o.rows, A: dy[begin:], LDA: o.out, TransA: true, B: o.x.Data(), LDB: o.in,
			C: o.dw.data()[begin*o.in:], LDC: o.in, Accumulate: o.dw.add, ZerosB: o.x.role == input,
		})
		c.final(o.dw, begin*o.in)
	}
	if o.dx.wanted() { // dx is dy·w, outputs ascending
		o.multiply(c, kernel.MatMul{
			M: o.rows, N: o.in, K: o.out, A: dy, LDA: o.out, B: o.w.Data(), LDB: o.in,
			C: o.dx.data(), LDC: o.in, Accumulate: o.dx.add,
		})
	}
}
