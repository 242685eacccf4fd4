package trainer

import (
	"encoding/binary"
	"math"

	"ringmaster/internal/plan"
)

// The noise of gradients, after McCandlish et al. 2018, "An Empirical Model of Large-Batch Training", appendix A.1: with the true gradient G and the
// covariance Sigma of a single target's gradient, the mean gradient over B targets has the expected square |G|^2 + tr(Sigma)/B. Seats are the small
// batches, the step is the big one, which gives two equations for |G|^2 and tr(Sigma). Seats may differ in their number of targets; empty ones do not count.
//
// A seat's square is computed over its own gradient before the ring adds to it, bucket after bucket as backward completes them, so that it does not
// depend on who has the seat. The records are folded in seat order.

// A noise record, 16 bytes little-endian, one a seat: the square of the norm of the seat's gradient (float64), and what it is divided by (float64).
const noiseLen = 16

// seatNoise is what is measured of the local seats in a step.
type seatNoise struct {
	sum     float64 // of the seat under way
	records [][]byte

	square, variance float64 // the estimates of the step
}

// enter makes the records of a session.
func (n *seatNoise) enter(seats int) {
	if n != nil {
		n.records = makeRecords(seats, noiseLen)
	}
}

// noteBucket adds the square of a bucket of the seat under way. The first bucket of the gradient comes last and completes the record.
func (t *Trainer) noteBucket(bucket int) {
	n := t.seatNoise
	if n == nil {
		return
	}
	if bucket == len(t.Buckets)-1 {
		n.sum = 0
	}
	n.sum += t.bucketSquares(t.grads[t.seat], &t.Buckets[bucket])
	if bucket == 0 {
		le, record := binary.LittleEndian, n.records[t.seat]
		le.PutUint64(record, math.Float64bits(n.sum))
		le.PutUint64(record[8:], math.Float64bits(divisor(t.seatSums.Weight, t.seatSums.Count)))
	}
}

// noise is the estimates of a step from the records of all seats and the sum of their gradients: of the square of the true gradient's norm, and of the
// variance of a single target's gradient. Both are 0 where fewer than two seats have targets.
func (t *Trainer) noise(records []byte, grad []float32) (square, variance float64) {
	le := binary.LittleEndian
	small, inverse, all, seats := 0.0, 0.0, 0.0, 0.0
	for ; len(records) >= noiseLen; records = records[noiseLen:] {
		sum, count := math.Float64frombits(le.Uint64(records)), math.Float64frombits(le.Uint64(records[8:]))
		if count == 0 {
			continue
		}
		small += sum / float64(count*count)
		inverse += 1 / count
		all += count
		seats++
	}
	if seats < 2 {
		return 0, 0
	}
	big := t.squares(grad) / float64(all*all)
	variance = (small/seats - big) / (inverse/seats - 1/all)
	return big - variance/all, variance
}

// bucketSquares is the sum of the squares of what is trained of a bucket, in float64 for each chunk.
func (t *Trainer) bucketSquares(grad []float32, b *plan.Bucket) float64 {
	total := 0.0
	for c := range t.Job.Seats {
		total = t.addSquares(total, grad, b.Chunk(c, t.Job.Seats))
	}
	return total
}
