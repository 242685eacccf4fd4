package tensor

import (
	"math"

	"ringmaster/internal/tensor/kernel"
)

// maxPool keeps the largest value under the window; of equal ones the first in reading order, as PyTorch does.
type maxPool struct {
	sliding
	x, y              *Value
	dx                *sink
	compute, traverse *share
}

// MaxPool takes the largest value of each channel under the window; padding is never the largest.
func (g *Graph) MaxPool(x *Value, w Window) *Value {
	op := &maxPool{sliding: slide(x, w), x: x}
	invariant(2*w.Padding <= w.Width && 2*w.vertical().Padding <= w.Height, "max pool: padding %d over half the window", w.Padding)
	n := g.record()
	n.keep(x)
	op.dx = n.gradient(x, false)
	op.y = n.make(op.samples, op.outHeight, op.outWidth, op.channels)
	n.keep(op.y)
	op.compute, op.traverse = newShare(op.forwardSamples), newShare(op.backwardSamples)
	n.op = op
	return op.y
}

func (o *maxPool) forward(c *Context)  { o.compute.run(c, o.samples, o.pixels()*o.channels*o.taps()) }
func (o *maxPool) backward(c *Context) { o.traverse.run(c, o.samples, o.pixels()*o.channels*o.taps()) }

// each visits the pixels under the window of every output of a sample, in reading order: the offset of the output and that
// of the pixel, and whether it is the output's first.
func (s *sliding) each(sample int, f func(at, from int, first bool)) {
	for oy := range s.outHeight {
		for ox := range s.outWidth {
			at := (sample*s.pixels() + oy*s.outWidth + ox) * s.channels
			first := true
			for tap := range s.taps() {
				if from := s.source(sample, oy, ox, tap/s.Width, tap%s.Width); from >= 0 {
					f(at, from, first)
					first = false
				}
			}
		}
	}
}

func (o *maxPool) forwardSamples(begin, end int) {
	x, y := o.x.Data(), o.y.Data()
	for n := begin; n < end; n++ {
		o.each(n, func(at, from int, first bool) {
			to, values := y[at:at+o.channels], x[from:from+o.channels]
			if first {
				copy(to, values)
				return
			}
			for c, v := range values {
				to[c] = max(to[c], v)
			}
		})
	}
}

// backwardSamples gives each output's gradient to the first pixel that equals it; a NaN equals nothing. The output's own
// gradient is set to zero once it has been given, so that later equal pixels get nothing; nobody reads it afterwards.
// No processor can predict which pixel is the largest, so masks replace branches.
func (o *maxPool) backwardSamples(begin, end int) {
	dx := o.dx.data()
	size := o.height * o.width * o.channels
	clear(dx[begin*size : end*size])
	for n := begin; n < end; n++ {
		o.each(n, func(at, from int, _ bool) {
			x, dx := o.x.Data()[from:from+o.channels], dx[from:from+o.channels]
			y, dy := o.y.Data()[at:at+o.channels], o.y.grad.data[at:at+o.channels]
			for c, v := range x {
				var given uint32
				if v == y[c] {
					given = math.MaxUint32
				}
				bits := math.Float32bits(dy[c])
				dx[c] += math.Float32frombits(bits & given)
				dy[c] = math.Float32frombits(bits &^ given)
			}
		})
	}
}

// averagePool is the mean under the window, padding counted as zeros, as PyTorch does by default.
type averagePool struct {
	sliding
	x, y              *Value
	dx                *sink
	compute, traverse *share
}

// AveragePool is the mean of each channel under the window; padding counts as zeros.
func (g *Graph) AveragePool(x *Value, w Window) *Value {
	op := &averagePool{sliding: slide(x, w), x: x}
	n := g.record()
	n.use(x)
	op.dx = n.gradient(x, false)
	op.y = n.make(op.samples, op.outHeight, op.outWidth, op.channels)
	op.compute, op.traverse = newShare(op.forwardSamples), newShare(op.backwardSamples)
	n.op = op
	return op.y
}

func (o *averagePool) forward(c *Context) {
	o.compute.run(c, o.samples, o.pixels()*o.channels*o.taps())
}
func (o *averagePool) backward(c *Context) {
	o.traverse.run(c, o.samples, o.pixels()*o.channels*o.taps())
}

