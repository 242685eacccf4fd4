package tensor

import (
	"fmt"
	"math"
	"slices"

	"ringmaster/internal/plan"
	"ringmaster/internal/rng"
	"ringmaster/internal/tensor/kernel"
)

// attentionBlock is how many queries and keys attention works on at a time, so that memory is linear in the length. It
// decides the order of additions in the online softmax, and so is part of the numerics contract.
const attentionBlock = 64

// Columns is a range of the last axis of a (samples, length, width) value: queries, keys and values may lie side by side
// in one value, as one linear layer gives them.
type Columns struct {
	*Value
	Offset int
}

// AttentionOptions says how positions attend.
type AttentionOptions struct {
	Heads  int
	Dim    int     // of a head; each of query, key and value has Heads*Dim columns
	Scale  float32 // of the scores, positive; usually 1/sqrt(Dim)
	Causal bool    // position t sees keys up to t
	Bias   *Value  // (Heads, queries, keys), added to the scaled scores; nil for none
	Padded bool    // sample n has only Context.Lengths[n] keys
	Rate   float32 // dropout of the probabilities, in training
}

// attention is softmax(scale q·kᵀ + bias)·v for every sample and head. Forward keeps the logarithm of each row's sum, from
// which backward computes the probabilities again.
type attention struct {
	AttentionOptions
	samples, queries, keys int
	q, k, v                Columns
	y                      *Value
	dq, dk, dv             *sink   // the same sink where the values are the same
	partial                []*sink // those of values with columns that attention does not read
	dbias                  *sink
	logs                   *buffer // (samples, heads, queries)
	dots                   *buffer // likewise: sum of dy*y over a head's columns
	work                   []attentionWork
	compute, traverse      func(part int)
	units, parts           int
	layer                  uint64 // of dropout
	key                    rng.Key
	lengths                []int32
}

// attentionWork is what one thread needs.
type attentionWork struct {
	scores, grads       [attentionBlock * attentionBlock]float32
	highest, sums, step [attentionBlock]float32
	product             kernel.MatMul
}

// Attention attends from the queries q to the keys k with the values v, all (samples, length, ...) values of which the
// given columns count; k and v have one length. The result is (samples, queries, Heads*Dim), heads side by side. A row
// that sees no key is zero. Columns of one value must not overlap.
func (g *Graph) Attention(q, k, v Columns, options AttentionOptions) *Value {
	width := options.Heads * options.Dim
	op := &attention{AttentionOptions: options, q: q, k: k, v: v, samples: q.Dim(0), queries: q.Dim(1), keys: k.Dim(1)}
	for _, x := range []Columns{q, k, v} {
		invariant(len(x.Shape) == 3 && x.Offset >= 0 && x.Offset+width <= x.Dim(2) && x.Dim(0) == op.samples,
			"attention: %d columns from %d on of %v", width, x.Offset, x.Shape)
	}
	invariant(v.Dim(1) == op.keys && (!options.Causal || op.keys == op.queries) && options.Scale > 0,
		"attention: %d queries, %d keys, %d values, scale %v", op.queries, op.keys, v.Dim(1), options.Scale)
	if !g.training {
		op.Rate = 0
	}
	if op.Rate > 0 {
		op.layer = g.dropoutLayer()
	}
	n := g.record()
	n.keep(q.Value, k.Value, v.Value)
	op.recordSinks(n)
	op.y = n.make(op.samples, op.queries, width)
	n.keep(op.y)
	op.units = op.samples * op.Heads
	op.logs = n.saved(op.units * op.queries)
	if g.training {
		op.dots = n.temporaryBackward(op.units * op.queries)
	}
	op.compute = func(part int) { op.each(part, op.forwardHead) }
	op.traverse = func(part int) { op.each(part, op.backwardHead) }
	n.op = op
	return op.y
}

