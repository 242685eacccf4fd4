package tensor

import (
	"fmt"
	"slices"
	"strings"

	"ringmaster/internal/plan"
	"ringmaster/internal/rng"
	"ringmaster/internal/tensor/kernel"
	"ringmaster/internal/trace"
)

// Context is what one run of a program gets from and gives to its caller.
type Context struct {
	Team       *kernel.Team // the threads to compute with; nil: the caller's only
	Key        rng.Key      // of dropout: another for each seat, step and micro-batch
	Lengths    []int32      // keys of each sample, for padded attention; of each source, where rows are computed
	Places     []Place      // of the rows to compute, in a RowProgram
	Running    []float32    // running statistics, read by a program for evaluation
	Statistics []float32    // the batch's own statistics, written by a program for training, laid out as Running
	Borders    []int        // ascending places in the flat gradient, for Backward: it tells soon when all behind one is final
	Before     float64      // loss of rows that were computed before these, from which Loss is added up,
	Weighed    float64      // and their weight, for Weight
	Gradient   []float32    // that Backward will be given, which Forward in training begins to write where there are many logits

	Trace *trace.Recorder // records each operation; may be nil
	Step  uint64          // for the trace

	// Outputs, if not nil, is given the output that the loss compares, or the first of several: all rows at once, or piece by piece those from
	// the row first on.
	Outputs func(first int, rows []float32)

	Loss    float64 // sum over the targets that count, and Before
	Weight  float64 // of the classes of the targets that count, and Weighed; 0 where classes have no weights, so that each target counts for 1
	Count   int     // of targets that count
	Correct int     // of these, where the largest logit is the target's

	told  int            // from where on backward has said that the gradient is final
	ready func(from int) // whom it tells; nil: nobody
}

// tell says from where on the gradient is final, if that is news.
func (c *Context) tell(from int) {
	if from < c.told && c.ready != nil {
		c.told = from
		c.ready(from)
	}
}

// leastPart is the number of rows that are worth a product of their own.
const leastPart = 16

// part is where the last part of a parameter's gradient begins that is worth telling before the rest is computed: a row of
// those before end. The rows have so many elements. What lies behind the parameter must have been told, else it is 0.
func (c *Context) part(s *sink, columns, end int) int {
	if !c.follows(s) {
		return 0
	}
	begin := s.target.slope.Begin
	k, _ := slices.BinarySearch(c.Borders, begin+(end-leastPart)*columns+1)
	if k == 0 {
		return 0
	}
	return max(0, (c.Borders[k-1]-begin)/columns)
}

// final says that an operation has written what there is to write to a gradient from its element at on, though there is
// more for it to do.
func (c *Context) final(s *sink, at int) {
	if c.follows(s) {
		c.tell(s.target.slope.Begin + at)
	}
}

// follows reports whether what the sink writes is final at once, and so is all that lies behind it in the flat gradient.
func (c *Context) follows(s *sink) bool {
	last := s.target.sinks[len(s.target.sinks)-1]
	return c.ready != nil && s == last && s.place == s.target.grad && s.target.role == parameter && c.told <= s.target.slope.End
}

// Program is a compiled graph. It may be run by one goroutine at a time.
type Program struct {
	training bool
	nodes    []*node
	params   []*storage
	buffers  []*buffer // all that live in the arena, aliases too
	length   int       // of the arena
	turns    []turn    // of Backward, in their order
	moves    []move    // of what is computed again
	ready    []int     // by node: after its backward every gradient from here on is final
	adding   *share    // adds scratch to a gradient that has been written before
	pending  *sink     // the one that adding works on
	recast   *recast
}

// Compile plans the memory and ends the recording.
func (g *Graph) Compile() *Program {
	g.compiled = true
	p := &Program{training: g.training, nodes: g.nodes, params: g.params, recast: newRecast()}
	p.adding = newShare(func(begin, end int) {
		kernel.AddTo(p.pending.target.grad.data[begin:end], p.pending.place.data[begin:end])
	})
	if g.training {
		g.orderSinks()
		g.shareGradients()
	}
	for _, n := range g.nodes {
		n.separate()
	}
	if g.bfloat16 {
		g.narrow()
	}
	p.plan(g)
	if g.training {
		p.ready = g.finals()
	}
	return p
}

