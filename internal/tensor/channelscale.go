package tensor

import "ringmaster/internal/tensor/kernel"

// channelScale is y[n,p,c] = x[n,p,c]*s[n,c]. ds is one chain of fused multiply-adds over the positions, ascending.
type channelScale struct {
	samples, positions, channels int
	x, s, y                      *Value
	dx, ds                       *sink
	none, one                    []float32 // by position: what stands for mean and deviation in the kernel of ds
	compute, traverse            *share
}

// ScaleChannels multiplies each channel of x (samples, ..., channels) by a factor of the sample's own, s (samples, channels).
func (g *Graph) ScaleChannels(x, s *Value) *Value {
	samples, channels := s.Dim(0), s.Dim(1)
	invariant(x.Dim(0) == samples && x.Dim(-1) == channels, "channels of %v times %v", x.Shape, s.Shape)
	op := &channelScale{samples: samples, positions: x.size / max(samples*channels, 1), channels: channels, x: x, s: s}
	n := g.record()
	n.keep(x, s)
	op.dx, op.ds = n.gradient(x, false), n.gradient(s, false)
	op.y = n.make(x.Shape...)
	if g.training {
		op.none, op.one = make([]float32, op.positions), make([]float32, op.positions)
		for i := range op.one {
			op.one[i] = 1
		}
	}
	op.compute = newShare(func(begin, end int) { op.scale(op.y.Data(), op.x.Data(), begin, end) })
	op.traverse = newShare(op.traverseSamples)
	n.op = op
	return op.y
}

// scale multiplies the channels of samples [begin, end).
func (o *channelScale) scale(dst, src []float32, begin, end int) {
	for r := begin * o.positions; r < end*o.positions; r++ {
		i, j := r*o.channels, (r+1)*o.channels
		kernel.Mul(dst[i:j], src[i:j], row(o.s, o.s.Data(), r/o.positions, 0))
	}
}

func (o *channelScale) traverseSamples(begin, end int) {
	if o.ds.wanted() {
		size := o.positions * o.channels
		for n := begin; n < end; n++ {
			ds := row(o.s, o.ds.data(), n, 0)
			clear(ds)
			kernel.LayerNormBackwardParams(ds, nil, o.y.grad.data[n*size:(n+1)*size], o.x.Data()[n*size:(n+1)*size],
				o.none, o.one, o.positions, o.channels, 0, o.channels)
		}
	}
	if o.dx.wanted() {
		o.scale(o.dx.data(), o.y.grad.data, begin, end)
	}
}

func (o *channelScale) forward(c *Context)  { o.compute.run(c, o.samples, o.positions*o.channels) }
func (o *channelScale) backward(c *Context) { o.traverse.run(c, o.samples, o.positions*o.channels) }
