package tensor

import (
	"fmt"

	"ringmaster/internal/tensor/kernel"
)

// embedding is y[n,t] = tokens[token of (n,t)] + positions[t].
type embedding struct {
	samples, length, width int
	tokens                 *Integers
	table, positions, y    *Value // positions may be nil
	dtable, dpositions     *sink
}

// Embedding looks up tokens (samples, length) in the table (vocabulary, width) and adds positions (at least length, width),
// if not nil. The result is (samples, length, width). Gradients of rows that are looked up more than once are
// added by ascending position in the batch. It panics on a token outside the vocabulary.
func (g *Graph) Embedding(tokens *Integers, table, positions *Value) *Value {
	samples, length := tokens.Shape[0], tokens.Shape[1]
	op := &embedding{samples: samples, length: length, width: table.Dim(1), tokens: tokens, table: table, positions: positions}
	n := g.record()
	n.use(table)
	op.dtable = n.gradient(table, true)
	if positions != nil {
		invariant(positions.Dim(0) >= length && positions.Dim(1) == op.width, "embedding: positions %v for length %d", positions.Shape, length)
		n.use(positions)
		op.dpositions = n.gradient(positions, true)
	}
	op.y = n.make(samples, length, op.width)
	n.op = op
	return op.y
}

// row is the elements of row k of a table.
func (o *embedding) row(table []float32, k int) []float32 {
	return table[k*o.width : (k+1)*o.width]
}

func (o *embedding) forward(*Context) {
	vocabulary := o.table.Dim(0)
	for i, token := range o.tokens.data {
		if token < 0 || int(token) >= vocabulary {
			panic(fmt.Sprintf("tensor: token %d is outside the vocabulary of %d", token, vocabulary))
		}
		dst, src := o.row(o.y.Data(), i), o.row(o.table.Data(), int(token))
		if o.positions == nil {
			copy(dst, src)
		} else {
			kernel.Add(dst, src, o.row(o.positions.Data(), i%o.length))
		}
	}
}

func (o *embedding) backward(*Context) {
	dy := o.y.grad.data
	if s := o.dtable; s.wanted() {
		if !s.add {
			clear(s.data())
		}
		for i, token := range o.tokens.data {
			kernel.AddTo(o.row(s.data(), int(token)), o.row(dy, i))
		}
	}
	if s := o.dpositions; s.wanted() {
		if !s.add {
			clear(s.data())
		}
		for i := range o.samples * o.length {
			kernel.AddTo(o.row(s.data(), i%o.length), o.row(dy, i))
		}
	}
}
