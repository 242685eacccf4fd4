package tensor

import (
	"math"

	"ringmaster/internal/plan"
	"ringmaster/internal/tensor/kernel"
)

// statisticBlock is how many rows batch normalisation takes statistics of at a time, before it folds those of the blocks,
// ascending. A block stays in the cache, long sums stay accurate, and threads have something to divide. It is part
// of the numerics contract. So is how many blocks' sums are folded at a time.
const (
	statisticBlock = 64
	statisticFold  = 8
)

// batchNorm normalises each channel (the last axis) over all other axes, with an activation applied in the same pass.
type batchNorm struct {
	rows, channels    int
	x, gamma, beta, y *Value
	dx, dg, db        *sink
	mean, rstd        *buffer // of the batch
	partial, shifted  *buffer // scratch: sums of blocks
	folded            *buffer // scratch: sums of those
	a, b              *buffer // scratch: the channels' maps from x to the normalised values, a*x + b
	e, f              *buffer // scratch: those from x to its gradient, besides a*dy: e*x + f
	activation        BatchNormActivation
	epsilon           float32
	biased            bool
	runMean, runVar   plan.Interval
	training          bool
	blocks            int
	compute, traverse *share
	statistics, dots  *share
	node              *node
	measures, applies *node // which compute and measure for this one, see pieces.go; nil: it does that itself
	rounding          *rounding
}

// BatchNormActivation is what is applied to the normalised values.
type BatchNormActivation uint8

// The activations that batch normalisation can be fused with; their bits are those of the separate operations.
const (
	PlainNorm BatchNormActivation = iota
	ReLUNorm
	ReLU6Norm
)

// BatchNormOptions are the settings of a batch normalisation.
type BatchNormOptions struct {
	Epsilon    float32
	Activation BatchNormActivation
	Biased     bool // it leaves the biased variance, as Keras does; else the unbiased one, as PyTorch
}

// BatchNorm normalises each channel, the last axis of x, over all samples and positions, multiplies by gamma, adds beta and
// applies the activation. In training it takes the batch's mean and biased variance, and leaves the mean and a variance
// in Context.Statistics at the intervals mean and variance; in evaluation it takes those of Context.Running.
func (g *Graph) BatchNorm(x, gamma, beta *Value, mean, variance plan.Interval, options BatchNormOptions) *Value {
	op := &batchNorm{rows: x.Rows(), channels: x.Dim(-1), x: x, gamma: gamma, beta: beta, epsilon: options.Epsilon, biased: options.Biased,
		runMean: mean, runVar: variance, activation: options.Activation, training: g.training}
	invariant(gamma.size == op.channels && beta.size == op.channels && mean.Len() == op.channels && variance.Len() == op.channels,
		"batch norm of %d channels", op.channels)
	op.blocks = (op.rows + statisticBlock - 1) / statisticBlock
	n := g.record()
	n.keep(x, gamma, beta)
	op.dx, op.dg, op.db = n.gradient(x, false), n.gradient(gamma, false), n.gradient(beta, false)
	for _, s := range []struct {
		sink **sink
		of   *Value
	}{{&op.dg, gamma}, {&op.db, beta}} { // dx needs both
		if n.wanted && g.training && !(*s.sink).wanted() {
			*s.sink = n.scratch(s.of)
		}
	}
	if op.dx != nil {
		op.dx.inPlace, op.dx.settles = true, true
	}
	op.y = n.make(x.Shape...)
	op.mean, op.rstd = n.saved(op.channels), n.saved(op.channels)
	for _, b := range []**buffer{&op.a, &op.b, &op.e, &op.f} {
		*b = newBuffer(op.channels)
	}
	op.partial, op.shifted = newBuffer(op.blocks*op.channels), newBuffer(op.blocks*op.channels)
	op.folded = newBuffer((op.blocks/(statisticFold-1) + statisticFold) * op.channels)
	scratch := []*buffer{op.a, op.b, op.e, op.f, op.partial, op.shifted, op.folded}
	n.forward = append(n.forward, scratch...)
	n.backward = append(n.backward, scratch...)
	room := 0 // a block of x
	if op.rounding, n.settles = g.rounding(), true; g.bfloat16 {
		room = statisticBlock * op.channels
	}
	op.compute, op.traverse = newShare(op.computeRows), newRoomShare(room, op.traverseRows)
	op.statistics, op.dots = newShare(op.measureBlocks), newRoomShare(room, op.dotBlocks)
	n.op, op.node = op, n
	return op.y
}

