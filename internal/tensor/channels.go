package tensor

import "ringmaster/internal/tensor/kernel"

// channelAffine is y = gamma*x + beta with a scale and a shift for each channel, the last axis.
type channelAffine struct {
	rows, channels    int
	x, gamma, beta, y *Value
	dx, dg, db        *sink
	none, one         []float32 // by row: what stands for mean and deviation in the kernel of the parameters' gradients
	compute, traverse *share
	columns           *share
}

// ChannelAffine is gamma*x + beta, rounded once, with a scale and a shift for each channel, the last axis of x.
func (g *Graph) ChannelAffine(x, gamma, beta *Value) *Value {
	op := &channelAffine{rows: x.Rows(), channels: x.Dim(-1), x: x, gamma: gamma, beta: beta}
	invariant(gamma.size == op.channels && beta.size == op.channels, "scale and shift of %d channels", op.channels)
	n := g.record()
	n.keep(x, gamma)
	n.use(beta)
	op.dx, op.dg, op.db = n.gradient(x, false), n.gradient(gamma, false), n.gradient(beta, false)
	switch {
	case op.db.wanted() && !op.dg.wanted():
		op.dg = n.scratch(gamma)
	case op.dg.wanted() && !op.db.wanted():
		op.db = n.scratch(beta)
	}
	op.y = n.make(x.Shape...)
	if g.training {
		op.none, op.one = make([]float32, op.rows), make([]float32, op.rows)
		for i := range op.one {
			op.one[i] = 1
		}
	}
	op.compute = newShare(func(begin, end int) {
		i, j := begin*op.channels, end*op.channels
		kernel.ColScaleShift(op.y.Data()[i:j], x.Data()[i:j], gamma.Data(), beta.Data(), end-begin)
	})
	op.traverse = newShare(func(begin, end int) {
		for r := begin; r < end; r++ {
			i, j := r*op.channels, (r+1)*op.channels
			kernel.Mul(op.dx.data()[i:j], op.y.grad.data[i:j], gamma.Data())
		}
	})
	op.columns = newShare(func(begin, end int) {
		clear(op.dg.data()[begin:end])
		clear(op.db.data()[begin:end])
		kernel.LayerNormBackwardParams(op.dg.data(), op.db.data(), op.y.grad.data, x.Data(), op.none, op.one, op.rows, op.channels, begin, end)
	})
	n.op = op
	return op.y
}

func (o *channelAffine) forward(c *Context) { o.compute.run(c, o.rows, o.channels) }

func (o *channelAffine) backward(c *Context) {
	if o.dg.wanted() {
		o.columns.run(c, o.channels, o.rows)
	}
	if o.dx.wanted() {
		o.traverse.run(c, o.rows, o.channels)
	}
}

// GroupNorm normalises the channels of each sample, the last axis of x (samples, ..., channels), in groups of neighbours to mean 0
// and variance 1 over all positions, then multiplies by gamma and adds beta, which may both be nil. As many groups as channels are
// instance normalisation. The sums go over a group's channels in turn, each along its positions.
func (g *Graph) GroupNorm(x, gamma, beta *Value, groups int, epsilon float32) *Value {
	samples, channels := x.Dim(0), x.Dim(-1)
	invariant(groups > 0 && channels%groups == 0, "%d channels in %d groups", channels, groups)
	positions := x.size / max(samples*channels, 1)
	y := x
	if positions > 1 {
		y = g.Transpose(g.Reshape(x, samples, positions, channels))
	}
	y = g.LayerNorm(g.Reshape(y, samples*groups, channels/groups*positions), nil, nil, epsilon)
	if positions > 1 {
		y = g.Transpose(g.Reshape(y, samples, channels, positions))
	}
	y = g.Reshape(y, x.Shape...)
	if gamma == nil {
		return y
	}
	return g.ChannelAffine(y, gamma, beta)
}
