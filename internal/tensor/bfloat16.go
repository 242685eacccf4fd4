package tensor

import (
	"slices"

	"ringmaster/internal/tensor/kernel"
)

// This file lets a program compute in bfloat16. The operands of products are rounded to bfloat16 and multiplied and added up in float32,
// in the order of the contract; and in training what Backward needs of Forward is kept in two bytes each. Everything else stays float32.
//
// Operations say which of the values that they read are operands of products (multiplies), and round their weights and the gradients of
// their results themselves. A value that only products read is rounded where it is made. Where others read it too, or it comes from outside, each product
// gets a rounded copy. The bits are the same.

// BFloat16 asks for a program whose products have operands of bfloat16.
func (g *Graph) BFloat16() { g.bfloat16 = true }

// rounding rounds what an operation multiplies; nil where a graph computes in float32.
type rounding struct {
	to, from []float32
	pass     *share
	given    bool // the gradient comes rounded
}

func (g *Graph) rounding() *rounding {
	if !g.bfloat16 {
		return nil
	}
	r := &rounding{}
	r.pass = newShare(func(begin, end int) { kernel.RoundBFloat16(r.to[begin:end], r.from[begin:end]) })
	return r
}

// round writes numbers rounded to bfloat16 to another place, or their own.
func (r *rounding) round(c *Context, to, from []float32) {
	if r == nil {
		return
	}
	r.to, r.from = to, from
	r.pass.run(c, len(to), 1)
	r.to, r.from = nil, nil
}

// gradient rounds the gradient of an operation's result in its place, for products.
func (r *rounding) gradient(c *Context, dy []float32) {
	if r != nil && !r.given {
		r.round(c, dy, dy)
	}
}

// kept is part of what an operation kept for backward, which it may read into the room.
func (r *rounding) kept(v *Value, begin, end int, room []float32) []float32 {
	switch {
	case r == nil || !v.data.narrow:
		return v.Data()[begin:end]
	case v.data.codes != nil:
		kernel.DecodeBFloat16(room[:end-begin], kernel.Halves(v.data.codes.data)[begin:end])
	default:
		kernel.RoundBFloat16(room[:end-begin], v.Data()[begin:end])
	}
	return room[:end-begin]
}

// settle rounds and codes part of a result, as it is made.
func (b *buffer) settle(begin, length int) {
	if m := &b.settling; m.of != nil {
		m.settle(begin, begin+length)
	}
}

// settle rounds part of a gradient, as it is written.
func (s *sink) settle(d []float32) {
	if s.rounds {
		kernel.RoundBFloat16(d, d)
	}
}

// block rounds numbers that fit the first cache in their place, on the caller's thread.
func (r *rounding) block(x []float32) {
	if r != nil {
		kernel.RoundBFloat16(x, x)
	}
}

// roundBlock rounds a block of probabilities, or of their gradients, for a product.
func (o *attention) roundBlock(s []float32, b block) {
	o.rounding.block(s[:b.rows*attentionBlock])
}

// copied is a rounded copy of what an operation reads: of an operand, or of what Backward needs of Forward.
type copied struct {
	of, place *buffer
	held      []float32 // the data of that buffer while the copy stands for it
}

// made is a result of an operation that is rounded in its place, or kept in two bytes each until Backward has read it, or both.
type made struct {
	of      *buffer
	rounded bool
	codes   *buffer // nil: it is not kept so
}

func (m *made) settle(begin, end int) {
	x := m.of.data[begin:end]
	if m.rounded {
		kernel.RoundBFloat16(x, x)
	}
	if m.codes != nil {
		kernel.EncodeBFloat16(kernel.Halves(m.codes.data)[begin:end], x)
	}
}

// recast is what rounding and coding that the program does works on.
type recast struct {
	pass     *share
	to, from []float32
	codes    []uint16
}

// recastBlock is how many numbers are rounded, then coded, while they are in the first cache.
const recastBlock = 1 << 11

func newRecast() *recast {
	r := &recast{}
	r.pass = newShare(r.part)
	return r
}