// plan gives every buffer its place, once it is known what is to be computed again.
func (p *Program) plan(g *Graph) {
	var again []plan.Interval
	if g.training && g.recompute {
		again = g.segments()
	}
	p.length = g.place(again)
	p.buffers, p.turns, p.moves = g.buffers, g.turns, g.moves
}

// place orders the operations of which those in the intervals are computed again, and gives every buffer its place. It returns the
// length of the arena.
func (g *Graph) place(again []plan.Interval) int {
	g.schedule(again)
	g.joinNorms()
	g.keepWhole()
	g.buffers = g.lives()
	var roots []*buffer
	for _, b := range g.buffers {
		if b.alias == nil {
			roots = append(roots, b)
		}
	}
	return place(roots)
}

// orderSinks decides who overwrites a gradient and who adds to it. Backward visits nodes from last to first.
func (g *Graph) orderSinks() {
	for _, v := range g.values {
		if !v.wanted {
			continue
		}
		invariant(len(v.sinks) > 0, "no gradient reaches a value of %d elements", v.size)
		slices.SortStableFunc(v.sinks, func(a, b *sink) int { return b.node.index - a.node.index })
		for k, s := range v.sinks {
			s.add = k > 0
			if s.add && !s.adds {
				s.place = s.node.temporaryBackward(v.size)
			}
		}
	}
}

// shareGradients lets the gradient of an operation's input take the place of that of its output, where the operation
// allows it and is the first to write it: less memory is alive and touched, and for a sum a copy becomes no copy.
func (g *Graph) shareGradients() {
	for _, n := range g.nodes {
		for _, s := range n.sinks {
			if s.inPlace = s.inPlace && !s.add && s.target.role == activation; s.inPlace {
				s.target.grad.alias = n.makes[0].grad
			}
		}
	}
}

// lives computes when each buffer is alive and returns those that live in the arena.
func (g *Graph) lives() []*buffer {
	for i, n := range g.nodes {
		touch(i, n.reads, n.keeps, n.forward, n.both)
		for _, v := range n.makes {
			v.data.touch(i)
			if v.data.encodes(false) {
				v.data.codes.touch(i)
			}
		}
	}
	for _, v := range g.held {
		v.data.touch(len(g.nodes) - 1)
	}
	for k, t := range g.turns {
		g.liveIn(t, len(g.nodes)+k)
	}
	g.livesInPieces()
	return g.inArena()
}

// liveIn extends the lives of what a turn of Backward needs to its time.
func (g *Graph) liveIn(t turn, at int) {
	n := t.node
	if t.again {
		touchLater(at, n.reads, n.keeps, n.forward, n.both)
		for _, v := range n.makes {
			v.data.later().touch(at)
			if v.data.encodes(true) {
				v.data.codes.touch(at)
			}
		}
		return
	}
	if len(n.sinks) > 0 {
		touchLater(at, n.backward, n.both)
		for _, b := range n.keeps {
			b.source().touch(at)
		}
	}
	for _, v := range n.makes {
		if v.wanted {
			v.grad.touch(at)
		}
	}
	for _, s := range n.sinks {
		s.place.touch(at)
		s.target.grad.touch(at)
		if n.early {
			s.place.touch(n.index)
		}
	}
}

// inArena lists the buffers that are alive at some time and belong to the program.
func (g *Graph) inArena() []*buffer {
	var all []*buffer
	for _, v := range g.values {
		if v.role == activation {
			all = append(all, v.data)
			if v.wanted {
				all = append(all, v.grad)
			}
		}
	}
	for _, n := range g.nodes {
		all = append(all, n.forward...)
		all = append(all, n.backward...)
		all = append(all, n.both...)
		for _, m := range n.made {
			if m.codes != nil {
				all = append(all, m.codes)
			}
		}
	}
	for _, m := range g.moves {
		all = append(all, m.buffer.again)
	}
	listed := map[*buffer]bool{} // scratch may serve forward and backward
	return slices.DeleteFunc(all, func(b *buffer) bool {
		r, again := b.root(), listed[b]
		listed[b] = true
		return again || r.last < r.first
	})
}

func touch(t int, lists ...[]*buffer) {
	for _, list := range lists {
		for _, b := range list {
			b.touch(t)
		}
	}
}

