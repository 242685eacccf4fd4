package tensor

import "ringmaster/internal/plan"

// depthwise is a convolution in which every channel has a kernel of its own: y[p,c] = sum over taps of x[source,c]*w[tap,c],
// each element one chain of fused multiply-adds over the taps that lie on the image, ascending, from +0. dx[p,c] is a chain
// over the outputs that read p, ascending; dw[tap,c] one over all outputs of all samples, ascending. Channels are
// independent, so the vectors run along them.
type depthwise struct {
	sliding
	x, w, y             *Value
	dx, dw              *sink
	packed, dpacked     *buffer   // weights as (taps, channels)
	rowsOut, columnsOut []axisRun // where outputs read
	rowsIn, columnsIn   []axisRun // which outputs read an input
	compute, traverse   *share
	weights             *share
	rounding            *rounding
	pieces              pieces
	piece               plan.Interval // of the lines whose part of the weights' gradient is added up
}

func (g *Graph) depthwise(x, w *Value, window sliding) *Value {
	op := &depthwise{sliding: window, x: x, w: w}
	op.rowsOut = forwardRuns(op.height, op.outHeight, op.Height, op.vertical())
	op.columnsOut = forwardRuns(op.width, op.outWidth, op.Width, op.Window)
	op.rowsIn = backwardRuns(op.height, op.outHeight, op.Height, op.vertical())
	op.columnsIn = backwardRuns(op.width, op.outWidth, op.Width, op.Window)
	n := g.record()
	n.keep(x, w)
	n.multiplies(x)
	op.rounding = g.rounding()
	op.dx, op.dw = n.gradient(x, false), n.gradient(w, false)
	if op.dx != nil {
		op.dx.afterReads = true
	}
	op.y = n.make(op.samples, op.outHeight, op.outWidth, op.channels)
	op.packed = newBuffer(w.size)
	n.forward = append(n.forward, op.packed)
	n.backward = append(n.backward, op.packed)
	op.dpacked = n.temporaryBackward(w.size)
	op.compute, op.traverse = newShare(op.forwardLines), newShare(op.backwardLines)
	op.weights = newShare(op.weightGroups)
	n.op = op
	return op.y
}

// axisRun is positions along one axis that take the same taps: first, first+step, ..., count of them. The k-th position
// reads tap t at taps[t].source + k*sourceStep.
type axisRun struct {
	first, step, count int
	sourceStep         int
	taps               []axisTap
}

type axisTap struct{ tap, source int }

// joins reports whether the run can be continued with a position of the given taps.
func (r *axisRun) joins(taps []axisTap) bool {
	if len(taps) != len(r.taps) {
		return false
	}
	for i, t := range taps {
		if t.tap != r.taps[i].tap || t.source != r.taps[i].source+r.count*r.sourceStep {
			return false
		}
	}
	return true
}

// forwardRuns says for outputs along an axis which inputs they read, taps ascending.
func forwardRuns(size, out, taps int, w Window) []axisRun {
	var runs []axisRun
	for o := range out {
		var list []axisTap
		for k := range taps {
			if source := o*w.Stride - w.Padding + k*w.Dilation; source >= 0 && source < size {
				list = append(list, axisTap{k, source})
			}
		}
		runs = extend(runs, axisRun{first: o, step: 1, count: 1, sourceStep: w.Stride, taps: list})
	}
	return runs
}

// backwardRuns says for inputs along an axis which outputs read them, outputs ascending and so taps descending. Inputs
// that are a stride apart are read by neighbours.
func backwardRuns(size, out, taps int, w Window) []axisRun {
	var runs []axisRun
	for residue := range min(w.Stride, size) {
		for i := residue; i < size; i += w.Stride {
			var list []axisTap
			for k := taps - 1; k >= 0; k-- {
				o := i + w.Padding - k*w.Dilation
				if o >= 0 && o%w.Stride == 0 && o/w.Stride < out {
					list = append(list, axisTap{k, o / w.Stride})
				}
			}
			next := axisRun{first: i, step: w.Stride, count: 1, sourceStep: 1, taps: list}
			if i == residue {
				runs = append(runs, next)
			} else {
				runs = extend(runs, next)
			}
		}
	}
	return runs
}

func extend(runs []axisRun, next axisRun) []axisRun {
	if k := len(runs) - 1; k >= 0 && runs[k].joins(next.taps) {
		runs[k].count++
		return runs
	}
	return append(runs, next)
}

