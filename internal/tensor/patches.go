package tensor

import "ringmaster/internal/tensor/kernel"

// patches are what a window sees of images, as rows of a matrix: one row for each place of the window (a pixel of what a convolution
// gives), with the elements of one group of channels in the order (kernel row, kernel column, channel).
type patches struct {
	sliding
	groups int
	in     int // channels of a group
	depth  int // elements of a row: taps * in
	span   int // pixels of a block
}

// convBlock is about how many floats of gathered rows a thread works on at a time: they should stay in the second cache.
const convBlock = 1 << 16

func patchesOf(window sliding, groups int) patches {
	p := patches{sliding: window, groups: groups, in: window.channels / groups}
	p.depth = p.taps() * p.in
	p.span = min(max(convBlock/p.depth, 1), p.pixels())
	return p
}

// pack brings weights from (rows, in, taps) to (rows, taps, in), the order of patches; unpack brings gradients back.
func (o *patches) pack(packed, w []float32) {
	for at := 0; at < len(w); at += o.depth {
		exchange(packed[at:], w[at:at+o.depth], 0, 1, o.in, o.taps())
	}
}

func (o *patches) unpack(dw, packed []float32) {
	for at := 0; at < len(dw); at += o.depth {
		exchange(dw[at:], packed[at:at+o.depth], 0, 1, o.taps(), o.in)
	}
}

// blocks calls f for the blocks of pixels of a sample.
func (o *patches) blocks(f func(first, count int)) {
	for first := 0; first < o.pixels(); first += o.span {
		f(first, min(o.span, o.pixels()-first))
	}
}

// gather fills one row for each of count pixels of a sample of x, for the channels of one group.
func (o *patches) gather(rows, x []float32, sample, group, first, count int) {
	o.segments(sample, group, first, count, func(at, length, from int) {
		if from < 0 {
			clear(rows[at : at+length])
		} else {
			copy(rows[at:at+length], x[from:from+length])
		}
	})
}

// spread adds rows to the pixels of dx that they were gathered from, pixels and taps ascending.
func (o *patches) spread(dx, rows []float32, sample, group, first, count int) {
	o.segments(sample, group, first, count, func(at, length, from int) {
		if from >= 0 {
			kernel.AddTo(dx[from:from+length], rows[at:at+length])
		}
	})
}

// segments calls f with the contiguous pieces of count rows: their place, their length and where they lie in the image, or -1 for
// padding.
func (o *patches) segments(sample, group, first, count int, f func(at, length, from int)) {
	joined := o.groups == 1 && o.Dilation == 1 // taps of a kernel row lie side by side
	at, above := 0, o.vertical().Padding
	for p := first; p < first+count; p++ {
		oy, ox := p/o.outWidth, p%o.outWidth
		left := ox*o.Stride - o.Padding
		begin, end := run(left, o.Width, o.Dilation, o.width)
		for ky := range o.Height {
			y := oy*o.Stride - above + ky*o.Dilation
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