// part rounds from to to where there is a to, and codes to codes where there are codes; without from it decodes them to to.
func (r *recast) part(begin, end int) {
	for i := begin; i < end; i += recastBlock {
		j := min(i+recastBlock, end)
		switch {
		case r.from == nil:
			kernel.DecodeBFloat16(r.to[i:j], r.codes[i:j])
			continue
		case r.to != nil:
			kernel.RoundBFloat16(r.to[i:j], r.from[i:j])
		}
		if r.codes != nil {
			kernel.EncodeBFloat16(r.codes[i:j], r.from[i:j])
		}
	}
}

func (r *recast) run(c *Context, to, from []float32, codes []uint16, n int) {
	r.to, r.from, r.codes = to, from, codes
	r.pass.run(c, n, 1)
	r.to, r.from, r.codes = nil, nil, nil
}

// narrow decides what is rounded where, and what is kept in two bytes each.
func (g *Graph) narrow() {
	exact, others := g.readWhole()
	multiplied := map[*buffer]bool{}
	for _, n := range g.nodes {
		for _, v := range n.operands {
			multiplied[v.data] = true
			if v.role != activation || others[v.data] {
				n.forwardCopies = append(n.forwardCopies, n.copy(&n.forward, v))
			}
		}
	}
	codes := map[*buffer]*buffer{}
	for _, n := range g.nodes {
		n.restore(exact, codes)
		n.expectRounded()
	}
	for _, n := range g.nodes {
		for _, v := range n.makes {
			m := made{of: v.data, rounded: multiplied[v.data] && !others[v.data], codes: codes[v.data]}
			if m.rounded || m.codes != nil {
				n.made = append(n.made, m)
			}
		}
	}
}

// readWhole finds what some backward needs as it is, and what something reads in Forward that is no product.
func (g *Graph) readWhole() (exact, others map[*buffer]bool) {
	exact, others = map[*buffer]bool{}, map[*buffer]bool{}
	for _, v := range g.held {
		others[v.data] = true
	}
	for _, n := range g.nodes {
		for _, list := range [...][]*buffer{n.reads, n.keeps} {
			for _, b := range list {
				if !n.multiplied(b) && !n.makesOf(b) {
					others[b] = true
				}
			}
		}
		for _, b := range n.exact {
			exact[b] = true
		}
	}
	return exact, others
}

func (n *node) multiplied(b *buffer) bool {
	return slices.ContainsFunc(n.operands, func(v *storage) bool { return v.data == b })
}

func (n *node) makesOf(b *buffer) bool {
	return slices.ContainsFunc(n.makes, func(v *storage) bool { return v.data == b })
}

// copy is room for a rounded copy of a value, among the scratch that is given.
func (n *node) copy(scratch *[]*buffer, v *storage) *copied {
	place := newBuffer(v.size)
	*scratch = append(*scratch, place)
	return &copied{of: v.data, place: place}
}

// restore says what a node's backward reads in rounded copies: operands, and everything that is kept in two bytes each, which it adds to
// codes.
func (n *node) restore(exact map[*buffer]bool, codes map[*buffer]*buffer) {
	if len(n.sinks) == 0 || n.early || !n.graph.training {
		return
	}
	done := map[*buffer]bool{}
	for _, v := range n.kept {
		short := v.role == activation && !exact[v.data]
		if done[v.data] || !short && !n.multiplied(v.data) {
			continue
		}
		done[v.data], v.data.narrow = true, v.data.narrow || short
		if short && codes[v.data] == nil {
			codes[v.data] = newBuffer((v.size + 1) / 2)
		}
		if n.settles {
			continue
		}
		each := n.copy(&n.backward, v)
		n.backwardCopies = append(n.backwardCopies, each)
		for _, s := range n.sinks { // the gradient's place is free until it is written
			if s.afterReads && s.target == v && v.role == activation && !s.add && !s.inPlace {
				each.place.alias = s.place
			}
		}
	}
}

