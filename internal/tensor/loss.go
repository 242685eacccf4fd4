package tensor

import (
	"sync/atomic"

	"ringmaster/internal/tensor/kernel"
)

// IgnoredTarget is the target that counts for nothing, as in PyTorch.
const IgnoredTarget = -100

// rowLoss is what the losses have in common: the loss of every row of the model's output, weighted, and its gradient, which is
// written forward, so that backward finds it in its place. Rows are divided among threads; their losses are added in ascending
// order, from what stands in the context.
type rowLoss struct {
	rows, width int
	x           *Value
	dx          *sink
	weights     *Value    // one for each sample, or nil; a sample's rows all have its weight
	losses      []float64 // by row
	compute     *share
	cost        int          // of a value of a row, in elements
	count       atomic.Int64 // whole numbers: in any order
	correct     atomic.Int64
}

// end records the loss as the end of the graph. body computes the losses, unweighted, and the gradient of rows.
func (o *rowLoss) end(g *Graph, x, weights *Value, cost int, op operation, body func(begin, end int)) {
	invariant(x.role == activation, "the output is no operation's result")
	o.rows, o.width, o.x, o.weights, o.cost = x.Rows(), x.Dim(-1), x, weights, cost
	invariant(weights == nil || weights.role == input && o.rows%weights.Size() == 0, "%d rows with weights of shape %v", o.rows, x.Shape)
	o.losses = make([]float64, o.rows)
	o.compute = newShare(body)
	n := g.record()
	n.use(x)
	o.dx = n.gradient(x, false)
	n.early = true
	n.op = op
}

func (o *rowLoss) forward(c *Context) {
	o.count.Store(0)
	o.correct.Store(0)
	o.compute.run(c, o.rows, o.cost*o.width)
	for _, loss := range o.losses {
		c.Loss += loss
	}
	c.Count += int(o.count.Load())
	c.Correct += int(o.correct.Load())
}

func (o *rowLoss) backward(*Context) {} // forward has left the gradient in its place

// gradient is where the gradient of rows is written; nil where none is wanted.
func (o *rowLoss) gradient(begin, end int) []float32 {
	if !o.dx.wanted() {
		return nil
	}
	return o.dx.data()[begin*o.width : end*o.width]
}

// weight is the weight of a row.
func (o *rowLoss) weight(row int) float32 {
	if o.weights == nil {
		return 1
	}
	return o.weights.Data()[row/(o.rows/o.weights.Size())]
}

// weigh scales losses and gradients of rows by their weights.
func (o *rowLoss) weigh(begin, end int) {
	if o.weights == nil {
		return
	}
	for row := begin; row < end; row++ {
		w := o.weight(row)
		o.losses[row] *= float64(w)
		if d := o.gradient(row, row+1); d != nil {
			kernel.Scale(d, w, d)
		}
	}
}

// crossEntropy is the sum over rows of -log softmax(logits)[target], with label smoothing.
type crossEntropy struct {
	rowLoss
	targets   *Integers
	counted   []int32 // targets of the rows whose weight is not 0; the others are ignored
	smoothing float32
}

// CrossEntropy ends a graph: it adds up the loss of every row of logits (rows, classes) against its target and leaves the sums in
// the context. Rows with IgnoredTarget count for nothing, and neither do those of weight 0; weights, one a sample, may be nil. With smoothing e the
// target is 1-e on the class plus e/classes everywhere. Its gradient is that of the sum, not of the mean.
func (g *Graph) CrossEntropy(logits *Value, targets *Integers, weights *Value, smoothing float32) {
	op := &crossEntropy{targets: targets, smoothing: smoothing}
	invariant(targets.Size() == logits.Rows(), "%d targets for %d rows", targets.Size(), logits.Rows())
	op.end(g, logits, weights, 8, op, op.computeRows)
	if weights != nil {
		op.counted = make([]int32, op.rows)
	}
}

func (o *crossEntropy) computeRows(begin, end int) {
	targets := o.targets.data[begin:end]
	if o.weights != nil {
		copy(o.counted[begin:end], targets)
		targets = o.counted[begin:end]
		for i := range targets {
			if o.weight(begin+i) == 0 {
				targets[i] = IgnoredTarget
			}
		}
	}
	count, correct := kernel.CrossEntropyRows(o.losses[begin:end], o.gradient(begin, end), o.x.Data()[begin*o.width:end*o.width], targets,
		end-begin, o.width, IgnoredTarget, o.smoothing)
	o.count.Add(int64(count))
	o.correct.Add(int64(correct))
	o.weigh(begin, end)
}

// squaredError is the sum over rows of the mean of (x-target)^2 along the last axis.
type squaredError struct {
	rowLoss
	target *Value
}

// SquaredError ends a graph: it adds up, over the rows of x, the mean over the last axis of (x-target)^2, and counts the
// rows. The mean of PyTorch's MSELoss is the sum divided by that count. target is an input of x's shape. Rows of weight 0 do not count; weights,
// one a sample, may be nil.
func (g *Graph) SquaredError(x, target, weights *Value) {
	invariant(x.size == target.size && target.role == input, "squared error of %v against %v", x.Shape, target.Shape)
	op := &squaredError{target: target}
	op.end(g, x, weights, 2, op, op.computeRows)
}

func (o *squaredError) computeRows(begin, end int) {
	i, j := begin*o.width, end*o.width
	x, target := o.x.Data()[i:j], o.target.Data()[i:j]
	count := 0
	for row := range end - begin {
		total := 0.0
		for k := row * o.width; k < (row+1)*o.width; k++ {
			d := float64(x[k] - target[k])
			total += float64(d * d)
		}
		o.losses[begin+row] = total / float64(o.width)
		if o.weight(begin+row) != 0 {
			count++
		}
	}
	if d := o.gradient(begin, end); d != nil {
		kernel.Sub(d, x, target)
		kernel.Scale(d, 2/float32(o.width), d)
	}
	o.count.Add(int64(count))
	o.weigh(begin, end)
}
