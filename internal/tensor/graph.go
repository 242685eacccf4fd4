package tensor

import (
	"slices"

	"ringmaster/internal/plan"
)

// Graph records the operations of a model for one batch shape, in the order in which they will run.
type Graph struct {
	training  bool
	nodes     []*node
	values    []*storage
	params    []*storage
	compiled  bool
	dropouts  int // recorded so far
	joint     *jointLoss
	held      []*Value    // to the end of forward
	penalties [][]float64 // by sample, of operations that add to the loss

	headRoom              int
	piecesFrom, pieceSize int // see pieces.go
	recompute             bool
	bfloat16              bool
	buffers               []*buffer // of the plan under way
	turns                 []turn
	moves                 []move
}

// NewGraph begins a recording. A graph for training keeps what backward needs; one for evaluation runs forward only, with
// dropout off and running statistics in place of a batch's own.
func NewGraph(training bool) *Graph {
	return &Graph{training: training, headRoom: headRoom, piecesFrom: piecesFrom, pieceSize: pieceSize}
}

// Input is a value that the caller binds before each run; no gradient flows into it.
func (g *Graph) Input(shape ...int) *Value { return g.value(input, shape) }

// Integers are whole numbers (tokens, classes) that the caller binds before each run.
func (g *Graph) Integers(shape ...int) *Integers { return &Integers{Shape: slices.Clone(shape)} }

// Parameter is a view of the interval of the flat parameter vector, whose gradient is that interval of the flat gradient.
func (g *Graph) Parameter(interval plan.Interval, shape ...int) *Value {
	return g.ParameterAt(interval, interval, shape...)
}

// ParameterAt is a view of an interval of the flat parameter vector, whose gradient has a place of its own in the flat gradient. One parameter used
// by several operations must be one Value, so that its gradient is the sum over all uses.
func (g *Graph) ParameterAt(interval, gradient plan.Interval, shape ...int) *Value {
	v := g.Frozen(interval, shape...)
	v.slope = gradient
	if g.training {
		v.wanted = true
		v.grad = newBuffer(v.size)
	}
	return v
}

// Frozen is a view of an interval of the flat parameter vector without a gradient. What only leads to it has none either.
func (g *Graph) Frozen(interval plan.Interval, shape ...int) *Value {
	v := g.value(parameter, shape)
	invariant(v.size == interval.Len(), "parameter of shape %v on interval %v", shape, interval)
	v.interval = interval
	g.params = append(g.params, v.storage)
	return v
}

func (g *Graph) value(r role, shape []int) *Value {
	size := Volume(shape)
	s := &storage{number: len(g.values), size: size, role: r, data: newBuffer(size)}
	g.values = append(g.values, s)
	return &Value{Shape: slices.Clone(shape), storage: s}
}

// Reshape is the same elements in another shape of the same size. A length of -1 is computed from the others.
func (g *Graph) Reshape(x *Value, shape ...int) *Value {
	shape = slices.Clone(shape)
	if k := slices.Index(shape, -1); k >= 0 {
		shape[k] = 1
		shape[k] = x.size / max(Volume(shape), 1)
	}
	invariant(Volume(shape) == x.size, "reshape of %v to %v", x.Shape, shape)
	return &Value{Shape: shape, storage: x.storage}
}

// Hold keeps the elements of a value in their place until the forward pass has ended, though later operations do not read them.
func (g *Graph) Hold(v *Value) { g.held = append(g.held, v) }

// operation is one step of a program. Its forward and backward may use the values and sinks it got while it was recorded.
type operation interface {
	forward(c *Context)
	backward(c *Context)
}

// node is an operation as recorded.
type node struct {
	graph    *Graph
	op       operation
	index    int
	reads    []*buffer  // by forward
	keeps    []*buffer  // by forward and backward
	makes    []*storage // written by forward; backward reads their gradients
	sinks    []*sink
	forward  []*buffer // scratch of forward
	backward []*buffer // scratch of backward; what is scratch of forward too has another place there
	both     []*buffer // written by forward, read by backward
	early    bool      // forward already writes the gradients
	wanted   bool

	apart          []*apart
	operands       []*storage // what forward and backward read as operands of products
	kept           []*storage // what keeps is of
	exact          []*buffer  // of keeps: backward needs it as it was
	forwardCopies  []*copied
	backwardCopies []*copied
	made           []made
	settles        bool // the operation calls settle for its results, and kept for what backward reads
}