// block is the rows of block k of v, and how many they are.
func (o *batchNorm) block(v []float32, k int) ([]float32, int) {
	begin, end := k*statisticBlock, min((k+1)*statisticBlock, o.rows)
	return v[begin*o.channels : end*o.channels], end - begin
}

// kept is the rows [begin, end) of x as backward finds them.
func (o *batchNorm) kept(begin, end int, room []float32) []float32 {
	return o.rounding.kept(o.x, begin*o.channels, end*o.channels, room)
}

// measureBlocks takes the mean of each block and the sum of squares around it.
func (o *batchNorm) measureBlocks(begin, end int) {
	for k := begin; k < end; k++ {
		x, rows := o.block(o.x.Data(), k)
		mean := o.row(o.partial, k)
		kernel.ColSum(mean, x, rows)
		kernel.Scale(mean, 1/float32(rows), mean)
		kernel.ColSumCentered(o.row(o.shifted, k), x, mean, rows)
	}
}

func (o *batchNorm) row(b *buffer, k int) []float32 { return b.data[k*o.channels : (k+1)*o.channels] }

func (o *batchNorm) forward(c *Context) {
	if o.training {
		o.measure(c)
	} else {
		copy(o.mean.data, of(c.Running, o.runMean))
		o.invert(of(c.Running, o.runVar), 1)
	}
	o.affine()
	if o.applies == nil {
		o.compute.run(c, o.rows, o.channels)
	}
}

// affine computes the maps to the normalised values: gamma*(x-mean)*rstd + beta as a*x + b.
func (o *batchNorm) affine() {
	a, b := o.a.data, o.b.data
	gamma, beta := o.gamma.Data(), o.beta.Data()
	for i, r := range o.rstd.data {
		a[i] = gamma[i] * r
		b[i] = beta[i] - float32(o.mean.data[i]*a[i])
	}
}

// measure takes the batch's statistics from those of the blocks: the mean is the blocks' weighted one, and the sum of
// squares around it is that of the blocks, plus rows*(block's mean - mean)^2 for each. All blocks but the last are whole.
func (o *batchNorm) measure(c *Context) {
	if o.measures == nil {
		o.statistics.run(c, o.blocks, statisticBlock*o.channels)
	}
	n, whole := float32(o.rows), o.rows/statisticBlock
	last := float32(o.rows % statisticBlock)
	means, squares, between := o.mean.data, o.e.data, o.f.data
	o.fold(means, o.partial.data, whole, nil)
	for i, s := range means {
		means[i] = float32(s * statisticBlock)
		if whole < o.blocks {
			means[i] += float32(last * o.row(o.partial, whole)[i])
		}
		means[i] /= n
	}
	o.fold(squares, o.shifted.data, o.blocks, nil)
	o.fold(between, o.partial.data, whole, means)
	copy(of(c.Statistics, o.runMean), means)
	variance, count := of(c.Statistics, o.runVar), n
	if !o.biased {
		count = max(n-1, 1)
	}
	for i, s := range between {
		squares[i] += float32(s * statisticBlock)
		if whole < o.blocks {
			d := o.row(o.partial, whole)[i] - means[i]
			squares[i] += float32(last * float32(d*d))
		}
		variance[i] = squares[i] / count
	}
	o.invert(squares, n)
}

// fold sums rows of v, or with a center the squares of their distance from it, down the columns: some at a time, then those sums,
// until one is left. A sum of many in turn would lose some digits.
func (o *batchNorm) fold(dst, v []float32, rows int, center []float32) {
	free := o.folded.data
	for rows > statisticFold {
		sums, groups := free, (rows+statisticFold-1)/statisticFold
		for k := range groups {
			sum, count := sums[k*o.channels:(k+1)*o.channels], min(statisticFold, rows-k*statisticFold)
			o.sumRows(sum, v[k*statisticFold*o.channels:][:count*o.channels], count, center)
		}
		v, rows, center, free = sums, groups, nil, free[groups*o.channels:]
	}
	o.sumRows(dst, v[:rows*o.channels], rows, center)
}

