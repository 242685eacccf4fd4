package trainer

import (
	"fmt"
	"runtime"
	"slices"
	"sync"

	"ringmaster/internal/dataset"
	"ringmaster/internal/plan"
	"ringmaster/internal/rng"
)

// DataError is an error of the training or evaluation data while a job runs: a file cannot be read any more, or has changed.
type DataError struct{ Err error }

// Error is the error of the data.
func (e *DataError) Error() string { return e.Err.Error() }

// Unwrap is the error of the data.
func (e *DataError) Unwrap() error { return e.Err }

// feed gives the micro-batches of the local seats, seat by seat and step by step. Where samples are not in memory, goroutines of its own read
// the next ones while the step computes: a batch for every local seat and one more. What is in a batch depends on step and seat alone, so nothing of this
// shows in the bits. It belongs to one session.
type feed struct {
	trainer *Trainer
	arc     plan.Arc
	order   *dataset.Sampler // of the epoch that portion asked belongs to
	ahead   bool
	slots   []slot
	asked   int        // portions that reading has been asked of
	taken   int        // portions that have been computed
	begin   uint64     // the session's first step
	due     chan *slot // to be read
	readers sync.WaitGroup
}

// slot holds one batch, from when reading it is asked until it has been computed.
type slot struct {
	batch   dataset.Batch
	indices []int32
	key     rng.Key
	err     error
	read    chan struct{} // has one element once the batch is read
}

// newFeed makes the feed of a session that begins with the trainer's next step. It must be closed.
func newFeed(t *Trainer, arc plan.Arc) *feed {
	f := &feed{trainer: t, arc: arc, ahead: !t.Data.Train.Resident(), begin: t.step}
	if !f.ahead {
		f.slots = make([]slot, 1)
		return f
	}
	f.slots = make([]slot, arc.Len()+1)
	f.due = make(chan *slot, len(f.slots))
	for i := range f.slots {
		f.slots[i].read = make(chan struct{}, 1)
	}
	for range min(len(f.slots), runtime.GOMAXPROCS(0)) {
		f.readers.Go(func() {
			for s := range f.due {
				s.err = t.Data.Train.Read(&s.batch, s.indices, s.key)
				s.read <- struct{}{}
			}
		})
	}
	for range f.slots {
		f.ask()
	}
	return f
}

// close ends the reading. A batch under way is read to its end.
func (f *feed) close() {
	if f.ahead {
		close(f.due)
		f.readers.Wait()
	}
}

// at is what portion number k is of: a step, counted from 0, a seat and a micro-batch of it.
func (f *feed) at(k int) (step uint64, seat, micro int) {
	n := f.trainer.Job.Train.MicroBatches()
	seat, micro = k/n, k%n
	return f.begin + uint64(seat/f.arc.Len()), f.arc.Begin + seat%f.arc.Len(), micro
}

// ask settles what the next portion consists of and has it read ahead.
func (f *feed) ask() {
	t := f.trainer
	step, seat, micro := f.at(f.asked)
	if step >= t.Steps {
		return
	}
	s := &f.slots[f.asked%len(f.slots)]
	f.asked++
	epoch, inEpoch := step/uint64(t.PerPass), int(step%uint64(t.PerPass))
	if f.order == nil || f.order.Epoch() != epoch {
		f.order = t.Data.Sampler(t.Job.Seed, epoch)
	}
	shard := plan.Shard(t.Data.Train.Len(), t.Job.Seats, t.Job.Train.PerSeat(), inEpoch, seat).Part(micro, t.Job.Train.MicroBatches())
	s.indices = slices.Grow(s.indices[:0], shard.Len())[:shard.Len()]
	f.order.Fill(s.indices, shard)
	s.key = rng.SeatKey(t.Job.Seed, step, uint64(seat), uint64(micro))
	if f.ahead {
		f.due <- s
	}
}

// next is the batch of the next seat. It stays until done is called.
func (f *feed) next() (*dataset.Batch, error) {
	s := &f.slots[f.taken%len(f.slots)]
	if f.ahead {
		<-s.read
	} else {
		f.ask()
		s.err = f.trainer.Data.Train.Read(&s.batch, s.indices, s.key)
	}
	if s.err != nil {
		step, _, _ := f.at(f.taken)
		return nil, &DataError{fmt.Errorf("step %d: %w", step+1, s.err)}
	}
	return &s.batch, nil
}

// done says that the batch has been computed, so that its place can be read into again.
func (f *feed) done() {
	f.taken++
	if f.ahead {
		f.ask()
	}
}

// feedBytes is the memory that reading ahead takes for one seat's batch of that many samples, 0 where samples are in memory: the batch, and room for the
// records and files under way.
func (p *Plan) feedBytes(samples int) int64 {
	if p.Data.Train.Resident() {
		return 0
	}
	return int64(samples+feedRoom) * int64(p.Data.Schema.SampleBytes())
}

// feedRoom is how many samples the records and files under way count as.
const feedRoom = 4
