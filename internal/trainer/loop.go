package trainer

import (
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/metric"
	"ringmaster/internal/model"
	"ringmaster/internal/plan"
	"ringmaster/internal/trace"
)

// AllReduce is what the step loop needs of one session's all-reduce. A failed ring stays failed.
type AllReduce interface {
	Begin(step uint64)                     // the gradients of this step are about to be filled; in a session's beginning: none are
	Ready(bucket int)                      // all local seats have filled this bucket; does not block
	Tend(from int)                         // a good moment to move what can be moved at once: the gradients are final from an element on
	Wait(bucket int) error                 // until the sum over all seats is in the first local gradient
	Contribute(kind uint8, local [][]byte) // one record a local seat; does not block
	Collect(kind uint8) ([]byte, error)    // the records of all seats in seat order
	End(step uint64) error                 // the gradients may be overwritten again
}

// Signals are what others ask of a running step loop. They take effect at the end of a step, for all workers at the
// same one, because they travel with the tally.
type Signals struct {
	Stop  atomic.Bool // end the job after the current step
	Yield atomic.Bool // a newer view waits for this one to end

	SaveFrom atomic.Uint64 // a checkpoint at this step or a later one is wanted now; 0: none
}

// Saver takes copies of the state and stores them in the background, one at a time.
type Saver interface {
	// Stuck reports whether the previous copy has taken so long that nobody should wait for it, as when the
	// coordinators have lost their quorum.
	Stuck() bool
	// Save waits for the previous copy to be stored, copies what it needs and returns; false if the previous copy is stuck.
	Save(t *Trainer) bool
}

// Evaluation is the outcome of a pass over the evaluation set.
type Evaluation struct {
	Loss     float64
	Accuracy float64 // NaN if the targets are not classes
	Count    uint64
	Metrics  string // the figures of train.metrics, as metric.Format writes them; empty where the job asks for none
}

// EpochEnd is the result of an epoch. Eval is nil without an evaluation set.
type EpochEnd struct {
	Epoch     int
	Step      uint64
	TrainLoss float64
	Eval      *Evaluation
}

// Run is one session of the step loop.
type Run struct {
	Arc       plan.Arc
	Ring      AllReduce
	Signals   *Signals
	Saver     Saver
	Evaluated int           // epochs whose evaluation is already recorded
	EarlyStop metric.Judged // what the job's rules make of these epochs
	KeepBest  metric.Judged
	OnEpoch   func(EpochEnd) // called after each epoch; must not block
	OnFirst   func()         // called after the session's first step; must not block
}

// Ending says why a session of the step loop ended without an error.
type Ending int

// The endings.
const (
	Complete Ending = iota + 1 // the job's last step is done
	Stopped                    // because a worker was asked to end the job
	Yielded                    // a newer view waits
)

// NotFiniteError says that the loss of a seat is NaN or infinite, so the step was not applied, or that the job's last step left
// such a value in a tensor.
type NotFiniteError struct {
	Step   uint64 // the step that failed, from 1
	Seat   int
	Tensor string // "": it is a loss
}

// Error names the step and the seat, or the tensor, and says what to do.
func (e *NotFiniteError) Error() string {
	what := fmt.Sprintf("loss is not finite at step %d, seat %d", e.Step, e.Seat)
	if e.Tensor != "" {
		what = fmt.Sprintf("tensor %s is not finite after step %d, the last", e.Tensor, e.Step)
	}
	return what + ": lower train.optimizer.lr, set train.clip_norm, or look for bad values in the data"
}

// complete ends the job, whose last step must have left finite values: no later step would notice others.
func (t *Trainer) complete() (Ending, error) {
	notFinite := func(v float32) bool { return v-v != 0 }
	for _, part := range []struct {
		tensors []model.Tensor
		values  []float32
	}{{t.Model.Params(), t.params}, {t.Model.Stats(), t.stats}} {
		for _, tensor := range part.tensors {
			if slices.ContainsFunc(part.values[tensor.Interval.Begin:tensor.Interval.End], notFinite) {
				return 0, &NotFiniteError{Step: t.step, Tensor: tensor.Name}
			}
		}
	}
	return Complete, nil
}

