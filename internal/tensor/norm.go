package tensor

import "ringmaster/internal/tensor/kernel"

// norm is layer or RMS normalisation along the last axis.
type norm struct {
	rows, cols     int
	x, gamma, beta *Value // gamma and beta may be nil; RMS normalisation has no beta
	y              *Value
	dx, dg, db     *sink
	mean, rstd     *buffer
	epsilon        float32
	rms            bool
	compute        *share
	traverse       *share
	columns        *share
}

// LayerNorm normalises each vector along the last axis to mean 0 and variance 1, then multiplies by gamma and adds beta,
// which may be nil.
func (g *Graph) LayerNorm(x, gamma, beta *Value, epsilon float32) *Value {
	return g.norm(x, gamma, beta, epsilon, false)
}

// RMSNorm divides each vector along the last axis by the root of its mean square, then multiplies by gamma, which may be nil.
func (g *Graph) RMSNorm(x, gamma *Value, epsilon float32) *Value {
	return g.norm(x, gamma, nil, epsilon, true)
}

func (g *Graph) norm(x, gamma, beta *Value, epsilon float32, rms bool) *Value {
	op := &norm{rows: x.Rows(), cols: x.Dim(-1), x: x, gamma: gamma, beta: beta, epsilon: epsilon, rms: rms}
	invariant(gamma == nil || gamma.size == op.cols, "norm of %v with another number of scales", x.Shape)
	invariant(beta == nil || gamma != nil && beta.size == op.cols, "norm of %v with another number of shifts", x.Shape)
	n := g.record()
	n.keep(x)
	op.dx = n.gradient(x, true)
	if gamma != nil {
		n.keep(gamma)
		op.dg = n.gradient(gamma, true)
	}
	if beta != nil {
		n.use(beta)
		op.db = n.gradient(beta, true)
	}
	if op.db.wanted() && !op.dg.wanted() {
		op.dg = n.scratch(gamma)
	}
	op.y = n.make(x.Shape...)
	op.mean, op.rstd = n.saved(op.rows), n.saved(op.rows)
	op.compute, op.traverse, op.columns = newShare(op.computeRows), newShare(op.traverseRows), newShare(op.traverseColumns)
	n.op = op
	return op.y
}

// elements of a value that may be nil.
func elements(v *Value) []float32 {
	if v == nil {
		return nil
	}
	return v.Data()
}

func (o *norm) computeRows(begin, end int) {
	i, j := begin*o.cols, end*o.cols
	if o.rms {
		kernel.RMSNorm(o.y.Data()[i:j], o.rstd.data[begin:end], o.x.Data()[i:j], elements(o.gamma), end-begin, o.cols, o.epsilon)
		return
	}
	kernel.LayerNorm(o.y.Data()[i:j], o.mean.data[begin:end], o.rstd.data[begin:end], o.x.Data()[i:j],
		elements(o.gamma), elements(o.beta), end-begin, o.cols, o.epsilon)
}

func (o *norm) traverseRows(begin, end int) {
	i, j := begin*o.cols, end*o.cols
	dx, dy, x, rstd := o.dx.data()[i:j], o.y.grad.data[i:j], o.x.Data()[i:j], o.rstd.data[begin:end]
	if o.rms {
		kernel.RMSNormBackward(dx, dy, x, elements(o.gamma), rstd, end-begin, o.cols, o.dx.add)
		return
	}
	kernel.LayerNormBackward(dx, dy, x, elements(o.gamma), o.mean.data[begin:end], rstd, end-begin, o.cols, o.dx.add)
}

func (o *norm) traverseColumns(begin, end int) {
	dg := o.dg.data()
	if !o.dg.add {
		clear(dg[begin:end])
	}
	if o.rms {
		kernel.RMSNormBackwardParams(dg, o.y.grad.data, o.x.Data(), o.rstd.data, o.rows, o.cols, begin, end)
		return
	}
	var db []float32
	if o.db.wanted() {
		if db = o.db.data(); !o.db.add {
			clear(db[begin:end])
		}
	}
	kernel.LayerNormBackwardParams(dg, db, o.y.grad.data, o.x.Data(), o.mean.data, o.rstd.data, o.rows, o.cols, begin, end)
}

func (o *norm) forward(c *Context) { o.compute.run(c, o.rows, o.cols) }

func (o *norm) backward(c *Context) {
	if o.dg.wanted() {
		o.columns.run(c, o.cols, o.rows)
	}
	if o.dx.wanted() {
		o.traverse.run(c, o.rows, o.cols)
	}
}