// image is a sample's pixels: (height, width, channels).
type image struct {
	data     []float32
	width    int
	channels int
}

func (o *depthwise) input(data []float32, sample int) image {
	size := o.height * o.width * o.channels
	return image{data[sample*size : (sample+1)*size], o.width, o.channels}
}

func (o *depthwise) output(data []float32, sample int) image {
	size := o.pixels() * o.channels
	return image{data[sample*size : (sample+1)*size], o.outWidth, o.channels}
}

// pixel is the offset of a pixel's first channel.
func (m image) pixel(y, x int) int { return (y*m.width + x) * m.channels }

// bands calls one for the lines [begin, end) of all samples' images, sample by sample, with those of the sample.
func bands(begin, end, height int, one func(sample int, lines plan.Interval)) {
	for n := begin / height; n*height < end; n++ {
		one(n, plan.Interval{Begin: max(begin-n*height, 0), End: min(end-n*height, height)})
	}
}

// chain computes lines of dst from src by the runs along both axes: each element of dst is a chain over its taps from +0, the rows'
// taps outside, the columns' inside.
func (o *depthwise) chain(dst, src image, rows, columns []axisRun, lines plan.Interval) {
	var r tapRun
	r.w, r.src, r.channels = o.packed.data, src.data, o.channels
	fetching := longest(columns)
	for i := range rows {
		for k := range rows[i].count {
			y := rows[i].first + k*rows[i].step
			if y < lines.Begin || y >= lines.End {
				continue
			}
			for j := range columns {
				column := &columns[j]
				r.begin(dst.data[dst.pixel(y, column.first):], column.count, column.step*o.channels, column.sourceStep*o.channels)
				if j == fetching {
					r.fetchRows(dst, src, &rows[i], y, k, column.first)
				}
				for _, ty := range rows[i].taps {
					for _, tx := range column.taps {
						r.add(src.pixel(ty.source+k*rows[i].sourceStep, tx.source), (ty.tap*o.Width+tx.tap)*o.channels)
						if r.taps == maxTaps {
							r.forward()
						}
					}
				}
				if r.taps > 0 || r.more == 0 {
					r.forward()
				}
			}
		}
	}
}

// longest is the number of the run with the most pixels: what comes next is fetched meanwhile.
func longest(columns []axisRun) (most int) {
	for j := range columns {
		if columns[j].count > columns[most].count {
			most = j
		}
	}
	return most
}

// fetchRows has the run fetch the rows that the k-th row of row, which is row y of dst, is the last to do without; the run begins
// with pixel x of dst.
func (r *tapRun) fetchRows(dst, src image, row *axisRun, y, k, x int) {
	last := 0
	for _, t := range row.taps {
		last = max(last, t.source)
	}
	r.fetch(dst.pixel(y+row.step, 0)-dst.pixel(y, x), src.pixel(last+k*row.sourceStep+1, 0), max(dst.width, src.width))
}

// forward goes through the lines of all samples' results. Where batch norms stand beside, they are computed as far as the lines need, see pieces.go.
func (o *depthwise) forward(c *Context) {
	o.packWeights(c)
	all, read := o.samples*o.outHeight, 0
	for begin, end := 0, 0; begin < all; begin = end {
		end = min(begin+o.lines(), all)
		reach := o.reach(end)
		o.pieces.enterForward(c, read*o.width, reach*o.width)
		read = reach
		o.compute.span(c, plan.Interval{Begin: begin, End: end}, o.outWidth*o.channels*o.taps())
		o.pieces.leaveForward(c, begin*o.outWidth, end*o.outWidth)
	}
}

func (o *depthwise) ends() (x, y *Value, dx *sink) { return o.x, o.y, o.dx }
func (o *depthwise) workIn() *pieces               { return &o.pieces }

func (o *depthwise) pieceOf(elements int) int {
	return max(1, elements/((o.Stride*o.width+o.outWidth)*o.channels))
}

// lines is how many lines of the result a piece has.
func (o *depthwise) lines() int {
	if o.pieces.each > 0 {
		return o.pieces.each
	}
	return max(1, o.samples*o.outHeight)
}

// reach is how many lines of the input the first lines of the result read.
func (o *depthwise) reach(lines int) int {
	n, y := lines/o.outHeight, lines%o.outHeight
	if y == 0 {
		return n * o.height
	}
	last := (y-1)*o.Stride - o.vertical().Padding + (o.Height-1)*o.Dilation
	return n*o.height + min(max(last+1, 0), o.height)
}