// expectRounded has the gradient of a product's result be rounded where it is written, if the operation reads it in products alone and the only one
// that writes it settles what it writes.
func (n *node) expectRounded() {
	op, is := n.op.(interface{ roundsAtOnce() *rounding })
	if !is || len(n.makes[0].sinks) != 1 {
		return
	}
	s, r := n.makes[0].sinks[0], op.roundsAtOnce()
	if r != nil && s.settles && s.place == n.makes[0].grad {
		s.rounds, r.given = true, true
	}
}

func (o *linear) roundsAtOnce() *rounding {
	if o.db.wanted() {
		return nil
	}
	return o.rounding
}

func (o *conv) roundsAtOnce() *rounding {
	if o.db.wanted() {
		return nil
	}
	return o.rounding
}

func (o *depthwise) roundsAtOnce() *rounding { return o.rounding }

// keepWhole decides for a plan what is kept as it is: what an operation reads that is computed again must be what it read at first.
func (g *Graph) keepWhole() {
	read := map[*buffer]bool{}
	for _, t := range g.turns {
		if t.again {
			for _, list := range [...][]*buffer{t.node.reads, t.node.keeps} {
				for _, b := range list {
					read[b] = read[b] || b.again == nil && !t.node.makesOf(b)
				}
			}
		}
	}
	for _, n := range g.nodes {
		for _, m := range n.made {
			m.of.codes = m.codes
			if read[m.of] {
				m.of.codes = nil
			}
		}
	}
}

// encodes reports whether a buffer is to be kept in two bytes each when it is made, the first time or again.
func (b *buffer) encodes(again bool) bool { return b.codes != nil && again == (b.again != nil) }

// enter has rounded copies stand for what a node reads: of the first rows, where the program has so many.
func (p *Program) enter(c *Context, copies []*copied, rows, of int) {
	for _, each := range copies {
		p.recast.run(c, each.place.data, each.of.data, nil, each.of.size/of*rows)
		each.held, each.of.data = each.of.data, each.place.data
	}
}

// enterBackward does likewise for a node's backward, from codes where there are some.
func (p *Program) enterBackward(c *Context, copies []*copied) {
	for _, each := range copies {
		if codes := each.of.codes; codes != nil {
			p.recast.run(c, each.place.data, nil, kernel.Halves(codes.data), each.of.size)
		} else {
			p.recast.run(c, each.place.data, each.of.data, nil, each.of.size)
		}
		each.held, each.of.data = each.of.data, each.place.data
	}
}

func leave(copies []*copied) {
	for _, each := range copies {
		each.of.data, each.held = each.held, nil
	}
}

// forward runs a node's forward, the first time or again.
func (p *Program) forward(c *Context, n *node, again bool) {
	p.enter(c, n.forwardCopies, 1, 1)
	n.expectSettled(again)
	n.op.forward(c)
	leave(n.forwardCopies)
	for _, m := range n.made {
		if n.settles {
			m.of.settling = made{}
			continue
		}
		var to []float32
		var codes []uint16
		if m.rounded {
			to = m.of.data
		}
		if m.of.encodes(again) {
			codes = kernel.Halves(m.of.codes.data)
		}
		if to != nil || codes != nil {
			p.recast.run(c, to, m.of.data, codes, m.of.size)
		}
	}
}

// expectSettled says what an operation that settles its results is to do with them, the first time or again.
func (n *node) expectSettled(again bool) {
	for _, m := range n.made {
		if n.settles {
			if !m.of.encodes(again) {
				m.codes = nil
			}
			m.of.settling = m
		}
	}
}

// forwardRows runs a node's forward for the first rows, where the program has so many.
func (p *Program) forwardRows(c *Context, n *node, rows, of int) {
	p.enter(c, n.forwardCopies, rows, of)
	n.op.(rowwise).forwardRows(c, rows, of)
	leave(n.forwardCopies)
	for _, m := range n.made {
		p.recast.run(c, m.of.data, m.of.data, nil, m.of.size/of*rows)
	}
}

// backward runs a node's backward.
func (p *Program) backward(c *Context, n *node) {
	p.enterBackward(c, n.backwardCopies)
	n.toBackward()
	n.op.backward(c)
	n.toForward()
	leave(n.backwardCopies)
}