// recordSinks asks for one sink for each value, which queries, keys and values may share.
func (o *attention) recordSinks(n *node) {
	parts := [3]Columns{o.q, o.k, o.v}
	var sinks [3]*sink
	width := o.Heads * o.Dim
	for i, x := range parts {
		first := slices.IndexFunc(parts[:], func(c Columns) bool { return c.storage == x.storage })
		if first == i {
			sinks[i] = n.gradient(x.Value, false)
		}
		sinks[i] = sinks[first]
		covered := width
		for j, other := range parts {
			if j != i && other.storage == x.storage {
				covered += width
				invariant(other.Offset+width <= x.Offset || x.Offset+width <= other.Offset,
					"attention: columns from %d and from %d of one value overlap", x.Offset, other.Offset)
			}
		}
		if first == i && sinks[i] != nil && covered < x.Dim(2) {
			o.partial = append(o.partial, sinks[i])
		}
	}
	o.dq, o.dk, o.dv = sinks[0], sinks[1], sinks[2]
	if o.Bias != nil {
		invariant(o.Bias.size == o.Heads*o.queries*o.keys, "attention: bias %v", o.Bias.Shape)
		n.keep(o.Bias)
		o.dbias = n.gradient(o.Bias, true)
	}
}

// each runs a thread's samples and heads. With a bias, whose gradient sums over samples, a thread has whole heads.
func (o *attention) each(part int, head func(w *attentionWork, sample, head int)) {
	w := &o.work[part]
	if o.Bias != nil {
		heads := plan.Interval{End: o.Heads}.Part(part, o.parts)
		for h := heads.Begin; h < heads.End; h++ {
			for n := range o.samples {
				head(w, n, h)
			}
		}
		return
	}
	units := plan.Interval{End: o.units}.Part(part, o.parts)
	for u := units.Begin; u < units.End; u++ {
		head(w, u/o.Heads, u%o.Heads)
	}
}

func (o *attention) run(c *Context, task func(part int)) {
	o.lengths = c.Lengths
	if o.Rate > 0 {
		o.key = c.Key.Derive(dropoutStream + o.layer)
	}
	o.parts = min(c.Team.Threads(), o.units)
	if o.Bias != nil {
		o.parts = min(o.parts, o.Heads)
	}
	if len(o.work) < o.parts {
		o.work = make([]attentionWork, o.parts)
	}
	c.Team.Run(o.parts, task)
}

func (o *attention) forward(c *Context) { o.run(c, o.compute) }

func (o *attention) backward(c *Context) {
	if s := o.dbias; s.wanted() && !s.add {
		clear(s.data())
	}
	for _, s := range o.partial {
		clear(s.data())
	}
	o.run(c, o.traverse)
}

// matrix is a block of a (samples, length, width) value: rows of one sample, columns of one head.
type matrix struct {
	data   []float32
	stride int
}

func (o *attention) block(x Columns, data []float32, sample, head, row int) matrix {
	stride := x.Dim(2)
	return matrix{data[(sample*x.Dim(1)+row)*stride+x.Offset+head*o.Dim:], stride}
}

// columns of the result, and of its gradient.
func (o *attention) result() Columns { return Columns{Value: o.y} }

// visible is how many of the keys [key, key+count) the query sees.
func (o *attention) visible(sample, query, key, count int) int {
	end := o.keys
	if o.Padded {
		length := int(o.lengths[sample])
		if length < 0 || length > o.keys {
			panic(fmt.Sprintf("tensor: attention: sample %d has %d of %d keys", sample, length, o.keys))
		}
		end = length
	}
	if o.Causal {
		end = min(end, query+1)
	}
	return max(min(count, end-key), 0)
}

// lastKey is where the keys end that any query below the row end can see by causality.
func (o *attention) lastKey(end int) int {
	if o.Causal {
		return end
	}
	return o.keys
}

func (w *attentionWork) multiply(p kernel.MatMul) {
	w.product = p
	(*kernel.Team)(nil).MatMul(&w.product)
}

// score fills w.scores with q·kᵀ for a block of queries and keys, not yet scaled.
func (o *attention) score(w *attentionWork, sample, head, query, rows, key, cols int) {
	q, k := o.block(o.q, o.q.Data(), sample, head, query), o.block(o.k, o.k.Data(), sample, head, key)
	w.multiply(kernel.MatMul{M: rows, N: cols, K: o.Dim, A: q.data, LDA: q.stride, B: k.data, LDB: k.stride, TransB: true,
		C: w.scores[:], LDC: attentionBlock})
}