// Train runs steps until the job ends, the signals ask for an end, or the ring fails. The state is always that of a
// whole step. This loop alone owns the order in which the stages run:
//
//	for step < steps:
//	    for each local seat:                      accumulated over its micro-batches
//	        forwardBackward(its shard of the global batch)
//	        full buckets are sent while the rest is computed
//	    all-reduce: a bucket's sum over all seats is reduce-scattered, then all-gathered
//	    optimizerStep(the sum / what the tally counts)
//	    at times: evaluate, save a checkpoint, or end for a newer view
func (t *Trainer) Train(r Run) (Ending, error) {
	if err := t.enter(&r); err != nil {
		return 0, err
	}
	defer t.Activity.Turn(Idle)
	defer t.feed.close()
	// If the previous workers died at the end of an epoch, or of the job, its evaluation is the first thing that this
	// session gathers: it belongs to the step that the session starts from.
	r.Ring.Begin(t.step)
	wantSave := false
	every := uint64(t.Job.Checkpoint.EverySteps)
	for {
		if err := t.epochEnd(&r); err != nil {
			return 0, err
		}
		if t.over(&r) {
			return t.complete()
		}
		sums, err := t.stepOnce(&r)
		if err != nil {
			return 0, err
		}
		t.stuck = sums.flags&flagStuck != 0
		if r.OnFirst != nil {
			r.OnFirst()
			r.OnFirst = nil
		}
		switch {
		case t.step >= t.Steps:
			continue
		case sums.flags&flagStop != 0:
			return Stopped, nil
		case sums.flags&flagYield != 0:
			return Yielded, nil
		}
		wantSave = wantSave || sums.flags&flagSave != 0 || (every > 0 && t.step%every == 0)
		// All workers see the same flags, so they put a checkpoint off together.
		if wantSave && !t.stuck && r.Saver != nil {
			wantSave = !t.save(&r)
		}
	}
}

func (t *Trainer) enter(r *Run) error {
	t.EndReason, t.savedAt, t.stuck = "", 0, false
	if len(t.grads) != r.Arc.Len() {
		return fmt.Errorf("arc %v has %d seats, %d gradient buffers were made", r.Arc, r.Arc.Len(), len(t.grads))
	}
	t.records = makeRecords(r.Arc.Len(), recordLen)
	t.statRecords = makeRecords(r.Arc.Len(), t.Job.Train.MicroBatches()*statisticsLen(len(t.stats)))
	t.seatNoise.enter(r.Arc.Len())
	t.bind(r)
	t.feed = t.feedSteps(r.Arc)
	t.pace.begin()
	t.Progress.SeatSpans.Store(0)
	return nil
}

func makeRecords(n, size int) [][]byte {
	records, backing := make([][]byte, n), make([]byte, n*size)
	for i := range records {
		records[i] = backing[i*size : (i+1)*size]
	}
	return records
}

