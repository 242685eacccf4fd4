package tensor

import (
	"fmt"
	"math"

	"ringmaster/internal/plan"
	"ringmaster/internal/rng"
	"ringmaster/internal/tensor/kernel"
)

// attentionBlock is how many queries and keys attention works on at a time, so that memory is linear in the length. It
// decides the order of additions in the online softmax, and so is part of the numerics contract.
const attentionBlock = 64

// causalStrip is how many rows of a block on the diagonal are worked on together where attention is causal, with the keys up to the
// last of them: so a product takes 10 of the block's 16 parts. Keys that a row does not see end its chains of additions, or begin
// them, so this belongs to the contract too.
const causalStrip = 16

// Columns is a range of the last axis of a (samples, length, width) value: queries, keys and values may lie side by side
// in one value, as one linear layer gives them.
type Columns struct {
	*Value
	Offset int
}

// AttentionOptions says how positions attend.
type AttentionOptions struct {
	Heads    int // of the queries
	KeyHeads int // of keys and values, each for Heads/KeyHeads heads of queries one after another; 0: as many as Heads

	Dim    int     // of a head; the queries have Heads*Dim columns, keys and values KeyHeads*Dim
	Scale  float32 // of the scores, positive; usually 1/sqrt(Dim)
	Causal bool    // position t sees keys up to t
	Bias   *Value  // (Heads, queries, keys), added to the scaled scores; nil for none
	Padded bool    // sample n has only Context.Lengths[n] keys; where Lengths is nil, all of them
	Rate   float32 // dropout of the probabilities, in training

	// Places (samples, queries) are the places of positions in their documents, of causal attention without bias: position t sees no key before
	// t-Places[t]. Each is 0 or the one before it plus 1. nil: each sample is one document.
	Places *Integers
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
	group                  int    // heads of queries that share keys and values
	layer                  uint64 // of dropout
	key                    rng.Key
	lengths                []int32
	rounding               *rounding
}

// attentionWork is what one thread needs.
type attentionWork struct {
	scores, grads [attentionBlock * attentionBlock]float32
	seen          [attentionBlock]int // keys of the block that a row sees
	highest, sums [attentionBlock]float32
	shift, factor [attentionBlock]float32 // a row's, in what is done with all rows at once
	fresh         [attentionBlock]float32 // a row's largest score or sum in a block
	keys, values  []float32               // a block of each across: (Dim, attentionBlock)
	product       kernel.MatMul
}

