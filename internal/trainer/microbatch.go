package trainer

import (
	"fmt"

	"ringmaster/internal/model"
	"ringmaster/internal/plan"
	"ringmaster/internal/rng"
	"ringmaster/internal/tensor/kernel"
	"ringmaster/internal/trace"
)

// A seat's shard of a step is divided evenly, in order, into train.accumulate micro-batches. The seat's gradient is
// g[0] + g[1] + ..., micro-batch after micro-batch, each added as a whole and element by element; only then do the seats' gradients go into
// the ring. The sums of the losses and the counts are added up likewise and divide once, so every target that counts weighs the same,
// whatever micro-batch it is in. Each micro-batch is normalised by its own statistics and draws its own random numbers. The running statistics move once for each
// micro-batch, by the mean over the seats' micro-batches of that number.

// makeMicroBatches allocates what the micro-batches of a step need.
func (t *Trainer) makeMicroBatches() {
	n := t.Job.Train.MicroBatches()
	if n > 1 {
		t.partial = make([]float32, t.Model.GradientLen())
	}
	if len(t.stats) == 0 {
		return
	}
	t.statCounts = make([]uint64, n)
	for range n {
		t.statSums = append(t.statSums, make([]float32, len(t.stats)))
	}
}

// seatGradient fills the gradient of the i-th local seat. Only the last micro-batch of the last seat completes buckets in its backward, and the
// tally in its forward.
func (t *Trainer) seatGradient(r *Run, i int) error {
	n := t.Job.Train.MicroBatches()
	t.seat, t.seatSums = i, model.Result{Finite: true}
	for t.micro = range n {
		t.Activity.Turn(Reading)
		batch, err := t.feed.next()
		if err != nil {
			return &DataError{fmt.Errorf("step %d: %w", t.step+1, err)}
		}
		t.Activity.Turn(Computing)
		grad, ready := t.grads[i], (func(int))(nil)
		if t.micro > 0 {
			grad = t.partial
		}
		if t.micro == n-1 && i == r.Arc.Len()-1 {
			t.nextBucket, ready = len(t.Buckets)-1, t.ready
		}
		key := rng.SeatKey(t.Job.Seed, t.step, uint64(r.Arc.Begin+i), uint64(t.micro))
		t.replica.TraceTo(t.trace, t.step+1)
		t.forwardBegan, t.backwardBegan = t.trace.Now(), 0
		t.replica.Gradient(t.params, t.stats, grad, batch, key, ready, t.forward)
		t.trace.Span(trace.Backward, t.step+1, int32(i), t.backwardBegan)
		t.feed.done()
		for b := 0; ready == nil && b < len(t.Buckets); b++ {
			t.addPartial(t.Buckets[b].Interval)
		}
		for b := len(t.Buckets) - 1; ready == nil && t.micro == n-1 && b >= 0; b-- {
			t.noteBucket(b)
		}
	}
	return nil
}

// addPartial adds an interval of the gradient of the micro-batch under way to its seat's, which the first micro-batch has begun.
func (t *Trainer) addPartial(in plan.Interval) {
	if t.micro > 0 {
		sum := t.grads[t.seat][in.Begin:in.End]
		kernel.Add(sum, sum, t.partial[in.Begin:in.End])
	}
}

// afterForward takes in the sums of a micro-batch. With the last one the seat's records are complete.
func (t *Trainer) afterForward(r *Run, result model.Result) {
	t.trace.Span(trace.Forward, t.step+1, int32(t.seat), t.forwardBegan)
	t.backwardBegan = t.trace.Now()
	s := &t.seatSums
	s.Loss += result.Loss
	s.Weight += result.Weight
	s.Count += result.Count
	s.Correct += result.Correct
	s.Finite = s.Finite && result.Finite
	if size := statisticsLen(len(t.stats)); len(t.stats) > 0 {
		putStatistics(t.statRecords[t.seat][t.micro*size:], t.replica.Statistics(), result.Count)
	}
	if t.micro < t.Job.Train.MicroBatches()-1 {
		return
	}
	putRecord(t.records[t.seat], *s, t.flags(r))
	if t.seat < r.Arc.Len()-1 {
		return
	}
	r.Ring.Contribute(KindTally, t.records)
	if len(t.stats) > 0 {
		r.Ring.Contribute(KindStatistics, t.statRecords)
	}
}