// touchLater touches the places that buffers have once they are computed again.
func touchLater(t int, lists ...[]*buffer) {
	for _, list := range lists {
		for _, b := range list {
			b.later().touch(t)
		}
	}
}

// finals computes for every node from where on the flat gradient is final once its backward has run. A parameter's gradient
// is final after the first operation that uses it, which backward visits last.
func (g *Graph) finals() []int {
	total := 0
	last := make([]*storage, 0, len(g.params))
	for _, v := range g.params {
		if v.wanted {
			total = max(total, v.slope.End)
			last = append(last, v)
		}
	}
	slices.SortFunc(last, func(a, b *storage) int { return b.slope.Begin - a.slope.Begin })
	finals := make([]int, len(g.nodes))
	from, k := total, 0
	for i := len(g.nodes) - 1; i >= 0; i-- {
		for k < len(last) && last[k].sinks[len(last[k].sinks)-1].node.index >= i {
			from = last[k].slope.Begin
			k++
		}
		finals[i] = from
	}
	return finals
}

// Length is how many floats the program's arena needs. Programs that run one after another may share one arena.
func (p *Program) Length() int { return p.length }

// Bind gives the program its arena, of at least Length floats.
func (p *Program) Bind(arena []float32) {
	for _, b := range p.buffers {
		at := b.root().offset
		b.data = arena[at : at+b.size : at+b.size]
	}
	p.settle()
}

// Set binds an input for the next runs.
func (p *Program) Set(v *Value, data []float32) {
	if v.role != input || len(data) != v.size {
		panic(fmt.Sprintf("tensor: input of %d elements for shape %v", len(data), v.Shape))
	}
	v.data.data = data
}

// SetIntegers binds whole numbers for the next runs.
func (p *Program) SetIntegers(v *Integers, data []int32) {
	if len(data) != v.Size() {
		panic(fmt.Sprintf("tensor: %d whole numbers for shape %v", len(data), v.Shape))
	}
	v.data = data
}

// Forward runs the operations in the order of recording, on the parameters in the flat vector params.
func (p *Program) Forward(c *Context, params []float32) {
	for _, v := range p.params {
		v.data.data = of(params, v.interval)
	}
	for _, m := range p.moves {
		m.buffer.data = m.first
	}
	if len(c.Gradient) > 0 {
		p.bindGradient(c.Gradient)
	}
	c.Loss, c.Weight, c.Count, c.Correct = c.Before, c.Weighed, 0, 0
	for _, n := range p.nodes {
		began := c.Trace.Now()
		p.forward(c, n, false)
		c.Trace.Span(trace.ForwardOperation, c.Step, int32(n.index), began)
	}
}

// Operations are what the program's operations are, by their numbers in a trace.
func (p *Program) Operations() []string {
	names := make([]string, len(p.nodes))
	for i, n := range p.nodes {
		name := fmt.Sprintf("%T", n.op)
		names[i] = name[strings.LastIndex(name, ".")+1:]
	}
	return names
}

func (p *Program) bindGradient(grad []float32) {
	for _, v := range p.params {
		if v.wanted {
			v.grad.data = of(grad, v.slope)
		}
	}
}

// Backward runs the operations in reverse after a Forward, and overwrites the flat gradient entirely. Each time more of its
// end has become final it calls ready, which may be nil, with the index from which on it is; the last call is ready(0). It
// may do so between two parts of an operation, so that c.Borders are passed soon.
func (p *Program) Backward(c *Context, grad []float32, ready func(from int)) {
	invariant(p.training, "backward through a program for evaluation")
	p.bindGradient(grad)
	c.told, c.ready = len(grad), ready
	for _, t := range p.turns {
		if t.again {
			p.replay(c, t)
			continue
		}
		n := t.node
		began := c.Trace.Now()
		if len(n.sinks) > 0 {
			p.backward(c, n)
			for _, s := range n.sinks {
				if s.place != s.target.grad {
					p.pending = s
					p.adding.run(c, s.place.size, 1)
				}
			}
		}
		c.Trace.Span(trace.BackwardOperation, c.Step, int32(n.index), began)
		c.tell(p.ready[n.index])
	}
}

func of(flat []float32, i plan.Interval) []float32 { return flat[i.Begin:i.End:i.End] }
