package tensor

import (
	"fmt"

	"ringmaster/internal/plan"
	"ringmaster/internal/tensor/kernel"
)

// Grown is the size of what a transposed convolution gives of an image of height x width, with extra rows and columns at the end,
// and an error where that is nothing.
func (w Window) Grown(height, width, extra int) (outHeight, outWidth int, err error) {
	size := func(n, taps, padding int) int { return (n-1)*w.Stride - 2*padding + (taps-1)*w.Dilation + 1 + extra }
	outHeight, outWidth = size(height, w.Height, w.vertical().Padding), size(width, w.Width, w.Padding)
	if w.Flat {
		outHeight = 1
	}
	if outHeight < 1 || outWidth < 1 {
		return 0, 0, fmt.Errorf("padding %d leaves nothing of %dx%d pixels", w.Padding, height, width)
	}
	return outHeight, outWidth, nil
}

// convTranspose is the transposed convolution, what a convolution's backward computes of its input's gradient: each pixel of x
// times the weights, one chain over its channels for each tap, is added to y where the tap falls, pixels and taps ascending,
// from the bias or +0. dx is one chain in the order of patches; dw is one chain over the pixels of x, ascending.
type convTranspose struct {
	patches         // of y, one for each pixel of x
	x, w, b, y      *Value
	dx, dw, db      *sink
	inner           int // channels of x in a group
	extra           int // rows and columns at the end
	packed, dpacked *buffer
	work            []convWork
	parts           int
	compute, gather func(part int)
	product         kernel.MatMul
	gathering       *share // divides a block's pixels
	block           convBlockAt
	rounding        *rounding
}

// ConvTranspose is torch.nn.ConvTranspose2d on images x (samples, height, width, in), channels last, with w (in, out/groups, kernel
// height, kernel width) and b (out), which may be nil. The result has extra more rows and columns at the end. ReLU is not fused.
func (g *Graph) ConvTranspose(x, w, b *Value, options ConvOptions, extra int) *Value {
	in, out := x.Dim(3), w.Dim(1)*options.Groups
	invariant(len(w.Shape) == 4 && in%options.Groups == 0 && w.Dim(0) == in && !options.ReLU,
		"transposed convolution of %v with %v in %d groups", x.Shape, w.Shape, options.Groups)
	window := Window{Height: w.Dim(2), Width: w.Dim(3), Stride: options.Stride, Padding: options.Padding, Dilation: options.Dilation, Flat: options.Flat}
	height, width, err := window.Grown(x.Dim(1), x.Dim(2), extra)
	invariant(err == nil, "%v", err)
	s := sliding{Window: window, samples: x.Dim(0), height: height, width: width, channels: out, outHeight: x.Dim(1), outWidth: x.Dim(2)}
	op := &convTranspose{patches: patchesOf(s, options.Groups), x: x, w: w, b: b, inner: in / options.Groups, extra: extra}
	n := g.record()
	n.keep(x, w)
	n.multiplies(x)
	op.rounding = g.rounding()
	op.dx, op.dw = n.gradient(x, false), n.gradient(w, false)
	if op.dx != nil {
		op.dx.afterReads = true
	}
	if b != nil {
		n.use(b)
		op.db = n.gradient(b, false)
	}
	op.y = n.make(op.samples, height, width, out)
	op.packed = newBuffer(w.size)
	n.forward = append(n.forward, op.packed)
	n.backward = append(n.backward, op.packed)
	op.dpacked = n.temporaryBackward(w.size)
	op.compute, op.gather = op.computePart, op.gatherPart
	op.gathering = newShare(func(begin, end int) {
		at := op.block
		op.patches.gather(op.work[0].rows[begin*op.depth:], op.y.grad.data, at.sample, at.group, at.first+begin, end-begin)
	})
	n.op = op
	return op.y
}

func (o *convTranspose) ready(c *Context) {
	o.pack(o.packed.data, o.w.Data())
	o.rounding.round(c, o.packed.data, o.packed.data)
	o.parts = min(c.Team.Threads(), o.samples)
	for len(o.work) < max(o.parts, 1) {
		o.work = append(o.work, convWork{rows: make([]float32, o.span*o.depth)})
	}
}

