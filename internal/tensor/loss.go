package tensor

import (
	"sync/atomic"

	"ringmaster/internal/tensor/kernel"
)

// IgnoredTarget is the target that counts for nothing, as in PyTorch.
const IgnoredTarget = -100

// crossEntropy is the sum over rows of -log softmax(logits)[target], with label smoothing.
type crossEntropy struct {
	rows, classes int
	logits        *Value
	dlogits       *sink
	smoothing     float32
	losses        []float64 // by row
	targets       []int32
	compute       *share
	count         atomic.Int64 // whole numbers: in any order
	correct       atomic.Int64
}

// CrossEntropy ends a graph: it adds up the loss of every row of logits (rows, classes) against Context.Targets and leaves
// the sums in the context. Rows with IgnoredTarget count for nothing. With smoothing e the target is 1-e on the class plus e/classes
// everywhere. Its gradient is that of the sum, not of the mean.
func (g *Graph) CrossEntropy(logits *Value, smoothing float32) {
	invariant(logits.role == activation, "the logits are no operation's result")
	op := &crossEntropy{rows: logits.Rows(), classes: logits.Dim(-1), logits: logits, smoothing: smoothing}
	op.losses = make([]float64, op.rows)
	op.compute = newShare(op.computeRows)
	n := g.record()
	n.use(logits)
	op.dlogits = n.gradient(logits, false)
	n.early = true
	n.op = op
}

func (o *crossEntropy) forward(c *Context) {
	o.targets = c.Targets[:o.rows]
	o.count.Store(0)
	o.correct.Store(0)
	o.compute.run(c, o.rows, 8*o.classes)
	for _, loss := range o.losses {
		c.Loss += loss
	}
	c.Count += int(o.count.Load())
	c.Correct += int(o.correct.Load())
}

func (o *crossEntropy) computeRows(begin, end int) {
	i, j := begin*o.classes, end*o.classes
	var gradient []float32
	if o.dlogits.wanted() {
		gradient = o.dlogits.data()[i:j]
	}
	count, correct := kernel.CrossEntropyRows(o.losses[begin:end], gradient, o.logits.Data()[i:j], o.targets[begin:end],
		end-begin, o.classes, IgnoredTarget, o.smoothing)
	o.count.Add(int64(count))
	o.correct.Add(int64(correct))
}

func (o *crossEntropy) backward(*Context) {} // forward has left the gradient in its place

// squaredError is the sum over rows of the mean of (x-target)^2 along the last axis.
type squaredError struct {
	x, target *Value
	dx        *sink
}

// SquaredError ends a graph: it adds up, over the rows of x, the mean over the last axis of (x-target)^2, and counts the
// rows. The mean of PyTorch's MSELoss is the sum divided by that count. target is an input of x's shape.
func (g *Graph) SquaredError(x, target *Value) {
	invariant(x.size == target.size && target.role == input, "squared error of %v against %v", x.Shape, target.Shape)
	op := &squaredError{x: x, target: target}
	n := g.record()
	n.keep(x, target)
	op.dx = n.gradient(x, false)
	n.op = op
}

func (o *squaredError) forward(c *Context) {
	total := 0.0
	for i, v := range o.x.Data() {
		d := float64(v - o.target.Data()[i])
		total += float64(d * d)
	}
	c.Loss += total / float64(o.x.Dim(-1))
	c.Count += o.x.Rows()
}

func (o *squaredError) backward(*Context) {
	dx, factor := o.dx.data(), 2/float32(o.x.Dim(-1))
	kernel.Sub(dx, o.x.Data(), o.target.Data())
	kernel.Scale(dx, factor, dx)
}
