package allreduce

import (
	"ringmaster/internal/plan"
	"ringmaster/internal/tensor/kernel"
)

// blockLen is the number of elements that pass through all local seats before the next ones do, so that the running sum
// stays in the first-level cache. Elements are independent, so the block length does not affect the bits.
const blockLen = 4096

// gradients are the flat gradient vectors of the local seats, and the arc of those seats. Sums are built in place:
// the partial sum of the worker's own chunk c in the vector of seat c+1, everything else in the vector of the first local seat.
type gradients struct {
	flat  [][]float32 // one vector a seat, in the arc's order
	arc   plan.Arc
	seats int
}

// addLocal adds the local seats [from, to), counted within the arc, to the running sum dst of the elements at.
func (g *gradients) addLocal(dst []float32, at plan.Interval, from, to int) {
	for k := from; k < to; k++ {
		kernel.AddTo(dst, g.flat[k][at.Begin:at.End])
	}
}

// startBody makes the partial sums of the elements at of the worker's own body: chunk c over the seats c+1 to the arc's end,
// left in the vector of seat c+1, which nothing reads for this chunk any more.
func (g *gradients) startBody(bucket plan.Bucket, at plan.Interval) {
	for at.Len() > 0 {
		c, part := g.firstChunk(bucket, at)
		k := c + 1 - g.arc.Begin
		for block := range blocks(part) {
			g.addLocal(g.flat[k][block.Begin:block.End], block, k+1, len(g.flat))
		}
		at.Begin = part.End
	}
}

// bodyPartial returns where startBody left the first part of the elements at, and where that part ends.
func (g *gradients) bodyPartial(bucket plan.Bucket, at plan.Interval) []float32 {
	c, part := g.firstChunk(bucket, at)
	return g.flat[c+1-g.arc.Begin][part.Begin:part.End]
}

// startTail makes the partial sums of the elements at of the previous worker's tail, over all local seats.
func (g *gradients) startTail(at plan.Interval) {
	for block := range blocks(at) {
		g.addLocal(g.flat[0][block.Begin:block.End], block, 1, len(g.flat))
	}
}

// pass adds all local seats to a partial sum on its way round the ring; begin is its first element.
func (g *gradients) pass(begin int, partial []float32) {
	g.add(plan.Interval{Begin: begin, End: begin + len(partial)}, partial, len(g.flat))
}

// finish completes the sum of own elements whose partial sum is back: chunk c still lacks the seats from the arc's first up to c.
func (g *gradients) finish(bucket plan.Bucket, begin int, partial []float32) {
	at := plan.Interval{Begin: begin, End: begin + len(partial)}
	for at.Len() > 0 {
		c, part := g.firstChunk(bucket, at)
		g.add(part, partial[:part.Len()], c+1-g.arc.Begin)
		partial = partial[part.Len():]
		at.Begin = part.End
	}
}

// add leaves partial + the first n local seats, in this order, in the first seat's vector.
func (g *gradients) add(at plan.Interval, partial []float32, n int) {
	for block := range blocks(at) {
		dst := g.flat[0][block.Begin:block.End]
		kernel.Add(dst, partial[block.Begin-at.Begin:block.End-at.Begin], dst)
		g.addLocal(dst, block, 1, n)
	}
}

// firstChunk returns the chunk of the first of the elements at, and those of them that are in this chunk.
func (g *gradients) firstChunk(bucket plan.Bucket, at plan.Interval) (int, plan.Interval) {
	c := bucket.ChunkOf(at.Begin, g.seats)
	return c, plan.Interval{Begin: at.Begin, End: min(at.End, bucket.Chunk(c, g.seats).End)}
}

// alone sums the bucket if one worker has all seats.
func (g *gradients) alone(bucket plan.Bucket) {
	body, tail := bodyOf(bucket, g.arc, g.seats), tailOf(bucket, g.arc, g.seats)
	g.startTail(tail)
	g.startBody(bucket, body)
	for body.Len() > 0 {
		partial := g.bodyPartial(bucket, body)
		g.finish(bucket, body.Begin, partial)
		body.Begin += len(partial)
	}
}

// foldRaw sums a raw bucket into the first local seat's vector; raw holds every seat's elements, seat after seat.
func (g *gradients) foldRaw(bucket plan.Bucket, raw []float32) {
	for c := range g.seats {
		chunk := bucket.Chunk(c, g.seats)
		dst := g.flat[0][chunk.Begin:chunk.End]
		for k := range g.seats {
			seat := (c + 1 + k) % g.seats
			src := raw[seat*bucket.Len()+chunk.Begin-bucket.Begin:][:chunk.Len()]
			if k == 0 {
				copy(dst, src)
			} else {
				kernel.AddTo(dst, src)
			}
		}
	}
}

// blocks goes through the interval in blocks of at most blockLen elements.
func blocks(i plan.Interval) func(yield func(plan.Interval) bool) {
	return func(yield func(plan.Interval) bool) {
		for begin := i.Begin; begin < i.End; begin += blockLen {
			if !yield(plan.Interval{Begin: begin, End: min(begin+blockLen, i.End)}) {
				return
			}
		}
	}
}