func (o *averagePool) forwardSamples(begin, end int) {
	x, y := o.x.Data(), o.y.Data()
	size := o.pixels() * o.channels
	clear(y[begin*size : end*size])
	for n := begin; n < end; n++ {
		o.each(n, func(at, from int, _ bool) {
			kernel.AddTo(y[at:at+o.channels], x[from:from+o.channels])
		})
	}
	kernel.Scale(y[begin*size:end*size], 1/float32(o.taps()), y[begin*size:end*size])
}

func (o *averagePool) backwardSamples(begin, end int) {
	dx, dy := o.dx.data(), o.y.grad.data
	size := o.height * o.width * o.channels
	clear(dx[begin*size : end*size])
	for n := begin; n < end; n++ {
		o.each(n, func(at, from int, _ bool) {
			kernel.AddTo(dx[from:from+o.channels], dy[at:at+o.channels])
		})
	}
	kernel.Scale(dx[begin*size:end*size], 1/float32(o.taps()), dx[begin*size:end*size])
}

// adaptivePool is the mean over cells whose borders are spread evenly: cell i of n along an axis of length s is
// [i*s/n, ceil((i+1)*s/n)), as PyTorch has it.
type adaptivePool struct {
	samples, height, width, channels, outHeight, outWidth int
	x, y                                                  *Value
	dx                                                    *sink
	compute, traverse                                     *share
}

// AdaptiveAveragePool is the mean of each channel over outHeight x outWidth cells that cover the image evenly.
func (g *Graph) AdaptiveAveragePool(x *Value, outHeight, outWidth int) *Value {
	op := &adaptivePool{samples: x.Dim(0), height: x.Dim(1), width: x.Dim(2), channels: x.Dim(3), outHeight: outHeight, outWidth: outWidth, x: x}
	n := g.record()
	n.use(x)
	op.dx = n.gradient(x, false)
	op.y = n.make(op.samples, outHeight, outWidth, op.channels)
	op.compute, op.traverse = newShare(op.forwardSamples), newShare(op.backwardSamples)
	n.op = op
	return op.y
}

func (o *adaptivePool) forward(c *Context) { o.compute.run(c, o.samples, o.height*o.width*o.channels) }
func (o *adaptivePool) backward(c *Context) {
	o.traverse.run(c, o.samples, o.height*o.width*o.channels)
}

// cells visits the outputs of a sample: the offset of the output and the rows and columns that it covers.
func (o *adaptivePool) cells(sample int, f func(at, top, bottom, left, right int)) {
	for oy := range o.outHeight {
		for ox := range o.outWidth {
			f(((sample*o.outHeight+oy)*o.outWidth+ox)*o.channels,
				oy*o.height/o.outHeight, ((oy+1)*o.height+o.outHeight-1)/o.outHeight,
				ox*o.width/o.outWidth, ((ox+1)*o.width+o.outWidth-1)/o.outWidth)
		}
	}
}

// pixel is the offset of a pixel's first channel.
func (o *adaptivePool) pixel(sample, y, x int) int {
	return ((sample*o.height+y)*o.width + x) * o.channels
}

func (o *adaptivePool) forwardSamples(begin, end int) {
	for n := begin; n < end; n++ {
		o.cells(n, func(at, top, bottom, left, right int) {
			y := o.y.Data()[at : at+o.channels]
			clear(y)
			for r := top; r < bottom; r++ {
				kernel.ColSumTo(y, o.x.Data()[o.pixel(n, r, left):o.pixel(n, r, right)], right-left)
			}
			kernel.Scale(y, 1/float32((bottom-top)*(right-left)), y)
		})
	}
}

func (o *adaptivePool) backwardSamples(begin, end int) {
	dx := o.dx.data()
	clear(dx[o.pixel(begin, 0, 0):o.pixel(end, 0, 0)])
	for n := begin; n < end; n++ {
		o.cells(n, func(at, top, bottom, left, right int) {
			share := 1 / float32((bottom-top)*(right-left))
			for r := top; r < bottom; r++ {
				for col := left; col < right; col++ {
					from := o.pixel(n, r, col)
					kernel.Axpy(dx[from:from+o.channels], share, o.y.grad.data[at:at+o.channels])
				}
			}
		})
	}
}
