package tensor

import (
	"ringmaster/internal/plan"
	"ringmaster/internal/tensor/kernel"
)

// ConvOptions says how a convolution slides and how channels are grouped.
type ConvOptions struct {
	Stride   int
	Padding  int
	Extra    int // padding more below and to the right
	Dilation int
	Groups   int
	Flat     bool // x is a signal, of one row: no padding above and below
	ReLU     bool // applied to the result; where the kernel can, in the same pass
}

// Conv convolves images x (samples, height, width, in), channels last, with w (out, in/groups, kernel height, kernel
// width), which is PyTorch's order, and adds b (out), which may be nil. 1x1 and depthwise kernels take paths of their own.
func (g *Graph) Conv(x, w, b *Value, options ConvOptions) *Value {
	invariant(len(w.Shape) == 4 && options.Groups > 0 && x.Dim(3)%options.Groups == 0 && w.Dim(0)%options.Groups == 0 &&
		w.Dim(1)*options.Groups == x.Dim(3), "convolution of %v with %v in %d groups", x.Shape, w.Shape, options.Groups)
	window := slide(x, Window{Height: w.Dim(2), Width: w.Dim(3), Stride: options.Stride, Padding: options.Padding, Extra: options.Extra, Dilation: options.Dilation, Flat: options.Flat})
	out := w.Dim(0)
	act := kernel.None
	if options.ReLU {
		act = kernel.ReLUActivation
	}
	switch {
	case window.taps() == 1 && options.Stride == 1 && options.Padding == 0 && options.Extra == 0 && options.Groups == 1:
		rows := g.Reshape(x, -1, window.channels)
		y := g.Linear(rows, g.Reshape(w, out, window.channels), b, act)
		return g.Reshape(y, window.samples, window.height, window.width, out)
	case options.Groups == window.channels && out == window.channels && b == nil:
		y := g.depthwise(x, w, window)
		if options.ReLU {
			y = g.ReLU(y)
		}
		return y
	}
	return g.conv(x, w, b, window, options.Groups, act)
}

// conv is the general convolution: blocks of pixels are gathered into a matrix, one row a pixel with the elements in
// the order (kernel row, kernel column, channel), and multiplied with the weights in the same order. Each output is one
// chain in that order; padding takes part as zeros. dw is one chain over the pixels, ascending.
type conv struct {
	patches
	x, w, b, y       *Value
	dx, dw, db       *sink
	act              kernel.Activation
	out              int // channels of a group
	packed, dpacked  *buffer
	work             []convWork
	parts            int
	compute, scatter func(part int)
	product          kernel.MatMul
	gathering        *share // divides a block's pixels
	block            convBlockAt
	rounding         *rounding
}

// convBlockAt is the block that gathering works on.
type convBlockAt struct{ sample, group, first int }

// convWork is what one thread needs.
type convWork struct {
	rows    []float32 // (span, depth)
	product kernel.MatMul
}

func (g *Graph) conv(x, w, b *Value, window sliding, groups int, act kernel.Activation) *Value {
	op := &conv{patches: patchesOf(window, groups), x: x, w: w, b: b, act: act, out: w.Dim(0) / groups}
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
	op.y = n.make(op.samples, op.outHeight, op.outWidth, w.Dim(0))
	if act == kernel.ReLUActivation {
		n.keep(op.y)
	}
	op.packed = newBuffer(w.size)
	n.forward = append(n.forward, op.packed)
	n.backward = append(n.backward, op.packed)
	op.dpacked = n.temporaryBackward(w.size)
	op.compute, op.scatter = op.computePart, op.scatterPart
	op.gathering = newShare(func(begin, end int) {
		at := op.block
		op.gather(op.work[0].rows[begin*op.depth:], op.x.Data(), at.sample, at.group, at.first+begin, end-begin)
	})
	n.op = op
	return op.y
}

func (o *conv) ready(threads int) {
	o.parts = min(threads, o.samples)
	for len(o.work) < max(o.parts, 1) {
		o.work = append(o.work, convWork{rows: make([]float32, o.span*o.depth)})
	}
}

