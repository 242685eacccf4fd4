package tensor

import "ringmaster/internal/tensor/kernel"

// depthwise is a convolution in which every channel has a kernel of its own: y[p,c] = sum over taps of x[source,c]*w[tap,c],
// each element one chain of fused multiply-adds over the taps that lie on the image, ascending, from +0. dx[p,c] is a chain
// over the outputs that read p, ascending; dw[tap,c] one over all outputs of all samples, ascending. Channels are
// independent, so the vectors run along them.
type depthwise struct {
	sliding
	x, w, y           *Value
	dx, dw            *sink
	packed, dpacked   *buffer // weights as (taps, channels)
	compute, traverse *share
	weights           *share
}

func (g *Graph) depthwise(x, w *Value, window sliding) *Value {
	op := &depthwise{sliding: window, x: x, w: w}
	n := g.record()
	n.keep(x, w)
	op.dx, op.dw = n.gradient(x, false), n.gradient(w, false)
	op.y = n.make(op.samples, op.outHeight, op.outWidth, op.channels)
	op.packed = newBuffer(w.size)
	n.forward = append(n.forward, op.packed)
	n.backward = append(n.backward, op.packed)
	op.dpacked = n.temporaryBackward(w.size)
	op.compute, op.traverse = newShare(op.forwardRows), newShare(op.backwardSamples)
	op.weights = newShare(op.weightTaps)
	n.op = op
	return op.y
}

func (o *depthwise) forward(c *Context) {
	exchange(o.packed.data, o.w.Data(), 0, 1, o.channels, o.taps())
	o.compute.run(c, o.samples*o.outHeight, o.outWidth*o.channels*o.taps())
}

// tap is a row of (taps, channels).
func (o *depthwise) tap(packed []float32, k int) []float32 {
	return packed[k*o.channels : (k+1)*o.channels]
}

// forwardRows computes rows of outputs, numbered through all samples.
func (o *depthwise) forwardRows(begin, end int) {
	x := o.x.Data()
	for r := begin; r < end; r++ {
		sample, oy := r/o.outHeight, r%o.outHeight
		for ox := range o.outWidth {
			at := (r*o.outWidth + ox) * o.channels
			y := o.y.Data()[at : at+o.channels]
			clear(y)
			for ky := range o.Height {
				for kx := range o.Width {
					if from := o.source(sample, oy, ox, ky, kx); from >= 0 {
						kernel.MulAdd(y, x[from:from+o.channels], o.tap(o.packed.data, ky*o.Width+kx))
					}
				}
			}
		}
	}
}

func (o *depthwise) backward(c *Context) {
	if o.dw.wanted() {
		o.weights.run(c, o.taps(), o.y.size)
		exchange(o.dw.data(), o.dpacked.data, 0, 1, o.taps(), o.channels)
	}
	if o.dx.wanted() {
		exchange(o.packed.data, o.w.Data(), 0, 1, o.channels, o.taps())
		o.traverse.run(c, o.samples, o.outHeight*o.outWidth*o.channels*o.taps())
	}
}

// each visits what a sample's outputs read: the offset of the output, that of the input and the tap.
func (o *depthwise) each(sample, firstTap, lastTap int, f func(at, from, tap int)) {
	for oy := range o.outHeight {
		for ox := range o.outWidth {
			at := ((sample*o.outHeight+oy)*o.outWidth + ox) * o.channels
			for tap := firstTap; tap < lastTap; tap++ {
				if from := o.source(sample, oy, ox, tap/o.Width, tap%o.Width); from >= 0 {
					f(at, from, tap)
				}
			}
		}
	}
}

func (o *depthwise) backwardSamples(begin, end int) {
	dx, dy := o.dx.data(), o.y.grad.data
	size := o.height * o.width * o.channels
	clear(dx[begin*size : end*size])
	for n := begin; n < end; n++ {
		o.each(n, 0, o.taps(), func(at, from, tap int) {
			kernel.MulAdd(dx[from:from+o.channels], dy[at:at+o.channels], o.tap(o.packed.data, tap))
		})
	}
}

func (o *depthwise) weightTaps(begin, end int) {
	x, dy := o.x.Data(), o.y.grad.data
	clear(o.dpacked.data[begin*o.channels : end*o.channels])
	for n := range o.samples {
		o.each(n, begin, end, func(at, from, tap int) {
			kernel.MulAdd(o.tap(o.dpacked.data, tap), dy[at:at+o.channels], x[from:from+o.channels])
		})
	}
}
