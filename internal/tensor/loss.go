package tensor

import (
	"sync/atomic"

	"ringmaster/internal/tensor/kernel"
)

// IgnoredTarget is the target that counts for nothing, as in PyTorch. The losses take every negative class and label for one.
const IgnoredTarget = -100

// rowLoss is what the losses have in common: the loss of every row of the model's output, weighted, and its gradient, which is
// written forward, so that backward finds it in its place. Rows are divided among threads; their losses and what they count for are
// added in ascending order, to the sum already in the context.
type rowLoss struct {
	rows, width int
	x           *Value // the output: all rows, or a piece of them, from the row first on
	dx          *sink
	weights     *Value    // one for each sample, or nil; a sample's rows all have its weight
	losses      []float64 // by row
	masses      []float64 // by row: what its target counts for; nil where all count for 1
	compute     *share
	cost        int          // of a value of a row, in elements
	count       atomic.Int64 // whole numbers: in any order
	correct     atomic.Int64
	joint       *jointLoss  // that this one is part of; nil: it is alone
	place       int         // in joint
	penalties   [][]float64 // by sample: what operations before it add to the loss
	first       int         // of the rows in x
	inWork      int         // rows of x that count
}

// jointLoss adds losses up row by row, so that a batch in pieces has the same sum as the whole.
type jointLoss struct {
	factors []float32
	parts   []*rowLoss
}

// JoinLosses makes the losses that are recorded from here on, as many as there are factors, one loss: for each row the sum of their losses,
// each times its factor. All have as many rows, one for each sample. What counts, and what is right, is counted by the first.
func (g *Graph) JoinLosses(factors ...float32) { g.joint = &jointLoss{factors: factors} }

// add takes part k into the sum, and scales its gradient. With the last part the sum is whole.
func (j *jointLoss) add(o *rowLoss, c *Context) {
	factor := j.factors[o.place]
	if d := o.gradient(0, o.rows); d != nil {
		kernel.Scale(d, factor, d)
	}
	if o.place == 0 {
		c.Count += int(o.count.Load())
		c.Correct += int(o.correct.Load())
	}
	if o.place < len(j.factors)-1 {
		return
	}
	for row := range o.rows {
		total := 0.0
		for k, part := range j.parts {
			total += float64(float64(j.factors[k]) * part.losses[row])
		}
		c.Loss += total + o.penalty(row)
	}
}

// end records the loss as the end of the graph. body computes the losses and the gradient of rows and scales each by its weight.
func (o *rowLoss) end(g *Graph, x, weights *Value, cost int, op operation, body func(begin, end int)) *node {
	invariant(x.role == activation, "the output is no operation's result")
	o.prepare(g, x.Rows(), x, weights, cost, body)
	n := g.record()
	n.use(x)
	o.dx = n.gradient(x, false)
	n.early = true
	n.op = op
	if j := g.joint; j != nil {
		o.joint, o.place = j, len(j.parts)
		j.parts = append(j.parts, o)
		invariant(len(j.parts) <= len(j.factors) && o.rows == j.parts[0].rows, "part %d of a loss has %d rows, the first %d", o.place, o.rows, j.parts[0].rows)
	}
	return n
}

// prepare says what the loss is of. x has all rows, or room for a piece of them.
func (o *rowLoss) prepare(g *Graph, rows int, x, weights *Value, cost int, body func(begin, end int)) {
	o.rows, o.width, o.x, o.weights, o.cost = rows, x.Dim(-1), x, weights, cost
	invariant(weights == nil || weights.role == input && rows%weights.Size() == 0, "%d rows with weights of shape %v", rows, x.Shape)
	o.losses, o.penalties = make([]float64, rows), g.penalties
	o.compute = newShare(func(begin, end int) { body(o.first+begin, o.first+end) })
}

func (o *rowLoss) forward(c *Context) {
	o.begin()
	o.take(c, 0, o.rows)
	if o.joint != nil {
		o.joint.add(o, c)
		return
	}
	o.sum(c)
}

func (o *rowLoss) begin() {
	o.count.Store(0)
	o.correct.Store(0)
}

// take computes the losses of rows whose output is in x.
func (o *rowLoss) take(c *Context, first, rows int) {
	o.first, o.inWork = first, rows
	if c.Outputs != nil && o.place == 0 {
		c.Outputs(first, o.x.Data()[:rows*o.width])
	}
	o.compute.run(c, rows, o.cost*o.width)
}

// sum adds up what all rows have come to.
func (o *rowLoss) sum(c *Context) {
	for row, loss := range o.losses {
		c.Loss += loss + o.penalty(row)
	}
	for _, mass := range o.masses {
		c.Weight += mass
	}
	c.Count += int(o.count.Load())
	c.Correct += int(o.correct.Load())
}

