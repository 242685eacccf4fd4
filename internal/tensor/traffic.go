package tensor

// Work is what one pass over an operation cannot do with less.
type Work struct {
	MultiplyAdds int // of its products
	Bytes        int // of the tensors that it reads and writes, each counted once
}

// OperationWork is the work of one of a program's operations.
type OperationWork struct {
	Name              string
	Forward, Backward Work // Backward without what is computed again
}

// Works are what the program's operations have to do, by their numbers in a trace. What an operation reads twice, and its scratch, does not
// count: over a machine's bandwidth the bytes say how long it takes at least where nothing of it is in a cache.
func (p *Program) Works() []OperationWork {
	works := make([]OperationWork, len(p.nodes))
	for i, name := range p.Operations() {
		n := p.nodes[i]
		w := OperationWork{Name: name}
		w.Forward.Bytes, w.Backward.Bytes = n.forwardBytes(), n.backwardBytes()
		n.joinBytes(&w)
		if op, ok := n.op.(counted); ok {
			w.Forward.MultiplyAdds, w.Backward.MultiplyAdds = op.multiplyAdds()
		}
		works[i] = w
	}
	return works
}

// joinBytes gives what a batch norm's neighbours do for it to them. What one of them writes and the other then reads comes from a cache.
func (n *node) joinBytes(w *OperationWork) {
	switch op := n.op.(type) {
	case *batchNorm:
		size := 4 * op.x.size
		if op.applies != nil {
			w.Forward.Bytes -= 2 * size // x and y
		}
		if op.measures != nil {
			w.Backward.Bytes -= size // dx
		}
		if op.applies != nil && op.measures != nil {
			w.Backward.Bytes -= 2 * size // x and dy
		}
	case piecewise:
		p := op.workIn()
		if p.before != nil { // x of the norm for its y, and for its sums; its y comes from a cache
			w.Forward.Bytes += 4 * p.before.x.size
			w.Backward.Bytes += 4 * p.before.x.size
		}
		if p.after != nil { // x and dy of the norm for its dx, which is dy here
			w.Backward.Bytes += 8 * p.after.x.size
		}
	}
}

// looksUp is an operation that reads and writes only some rows of a table.
type looksUp interface {
	rowsOf() (table *Value, elements int)
}

func (o *embedding) rowsOf() (table *Value, elements int) {
	return o.table, min(o.tokens.Size()*o.width, o.table.size)
}

// sizeOf is how much of a value the node touches.
func (n *node) sizeOf(b *buffer) int {
	if op, ok := n.op.(looksUp); ok {
		if table, elements := op.rowsOf(); b == table.data || b == table.grad {
			return elements
		}
	}
	return b.size
}

func (n *node) forwardBytes() int {
	seen := map[*buffer]bool{}
	elements := n.once(seen, n.reads) + n.once(seen, n.keeps) + n.once(seen, n.both)
	for _, v := range n.makes {
		elements += v.size
	}
	return 4 * elements
}

func (n *node) backwardBytes() int {
	if len(n.sinks) == 0 {
		return 0
	}
	seen := map[*buffer]bool{}
	elements := n.once(seen, n.keeps) + n.once(seen, n.both)
	for _, v := range n.makes {
		if v.wanted {
			elements += v.size
		}
	}
	for _, s := range n.sinks {
		elements += n.sizeOf(s.target.grad)
		if s.add {
			elements += n.sizeOf(s.target.grad)
		}
	}
	return 4 * elements
}

// once is the elements of buffers that were not seen before.
func (n *node) once(seen map[*buffer]bool, buffers []*buffer) (elements int) {
	for _, b := range buffers {
		if !seen[b] {
			seen[b] = true
			elements += n.sizeOf(b)
		}
	}
	return elements
}
