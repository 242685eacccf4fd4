package tensor

import "ringmaster/internal/tensor/kernel"

// positions is y[n,t] = x[n,t] + table[t].
type positions struct {
	samples, size     int // of a sample
	x, table, y       *Value
	dx, dtable        *sink
	compute, traverse *share
	columns           *share
}

// Positions adds a row of the table (at least length, width) to each step of x (samples, length, width). The table is a parameter or
// a Constant. Its gradient is the sum over samples, ascending.
func (g *Graph) Positions(x, table *Value) *Value {
	invariant(len(x.Shape) == 3 && table.Dim(0) >= x.Dim(1) && table.Dim(1) == x.Dim(2), "positions of %v on %v", table.Shape, x.Shape)
	op := &positions{samples: x.Dim(0), size: x.Dim(1) * x.Dim(2), x: x, table: table}
	n := g.record()
	n.use(x, table)
	if op.dx = n.gradient(x, false); op.dx != nil {
		op.dx.inPlace = true
	}
	op.dtable = n.gradient(table, false)
	op.y = n.make(x.Shape...)
	op.compute = newShare(func(begin, end int) {
		for k := begin; k < end; k++ {
			i, j := k*op.size, (k+1)*op.size
			kernel.Add(op.y.Data()[i:j], x.Data()[i:j], table.Data()[:op.size])
		}
	})
	op.traverse = newShare(func(begin, end int) { copy(op.dx.data()[begin:end], op.y.grad.data[begin:end]) })
	op.columns = newShare(func(begin, end int) {
		kernel.ColSumPart(op.dtable.data()[:op.size], op.y.grad.data, op.samples, begin, end)
	})
	n.op = op
	return op.y
}

func (o *positions) forward(c *Context) { o.compute.run(c, o.samples, o.size) }

func (o *positions) backward(c *Context) {
	if o.dtable.wanted() {
		clear(o.dtable.data()[o.size:])
		o.columns.run(c, o.size, o.samples)
	}
	if o.dx.wanted() && !o.dx.inPlace {
		o.traverse.run(c, o.y.size, 1)
	}
}

// Constant is a value that stays as it is, such as sinusoidal positions. The program keeps data.
func (g *Graph) Constant(data []float32, shape ...int) *Value {
	v := g.value(input, shape)
	invariant(len(data) == v.size, "constant of %d elements for shape %v", len(data), shape)
	v.data.data, v.constant = data, true
	return v
}

// ConstantIntegers are whole numbers that stay as they are, such as the segment of every token. The program keeps data.
func (g *Graph) ConstantIntegers(data []int32, shape ...int) *Integers {
	v := g.Integers(shape...)
	invariant(len(data) == v.Size(), "%d constant whole numbers for shape %v", len(data), shape)
	v.data = data
	return v
}

// step is y[n] = x[n,t].
type step struct {
	x, y *Value
	t    int
	dx   *sink
}

// Step is the step t of x (samples, length, width): (samples, width).
func (g *Graph) Step(x *Value, t int) *Value {
	invariant(len(x.Shape) == 3 && 0 <= t && t < x.Dim(1), "step %d of %v", t, x.Shape)
	op := &step{x: x, t: t}
	n := g.record()
	n.use(x)
	op.dx = n.gradient(x, true)
	op.y = n.make(x.Dim(0), x.Dim(2))
	n.op = op
	return op.y
}

// of is the step in data shaped as x.
func (o *step) of(data []float32, sample int) []float32 {
	width := o.x.Dim(2)
	at := (sample*o.x.Dim(1) + o.t) * width
	return data[at : at+width]
}

func (o *step) forward(*Context) {
	for n := range o.x.Dim(0) {
		copy(row(o.y, o.y.Data(), n, 0), o.of(o.x.Data(), n))
	}
}

func (o *step) backward(*Context) {
	if !o.dx.add {
		clear(o.dx.data())
	}
	for n := range o.x.Dim(0) {
		kernel.AddTo(o.of(o.dx.data(), n), row(o.y, o.y.grad.data, n, 0))
	}
}
