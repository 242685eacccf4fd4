package tensor

import (
	"slices"

	"ringmaster/internal/tensor/kernel"
)

// headRoom is how many logits are in memory at a time where those of all rows are more. Fewer would have the weight's gradient, which is
// added up piece by piece, pass through memory more often.
const headRoom = 1 << 22

// headUnit is a number of rows that pieces are multiples of, so that matrix products have whole tiles.
const headUnit = 16

// head is a linear layer and the cross entropy of what it gives, computed in pieces of rows of which only one is in memory: its logits,
// in whose place their gradient comes. With a piece at hand Forward computes what Backward otherwise would. The bits are those of the layer and the loss
// apart: a row's loss depends on its logits alone, and the weight's gradient adds up rows in ascending order, wherever they are cut.
type head struct {
	*linear
	loss   *crossEntropy
	piece  int // rows
	logits *buffer
}

// inPieces makes the last operation, if it is a linear layer whose only use is this loss and whose logits are many, a head that computes
// both; it reports whether it is.
func (g *Graph) inPieces(loss *crossEntropy, logits, weights *Value) bool {
	n := g.nodes[len(g.nodes)-1]
	layer, is := n.op.(*linear)
	if !is || layer.y.storage != logits.storage || layer.act != kernel.None || logits.size <= g.headRoom ||
		loss.classWeights != nil || loss.seconds != nil || g.joint != nil || g.holds(logits) {
		return false
	}
	o := &head{linear: layer, loss: loss}
	pieces := (layer.rows*layer.out + g.headRoom - 1) / g.headRoom
	o.piece = min(layer.rows, ((layer.rows+pieces-1)/pieces+headUnit-1)/headUnit*headUnit)
	o.logits = newBuffer(o.piece * layer.out)
	n.forward = append(n.forward, o.logits)
	n.reads, n.keeps, n.makes = append(n.reads, n.keeps...), nil, nil
	g.values = slices.DeleteFunc(g.values, func(v *storage) bool { return v == logits.storage })
	place := &Value{Shape: []int{o.piece, layer.out}, storage: &storage{size: o.logits.size, data: o.logits}}
	loss.prepare(g, layer.rows, place, weights, 8, loss.computeRows)
	if len(n.sinks) > 0 {
		loss.dx = &sink{place: o.logits}
	}
	n.early, n.op = true, o
	o.columns = newShare(o.sumColumns)
	return true
}

// holds reports whether a value is to stay to the end of forward.
func (g *Graph) holds(v *Value) bool {
	return slices.ContainsFunc(g.held, func(h *Value) bool { return h.storage == v.storage })
}

func (o *head) forward(c *Context) {
	o.loss.begin()
	for first := 0; first < o.rows; first += o.piece {
		rows := min(o.piece, o.rows-first)
		o.outputs(c, kernel.MatMul{M: rows, K: o.in, A: o.x.Data()[first*o.in:], LDA: o.in, C: o.logits.data, LDC: o.out, ZerosA: o.x.role == input})
		o.loss.take(c, first, rows)
		o.gradients(c, first, rows)
	}
	o.loss.sum(c)
}

// gradients takes what a piece's logits have become, their gradient, to those of the layer, as linear's backward does.
func (o *head) gradients(c *Context, first, rows int) {
	d, x := o.logits.data, o.x.Data()[first*o.in:]
	if o.db.wanted() {
		o.columns.run(c, o.out, rows)
	}
	if o.dw.wanted() || o.dx.wanted() {
		o.rounding.round(c, d[:rows*o.out], d[:rows*o.out])
	}
	if o.dw.wanted() {
		o.multiply(c, kernel.MatMul{
			M: o.out, N: o.in, K: rows, A: d, LDA: o.out, TransA: true, B: x, LDB: o.in,
			C: o.dw.data(), LDC: o.in, Accumulate: first > 0, ZerosB: o.x.role == input,
		})
	}
	if o.dx.wanted() {
		o.inputs(c, o.dx.data()[first*o.in:], d, rows, false)
	}
}

// sumColumns adds the rows of the piece in work to db.
func (o *head) sumColumns(begin, end int) {
	db, rows := o.db.data(), o.loss.inWork
	if o.loss.first == 0 {
		clear(db[begin:end])
	}
	kernel.ColSumToPart(db, o.logits.data[:rows*o.out], rows, begin, end)
}

func (o *head) backward(*Context) {} // forward has left the gradients in their places