// penalty is what operations add to the loss of a row's sample, with its first row.
func (o *rowLoss) penalty(row int) (sum float64) {
	for _, penalties := range o.penalties {
		if rows := o.rows / len(penalties); row%rows == 0 {
			sum += penalties[row/rows]
		}
	}
	return sum
}

func (o *rowLoss) backward(*Context) {} // forward has left the gradient in its place

// gradient is where the gradient of rows is written; nil where none is wanted.
func (o *rowLoss) gradient(begin, end int) []float32 {
	if !o.dx.wanted() {
		return nil
	}
	return o.dx.data()[(begin-o.first)*o.width : (end-o.first)*o.width]
}

// output is the model's output for rows.
func (o *rowLoss) output(begin, end int) []float32 {
	return o.x.Data()[(begin-o.first)*o.width : (end-o.first)*o.width]
}

// weight is the weight of a row's sample.
func (o *rowLoss) weight(row int) float32 {
	if o.weights == nil {
		return 1
	}
	return o.weights.Data()[row/(o.rows/o.weights.Size())]
}

// scale scales loss and gradient of a row.
func (o *rowLoss) scale(row int, weight float32) {
	if weight == 1 {
		return
	}
	o.losses[row] *= float64(weight)
	if d := o.gradient(row, row+1); d != nil {
		kernel.Scale(d, weight, d)
	}
}

// differenceLoss is the sum over rows of the mean along the last axis of a function of x-target.
type differenceLoss struct {
	rowLoss
	target *Value
	delta  float32 // of the Huber loss
}

func (g *Graph) difference(x, target, weights *Value, delta float32, body func(o *differenceLoss, begin, end int)) {
	invariant(x.size == target.size && target.role == input, "loss of %v against %v", x.Shape, target.Shape)
	op := &differenceLoss{target: target, delta: delta}
	op.end(g, x, weights, 2, op, func(begin, end int) {
		body(op, begin, end)
		count := 0
		for row := begin; row < end; row++ {
			w := op.weight(row)
			op.scale(row, w)
			if w != 0 {
				count++
			}
		}
		op.count.Add(int64(count))
	})
}

// SquaredError ends a graph: it adds up, over the rows of x, the mean over the last axis of (x-target)^2, and counts the
// rows. The mean of PyTorch's MSELoss is the sum divided by that count. target is an input of x's shape. Rows of weight 0 do not count; weights,
// one a sample, may be nil.
func (g *Graph) SquaredError(x, target, weights *Value) {
	g.difference(x, target, weights, 0, (*differenceLoss).squares)
}

func (o *differenceLoss) squares(begin, end int) {
	i, j := begin*o.width, end*o.width
	x, target := o.x.Data()[i:j], o.target.Data()[i:j]
	for row := range end - begin {
		total := 0.0
		for k := row * o.width; k < (row+1)*o.width; k++ {
			d := float64(x[k] - target[k])
			total += float64(d * d)
		}
		o.losses[begin+row] = total / float64(o.width)
	}
	if d := o.gradient(begin, end); d != nil {
		kernel.Sub(d, x, target)
		kernel.Scale(d, 2/float32(o.width), d)
	}
}

// AbsoluteError is SquaredError of |x-target|, as PyTorch's L1Loss. Its gradient where they are equal is 0.
func (g *Graph) AbsoluteError(x, target, weights *Value) {
	g.difference(x, target, weights, 0, (*differenceLoss).bends)
}

// HuberError is SquaredError of half the square of x-target up to delta from 0, and of delta times what |x-target| is beyond
// delta/2 from there on, as PyTorch's HuberLoss. delta is positive.
func (g *Graph) HuberError(x, target, weights *Value, delta float32) {
	invariant(delta > 0, "Huber's loss with delta %v", delta)
	g.difference(x, target, weights, delta, (*differenceLoss).bends)
}

// bends is the absolute error, which is what is left of Huber's where delta is 0, but for a factor of delta.
func (o *differenceLoss) bends(begin, end int) {
	slope, share, half := o.delta, float32(1)/float32(o.width), float64(o.delta)/2
	if slope == 0 {
		slope = 1
	}
	for row := begin; row < end; row++ {
		i, j := row*o.width, (row+1)*o.width
		target, d := o.target.Data()[i:j], o.gradient(row, row+1)
		total := 0.0
		for k, v := range o.x.Data()[i:j] {
			apart := v - target[k]
			far, towards := apart, slope
			if far < 0 {
				far, towards = -far, -slope
			}
			if !(far > o.delta) { // also where it is not a number
				towards = apart
				total += float64(float64(apart)*float64(apart)) / 2
			} else {
				total += float64(float64(slope) * (float64(far) - half))
			}
			if d != nil {
				d[k] = towards * share
			}
		}
		o.losses[row] = total / float64(o.width)
	}
}