// stepOnce computes one step on all local seats and applies it when the sums and records of all seats have arrived.
func (t *Trainer) stepOnce(r *Run) (tally, error) {
	began := time.Now()
	r.Ring.Begin(t.step + 1)
	t.Activity.begin(t.step+1, Computing)
	if err := t.forwardBackward(r); err != nil {
		return tally{}, err
	}
	if t.seatNoise != nil {
		r.Ring.Contribute(KindNoise, t.seatNoise.records)
	}
	t.Activity.Turn(Waiting)
	for b := len(t.Buckets) - 1; b >= 0; b-- {
		if err := r.Ring.Wait(b); err != nil {
			return tally{}, err
		}
	}
	records, err := r.Ring.Collect(KindTally) // which has come meanwhile
	if err != nil {
		return tally{}, err
	}
	sums := fold(records)
	if sums.badSeat >= 0 {
		return sums, &NotFiniteError{Step: t.step + 1, Seat: sums.badSeat}
	}
	if err := t.collectStatistics(r); err != nil {
		return tally{}, err
	}
	if t.seatNoise != nil {
		if records, err = r.Ring.Collect(KindNoise); err != nil {
			return tally{}, err
		}
		t.seatNoise.square, t.seatNoise.variance = t.noise(records, t.grads[0])
	}
	t.Activity.Turn(Computing)
	updating := t.trace.Now()
	t.optimizerStep(sums)
	t.trace.Span(trace.Optimizer, t.step, trace.None, updating)
	t.Activity.Turn(Waiting)
	if err := r.Ring.End(t.step); err != nil {
		return tally{}, err
	}
	t.Progress.Samples.Add(t.Samples(t.step) - t.Samples(t.step-1))
	t.note(began, sums.loss/orOne(sums.divisor()))
	return sums, nil
}

// forwardBackward fills the gradients of the local seats and measures how long a seat takes.
func (t *Trainer) forwardBackward(r *Run) error {
	began, seats := time.Now(), r.Arc.Len()
	for i := range seats {
		if last := i == seats-1; last && i > 0 {
			t.measure(time.Since(began), i)
		}
		if err := t.seatGradient(r, i); err != nil {
			return err
		}
	}
	if seats == 1 {
		t.measure(time.Since(began), 1)
	}
	return nil
}

// bind creates, once a session, the callbacks of a seat's computation, so that steps allocate nothing.
func (t *Trainer) bind(r *Run) {
	t.gradNorm = func() float64 { return math.Sqrt(t.squares(t.grads[0])) / orOne(t.divisor) }
	t.ready = func(from int) {
		for ; t.nextBucket >= 0 && t.Buckets[t.nextBucket].Begin >= from; t.nextBucket-- {
			t.addPartial(t.Buckets[t.nextBucket].Interval)
			t.noteBucket(t.nextBucket)
			r.Ring.Ready(t.nextBucket)
		}
		if t.nextBucket >= 0 {
			if t.micro > 0 { // the micro-batches before are added bucket by bucket
				from = t.Buckets[t.nextBucket].End
			}
			r.Ring.Tend(from)
		}
	}
	t.forward = func(result model.Result) { t.afterForward(r, result) }
}

func (t *Trainer) flags(r *Run) (flags uint64) {
	if r.Signals != nil {
		if r.Signals.Stop.Load() {
			flags |= flagStop
		}
		if r.Signals.Yield.Load() {
			flags |= flagYield
		}
		if t.savedAt < r.Signals.SaveFrom.Load() {
			flags |= flagSave
		}
	}
	if r.Saver != nil && r.Saver.Stuck() {
		flags |= flagStuck
	}
	return flags
}

// optimizerStep takes the summed gradient into the state: from step t to t+1 in one piece.
func (t *Trainer) optimizerStep(sums tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.step%uint64(t.PerPass) == 0 {
		t.sums = checkpoint.EpochSums{}
	}
	t.sums.Loss += sums.loss
	t.sums.Count += sums.count
	t.sums.Weight += sums.weight
	t.sums.Correct += sums.correct
	grad := t.grads[0]
	t.divisor = sums.divisor()
	clip := t.clip(grad)
	t.step++
	t.history.Note(t.step, sums.loss/orOne(t.divisor), float64(sums.correct)/float64(max(sums.count, 1)), t.rate.Rate(t.step), t.gradNorm)
	if n := t.seatNoise; n != nil {
		t.history.NoteNoise(t.step, n.square, n.variance)
	}
	for _, b := range t.Buckets {
		t.opt.Step(t.team, t.step, t.params, grad, b.Interval, t.divisor, clip)
	}
	for k, sum := range t.statSums {
		t.Model.ApplyStatistics(t.stats, sum, t.statCounts[k])
	}
}
