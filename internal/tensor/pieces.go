package tensor

import (
	"slices"

	"ringmaster/internal/plan"
)

// A batch norm goes over its tensors twice, since the statistics of all rows come before any result, and the layers between batch norms go over
// them again. Where tensors do not fit the caches each time costs what memory costs. So a linear layer or a depthwise convolution between batch norms
// takes over what can be done row by row of them, and works piece by piece: forward it has the batch norm before it compute the
// piece's rows, reads them, and has the batch norm behind it take the statistics of what it wrote, all while the piece is in a cache. Backward it
// has the one behind it compute the gradient of the piece, reads it, and has the one before it sum what it wrote. No sum's order changes.

const (
	piecesFrom   = 1 << 20 // elements of a layer's input and output together from which on they are worth more than one piece
	pieceSize    = 1 << 17 // elements of a piece
	leastProduct = 256     // rows that a product has at least: it arranges the weights anew for each piece
)

// pieces is how a layer works together with the batch norms beside it.
type pieces struct {
	each          int        // rows of the layer's result in a piece; 0: it works on all at once, and alone
	before, after *batchNorm // that it works for; may be nil
}

// piecewise is a layer that can work piece by piece.
type piecewise interface {
	operation
	// ends are the layer's input and output, and the sink of the input's gradient.
	ends() (x, y *Value, dx *sink)
	// pieceOf is how many rows, as it counts them, a piece of so many elements has; 0 where the layer needs all at once.
	pieceOf(elements int) int
	workIn() *pieces
}

// joinNorms finds the layers that work piece by piece. What is computed again is computed operation by operation, and what is computed in bfloat16 is
// rounded between them.
func (g *Graph) joinNorms() {
	for _, n := range g.nodes {
		switch op := n.op.(type) {
		case piecewise:
			*op.workIn() = pieces{}
		case *batchNorm:
			op.measures, op.applies = nil, nil
		}
	}
	if !g.training || g.bfloat16 || slices.ContainsFunc(g.turns, func(t turn) bool { return t.again }) {
		return
	}
	for _, n := range g.nodes {
		if op, ok := n.op.(piecewise); ok && len(n.sinks) > 0 {
			g.joinNorm(n, op)
		}
	}
}

func (g *Graph) joinNorm(n *node, op piecewise) {
	x, y, dx := op.ends()
	p, each := op.workIn(), op.pieceOf(g.pieceSize)
	if each == 0 || x.size+y.size < g.piecesFrom {
		return
	}
	if n.index > 0 && dx.wanted() {
		before := g.nodes[n.index-1]
		if norm, ok := before.op.(*batchNorm); ok && norm.y.storage == x.storage && len(before.sinks) > 0 && dx.place == x.grad && norm.whole() {
			p.before, norm.applies = norm, n
		}
	}
	if n.index+1 < len(g.nodes) {
		after := g.nodes[n.index+1]
		if norm, ok := after.op.(*batchNorm); ok && norm.x.storage == y.storage && len(y.sinks) == 1 && norm.dx.wanted() && norm.whole() {
			p.after, norm.measures = norm, n
		}
	}
	if p.before != nil || p.after != nil {
		p.each = each
	}
}

// whole reports whether the gradient of the input, if it is wanted, goes straight to its place.
func (o *batchNorm) whole() bool { return o.dx == nil || o.dx.place == o.x.grad && !o.dx.add }

// livesInPieces extends the lives of what a layer uses of the batch norms beside it to its own times.
func (g *Graph) livesInPieces() {
	for _, n := range g.nodes {
		op, ok := n.op.(piecewise)
		if !ok {
			continue
		}
		p, forward, backward := op.workIn(), n.index, 2*len(g.nodes)-1-n.index
		for _, norm := range []*batchNorm{p.before, p.after} {
			if norm == nil {
				continue
			}
			kept := []*buffer{norm.x.data, norm.mean, norm.rstd}
			touch(forward, kept, norm.node.forward)
			touch(backward, kept, norm.node.backward)
			norm.y.grad.touch(backward)
			if norm.dx.wanted() {
				norm.x.grad.touch(backward)
			}
		}
	}
}

// enterForward prepares rows of x.
func (p *pieces) enterForward(c *Context, begin, end int) {
	if p.before != nil {
		p.before.compute.span(c, plan.Interval{Begin: begin, End: end}, p.before.channels)
	}
}

// leaveForward takes in rows of y.
func (p *pieces) leaveForward(c *Context, begin, end int) {
	if p.after != nil {
		p.after.takeIn(c, p.after.statistics, begin, end)
	}
}

// beginBackward comes before the first rows.
func (p *pieces) beginBackward() {
	if p.after != nil {
		p.after.node.toBackward()
	}
	if p.before != nil {
		p.before.node.toBackward()
		p.before.affine()
	}
}

// endBackward comes after the last rows.
func (p *pieces) endBackward() {
	for _, norm := range []*batchNorm{p.before, p.after} {
		if norm != nil {
			norm.node.toForward()
		}
	}
}

// enterBackward computes rows of the gradient of y.
func (p *pieces) enterBackward(c *Context, begin, end int) {
	if p.after != nil {
		p.after.traverse.span(c, plan.Interval{Begin: begin, End: end}, p.after.channels)
	}
}

// leaveBackward takes in rows of the gradient of x.
func (p *pieces) leaveBackward(c *Context, begin, end int) {
	if p.before != nil {
		p.before.takeIn(c, p.before.dots, begin, end)
	}
}

// takeIn takes the sums of the blocks whose last rows are among these.
func (o *batchNorm) takeIn(c *Context, sums *share, begin, end int) {
	blocks := plan.Interval{Begin: begin / statisticBlock, End: end / statisticBlock}
	if end == o.rows {
		blocks.End = o.blocks
	}
	sums.span(c, blocks, statisticBlock*o.channels)
}