func (o *conv) forward(c *Context) {
	o.packWeights(c)
	o.ready(c.Team.Threads())
	c.Team.Run(o.parts, o.compute)
}

// packWeights packs the weights, as products read them.
func (o *conv) packWeights(c *Context) {
	o.pack(o.packed.data, o.w.Data())
	o.rounding.round(c, o.packed.data, o.packed.data)
}

// group is the weights of a group, in packed order.
func (o *conv) group(packed []float32, k int) []float32 {
	return packed[k*o.out*o.depth : (k+1)*o.out*o.depth]
}

// outputs is the part of y (or its gradient) from a pixel and a group's first channel on.
func (o *conv) outputs(y []float32, sample, pixel, group int) []float32 {
	return y[(sample*o.pixels()+pixel)*o.groups*o.out+group*o.out:]
}

func (o *conv) computePart(part int) {
	w := &o.work[part]
	samples := plan.Interval{End: o.samples}.Part(part, o.parts)
	for n := samples.Begin; n < samples.End; n++ {
		for k := range o.groups {
			o.blocks(func(first, count int) {
				o.gather(w.rows, o.x.Data(), n, k, first, count)
				w.product = kernel.MatMul{M: count, N: o.out, K: o.depth, A: w.rows, LDA: o.depth,
					B: o.group(o.packed.data, k), LDB: o.depth, TransB: true,
					C: o.outputs(o.y.Data(), n, first, k), LDC: o.groups * o.out, Act: o.act}
				if o.b != nil {
					w.product.Bias = o.b.Data()[k*o.out : (k+1)*o.out]
				}
				(*kernel.Team)(nil).MatMul(&w.product)
			})
		}
	}
}

func (o *conv) backward(c *Context) {
	o.packWeights(c)
	o.ready(c.Team.Threads())
	if o.act == kernel.ReLUActivation { // in place: nobody else reads the gradient of y any more
		kernel.ReLUBackward(o.y.grad.data, o.y.grad.data, o.y.Data())
	}
	if o.db.wanted() {
		kernel.ColSum(o.db.data(), o.y.grad.data, o.samples*o.pixels())
	}
	o.rounding.gradient(c, o.y.grad.data)
	if o.dw.wanted() {
		o.weights(c)
		o.unpack(o.dw.data(), o.dpacked.data)
	}
	if o.dx.wanted() {
		clear(o.dx.data())
		c.Team.Run(o.parts, o.scatter)
	}
}

// weights computes dw. Its chains run over all pixels, so the threads divide each product, not the pixels.
func (o *conv) weights(c *Context) {
	rows := o.work[0].rows
	for n := range o.samples {
		for k := range o.groups {
			o.blocks(func(first, count int) {
				o.block = convBlockAt{n, k, first}
				o.gathering.run(c, count, o.depth)
				o.product = kernel.MatMul{M: o.out, N: o.depth, K: count,
					A: o.outputs(o.y.grad.data, n, first, k), LDA: o.groups * o.out, TransA: true, B: rows, LDB: o.depth,
					C: o.group(o.dpacked.data, k), LDC: o.depth, Accumulate: n > 0 || first > 0}
				c.Team.MatMul(&o.product)
			})
		}
	}
}

func (o *conv) scatterPart(part int) {
	w := &o.work[part]
	samples := plan.Interval{End: o.samples}.Part(part, o.parts)
	for n := samples.Begin; n < samples.End; n++ {
		for k := range o.groups {
			o.blocks(func(first, count int) {
				w.product = kernel.MatMul{M: count, N: o.depth, K: o.out,
					A: o.outputs(o.y.grad.data, n, first, k), LDA: o.groups * o.out,
					B: o.group(o.packed.data, k), LDB: o.depth, C: w.rows, LDC: o.depth}
				(*kernel.Team)(nil).MatMul(&w.product)
				o.spread(o.dx.data(), w.rows, n, k, first, count)
			})
		}
	}
}