func (o *batchNorm) sumRows(dst, v []float32, rows int, center []float32) {
	if center == nil {
		kernel.ColSum(dst, v, rows)
		return
	}
	kernel.ColSumCentered(dst, v, center, rows)
}

// invert sets rstd to 1/sqrt(sum/n + epsilon). The square root of a float32 rounded from float64 is the correct one.
func (o *batchNorm) invert(sums []float32, n float32) {
	for i, s := range sums {
		o.rstd.data[i] = 1 / float32(math.Sqrt(float64(s/n+o.epsilon)))
	}
}

// band is the rows [begin, end) of v.
func (o *batchNorm) band(v []float32, begin, end int) []float32 {
	return v[begin*o.channels : end*o.channels]
}

func (o *batchNorm) computeRows(begin, end int) {
	for at := begin; at < end; at += statisticBlock {
		rows := min(statisticBlock, end-at)
		y, x := o.band(o.y.Data(), at, at+rows), o.band(o.x.Data(), at, at+rows)
		switch o.activation {
		case ReLUNorm:
			kernel.ColScaleShiftReLU(y, x, o.a.data, o.b.data, rows)
		case ReLU6Norm:
			kernel.ColScaleShiftReLU6(y, x, o.a.data, o.b.data, rows)
		default:
			kernel.ColScaleShift(y, x, o.a.data, o.b.data, rows)
		}
		o.y.data.settle(at*o.channels, len(y))
	}
}

// dotBlocks sums dy, as it comes through the activation, and dy*(x-mean).
func (o *batchNorm) dotBlocks(begin, end int, room []float32) {
	for k := begin; k < end; k++ {
		dy, rows := o.block(o.y.grad.data, k)
		x := o.kept(k*statisticBlock, k*statisticBlock+rows, room)
		sum, dot := o.row(o.partial, k), o.row(o.shifted, k)
		switch o.activation {
		case ReLUNorm:
			kernel.ColSumsReLU(sum, dot, dy, x, o.mean.data, o.a.data, o.b.data, rows)
		case ReLU6Norm:
			kernel.ColSumsReLU6(sum, dot, dy, x, o.mean.data, o.a.data, o.b.data, rows)
		default:
			kernel.ColSums(sum, dot, dy, x, o.mean.data, rows)
		}
	}
}

// backward: with h = (x-mean)*rstd and dy as it comes through the activation, dbeta = sum dy, dgamma = sum dy*h and
// dx = gamma*rstd*(dy - dbeta/n - h*dgamma/n) = a*dy + (e*x + f).
func (o *batchNorm) backward(c *Context) {
	if o.applies == nil {
		o.affine()
		o.dots.run(c, o.blocks, statisticBlock*o.channels)
	}
	db, dg := o.db.data(), o.dg.data()
	o.fold(db, o.partial.data, o.blocks, nil)
	o.fold(dg, o.shifted.data, o.blocks, nil)
	n := float32(o.rows)
	a, e, f := o.a.data, o.e.data, o.f.data
	for i, r := range o.rstd.data {
		dg[i] *= r
		e[i] = -a[i] * r * (dg[i] / n)
		f[i] = -float32(a[i]*(db[i]/n)) - float32(e[i]*o.mean.data[i])
	}
	if o.dx.wanted() && o.measures == nil {
		o.traverse.run(c, o.rows, o.channels)
	}
}

func (o *batchNorm) traverseRows(begin, end int, room []float32) {
	a, b, e, f := o.a.data, o.b.data, o.e.data, o.f.data
	for at := begin; at < end; at += statisticBlock {
		rows := min(statisticBlock, end-at)
		dx, dy, x := o.band(o.dx.data(), at, at+rows), o.band(o.y.grad.data, at, at+rows), o.kept(at, at+rows, room)
		switch o.activation {
		case ReLUNorm:
			kernel.ColCombineReLU(dx, dy, x, a, b, e, f, rows)
		case ReLU6Norm:
			kernel.ColCombineReLU6(dx, dy, x, a, b, e, f, rows)
		default:
			kernel.ColCombine(dx, dy, x, a, e, f, rows)
		}
		o.dx.settle(dx)
	}
}
