package tensor

import (
	"math"

	"ringmaster/internal/plan"
	"ringmaster/internal/tensor/kernel"
)

// KeyValues holds what later rows of texts attend to: the keys and the values of each position, for one attention. Texts are in slots,
// each of which has room for as many positions as there are at most.
type KeyValues struct {
	heads, dim, blocks int
	slots              []keyValueSlot
	rounds             bool // to bfloat16 what it takes
	rounded            []float32
}

// keyValueSlot has keys across as products with a query want them, (heads, blocks, dim, attentionBlock), and values (heads, positions, dim).
type keyValueSlot struct{ keys, values []float32 }

// NewKeyValues makes room for slots of that many positions, and that many heads of keys and values.
func NewKeyValues(slots, positions, heads, dim int) *KeyValues {
	s := &KeyValues{heads: heads, dim: dim, blocks: (positions + attentionBlock - 1) / attentionBlock, slots: make([]keyValueSlot, slots)}
	size := heads * s.blocks * attentionBlock * dim
	for i := range s.slots {
		s.slots[i] = keyValueSlot{make([]float32, size), make([]float32, size)}
	}
	return s
}

// head is where a head's part begins.
func (s *KeyValues) head(h int) int { return h * s.blocks * attentionBlock * s.dim }

// put takes the key and the value of a position, all heads side by side.
func (s *KeyValues) put(slot, position int, key, value []float32) {
	if s.rounds {
		s.rounded = append(append(s.rounded[:0], key[:s.heads*s.dim]...), value[:s.heads*s.dim]...)
		kernel.RoundBFloat16(s.rounded, s.rounded)
		key, value = s.rounded[:s.heads*s.dim], s.rounded[s.heads*s.dim:]
	}
	to := &s.slots[slot]
	block, lane := position/attentionBlock, position%attentionBlock
	for h := range s.heads {
		keys := to.keys[s.head(h)+block*attentionBlock*s.dim:]
		for d, x := range key[h*s.dim:][:s.dim] {
			keys[d*attentionBlock+lane] = x
		}
		copy(to.values[s.head(h)+position*s.dim:][:s.dim], value[h*s.dim:])
	}
}

// Fill takes the keys and values of a slot's first positions, (1, positions, ...) values of which the given columns count.
func (s *KeyValues) Fill(slot, positions int, keys, values Columns) {
	for at := range positions {
		s.put(slot, at, row(keys.Value, keys.Data(), at, keys.Offset), row(values.Value, values.Data(), at, values.Offset))
	}
}

// Copy makes a slot's first positions those of another.
func (s *KeyValues) Copy(to, from, positions int) {
	size := (positions + attentionBlock - 1) / attentionBlock * attentionBlock * s.dim
	for h := range s.heads {
		at := s.head(h)
		copy(s.slots[to].keys[at:][:size], s.slots[from].keys[at:])
		copy(s.slots[to].values[at:][:size], s.slots[from].values[at:])
	}
}

// RowAttentionOptions says what rows attend to.
type RowAttentionOptions struct {
	AttentionOptions // without Bias and Rate
	Store            *KeyValues
	Table            *Value // of relative positions (buckets, heads), a bias by the distance of a key; nil for none
	Relative         RelativeOptions
}

// rowAttention is, for each row, the attention of its query to the keys of its text up to its own, which it puts into the store first; or to
// those of its source.
type rowAttention struct {
	forwardOnly
	RowAttentionOptions
	q, k, v Columns // without k and v rows attend to their sources
	y       *Value
	bias    []float32 // (heads, positions) by how far a key is before its query, the farthest first
	work    []rowAttentionWork
	task    func(part int)
	context *Context
	units   plan.Interval // a row and a head each
	parts   int

	rounding *rounding
}

// rowAttentionWork is what one thread needs.
type rowAttentionWork struct {
	scores  [attentionBlock]float32
	factor  [1]float32
	product kernel.MatMul
}

// AttendRows attends from each row's query to its text, of which k and v are the row's own key and value; or, where these have no value, to the
// keys and values of its source, of which c.Lengths says how many there are.
func (g *Graph) AttendRows(q, k, v Columns, options RowAttentionOptions) *Value {
	op := &rowAttention{RowAttentionOptions: options, q: q, k: k, v: v}
	n := g.record()
	n.use(q.Value)
	n.multiplies(q.Value)
	op.rounding, options.Store.rounds = g.rounding(), g.bfloat16
	if k.Value != nil {
		n.use(k.Value, v.Value)
	}
	if op.Table != nil {
		n.use(op.Table)
	}
	op.y = n.make(q.Dim(0), options.Heads*options.Dim)
	op.task = op.part
	n.op = op
	return op.y
}

