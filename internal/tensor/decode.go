package tensor

import "ringmaster/internal/tensor/kernel"

// This file runs programs that compute what a text's newest tokens need, row by row. Such a program is recorded for a number of rows, each
// of which is a token of some text; a run computes the first ones of them. Attention finds what came before in a KeyValues. Each element has
// the bits that the same operations give for whole texts, since an element never depends on how many rows are computed with it.

// Place is where a row stands: at a position of the text in a slot, whose source, if it answers one, is in another.
type Place struct{ Slot, Position, Source int }

// rowwise is an operation each row of whose result depends on the same row of its operands, and on what a KeyValues holds of others.
type rowwise interface {
	operation
	// forwardRows computes the first rows of the result. Results have all rows for the program's of, or a multiple.
	forwardRows(c *Context, rows, of int)
}

// arranged is an operation that prepares parameters for many runs.
type arranged interface{ arrange() }

// RowProgram computes a few rows at a time, for one goroutine at a time.
type RowProgram struct {
	program *Program
	rows    int
	output  *Value
	head    *linear // the last operation, where it is linear and rows that are not wanted can be left out
}

// CompileRows ends the recording of operations on values with so many rows, of which output is the result, for the parameters in the flat
// vector params, which must stay as they are. ok is false if an operation cannot be computed row by row.
func (g *Graph) CompileRows(output *Value, rows int, params []float32) (p *RowProgram, ok bool) {
	g.Hold(output)
	p = &RowProgram{program: g.Compile(), rows: rows, output: output}
	for _, n := range g.nodes {
		if _, ok := n.op.(rowwise); !ok {
			return nil, false
		}
	}
	if last := len(g.nodes) - 1; last >= 0 {
		if head, is := g.nodes[last].op.(*linear); is && head.rows == rows && head.y.storage == output.storage && head.x.role == activation {
			p.head = head
		}
	}
	p.program.Bind(make([]float32, p.program.Length()))
	for _, v := range p.program.params {
		v.data.data = of(params, v.interval)
	}
	for _, n := range g.nodes {
		if a, is := n.op.(arranged); is {
			a.arrange()
		}
	}
	return p, true
}

// SetIntegers binds whole numbers, one for each row that the program may compute.
func (p *RowProgram) SetIntegers(v *Integers, data []int32) { p.program.SetIntegers(v, data) }

// Forward computes a row for each of c.Places and returns those of the output that are wanted, which ascend; they are valid until the next call.
func (p *RowProgram) Forward(c *Context, wanted []int) []float32 {
	rows := len(c.Places)
	invariant(rows <= p.rows, "%d rows of a program for %d", rows, p.rows)
	for _, n := range p.program.nodes {
		if p.head != nil && n.op == operation(p.head) {
			p.gather(p.head.x, wanted)
			rows = len(wanted)
		}
		p.program.forwardRows(c, n, rows, p.rows)
	}
	if p.head == nil {
		p.gather(p.output, wanted)
	}
	return p.output.Data()[:p.output.size/p.rows*len(wanted)]
}

// gather moves the rows wanted, which ascend, to the front.
func (p *RowProgram) gather(v *Value, wanted []int) {
	data, width := v.Data(), v.size/p.rows
	for to, from := range wanted {
		if to != from {
			copy(data[to*width:][:width], data[from*width:])
		}
	}
}

// few is how many rows at most are multiplied by weights that are arranged for reading once.
const few = 32

func (o *linear) forwardRows(c *Context, rows, of int) {
	p := kernel.MatMul{M: o.rows * rows / of, N: o.out, K: o.in, A: o.x.Data(), LDA: o.in, C: o.y.Data(), LDC: o.out, Act: o.act}
	if p.M > few {
		o.outputs(c, p)
		return
	}
	p.Panels = o.panels
	if o.b != nil {
		p.Bias = o.b.Data()
	}
	o.multiply(c, p)
}

func (o *linear) arrange() {
	w := o.w.Data()
	if o.rounding != nil {
		w = make([]float32, len(w))
		kernel.RoundBFloat16(w, o.w.Data())
	}
	o.panels = kernel.NewPanels(w, o.in, true, o.in, o.out)
}

func (o *norm) forwardRows(c *Context, rows, of int) { o.compute.run(c, o.rows*rows/of, o.cols) }

func (o *elementwise) forwardRows(c *Context, rows, of int) { o.compute.run(c, o.x.size/of*rows, 1) }

func (o *sum) forwardRows(c *Context, rows, of int) { o.compute.run(c, o.y.size/of*rows, 1) }

func (o *product) forwardRows(c *Context, rows, of int) { o.compute.run(c, o.y.size/of*rows, 1) }

func (o *softmax) forwardRows(c *Context, rows, of int) {
	o.compute.run(c, o.rows*rows/of, 8*o.cols)
}

// rowEmbedding is y[r] = table[token of r] + positions[position of r].
type rowEmbedding struct {
	forwardOnly
	tokens              *Integers
	table, positions, y *Value // positions may be nil
}

// EmbedRows looks up a token for each row in the table (vocabulary, width) and adds positions (length, width), if not nil, at the row's
// place. The result is (rows, width). It panics on a token or a position outside.
func (g *Graph) EmbedRows(tokens *Integers, table, positions *Value) *Value {
	op := &rowEmbedding{tokens: tokens, table: table, positions: positions}
	n := g.record()
	n.use(table)
	if positions != nil {
		n.use(positions)
	}
	op.y = n.make(tokens.Size(), table.Dim(1))
	n.op = op
	return op.y
}

func (o *rowEmbedding) forwardRows(c *Context, rows, _ int) {
	for r, at := range c.Places[:rows] {
		dst, src := row(o.y, o.y.Data(), r, 0), row(o.table, o.table.Data(), int(o.tokens.data[r]), 0)
		if o.positions == nil {
			copy(dst, src)
		} else {
			kernel.Add(dst, src, row(o.positions, o.positions.Data(), at.Position, 0))
		}
	}
}

// rowPositions is y[r] = x[r] + table[position of r].
type rowPositions struct {
	forwardOnly
	x, table, y *Value
}

// PlaceRows adds to each row of x the table's (length, width) at the row's position.
func (g *Graph) PlaceRows(x, table *Value) *Value {
	op := &rowPositions{x: x, table: table}
	n := g.record()
	n.use(x, table)
	op.y = n.make(x.Shape...)
	n.op = op
	return op.y
}

func (o *rowPositions) forwardRows(c *Context, rows, _ int) {
	for r, at := range c.Places[:rows] {
		kernel.Add(row(o.y, o.y.Data(), r, 0), row(o.x, o.x.Data(), r, 0), row(o.table, o.table.Data(), at.Position, 0))
	}
}

// forwardOnly is an operation of programs that run forward, and row by row, alone.
type forwardOnly struct{}

func (forwardOnly) forward(*Context) {
	panic("tensor: an operation of rows in a program of whole texts")
}
func (forwardOnly) backward(*Context) { panic("tensor: backward through a program of rows") }
