// Package allreduce sums gradients over the seats of a job: every worker of a view plays its arc of seats in the textbook
// ring over seats, a reduce-scatter and then an all-gather, so the bits of the sum do not depend on how many workers share the seats.
//
// The pure part is schedule.go (which interval travels where) and fold.go (the additions); the engine of one session is
// ring.go with send.go, receive.go, gather.go and wire.go; the links to the neighbours are transport.go (gRPC), with split.go for wires between
// processes of one host, and inprocess.go. board.go and boarding.go are what takes the place of messages where all workers are on one host.
package allreduce

import "ringmaster/internal/plan"

// The schedule. A bucket has one chunk for each seat; chunk c is the left fold g[c+1] + g[c+2] + ... + g[c+S] (indices mod S),
// so it ends at seat c. The worker with arc [a,b) owns the segment of the chunks [a,b), which is one interval. Its last
// chunk is the segment's tail, the others are its body; both travel as lanes of their own because they start elsewhere:
//
//	body   chunk c starts at seat c+1, which the owner has: leaves the owner v as a partial sum, v+1, ..., v-1, back to v
//	tail   chunk b-1 starts at seat b, which the next worker has: leaves v+1, ..., v-1, ends at v
//	final  the finished segment leaves v, v+1, ..., ends at v-1
//
// Every worker on the way adds its seats in order; the owner adds the seats that are left when a lane comes back. An arc of
// one seat has an empty body. Small buckets travel as lane raw instead: every worker's seats go round unsummed
// and everybody folds all of them, in the same order: one round instead of two.

// frameLen is the number of elements of a full frame (256 KiB of float32). Frames start at their lane's beginning and are
// full except for the last, so the receiver knows every header in advance. It is a constant of the protocol, not of the numerics.
const frameLen = 1 << 16

// frameBytes is the payload of a full frame.
const frameBytes = 4 * frameLen

// rawLimit is the number of elements over all seats up to which a bucket travels raw. The order of additions is the same.
const rawLimit = 1 << 14

// Segment is the interval of the bucket whose sum the worker with this arc finishes.
func Segment(bucket plan.Bucket, arc plan.Arc, seats int) plan.Interval {
	return bucket.Chunks(arc.Begin, arc.End, seats)
}

// bodyOf is the part of the owner's segment that starts at the owner: all its chunks but the last.
func bodyOf(bucket plan.Bucket, arc plan.Arc, seats int) plan.Interval {
	return bucket.Chunks(arc.Begin, arc.End-1, seats)
}

// tailOf is the last chunk of the owner's segment, which starts at the next worker.
func tailOf(bucket plan.Bucket, arc plan.Arc, seats int) plan.Interval {
	return bucket.Chunk(arc.End-1, seats)
}

// A lane is an interval that travels in frames. It counts elements of the flat vector (body, tail, final) or of the raw
// seats of a small bucket (raw), or bytes of a gather (record).
type lane plan.Interval

// frame is the frame of the lane that begins at an element: full, or the rest.
func (l lane) frame(at, full int) plan.Interval {
	return plan.Interval{Begin: at, End: min(at+full, l.End)}
}

// frames is the number of frames that the lane travels in.
func (l lane) frames(full int) int { return (l.End - l.Begin + full - 1) / full }

// sends and takes report whether worker self sends the lane to the next worker, and whether it receives it from the previous one.
func sends(p phase, owner, self, workers int) bool {
	switch p {
	case phaseBody:
		return true
	case phaseTail:
		return self != owner
	default: // final, raw and record start at their owner and stop just before it
		return (self+1)%workers != owner
	}
}

func takes(p phase, owner, self, workers int) bool {
	switch p {
	case phaseBody:
		return true
	case phaseTail:
		return self != (owner+1)%workers
	default:
		return self != owner
	}
}