// done is how many lines of the input no other lines of the result read than the first ones.
func (o *depthwise) done(lines int) int {
	n, y := lines/o.outHeight, lines%o.outHeight
	return n*o.height + min(max(y*o.Stride-o.vertical().Padding, 0), o.height)
}

// packWeights brings the weights to (taps, channels), as products read them.
func (o *depthwise) packWeights(c *Context) {
	exchange(o.packed.data, o.w.Data(), 0, 1, o.channels, o.taps())
	o.rounding.round(c, o.packed.data, o.packed.data)
}

func (o *depthwise) forwardLines(begin, end int) {
	bands(begin, end, o.outHeight, func(n int, lines plan.Interval) {
		o.chain(o.output(o.y.Data(), n), o.input(o.x.Data(), n), o.rowsOut, o.columnsOut, lines)
	})
}

func (o *depthwise) backward(c *Context) {
	o.rounding.gradient(c, o.y.grad.data)
	clear(o.dpacked.data)
	if o.dx.wanted() {
		o.packWeights(c)
	}
	o.pieces.beginBackward()
	all, ready := o.samples*o.outHeight, 0
	for begin, end := 0, 0; begin < all; begin = end {
		end = min(begin+o.lines(), all)
		o.pieces.enterBackward(c, begin*o.outWidth, end*o.outWidth)
		if o.piece = (plan.Interval{Begin: begin, End: end}); o.dw.wanted() {
			groups := (o.channels + channelGroup - 1) / channelGroup
			o.weights.run(c, groups, channelGroup*o.piece.Len()*o.outWidth*o.taps())
		}
		if o.dx.wanted() {
			done := o.done(end)
			o.traverse.span(c, plan.Interval{Begin: ready, End: done}, o.width*o.channels*o.taps())
			o.pieces.leaveBackward(c, ready*o.width, done*o.width)
			ready = done
		}
	}
	o.pieces.endBackward()
	if o.dw.wanted() {
		exchange(o.dw.data(), o.dpacked.data, 0, 1, o.taps(), o.channels)
	}
}

func (o *depthwise) backwardLines(begin, end int) {
	bands(begin, end, o.height, func(n int, lines plan.Interval) {
		o.chain(o.input(o.dx.data(), n), o.output(o.y.grad.data, n), o.rowsIn, o.columnsIn, lines)
	})
}

// channelGroup is how many channels a thread takes at least for the weights' gradient.
const channelGroup = 16

// weightGroups sums the weights' gradient for groups of channels over all pixels.
func (o *depthwise) weightGroups(begin, end int) {
	var r tapRun
	r.w = o.dpacked.data
	r.first = begin * channelGroup
	r.channels = min(end*channelGroup, o.channels) - r.first
	fetching := -1
	if r.channels == o.channels { // else the rows belong to other threads too
		fetching = longest(o.columnsOut)
	}
	bands(o.piece.Begin, o.piece.End, o.outHeight, func(n int, lines plan.Interval) {
		dy, x := o.output(o.y.grad.data, n), o.input(o.x.Data(), n)
		r.src = x.data
		for i := range o.rowsOut {
			row := &o.rowsOut[i]
			for k := max(lines.Begin-row.first, 0); k < min(lines.End-row.first, row.count); k++ {
				o.weightRow(&r, dy, x, row, k, fetching)
			}
		}
	})
}

// weightRow adds what the k-th row of outputs of a run gives. The run of columns with the number fetching fetches the next.
func (o *depthwise) weightRow(r *tapRun, dy, x image, row *axisRun, k, fetching int) {
	y := row.first + k*row.step
	for j := range o.columnsOut {
		column := &o.columnsOut[j]
		r.begin(dy.data[dy.pixel(y, column.first):], column.count, column.step*o.channels, column.sourceStep*o.channels)
		if j == fetching {
			r.fetchRows(dy, x, row, y, k, column.first)
		}
		for _, ty := range row.taps {
			for _, tx := range column.taps {
				r.add(x.pixel(ty.source+k*row.sourceStep, tx.source), (ty.tap*o.Width+tx.tap)*o.channels)
				if r.taps == maxTaps {
					r.gradient()
				}
			}
		}
		if r.taps > 0 {
			r.gradient()
		}
	}
}
