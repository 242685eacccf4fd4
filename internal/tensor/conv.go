package tensor

import (
	"ringmaster/internal/plan"
	"ringmaster/internal/tensor/kernel"
)

// ConvOptions says how a convolution slides and how channels are grouped.
type ConvOptions struct {
	Stride   int
	Padding  int
	Dilation int
	Groups   int
	ReLU     bool // applied to the result; where the kernel can, in the same pass
}

// Conv convolves images x (samples, height, width, in), channels last, with w (out, in/groups, kernel height, kernel
// width), which is PyTorch's order, and adds b (out), which may be nil. 1x1 and depthwise kernels take paths of their own.
func (g *Graph) Conv(x, w, b *Value, options ConvOptions) *Value {
	invariant(len(w.Shape) == 4 && options.Groups > 0 && x.Dim(3)%options.Groups == 0 && w.Dim(0)%options.Groups == 0 &&
		w.Dim(1)*options.Groups == x.Dim(3), "convolution of %v with %v in %d groups", x.Shape, w.Shape, options.Groups)
	window := slide(x, Window{Height: w.Dim(2), Width: w.Dim(3), Stride: options.Stride, Padding: options.Padding, Dilation: options.Dilation})
	out := w.Dim(0)
	act := kernel.None
	if options.ReLU {
		act = kernel.ReLUActivation
	}
	switch {
	case window.taps() == 1 && options.Stride == 1 && options.Padding == 0 && options.Groups == 1:
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
	sliding
	x, w, b, y       *Value
	dx, dw, db       *sink
	act              kernel.Activation
	groups           int
	in, out          int // channels of a group
	depth            int // elements of a row: taps * in
	span             int // pixels of a block
	packed, dpacked  *buffer
	work             []convWork
	parts            int
	compute, scatter func(part int)
	product          kernel.MatMul
	gathering        *share // divides a block's pixels
	block            convBlockAt
}

// convBlockAt is the block that gathering works on.
type convBlockAt struct{ sample, group, first int }

// convWork is what one thread needs.
type convWork struct {
	rows    []float32 // (span, depth)
	product kernel.MatMul
}

// convBlock is about how many floats of gathered rows a thread works on at a time: they should stay in the second cache.
const convBlock = 1 << 16

func (g *Graph) conv(x, w, b *Value, window sliding, groups int, act kernel.Activation) *Value {
	op := &conv{sliding: window, x: x, w: w, b: b, groups: groups, act: act, in: window.channels / groups, out: w.Dim(0) / groups}
	op.depth = op.taps() * op.in
	op.span = min(max(convBlock/op.depth, 1), op.pixels())
	n := g.record()
	n.keep(x, w)
	op.dx, op.dw = n.gradient(x, false), n.gradient(w, false)
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
		op.gather(op.work[0].rows[begin*op.depth:], at.sample, at.group, at.first+begin, end-begin)
	})
	n.op = op
	return op.y
}

// pack brings weights from (out, in, taps) to (out, taps, in); unpack brings gradients back.
func (o *conv) pack() {
	taps := o.taps()
	for r := range o.groups * o.out {
		exchange(o.packed.data[r*o.depth:], o.w.Data()[r*o.depth:(r+1)*o.depth], 0, 1, o.in, taps)
	}
}

func (o *conv) unpack() {
	taps := o.taps()
	for r := range o.groups * o.out {
		exchange(o.dw.data()[r*o.depth:], o.dpacked.data[r*o.depth:(r+1)*o.depth], 0, 1, taps, o.in)
	}
}

func (o *conv) ready(threads int) {
	o.parts = min(threads, o.samples)
	for len(o.work) < max(o.parts, 1) {
		o.work = append(o.work, convWork{rows: make([]float32, o.span*o.depth)})
	}
}

func (o *conv) forward(c *Context) {
	o.pack()
	o.ready(c.Team.Threads())
	c.Team.Run(o.parts, o.compute)
}

// blocks calls f for the blocks of pixels of a sample.
func (o *conv) blocks(f func(first, count int)) {
	for first := 0; first < o.pixels(); first += o.span {
		f(first, min(o.span, o.pixels()-first))
	}
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
				o.gather(w.rows, n, k, first, count)
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
	o.pack()
	o.ready(c.Team.Threads())
	if o.act == kernel.ReLUActivation { // in place: nobody else reads the gradient of y any more
		kernel.ReLUBackward(o.y.grad.data, o.y.grad.data, o.y.Data())
	}
	if o.dw.wanted() {
		o.weights(c)
		o.unpack()
	}
	if o.db.wanted() {
		kernel.ColSum(o.db.data(), o.y.grad.data, o.samples*o.pixels())
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
				o.spread(w.rows, n, k, first, count)
			})
		}
	}
}

// gather fills one row for each of count pixels of a sample, for the channels of one group.
func (o *conv) gather(rows []float32, sample, group, first, count int) {
	x := o.x.Data()
	o.segments(sample, group, first, count, func(at, length, from int) {
		if from < 0 {
			clear(rows[at : at+length])
		} else {
			copy(rows[at:at+length], x[from:from+length])
		}
	})
}

// spread adds rows of gradients to the pixels that they were gathered from, pixels and taps ascending.
func (o *conv) spread(rows []float32, sample, group, first, count int) {
	dx := o.dx.data()
	o.segments(sample, group, first, count, func(at, length, from int) {
		if from >= 0 {
			kernel.AddTo(dx[from:from+length], rows[at:at+length])
		}
	})
}

// segments calls f with the contiguous pieces of count rows: their place, their length and where they lie in x, or -1 for
// padding.
func (o *conv) segments(sample, group, first, count int, f func(at, length, from int)) {
	joined := o.groups == 1 && o.Dilation == 1 // taps of a kernel row lie side by side
	at := 0
	for p := first; p < first+count; p++ {
		oy, ox := p/o.outWidth, p%o.outWidth
		left := ox*o.Stride - o.Padding
		begin, end := run(left, o.Width, o.Dilation, o.width)
		for ky := range o.Height {
			y := oy*o.Stride - o.Padding + ky*o.Dilation
			if y < 0 || y >= o.height || begin == end {
				f(at, o.Width*o.in, -1)
				at += o.Width * o.in
				continue
			}
			line := (sample*o.height + y) * o.width
			if begin > 0 {
				f(at, begin*o.in, -1)
				at += begin * o.in
			}
			if joined {
				f(at, (end-begin)*o.in, (line+left+begin)*o.channels)
				at += (end - begin) * o.in
			} else {
				for kx := begin; kx < end; kx++ {
					f(at, o.in, (line+left+kx*o.Dilation)*o.channels+group*o.in)
					at += o.in
				}
			}
			if end < o.Width {
				f(at, (o.Width-end)*o.in, -1)
				at += (o.Width - end) * o.in
			}
		}
	}
}
