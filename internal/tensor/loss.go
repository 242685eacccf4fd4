package tensor

import "ringmaster/internal/tensor/kernel"

// IgnoredTarget is the target that counts for nothing, as in PyTorch.
const IgnoredTarget = -100

// crossEntropy is the sum over rows of -log softmax(logits)[target], with label smoothing.
type crossEntropy struct {
	rows, classes int
	logits        *Value
	dlogits       *sink
	smoothing     float32
}

// CrossEntropy ends a graph: it adds up the loss of every row of logits (rows, classes) against Context.Targets and leaves
// the sums in the context. Rows with IgnoredTarget count for nothing. With smoothing e the target is 1-e on the class plus e/classes
// everywhere. Its gradient is that of the sum, not of the mean.
func (g *Graph) CrossEntropy(logits *Value, smoothing float32) {
	op := &crossEntropy{rows: logits.Rows(), classes: logits.Dim(-1), logits: logits, smoothing: smoothing}
	n := g.record()
	n.use(logits)
	op.dlogits = n.gradient(logits, false)
	n.early = true
	n.op = op
}

func (o *crossEntropy) forward(c *Context) {
	var gradient []float32
	if o.dlogits.wanted() {
		gradient = o.dlogits.data()
	}
	loss, count, correct := kernel.CrossEntropy(gradient, o.logits.Data(), c.Targets, o.rows, o.classes, IgnoredTarget, o.smoothing)
	c.Loss += loss
	c.Count += count
	c.Correct += correct
}

func (o *crossEntropy) backward(*Context) {} // forward has left the gradient in its place
