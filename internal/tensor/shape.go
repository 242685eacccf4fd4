package tensor

import "ringmaster/internal/tensor/kernel"

// transpose is y[n,b,a] = x[n,a,b].
type transpose struct {
	samples, rows, cols int
	x, y                *Value
	dx                  *sink
	compute, traverse   *share
}

// Transpose exchanges the last two axes of x, which is (samples, rows, cols).
func (g *Graph) Transpose(x *Value) *Value {
	invariant(len(x.Shape) == 3, "transpose of %v", x.Shape)
	op := &transpose{samples: x.Dim(0), rows: x.Dim(1), cols: x.Dim(2), x: x}
	n := g.record()
	n.use(x)
	op.dx = n.gradient(x, false)
	op.y = n.make(op.samples, op.cols, op.rows)
	op.compute = newShare(func(begin, end int) {
		exchange(op.y.Data(), op.x.Data(), begin, end, op.rows, op.cols)
	})
	op.traverse = newShare(func(begin, end int) {
		exchange(op.dx.data(), op.y.grad.data, begin, end, op.cols, op.rows)
	})
	n.op = op
	return op.y
}

// ChannelsLast takes images from (samples, channels, height, width) to (samples, height, width, channels).
func (g *Graph) ChannelsLast(x *Value) *Value {
	n, c, h, w := x.Dim(0), x.Dim(1), x.Dim(2), x.Dim(3)
	return g.Reshape(g.Transpose(g.Reshape(x, n, c, h*w)), n, h, w, c)
}

// Flatten makes one vector of each sample, (samples, -1), with the elements of an image in PyTorch's order: channels first.
func (g *Graph) Flatten(x *Value) *Value {
	if len(x.Shape) == 4 && x.Dim(1)*x.Dim(2) > 1 && x.Dim(3) > 1 {
		x = g.Transpose(g.Reshape(x, x.Dim(0), x.Dim(1)*x.Dim(2), x.Dim(3)))
	}
	return g.Reshape(x, x.Dim(0), x.size/x.Dim(0))
}

// exchange transposes the matrices [begin, end) of (rows, cols).
func exchange(dst, src []float32, begin, end, rows, cols int) {
	for n := begin; n < end; n++ {
		kernel.Transpose(dst[n*rows*cols:], rows, src[n*rows*cols:], cols, rows, cols)
	}
}

func (o *transpose) forward(c *Context)  { o.compute.run(c, o.samples, o.rows*o.cols) }
func (o *transpose) backward(c *Context) { o.traverse.run(c, o.samples, o.rows*o.cols) }

// slice is a range of the last axis; concat puts values side by side along it. Both copy rows.
type slice struct {
	x, y  *Value
	begin int
	dx    *sink
}

// Slice is the columns [begin, end) of the last axis.
func (g *Graph) Slice(x *Value, begin, end int) *Value {
	invariant(0 <= begin && begin <= end && end <= x.Dim(-1), "columns [%d, %d) of %v", begin, end, x.Shape)
	op := &slice{x: x, begin: begin}
	n := g.record()
	n.use(x)
	op.dx = n.gradient(x, true)
	op.y = n.make(append(append([]int{}, x.Shape[:len(x.Shape)-1]...), end-begin)...)
	n.op = op
	return op.y
}

func (o *slice) forward(*Context) {
	for r := range o.y.Rows() {
		copy(row(o.y, o.y.Data(), r, 0), row(o.x, o.x.Data(), r, o.begin))
	}
}

func (o *slice) backward(*Context) {
	if !o.dx.add {
		clear(o.dx.data())
	}
	width := o.y.Dim(-1)
	for r := range o.y.Rows() {
		kernel.AddTo(row(o.x, o.dx.data(), r, o.begin)[:width], row(o.y, o.y.grad.data, r, 0))
	}
}

// row is row r of data shaped as v, from a column on.
func row(v *Value, data []float32, r, from int) []float32 {
	cols := v.Dim(-1)
	return data[r*cols+from : (r+1)*cols]
}

type concat struct {
	parts []*Value
	sinks []*sink
	y     *Value
}

// Concat puts values that agree in all other axes side by side along the last one.
func (g *Graph) Concat(parts ...*Value) *Value {
	op := &concat{parts: parts}
	n := g.record()
	n.use(parts...)
	width := 0
	for _, p := range parts {
		invariant(p.Rows() == parts[0].Rows(), "%v beside %v", p.Shape, parts[0].Shape)
		width += p.Dim(-1)
		op.sinks = append(op.sinks, n.gradient(p, false))
	}
	first := parts[0].Shape
	op.y = n.make(append(append([]int{}, first[:len(first)-1]...), width)...)
	n.op = op
	return op.y
}

func (o *concat) forward(*Context) {
	from := 0
	for _, p := range o.parts {
		for r := range p.Rows() {
			copy(row(o.y, o.y.Data(), r, from), row(p, p.Data(), r, 0))
		}
		from += p.Dim(-1)
	}
}

func (o *concat) backward(*Context) {
	from := 0
	for k, p := range o.parts {
		if s := o.sinks[k]; s.wanted() {
			for r := range p.Rows() {
				copy(row(p, s.data(), r, 0), row(o.y, o.y.grad.data, r, from))
			}
		}
		from += p.Dim(-1)
	}
}