// Attention attends from the queries q to the keys k with the values v, all (samples, length, ...) values of which the
// given columns count; k and v have one length. The result is (samples, queries, Heads*Dim), heads side by side. A row
// that sees no key is zero. Columns of one value must not overlap.
func (g *Graph) Attention(q, k, v Columns, options AttentionOptions) *Value {
	if options.KeyHeads == 0 {
		options.KeyHeads = options.Heads
	}
	op := &attention{group: options.Heads / options.KeyHeads, AttentionOptions: options, q: q, k: k, v: v, samples: q.Dim(0), queries: q.Dim(1), keys: k.Dim(1)}
	for i, x := range []Columns{q, k, v} {
		invariant(len(x.Shape) == 3 && x.Offset >= 0 && x.Offset+op.width(i) <= x.Dim(2) && x.Dim(0) == op.samples,
			"attention: %d columns from %d on of %v", op.width(i), x.Offset, x.Shape)
	}
	invariant(options.Heads%options.KeyHeads == 0, "attention: %d heads, and %d of keys", options.Heads, options.KeyHeads)
	invariant(v.Dim(1) == op.keys && (!options.Causal || op.keys == op.queries) && options.Scale > 0,
		"attention: %d queries, %d keys, %d values, scale %v", op.queries, op.keys, v.Dim(1), options.Scale)
	invariant(options.Places == nil || options.Causal && options.Bias == nil && options.Places.Size() == op.samples*op.queries,
		"attention: places go with causal attention without bias")
	if !g.training {
		op.Rate = 0
	}
	if op.Rate > 0 {
		op.layer = g.dropoutLayer()
	}
	n := g.record()
	n.keep(q.Value, k.Value, v.Value)
	n.multiplies(q.Value, k.Value, v.Value)
	op.rounding = g.rounding()
	op.recordSinks(n)
	op.y = n.make(op.samples, op.queries, op.width(0))
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

// width is how many columns of the queries (0), the keys (1) or the values (2) count.
func (o *attention) width(part int) int {
	if part == 0 {
		return o.Heads * o.Dim
	}
	return o.KeyHeads * o.Dim
}

// each runs a thread's samples and heads. Heads of one group, whose gradients sum in their keys and values, go to one thread, in their order. With
// a bias, whose gradient sums over samples, a thread has all samples of its heads.
func (o *attention) each(part int, head func(w *attentionWork, sample, head int)) {
	w := &o.work[part]
	units := plan.Interval{End: o.samples * o.KeyHeads}
	if o.Bias != nil {
		units.End = o.KeyHeads
	}
	units = units.Part(part, o.parts)
	for u := units.Begin; u < units.End; u++ {
		if o.Bias == nil {
			o.eachOfGroup(w, u/o.KeyHeads, u%o.KeyHeads, head)
			continue
		}
		for n := range o.samples {
			o.eachOfGroup(w, n, u, head)
		}
	}
}

func (o *attention) eachOfGroup(w *attentionWork, sample, keyHead int, head func(w *attentionWork, sample, head int)) {
	for h := range o.group {
		head(w, sample, keyHead*o.group+h)
	}
}

func (o *attention) run(c *Context, task func(part int)) {
	o.lengths = c.Lengths
	o.checkPlaces()
	if o.Rate > 0 {
		o.key = c.Key.Derive(dropoutStream + o.layer)
	}
	o.parts = min(c.Team.Threads(), o.samples*o.KeyHeads)
	if o.Bias != nil {
		o.parts = min(o.parts, o.KeyHeads)
	}
	for len(o.work) < o.parts {
		size := o.Dim * attentionBlock
		o.work = append(o.work, attentionWork{keys: make([]float32, size), values: make([]float32, size)})
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
	o.rounding.round(c, o.y.grad.data, o.y.grad.data)
	o.run(c, o.traverse)
}

// matrix is a block of a (samples, length, width) value: rows of one sample, columns of one head.
type matrix struct {
	data   []float32
	stride int
}

// from is the matrix without its first rows.
func (m matrix) from(row int) matrix { return matrix{m.data[row*m.stride:], m.stride} }

// block is queries and keys of one sample and head that are worked on together.
type block struct {
	sample, head int
	query, rows  int // queries [query, query+rows)
	key, cols    int // keys [key, key+cols)
	strip        int // rows that go together: attentionBlock, or causalStrip
}

func (o *attention) block(sample, head, query, key int) block {
	b := block{sample: sample, head: head, query: query, rows: min(attentionBlock, o.queries-query),
		key: key, cols: min(attentionBlock, o.keys-key), strip: attentionBlock}
	if o.Causal && query == key {
		b.strip = causalStrip
	}
	return b
}

// height is how many rows the strip from row r on has.
func (b block) height(r int) int { return min(b.strip, b.rows-r) }

// reach is how many keys the strip with row r works on. The others, if any, are seen by none of its rows; and the strip of keys
// from key c on is seen by the rows from c on.
func (b block) reach(r int) int { return min(b.cols, r-r%b.strip+b.strip) }

// queriesOf are the columns of the block's head in the rows of its queries, keysOf in those of its keys: of x's data or gradient.
func (o *attention) queriesOf(x Columns, data []float32, b block) matrix {
	return o.matrix(x, data, b.sample, b.head, b.query)
}

func (o *attention) keysOf(x Columns, data []float32, b block) matrix {
	return o.matrix(x, data, b.sample, b.head/o.group, b.key)
}

func (o *attention) matrix(x Columns, data []float32, sample, head, row int) matrix {
	stride := x.Dim(2)
	return matrix{data[(sample*x.Dim(1)+row)*stride+x.Offset+head*o.Dim:], stride}
}

// columns of the result, and of its gradient.
func (o *attention) result() Columns { return Columns{Value: o.y} }

// visible is how many of the block's keys its row r sees.
func (o *attention) visible(b block, r int) int {
	end := o.keys
	if o.Padded && o.lengths != nil {
		length := int(o.lengths[b.sample])
		if length < 0 || length > o.keys {
			panic(fmt.Sprintf("tensor: attention: sample %d has %d of %d keys", b.sample, length, o.keys))
		}
		end = length
	}
	if o.Causal {
		end = min(end, b.query+r+1)
	}
	return max(min(b.cols, end-b.key), 0)
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

// across puts the block's rows of a value like the keys side by side, which products with them would do for each strip.
func (o *attention) across(dst []float32, x Columns, b block) {
	m := o.keysOf(x, x.Data(), b)
	kernel.Transpose(dst, attentionBlock, m.data, m.stride, b.cols, o.Dim)
}

// outer fills dst with x times the matrix across, for the strips' rows and the keys in their reach.
func (o *attention) outer(w *attentionWork, dst []float32, x matrix, across []float32, b block) {
	for r := 0; r < b.rows; r += b.strip {
		w.multiply(kernel.MatMul{M: b.height(r), N: b.reach(r), K: o.Dim, A: x.from(r).data, LDA: x.stride, B: across, LDB: attentionBlock,
			C: dst[r*attentionBlock:], LDC: attentionBlock})
	}
}

// alongKeys computes dst = weights times x, which has a row for each key, for all rows of the block.
func (o *attention) alongKeys(w *attentionWork, dst matrix, weights []float32, x matrix, b block, add bool) {
	for r := 0; r < b.rows; r += b.strip {
		w.multiply(kernel.MatMul{M: b.height(r), N: o.Dim, K: b.reach(r), A: weights[r*attentionBlock:], LDA: attentionBlock,
			B: x.data, LDB: x.stride, C: dst.from(r).data, LDC: dst.stride, Accumulate: add})
	}
}

// alongQueries computes dst = weights transposed times x, which has a row for each query, for all keys of the block.
func (o *attention) alongQueries(w *attentionWork, dst matrix, weights []float32, x matrix, b block, add bool) {
	for c := 0; c < b.cols; c += b.strip {
		w.multiply(kernel.MatMul{M: min(b.strip, b.cols-c), N: o.Dim, K: b.rows - c, A: weights[c*attentionBlock+c:], LDA: attentionBlock, TransA: true,
			B: x.from(c).data, LDB: x.stride, C: dst.from(c).data, LDC: dst.stride, Accumulate: add})
	}
}

// strips calls visit for the rows [r, end) of each strip and the keys that these work on.
func (b block) strips(visit func(r, end, keys int)) {
	for r := 0; r < b.rows; r += b.strip {
		visit(r, r+b.height(r), b.reach(r))
	}
}

// settle makes a block's scores final but for a scale, which it returns: with the bias, if there is one, and minus infinity, whose
// exponential is 0, for keys that a row does not see.
func (o *attention) settle(w *attentionWork, b block) (scale float32) {
	hidden := float32(math.Inf(-1))
	for r := range b.rows {
		n := o.visible(b, r)
		s := w.scores[r*attentionBlock:][:b.reach(r)]
		for i := n; i < len(s); i++ {
			s[i] = hidden
		}
		for i := range min(o.start(b.sample, b.query+r)-b.key, len(s)) { // of documents before
			s[i] = hidden
		}
		w.seen[r] = n
		if o.Bias != nil {
			kernel.ScaleShift(s[:n], s[:n], o.Scale, 0)
			kernel.AddTo(s[:n], o.Bias.Data()[o.biasAt(b, r):][:n])
		}
	}
	if o.Bias != nil {
		return 1
	}
	return o.Scale
}

func (o *attention) biasAt(b block, r int) int { return (b.head*o.queries+b.query+r)*o.keys + b.key }

func (o *attention) forwardHead(w *attentionWork, sample, head int) {
	for query := 0; query < o.queries; query += attentionBlock {
		rows := min(attentionBlock, o.queries-query)
		for r := range rows {
			w.highest[r], w.sums[r] = float32(math.Inf(-1)), 0
		}
		y := o.matrix(o.result(), o.y.Data(), sample, head, query)
		first := o.firstKey(sample, query)
		for key := first; key < o.lastKey(query+rows); key += attentionBlock {
			b := o.block(sample, head, query, key)
			o.across(w.keys, o.k, b)
			o.outer(w, w.scores[:], o.queriesOf(o.q, o.q.Data(), b), w.keys, b)
			o.onlineSoftmax(w, y, b, key > first)
			o.drop(w.scores[:], b)
			o.roundBlock(w.scores[:], b)
			o.alongKeys(w, y, w.scores[:], o.keysOf(o.v, o.v.Data(), b), b, key > first)
		}
		o.finish(w, y, sample, head, query, rows)
	}
}

// drop applies dropout to what belongs to a block of probabilities, whose sums are of what was before it.
func (o *attention) drop(s []float32, b block) {
	if o.Rate == 0 {
		return
	}
	for r := range b.rows {
		at := uint64(((b.sample*o.Heads+b.head)*o.queries+b.query+r)*o.keys + b.key)
		row := s[r*attentionBlock:][:b.reach(r)]
		kernel.Dropout(row, row, o.key, at, o.Rate)
	}
}

// onlineSoftmax turns a block of scores into e^(score - highest), where highest is the largest score of the row so far;
// what was summed before under a lower one is scaled down. again says that there are blocks of keys before.
func (o *attention) onlineSoftmax(w *attentionWork, y matrix, b block, again bool) {
	scale := o.settle(w, b)
	b.strips(func(r, end, keys int) {
		kernel.MaxRows(w.fresh[r:end], w.scores[r*attentionBlock:], keys, attentionBlock)
	})
	for r, most := range w.fresh[:b.rows] {
		before := w.highest[r]
		highest := max(before, float32(scale*most))
		w.highest[r], w.factor[r], w.shift[r] = highest, before-highest, -highest
		if math.IsInf(float64(highest), -1) { // no key is visible yet
			w.factor[r], w.shift[r] = 0, 0
		}
	}
	b.strips(func(r, end, keys int) {
		kernel.ExpScaleShiftSumRows(w.fresh[r:end], w.scores[r*attentionBlock:], keys, attentionBlock, scale, w.shift[r:end])
	})
	if !again {
		copy(w.sums[:b.rows], w.fresh[:])
		return
	}
	factors := w.factor[:b.rows]
	kernel.Exp(factors, factors)
	for r, factor := range factors {
		w.sums[r] = float32(w.sums[r]*factor) + w.fresh[r]
	}
	kernel.ScaleRows(y.data, factors, o.Dim, y.stride)
}

// finish divides the rows by their sums and keeps the logarithms for backward.
func (o *attention) finish(w *attentionWork, y matrix, sample, head, query, rows int) {
	logs := o.logs.data[(sample*o.Heads+head)*o.queries+query:][:rows]
	kernel.Log(logs, w.sums[:rows])
	for r, sum := range w.sums[:rows] {
		w.factor[r] = 1 / sum
		logs[r] += w.highest[r]
	}
	kernel.ScaleRows(y.data, w.factor[:rows], o.Dim, y.stride)
	for r, sum := range w.sums[:rows] {
		if sum == 0 { // no key is visible
			clear(y.from(r).data[:o.Dim])
			logs[r] = float32(math.Inf(1))
		}
	}
}

func (o *attention) backwardHead(w *attentionWork, sample, head int) {
	dots := o.dots.data[(sample*o.Heads+head)*o.queries:][:o.queries]
	y, dy := o.matrix(o.result(), o.y.Data(), sample, head, 0), o.matrix(o.result(), o.y.grad.data, sample, head, 0)
	kernel.DotRows(dots, dy.data, y.data, o.Dim, y.stride)
	for key := 0; key < o.keys; key += attentionBlock {
		first := 0
		if o.Causal {
			first = key
		}
		for query := first; query < o.queries; query += attentionBlock {
			if o.firstKey(sample, query) > key {
				break // this query and all behind it are of later documents
			}
			b := o.block(sample, head, query, key)
			if query == first {
				o.across(w.keys, o.k, b)
				o.across(w.values, o.v, b)
			}
			o.backwardBlock(w, b, query > first)
		}
	}
}

// backwardBlock adds what a block of queries and keys gives to the gradients. Keys ascend in dq, heads of a group and their queries in dk and dv.
func (o *attention) backwardBlock(w *attentionWork, b block, again bool) {
	q, dy := o.queriesOf(o.q, o.q.Data(), b), o.queriesOf(o.result(), o.y.grad.data, b)
	o.outer(w, w.scores[:], q, w.keys, b)
	o.outer(w, w.grads[:], dy, w.values, b)
	o.drop(w.grads[:], b)
	o.softmaxBackward(w, b)
	o.drop(w.scores[:], b)
	o.roundBlock(w.scores[:], b)
	o.roundBlock(w.grads[:], b)
	again = again || b.head%o.group > 0
	if o.dv.wanted() {
		o.alongQueries(w, o.keysOf(o.v, o.dv.data(), b), w.scores[:], dy, b, again)
	}
	if o.dq.wanted() {
		o.alongKeys(w, o.queriesOf(o.q, o.dq.data(), b), w.grads[:], o.keysOf(o.k, o.k.Data(), b), b, b.key > o.firstKey(b.sample, b.query))
	}
	if o.dk.wanted() {
		o.alongQueries(w, o.keysOf(o.k, o.dk.data(), b), w.grads[:], q, b, again)
	}
}

// softmaxBackward turns a block of scores into probabilities p = e^(score - log) and the gradients of the probabilities into those
// of the products q·k: scale p (grad - dot).
func (o *attention) softmaxBackward(w *attentionWork, b block) {
	at := (b.sample*o.Heads+b.head)*o.queries + b.query
	scale, later := o.Scale, float32(1) // of the gradients, now or after those of the bias
	if o.Bias != nil {
		scale, later = 1, o.Scale
	}
	for r := range b.rows {
		w.shift[r], w.factor[r] = -o.logs.data[at+r], -float32(scale*o.dots.data[at+r])
	}
	left := o.settle(w, b)
	b.strips(func(r, end, keys int) {
		s, d := w.scores[r*attentionBlock:], w.grads[r*attentionBlock:]
		kernel.ExpScaleShiftRows(s, keys, attentionBlock, left, w.shift[r:end])
		kernel.ScaleShiftMulRows(d, s, keys, attentionBlock, scale, w.factor[r:end])
	})
	for r, n := range w.seen[:b.rows] {
		d := w.grads[r*attentionBlock:][:b.reach(r)]
		clear(d[n:])
		if o.dbias.wanted() {
			kernel.AddTo(o.dbias.data()[o.biasAt(b, r):][:n], d[:n])
		}
		if o.Bias != nil {
			kernel.Scale(d[:n], later, d[:n])
		}
	}
}
