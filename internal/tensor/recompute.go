package tensor

import (
	"slices"

	"ringmaster/internal/plan"
)

// turn is an operation's place in the order of Backward: its backward, or its forward once more.
type turn struct {
	node  *node
	again bool
	moves plan.Interval // of the program's: what moves before it
}

// move is a buffer that is dropped in Forward and computed again elsewhere in Backward.
type move struct {
	buffer        *buffer
	first, second []float32
}

// Recompute asks Compile for a program for training that drops most results of the operations in Forward and computes them again in
// Backward, segment by segment, where that takes less memory (Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost). The bits
// are the same: an operation is a pure function of its inputs, the parameters and the context's key.
func (g *Graph) Recompute() { g.recompute = true }

// settle remembers where the buffers that move are.
func (p *Program) settle() {
	for k := range p.moves {
		m := &p.moves[k]
		m.first, m.second = m.buffer.data, m.buffer.again.data
	}
}

// replay runs an operation's forward again.
func (p *Program) replay(c *Context, t turn) {
	for k := t.moves.Begin; k < t.moves.End; k++ {
		p.moves[k].buffer.data = p.moves[k].second
	}
	p.forward(c, t.node, true)
}

// schedule orders Backward: nodes from last to first, and before those of an interval what must be computed again of it.
func (g *Graph) schedule(intervals []plan.Interval) {
	g.turns, g.moves = nil, nil
	g.each(func(b *buffer) { b.first, b.last, b.again = 1, 0, nil })
	ends := g.lastReads()
	for i := len(g.nodes) - 1; i >= 0; i-- {
		for _, in := range intervals {
			if in.End == i+1 {
				g.scheduleAgain(in, ends)
			}
		}
		g.turns = append(g.turns, turn{node: g.nodes[i]})
	}
}

// scheduleAgain adds those operations of an interval that something in its backward depends on. What is read behind the interval is not
// dropped.
func (g *Graph) scheduleAgain(in plan.Interval, ends map[*buffer]int) {
	needed := map[*buffer]bool{}
	need := func(lists ...[]*buffer) {
		for _, list := range lists {
			for _, b := range list {
				needed[b] = ends[b] < in.End
			}
		}
	}
	again := make([]bool, in.Len())
	for i := in.End - 1; i >= in.Begin; i-- {
		n, run := g.nodes[i], false
		if len(n.sinks) > 0 {
			need(n.keeps)
			run = len(n.both) > 0
		}
		run = run || slices.ContainsFunc(n.makes, func(v *storage) bool { return needed[v.data] })
		if again[i-in.Begin] = run; run {
			need(n.reads, n.keeps)
		}
	}
	for k, run := range again {
		if !run {
			continue
		}
		n, from := g.nodes[in.Begin+k], len(g.moves)
		for _, v := range n.makes {
			if ends[v.data] < in.End {
				g.move(v.data)
			}
		}
		for _, b := range slices.Concat(n.forward, n.both) {
			g.move(b)
		}
		g.turns = append(g.turns, turn{node: n, again: true, moves: plan.Interval{Begin: from, End: len(g.moves)}})
	}
}

func (g *Graph) move(b *buffer) {
	b.again = newBuffer(b.size)
	g.moves = append(g.moves, move{buffer: b})
}

// each visits the buffers of all values and operations.
func (g *Graph) each(visit func(b *buffer)) {
	for _, v := range g.values {
		visit(v.data)
		if v.grad != nil {
			visit(v.grad)
		}
	}
	for _, n := range g.nodes {
		for _, list := range [...][]*buffer{n.forward, n.backward, n.both} {
			for _, b := range list {
				visit(b)
			}
		}
		for _, m := range n.made {
			if m.codes != nil {
				visit(m.codes)
			}
		}
	}
}

// lastReads is by buffer the last operation whose forward reads it. What is held is read behind all of them.
func (g *Graph) lastReads() map[*buffer]int {
	ends := map[*buffer]int{}
	for i, n := range g.nodes {
		for _, list := range [...][]*buffer{n.reads, n.keeps} {
			for _, b := range list {
				ends[b] = i
			}
		}
	}
	for _, v := range g.held {
		ends[v.data] = len(g.nodes)
	}
	return ends
}

// segments are the intervals of operations to compute again with which the arena is shortest, of those that a few sizes of segment give. The
// last segment, whose backward comes first, stays unless dropping it saves a twentieth.
func (g *Graph) segments() []plan.Interval {
	cuts, kept := g.cuts()
	total := 0
	for _, size := range kept {
		total += size
	}
	var best []plan.Interval
	shortest := g.place(nil)
	for parts := 2; parts <= 2*len(kept); parts += (parts + 2) / 3 {
		all := divide(cuts, kept, total/parts)
		for _, each := range [][]plan.Interval{all[:len(all)-1], all} {
			length := g.place(each)
			if saved := shortest - length; saved > 0 && (len(each) < len(all) || 20*saved > shortest) {
				best, shortest = each, length
			}
		}
	}
	return best
}

// cuts reports behind which operations little crosses from one segment to the next: no more than behind either neighbour. kept is by
// operation what Backward needs of it, in elements. Operations that already write gradients in Forward, and those behind them, are none of
// a segment.
func (g *Graph) cuts() (cuts []bool, kept []int) {
	n := slices.IndexFunc(g.nodes, func(n *node) bool { return n.early })
	if n < 0 {
		n = len(g.nodes)
	}
	ends, backward := g.lastReads(), map[*buffer]bool{}
	for _, each := range g.nodes {
		if len(each.sinks) > 0 {
			for _, b := range each.keeps {
				backward[b] = true
			}
		}
	}
	crossing := make([]int, n+1)
	kept = make([]int, n)
	for i, each := range g.nodes[:n] {
		for _, v := range each.makes {
			if backward[v.data] {
				kept[i] += v.size
			}
			for at := i; at < min(ends[v.data], n); at++ {
				crossing[at] += v.size
			}
		}
		if len(each.sinks) > 0 {
			for _, b := range each.both {
				kept[i] += b.size
			}
		}
	}
	cuts = make([]bool, n)
	for i := range n - 1 {
		cuts[i] = crossing[i] <= crossing[i+1] && (i == 0 || crossing[i] <= crossing[i-1])
	}
	return cuts, kept
}

// divide cuts the operations into segments that each keep at least so much, where they may be cut.
func divide(cuts []bool, kept []int, least int) []plan.Interval {
	var out []plan.Interval
	begin, sum := 0, 0
	for i, size := range kept {
		sum += size
		if i == len(kept)-1 || cuts[i] && sum >= least {
			out = append(out, plan.Interval{Begin: begin, End: i + 1})
			begin, sum = i+1, 0
		}
	}
	return out
}
