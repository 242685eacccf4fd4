package tensor

import "ringmaster/internal/tensor/kernel"

// product is y = a*b for every element.
type product struct {
	a, b, y           *Value
	da, db            *sink
	compute, traverse *share
}

// Multiply is a*b, element by element, of equal sizes; the result has a's shape.
func (g *Graph) Multiply(a, b *Value) *Value {
	invariant(a.size == b.size, "product of %v and %v", a.Shape, b.Shape)
	op := &product{a: a, b: b}
	n := g.record()
	n.keep(a, b)
	op.da, op.db = n.gradient(a, false), n.gradient(b, false)
	op.y = n.make(a.Shape...)
	op.compute = newShare(func(begin, end int) {
		kernel.Mul(op.y.Data()[begin:end], a.Data()[begin:end], b.Data()[begin:end])
	})
	op.traverse = newShare(op.traversePart)
	n.op = op
	return op.y
}

func (o *product) forward(c *Context)  { o.compute.run(c, o.y.size, 1) }
func (o *product) backward(c *Context) { o.traverse.run(c, o.y.size, 1) }

func (o *product) traversePart(begin, end int) {
	dy := o.y.grad.data[begin:end]
	if o.da.wanted() {
		kernel.Mul(o.da.data()[begin:end], dy, o.b.Data()[begin:end])
	}
	if o.db.wanted() {
		kernel.Mul(o.db.data()[begin:end], dy, o.a.Data()[begin:end])
	}
}