// arrange spreads the table of relative positions over the distances.
func (o *rowAttention) arrange() {
	if o.Table == nil {
		return
	}
	most := o.Store.blocks * attentionBlock
	o.bias = make([]float32, o.Heads*most)
	table := o.Table.Data()
	for distance := range most { // of a key before its query
		bucket := o.Relative.Bucket(-distance, o.Table.Dim(0))
		for h := range o.Heads {
			o.bias[h*most+most-1-distance] = table[bucket*o.Heads+h]
		}
	}
}

func (o *rowAttention) forwardRows(c *Context, rows, _ int) {
	longest := 0
	for r, at := range c.Places[:rows] {
		if o.k.Value != nil {
			o.Store.put(at.Slot, at.Position, row(o.k.Value, o.k.Data(), r, o.k.Offset), row(o.v.Value, o.v.Data(), r, o.v.Offset))
		}
		longest = max(longest, o.keys(c, at))
	}
	o.context, o.units = c, plan.Interval{End: rows * o.Heads}
	o.parts = max(1, min(c.Team.Threads(), o.units.End, o.units.End*longest*o.Dim/grain))
	for len(o.work) < o.parts {
		o.work = append(o.work, rowAttentionWork{})
	}
	c.Team.Run(o.parts, o.task)
}

// keys is how many a row attends to.
func (o *rowAttention) keys(c *Context, at Place) int {
	if o.k.Value == nil {
		return int(c.Lengths[at.Source])
	}
	return at.Position + 1
}

func (o *rowAttention) part(part int) {
	units := o.units.Part(part, o.parts)
	for u := units.Begin; u < units.End; u++ {
		o.attend(&o.work[part], u/o.Heads, u%o.Heads)
	}
}

// attend is attention.forwardHead for one query: the same blocks of keys, each with the same operations.
func (o *rowAttention) attend(w *rowAttentionWork, r, h int) {
	at := o.context.Places[r]
	keys, slot := o.keys(o.context, at), at.Slot
	if o.k.Value == nil {
		slot = at.Source
	}
	stored, from := &o.Store.slots[slot], o.Store.head(h*o.Store.heads/o.Heads)
	query := row(o.q.Value, o.q.Data(), r, o.q.Offset+h*o.Dim)[:o.Dim]
	y := row(o.y, o.y.Data(), r, h*o.Dim)[:o.Dim]
	highest, sum := float32(math.Inf(-1)), float32(0)
	for key := 0; key < keys; key += attentionBlock {
		n := min(attentionBlock, keys-key)
		scores, begin := w.scores[:n], from+key*o.Dim
		w.multiply(kernel.MatMul{M: 1, N: n, K: o.Dim, A: query, LDA: o.Dim, B: stored.keys[begin:], LDB: attentionBlock, C: scores, LDC: n})
		scale := o.Scale
		if o.bias != nil {
			most := o.Store.blocks * attentionBlock
			kernel.ScaleShift(scores, scores, scale, 0)
			kernel.AddTo(scores, o.bias[h*most+most-1-at.Position+key:][:n])
			scale = 1
		}
		before := highest
		highest = max(before, float32(scale*kernel.Max(scores)))
		factor, shift := before-highest, -highest
		if math.IsInf(float64(highest), -1) {
			factor, shift = 0, 0
		}
		fresh := kernel.ExpScaleShiftSum(scores, scores, scale, shift)
		if key == 0 {
			sum = fresh
		} else {
			w.factor[0] = factor
			kernel.Exp(w.factor[:], w.factor[:])
			sum = float32(sum*w.factor[0]) + fresh
			kernel.Scale(y, w.factor[0], y)
		}
		o.rounding.block(scores)
		w.multiply(kernel.MatMul{M: 1, N: o.Dim, K: n, A: scores, LDA: n, B: stored.values[begin:], LDB: o.Dim, C: y, LDC: o.Dim, Accumulate: key > 0})
	}
	kernel.Scale(y, 1/sum, y)
}

func (w *rowAttentionWork) multiply(p kernel.MatMul) {
	w.product = p
	(*kernel.Team)(nil).MatMul(&w.product)
}
