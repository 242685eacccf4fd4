package tensor

import "ringmaster/internal/tensor/kernel"

// quantize is y[r] = table[k(r)]: each row of x becomes the row of the table that is nearest to it.
type quantize struct {
	samples, rows, width, codes int // rows are a sample's
	commitment                  float32
	x, table, y                 *Value
	dx, dtable                  *sink
	scores, norms               *buffer   // of all rows against all codes: x·e - |e|²/2, and -|e|²/2
	nearest                     []int32   // by row of all samples
	penalties                   []float64 // by sample
	product                     kernel.MatMul
	choose, traverse            *share
}

// Quantize puts in the place of every row of x (samples, ..., width) the row of the table (codes, width) that is nearest to it by
// squared distance, of equally near ones the first: the vector quantisation of VQ-VAE (van den Oord et al., 2017). The choice has no gradient, so
// that of the result goes to x as it is (straight-through). What the table learns from is a penalty, which the graph's loss contains: for
// each sample the mean of (sg[x]-e)² plus commitment times that of (x-sg[e])², where sg takes part in no gradient. The second result is
// the number of the row that each row of x chose, valid until the next run.
func (g *Graph) Quantize(x, table *Value, commitment float32) (*Value, []int32) {
	invariant(len(table.Shape) == 2 && table.Dim(1) == x.Dim(-1) && table.Dim(0) > 0, "quantize %v by a table of %v", x.Shape, table.Shape)
	op := &quantize{samples: x.Dim(0), rows: x.Rows() / x.Dim(0), width: x.Dim(-1), codes: table.Dim(0), commitment: commitment, x: x, table: table}
	op.nearest, op.penalties = make([]int32, x.Rows()), make([]float64, op.samples)
	n := g.record()
	n.keepExactly(x, table)
	op.dx, op.dtable = n.gradient(x, false), n.gradient(table, false)
	op.y = n.make(x.Shape...)
	n.keepExactly(op.y)
	op.scores, op.norms = newBuffer(x.Rows()*op.codes), newBuffer(op.codes)
	n.forward = append(n.forward, op.scores, op.norms)
	op.choose, op.traverse = newShare(op.chooseSamples), newShare(op.traverseElements)
	n.op = op
	g.penalties = append(g.penalties, op.penalties)
	return op.y, op.nearest
}

// code is the row of a table that belongs to a code.
func (o *quantize) code(table []float32, code int32) []float32 {
	return table[int(code)*o.width : (int(code)+1)*o.width]
}

func (o *quantize) forward(c *Context) {
	table := o.table.Data()
	for k := range o.codes {
		squares := float32(0)
		for _, v := range o.code(table, int32(k)) {
			squares += float32(v * v)
		}
		o.norms.data[k] = -squares / 2
	}
	o.product = kernel.MatMul{M: o.x.Rows(), N: o.codes, K: o.width, A: o.x.Data(), LDA: o.width,
		B: table, LDB: o.width, TransB: true, C: o.scores.data, LDC: o.codes, Bias: o.norms.data}
	c.Team.MatMul(&o.product)
	o.choose.run(c, o.samples, o.rows*(o.codes+4*o.width))
}

// chooseSamples finds the codes of samples and adds up their penalties, row by row. A row that is no number takes code 0, and shows in the penalty.
func (o *quantize) chooseSamples(begin, end int) {
	for sample := begin; sample < end; sample++ {
		total := 0.0
		for row := sample * o.rows; row < (sample+1)*o.rows; row++ {
			code := int32(max(kernel.ArgMax(o.scores.data[row*o.codes:(row+1)*o.codes]), 0))
			o.nearest[row] = code
			i, j := row*o.width, (row+1)*o.width
			y := o.y.Data()[i:j]
			copy(y, o.code(o.table.Data(), code))
			for d, v := range o.x.Data()[i:j] {
				apart := float64(v - y[d])
				total += float64(apart * apart)
			}
		}
		o.penalties[sample] = float64((1 + float64(o.commitment)) * (total / float64(o.rows*o.width)))
	}
}

func (o *quantize) backward(c *Context) {
	if o.dx.wanted() {
		o.traverse.run(c, o.x.size, 3)
	}
	if !o.dtable.wanted() {
		return
	}
	table := o.dtable.data()
	clear(table)
	x, y, pull := o.x.Data(), o.y.Data(), 2/float32(o.rows*o.width)
	for row, code := range o.nearest { // ascending, whatever the threads
		d := o.code(table, code)
		for i := range d {
			k := row*o.width + i
			d[i] += float32(pull * (y[k] - x[k]))
		}
	}
}

// traverseElements writes elements of the gradient of x: that of y, and the pull to the code.
func (o *quantize) traverseElements(begin, end int) {
	dx, dy, x, y := o.dx.data(), o.y.grad.data, o.x.Data(), o.y.Data()
	pull := o.commitment * (2 / float32(o.rows*o.width))
	for i := begin; i < end; i++ {
		dx[i] = dy[i] + float32(pull*(x[i]-y[i]))
	}
}

func (o *quantize) multiplyAdds() (forward, backward int) { return o.x.size * o.codes, 0 }