// group is the weights of a group: a row for each channel of x.
func (o *convTranspose) group(packed []float32, k int) []float32 {
	return packed[k*o.inner*o.depth : (k+1)*o.inner*o.depth]
}

// inputs is the part of x (or its gradient) from a pixel and a group's first channel on.
func (o *convTranspose) inputs(x []float32, sample, pixel, group int) []float32 {
	return x[(sample*o.pixels()+pixel)*o.groups*o.inner+group*o.inner:]
}

func (o *convTranspose) forward(c *Context) {
	o.ready(c)
	c.Team.Run(o.parts, o.compute)
}

// samplesOf are the samples of a thread's part.
func (o *convTranspose) samplesOf(part int) plan.Interval {
	return plan.Interval{End: o.samples}.Part(part, o.parts)
}

func (o *convTranspose) computePart(part int) {
	w, samples := &o.work[part], o.samplesOf(part)
	for n := samples.Begin; n < samples.End; n++ {
		size := o.height * o.width * o.channels
		y := o.y.Data()[n*size : (n+1)*size]
		clear(y)
		for at := 0; o.b != nil && at < size; at += o.channels {
			copy(y[at:], o.b.Data())
		}
		for k := range o.groups {
			o.blocks(func(first, count int) {
				w.product = kernel.MatMul{M: count, N: o.depth, K: o.inner,
					A: o.inputs(o.x.Data(), n, first, k), LDA: o.groups * o.inner,
					B: o.group(o.packed.data, k), LDB: o.depth, C: w.rows, LDC: o.depth}
				(*kernel.Team)(nil).MatMul(&w.product)
				o.spread(o.y.Data(), w.rows, n, k, first, count)
			})
		}
	}
}

func (o *convTranspose) backward(c *Context) {
	o.ready(c)
	if o.db.wanted() {
		kernel.ColSum(o.db.data(), o.y.grad.data, o.samples*o.height*o.width)
	}
	o.rounding.round(c, o.y.grad.data, o.y.grad.data)
	if o.dw.wanted() {
		o.weights(c)
		o.unpack(o.dw.data(), o.dpacked.data)
	}
	if o.dx.wanted() {
		c.Team.Run(o.parts, o.gather)
	}
}

// weights computes dw. Its chains run over all pixels, so the threads divide each product, not the pixels.
func (o *convTranspose) weights(c *Context) {
	rows := o.work[0].rows
	for n := range o.samples {
		for k := range o.groups {
			o.blocks(func(first, count int) {
				o.block = convBlockAt{n, k, first}
				o.gathering.run(c, count, o.depth)
				o.product = kernel.MatMul{M: o.inner, N: o.depth, K: count,
					A: o.inputs(o.x.Data(), n, first, k), LDA: o.groups * o.inner, TransA: true, B: rows, LDB: o.depth,
					C: o.group(o.dpacked.data, k), LDC: o.depth, Accumulate: n > 0 || first > 0}
				c.Team.MatMul(&o.product)
			})
		}
	}
}

func (o *convTranspose) gatherPart(part int) {
	w, samples := &o.work[part], o.samplesOf(part)
	for n := samples.Begin; n < samples.End; n++ {
		for k := range o.groups {
			o.blocks(func(first, count int) {
				o.patches.gather(w.rows, o.y.grad.data, n, k, first, count)
				w.product = kernel.MatMul{M: count, N: o.inner, K: o.depth, A: w.rows, LDA: o.depth,
					B: o.group(o.packed.data, k), LDB: o.depth, TransB: true,
					C: o.inputs(o.dx.data(), n, first, k), LDC: o.groups * o.inner}
				(*kernel.Team)(nil).MatMul(&w.product)
			})
		}
	}
}

func (o *convTranspose) multiplyAdds() (forward, backward int) {
	n := o.samples * o.pixels() * o.groups * o.inner * o.depth
	return n, times(n, o.dx, o.dw)
}