// sink is where an operation's backward puts the gradient of one of its inputs.
type sink struct {
	target  *storage
	node    *node
	adds    bool    // the operation can add to what is there
	add     bool    // the operation must add to what is there, since a later operation has written before
	place   *buffer // where the operation writes: the gradient itself, or scratch that is added to it afterwards
	inPlace bool    // the input's gradient may take the place of the output's, which backward then has read

	settles    bool // the operation calls settle for what it writes
	rounds     bool // what it writes is rounded, since a product alone reads it
	afterReads bool // backward writes it after it has read the input for the last time
}

// wanted reports whether the gradient is to be computed at all.
func (s *sink) wanted() bool { return s != nil }

// data is where to write.
func (s *sink) data() []float32 { return s.place.data }

// record begins a node. The operation is set by finish.
func (g *Graph) record() *node {
	invariant(!g.compiled, "a compiled graph cannot grow")
	n := &node{graph: g, index: len(g.nodes)}
	g.nodes = append(g.nodes, n)
	return n
}

// use declares values that forward reads and backward does not.
func (n *node) use(values ...*Value) {
	for _, v := range values {
		n.reads = append(n.reads, v.data)
		n.wanted = n.wanted || v.wanted
	}
}

// multiplies declares that values, which have been declared, are operands of products: they come rounded to bfloat16 where the graph computes
// in it.
func (n *node) multiplies(values ...*Value) {
	for _, v := range values {
		if !n.multiplied(v.data) {
			n.operands = append(n.operands, v.storage)
		}
	}
}

// keepExactly declares values that backward reads too, as they are: they are never kept rounded.
func (n *node) keepExactly(values ...*Value) {
	n.keep(values...)
	for _, v := range values {
		n.exact = append(n.exact, v.data)
	}
}

// keep declares values that backward reads too. It may find them rounded to bfloat16.
func (n *node) keep(values ...*Value) {
	for _, v := range values {
		n.keeps, n.kept = append(n.keeps, v.data), append(n.kept, v.storage)
		n.wanted = n.wanted || v.wanted
	}
}

// gradient is the sink for an input's gradient; nil where none is wanted. With adds the operation honours sink.add
// itself, otherwise it always overwrites and the program adds.
func (n *node) gradient(v *Value, adds bool) *sink {
	if !v.wanted || !n.graph.training {
		return nil
	}
	s := &sink{target: v.storage, node: n, adds: adds, place: v.grad}
	n.sinks = append(n.sinks, s)
	v.sinks = append(v.sinks, s)
	return s
}

// scratch is a sink whose gradient nobody wants, for an operation that computes it on the way to another.
func (n *node) scratch(v *Value) *sink {
	return &sink{node: n, place: n.temporaryBackward(v.size)}
}

// make is a result of the operation. Declare inputs first: a result wants a gradient where an input does.
func (n *node) make(shape ...int) *Value {
	v := n.graph.value(activation, shape)
	if n.wanted && n.graph.training {
		v.wanted = true
		v.grad = newBuffer(v.size)
	}
	n.makes = append(n.makes, v.storage)
	return v
}

// apart is scratch of forward and backward alike, which has a place for each, so that none is taken in between.
type apart struct {
	scratch, place *buffer
	held           []float32 // the place of forward while backward runs
}

// separate gives the node's scratch its places.
func (n *node) separate() {
	for i, b := range n.backward {
		if slices.Contains(n.forward, b) {
			a := &apart{scratch: b, place: newBuffer(b.size)}
			n.backward[i] = a.place
			n.apart = append(n.apart, a)
		}
	}
}

// toBackward has the scratch of both passes be at its place of backward, until toForward.
func (n *node) toBackward() {
	for _, a := range n.apart {
		a.held, a.scratch.data = a.scratch.data, a.place.data
	}
}

func (n *node) toForward() {
	for _, a := range n.apart {
		a.scratch.data, a.held = a.held, nil
	}
}

// temporaryBackward is scratch that lives only while backward runs.
func (n *node) temporaryBackward(size int) *buffer {
	b := newBuffer(size)
	n.backward = append(n.backward, b)
	return b
}

// saved is memory that forward writes for backward.
func (n *node) saved(size int) *buffer {
	b := newBuffer(size)
	n.both = append(n.both, b)
	return b
}