// biased makes scores final where there is a bias: scale*s + bias. It returns the scale and that is left to apply.
func (o *attention) biased(s []float32, head, query, key int) (scale float32) {
	if o.Bias == nil {
		return o.Scale
	}
	kernel.ScaleShift(s, s, o.Scale, 0)
	at := (head*o.queries+query)*o.keys + key
	kernel.AddTo(s, o.Bias.Data()[at:at+len(s)])
	return 1
}

func (o *attention) forwardHead(w *attentionWork, sample, head int) {
	for query := 0; query < o.queries; query += attentionBlock {
		rows := min(attentionBlock, o.queries-query)
		for r := range rows {
			w.highest[r], w.sums[r] = float32(math.Inf(-1)), 0
		}
		end := o.lastKey(query + rows)
		y := o.block(o.result(), o.y.Data(), sample, head, query)
		for key := 0; key < end; key += attentionBlock {
			cols := min(attentionBlock, o.keys-key)
			o.score(w, sample, head, query, rows, key, cols)
			o.onlineSoftmax(w, y, sample, head, query, rows, key, cols)
			o.dropBlock(w, sample, head, query, rows, key, cols)
			v := o.block(o.v, o.v.Data(), sample, head, key)
			w.multiply(kernel.MatMul{M: rows, N: o.Dim, K: cols, A: w.scores[:], LDA: attentionBlock, B: v.data, LDB: v.stride,
				C: y.data, LDC: y.stride, Accumulate: key > 0})
		}
		o.finish(w, y, sample, head, query, rows)
	}
}

// dropped is where a row of probabilities lies in the stream of random numbers.
func (o *attention) dropped(sample, head, query, key int) uint64 {
	return uint64(((sample*o.Heads+head)*o.queries+query)*o.keys + key)
}

// dropBlock applies dropout to a block of probabilities. Sums are of what was before it.
func (o *attention) dropBlock(w *attentionWork, sample, head, query, rows, key, cols int) {
	if o.Rate == 0 {
		return
	}
	for r := range rows {
		s := w.scores[r*attentionBlock:][:cols]
		kernel.Dropout(s, s, o.key, o.dropped(sample, head, query+r, key), o.Rate)
	}
}

// onlineSoftmax turns a block of scores into e^(score - highest), where highest is the largest score of the row so far;
// what was summed before under a lower one is scaled down.
func (o *attention) onlineSoftmax(w *attentionWork, y matrix, sample, head, query, rows, key, cols int) {
	for r := range rows {
		n := o.visible(sample, query+r, key, cols)
		s := w.scores[r*attentionBlock:][:cols]
		clear(s[n:])
		if s = s[:n]; n == 0 {
			w.step[r] = 0
			continue
		}
		scale := o.biased(s, head, query+r, key)
		before := w.highest[r]
		highest := max(before, float32(scale*kernel.Max(s)))
		sum := kernel.ExpScaleShiftSum(s, s, scale, -highest)
		w.highest[r], w.step[r] = highest, before-highest
		if key == 0 {
			w.sums[r] = sum
			continue
		}
		factor := w.step[r : r+1]
		kernel.Exp(factor, factor)
		w.sums[r] = float32(w.sums[r]*factor[0]) + sum
		if row := y.data[r*y.stride:][:o.Dim]; factor[0] != 1 {
			kernel.Scale(row, factor[0], row)
		}
	}
}

// finish divides the rows by their sums and keeps the logarithms for backward.
func (o *attention) finish(w *attentionWork, y matrix, sample, head, query, rows int) {
	logs := o.logs.data[(sample*o.Heads+head)*o.queries+query:][:rows]
	kernel.Log(logs, w.sums[:rows])
	for r, sum := range w.sums[:rows] {
		row := y.data[r*y.stride:][:o.Dim]
		if sum == 0 { // no key is visible
			clear(row)
			logs[r] = float32(math.Inf(1))
			continue
		}
		kernel.Scale(row, 1/sum, row)
		logs[r] += w.highest[r]
	}
}

