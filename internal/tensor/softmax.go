package tensor

import "ringmaster/internal/tensor/kernel"

// softmax is y = softmax(x) along the last axis, or its logarithm.
type softmax struct {
	rows, cols        int
	log               bool
	x, y              *Value
	dx                *sink
	compute, traverse *share
}

// Softmax is e^x over its sum along the last axis.
func (g *Graph) Softmax(x *Value) *Value {
	op, n := g.softmax(x)
	op.compute = newShare(func(begin, end int) {
		i, j := begin*op.cols, end*op.cols
		kernel.Softmax(op.y.Data()[i:j], x.Data()[i:j], end-begin, op.cols)
	})
	op.traverse = newShare(func(begin, end int) {
		i, j := begin*op.cols, end*op.cols
		kernel.SoftmaxBackward(op.dx.data()[i:j], op.y.grad.data[i:j], op.y.Data()[i:j], end-begin, op.cols)
	})
	n.op = op
	return op.y
}

// LogSoftmax is the logarithm of Softmax: x - (m + log sum e^(x-m)) with the largest m of the row.
func (g *Graph) LogSoftmax(x *Value) *Value {
	op, n := g.softmax(x)
	op.log = true
	logs := newBuffer(op.rows)
	n.forward = append(n.forward, logs)
	op.compute = newShare(func(begin, end int) {
		log := logs.data[begin:end]
		for i := range log {
			from := row(x, x.Data(), begin+i, 0)
			log[i] = kernel.ExpScaleShiftSum(row(op.y, op.y.Data(), begin+i, 0), from, 1, -kernel.Max(from))
		}
		kernel.Log(log, log)
		for i, l := range log {
			from := row(x, x.Data(), begin+i, 0)
			kernel.ScaleShift(row(op.y, op.y.Data(), begin+i, 0), from, 1, -(kernel.Max(from) + l))
		}
	})
	op.traverse = newShare(func(begin, end int) { // dx = dy - softmax * sum of dy
		for r := begin; r < end; r++ {
			dx, dy := row(x, op.dx.data(), r, 0), row(op.y, op.y.grad.data, r, 0)
			sum := kernel.Sum(dy)
			kernel.Exp(dx, row(op.y, op.y.Data(), r, 0))
			kernel.Scale(dx, -sum, dx)
			kernel.AddTo(dx, dy)
		}
	})
	n.op = op
	return op.y
}

func (g *Graph) softmax(x *Value) (*softmax, *node) {
	op := &softmax{rows: x.Rows(), cols: x.Dim(-1), x: x}
	n := g.record()
	n.use(x)
	op.dx = n.gradient(x, false)
	op.y = n.make(x.Shape...)
	n.keepExactly(op.y)
	return op, n
}

func (o *softmax) forward(c *Context)  { o.compute.run(c, o.rows, 8*o.cols) }
func (o *softmax) backward(c *Context) { o.traverse.run(c, o.rows, 8*o.cols) }
