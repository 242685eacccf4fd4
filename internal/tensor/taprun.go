package tensor

import (
	"fmt"

	"ringmaster/internal/tensor/kernel"
)

// maxTaps is how many taps one pass over a run takes: their weights stay in registers.
const maxTaps = 9

// tapRun is pixels that take the same taps, as the assembly reads it. For pixel p, tap t and channel c, taps ascending:
//
//	dst[p*dstStep + c] = (+0 or itself) + src[offsets[t] + p*srcStep + c] * w[rows[t] + c]    forward
//	w[rows[t] + c] += dst[p*dstStep + c] * src[offsets[t] + p*srcStep + c]                   gradient, pixels ascending
//
// each step a fused multiply-add. Steps, offsets and rows are in bytes. The generator knows the layout up to fetchLines.
type tapRun struct {
	dst, src, w      []float32
	count            int // pixels, at least 1
	dstStep, srcStep int
	at               int // the vector of channels under way; counted up by the assembly
	blocks           int // whole vectors left; counted down
	tail             int // mask of the channels after them
	more             int // 0: chains start from +0; 1: from dst
	offsets          [maxTaps]int
	rows             [maxTaps]int
	fetchDst         int // from where on dst and src are fetched into the cache, in lines of 64 bytes
	fetchSrc         int // with each vector of channels; counted up by the assembly
	fetchLines       int

	taps            int
	first, channels int // which channels
}

// begin starts a run of count pixels that begins with dst. Steps are in elements.
func (r *tapRun) begin(dst []float32, count, dstStep, srcStep int) {
	r.dst, r.count, r.dstStep, r.srcStep = dst, count, 4*dstStep, 4*srcStep
	r.taps, r.more, r.fetchLines = 0, 0, 0
}

// fetch has the assembly fetch into the cache what lies so many elements from the first pixels of dst and of src, in
// all as much as a row of so many pixels: the rows that come next. It may end behind the slices, but not behind what they were
// cut from.
func (r *tapRun) fetch(dst, src, pixels int) {
	if size := pixels * r.channels; dst+size <= cap(r.dst) && src+size <= cap(r.src) {
		r.fetchDst, r.fetchSrc, r.fetchLines = 4*dst, 4*src, pixels*vectorBytes()/64
	}
}

// add appends a tap: where it reads for the first pixel, and its row of weights, in elements.
func (r *tapRun) add(offset, row int) {
	r.offsets[r.taps], r.rows[r.taps] = 4*offset, 4*row
	r.taps++
}

// forward carries out the forward form for the taps added so far; those added next go on from its results.
func (r *tapRun) forward() {
	r.check()
	switch {
	case r.taps > 0:
		r.at, r.tail = 4*r.first, 0
		done := r.forwardVectors()
		r.forwardGo(done)
	default:
		for p := range r.count {
			clear(r.pixel(r.dst, 0, p*r.dstStep, 0))
		}
	}
	r.taps, r.more = 0, 1
}

// gradient carries out the gradient form for the taps added so far.
func (r *tapRun) gradient() {
	r.check()
	r.at, r.tail = 4*r.first, 0
	done := r.gradientVectors()
	r.gradientGo(done)
	r.taps = 0
}

// check panics where the run leaves its slices, since the assembly would not.
func (r *tapRun) check() {
	end := 4 * (r.first + r.channels)
	last := r.count - 1
	ok := r.count > 0 && last*r.dstStep+end <= 4*len(r.dst)
	for t := range r.taps {
		ok = ok && r.offsets[t] >= 0 && r.offsets[t]+last*r.srcStep+end <= 4*len(r.src) && r.rows[t] >= 0 && r.rows[t]+end <= 4*len(r.w)
	}
	if !ok {
		panic(fmt.Sprintf("tensor: %d pixels of channels [%d, %d) with %d taps leave their image", r.count, r.first, r.first+r.channels, r.taps))
	}
}

// pixel is the channels of a pixel from the done-th on, at a place in bytes.
func (r *tapRun) pixel(data []float32, base, step, done int) []float32 {
	at := (base+step)/4 + r.first + done
	return data[at : at+r.channels-done]
}

// forwardGo is the forward form for the channels from the done-th on.
func (r *tapRun) forwardGo(done int) {
	if done == r.channels {
		return
	}
	for p := range r.count {
		dst := r.pixel(r.dst, 0, p*r.dstStep, done)
		if r.more == 0 {
			clear(dst)
		}
		for t := range r.taps {
			kernel.MulAdd(dst, r.pixel(r.src, r.offsets[t], p*r.srcStep, done), r.pixel(r.w, r.rows[t], 0, done))
		}
	}
}

// gradientGo is the gradient form for the channels from the done-th on.
func (r *tapRun) gradientGo(done int) {
	if done == r.channels {
		return
	}
	for p := range r.count {
		dst := r.pixel(r.dst, 0, p*r.dstStep, done)
		for t := range r.taps {
			kernel.MulAdd(r.pixel(r.w, r.rows[t], 0, done), dst, r.pixel(r.src, r.offsets[t], p*r.srcStep, done))
		}
	}
}