func (o *attention) backwardHead(w *attentionWork, sample, head int) {
	dots := o.dots.data[(sample*o.Heads+head)*o.queries:][:o.queries]
	for r := range dots {
		y, dy := o.block(o.result(), o.y.Data(), sample, head, r), o.block(o.result(), o.y.grad.data, sample, head, r)
		dots[r] = kernel.Dot(dy.data[:o.Dim], y.data[:o.Dim])
	}
	for key := 0; key < o.keys; key += attentionBlock {
		cols := min(attentionBlock, o.keys-key)
		first := 0
		if o.Causal {
			first = key
		}
		for query := first; query < o.queries; query += attentionBlock {
			rows := min(attentionBlock, o.queries-query)
			o.score(w, sample, head, query, rows, key, cols)
			o.backwardBlock(w, sample, head, query, rows, key, cols, query > first)
		}
	}
}

// backwardBlock adds what a block of queries and keys gives to the gradients. Keys ascend in dq, queries in dk and dv.
func (o *attention) backwardBlock(w *attentionWork, sample, head, query, rows, key, cols int, again bool) {
	v := o.block(o.v, o.v.Data(), sample, head, key)
	dy := o.block(o.result(), o.y.grad.data, sample, head, query)
	w.multiply(kernel.MatMul{M: rows, N: cols, K: o.Dim, A: dy.data, LDA: dy.stride, B: v.data, LDB: v.stride, TransB: true,
		C: w.grads[:], LDC: attentionBlock})
	at := (sample*o.Heads+head)*o.queries + query
	for r := range rows {
		if d := w.grads[r*attentionBlock:][:cols]; o.Rate > 0 {
			kernel.Dropout(d, d, o.key, o.dropped(sample, head, query+r, key), o.Rate)
		}
		o.backwardRow(w, r, o.visible(sample, query+r, key, cols), cols, head, query+r, key, o.logs.data[at+r], o.dots.data[at+r])
	}
	o.dropBlock(w, sample, head, query, rows, key, cols)
	if o.dv.wanted() {
		dv := o.block(o.v, o.dv.data(), sample, head, key)
		w.multiply(kernel.MatMul{M: cols, N: o.Dim, K: rows, A: w.scores[:], LDA: attentionBlock, TransA: true,
			B: dy.data, LDB: dy.stride, C: dv.data, LDC: dv.stride, Accumulate: again})
	}
	if o.dq.wanted() {
		k, dq := o.block(o.k, o.k.Data(), sample, head, key), o.block(o.q, o.dq.data(), sample, head, query)
		w.multiply(kernel.MatMul{M: rows, N: o.Dim, K: cols, A: w.grads[:], LDA: attentionBlock, B: k.data, LDB: k.stride,
			C: dq.data, LDC: dq.stride, Accumulate: key > 0})
	}
	if o.dk.wanted() {
		q, dk := o.block(o.q, o.q.Data(), sample, head, query), o.block(o.k, o.dk.data(), sample, head, key)
		w.multiply(kernel.MatMul{M: cols, N: o.Dim, K: rows, A: w.grads[:], LDA: attentionBlock, TransA: true,
			B: q.data, LDB: q.stride, C: dk.data, LDC: dk.stride, Accumulate: again})
	}
}

// backwardRow turns a row of scores into probabilities p = e^(score - log) and the row's gradient of the probabilities into
// that of the products q·k: scale p (grad - dot).
func (o *attention) backwardRow(w *attentionWork, r, n, cols, head, query, key int, log, dot float32) {
	s, d := w.scores[r*attentionBlock:][:cols], w.grads[r*attentionBlock:][:cols]
	clear(s[n:])
	clear(d[n:])
	if n == 0 {
		return
	}
	s, d = s[:n], d[:n]
	kernel.ExpScaleShift(s, s, o.biased(s, head, query, key), -log)
	if !o.dbias.wanted() {
		kernel.ScaleShiftMul(d, d, s, o.Scale, -float32(o.Scale*dot))
		return
	}
	kernel.ScaleShiftMul(d, d, s, 1, -dot)
	at := (head*o.queries+query)*o.keys + key
	kernel.AddTo(o.dbias.data()[at:at+n], d)
	kernel.Scale(d, o.Scale, d)
}
