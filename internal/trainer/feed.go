package trainer

import (
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

// feed gives portions of a set's samples, one after another. Where samples are not in memory, goroutines of its own read the next portions while
// one is computed. What is in a portion depends on its number alone, so nothing of this shows in the bits. Training has one for each session, an
// evaluation one of its own.
type feed struct {
	set     dataset.Set
	settle  func(k int, s *slot) bool // says which samples portion k has; false: there is none. It is called with 0, 1, 2, ...
	slots   []slot
	asked   int        // portions that reading has been asked of
	taken   int        // portions that have been computed
	due     chan *slot // to be read; nil where samples are in memory
	readers sync.WaitGroup
}

// slot holds one portion, from when reading it is asked until it has been computed.
type slot struct {
	batch   dataset.Batch
	indices []int32
	key     rng.Key
	err     error
	read    chan struct{} // has one element once the batch is read
}

// newFeed makes the feed of a set, which holds as many portions at a time as there are slots. It must be closed.
func newFeed(set dataset.Set, slots int, settle func(k int, s *slot) bool) *feed {
	f := &feed{set: set, settle: settle}
	if set.Resident() {
		f.slots = make([]slot, 1)
		return f
	}
	f.slots = make([]slot, slots)
	f.due = make(chan *slot, slots)
	for i := range f.slots {
		f.slots[i].read = make(chan struct{}, 1)
	}
	for range min(slots, runtime.GOMAXPROCS(0)) {
		f.readers.Go(func() {
			for s := range f.due {
				s.err = set.Read(&s.batch, s.indices, s.key)
				s.read <- struct{}{}
			}
		})
	}
	for range f.slots {
		f.ask()
	}
	return f
}

// close ends the reading. A portion under way is read to its end.
func (f *feed) close() {
	if f.due != nil {
		close(f.due)
		f.readers.Wait()
	}
}

// ask settles what the next portion consists of and has it read ahead.
func (f *feed) ask() {
	s := &f.slots[f.asked%len(f.slots)]
	if !f.settle(f.asked, s) {
		return
	}
	f.asked++
	if f.due != nil {
		f.due <- s
	}
}

// next is the batch of the next portion, which must be there. It stays until done is called.
func (f *feed) next() (*dataset.Batch, error) {
	s := &f.slots[f.taken%len(f.slots)]
	if f.due != nil {
		<-s.read
	} else {
		f.ask()
		s.err = f.set.Read(&s.batch, s.indices, s.key)
	}
	return &s.batch, s.err
}

// done says that the batch has been computed, so that its place can be read into again.
func (f *feed) done() {
	f.taken++
	if f.due != nil {
		f.ask()
	}
}

// stepOrder is what a session trains on: the micro-batches of the local seats, seat by seat and step by step.
type stepOrder struct {
	*Plan
	arc   plan.Arc
	begin uint64           // the session's first step
	order *dataset.Sampler // of the epoch of the portion settled last
}

// feedSteps makes the feed of a session that begins with the trainer's next step. It holds a batch for every local seat and one more.
func (t *Trainer) feedSteps(arc plan.Arc) *feed {
	o := &stepOrder{Plan: t.Plan, arc: arc, begin: t.step}
	return newFeed(t.Data.Train, arc.Len()+1, o.settle)
}

// at is what portion number k is of: a step, counted from 0, a seat and a micro-batch of it.
func (o *stepOrder) at(k int) (step uint64, seat, micro int) {
	n := o.Job.Train.MicroBatches()
	seat, micro = k/n, k%n
	return o.begin + uint64(seat/o.arc.Len()), o.arc.Begin + seat%o.arc.Len(), micro
}

func (o *stepOrder) settle(k int, s *slot) bool {
	step, seat, micro := o.at(k)
	if step >= o.Steps {
		return false
	}
	epoch, inEpoch := step/uint64(o.PerPass), int(step%uint64(o.PerPass))
	if o.order == nil || o.order.Epoch() != epoch {
		o.order = o.Data.Sampler(o.Job.Seed, epoch)
		o.Data.SortBatches(o.order, o.Job.Seats*o.Job.Train.PerSeat())
	}
	shard := plan.Shard(o.Data.Train.Len(), o.Job.Seats, o.Job.Train.PerSeat(), inEpoch, seat).Part(micro, o.Job.Train.MicroBatches())
	s.indices = slices.Grow(s.indices[:0], shard.Len())[:shard.Len()]
	o.order.Fill(s.indices, shard)
	s.key = rng.SeatKey(o.Job.Seed, step, uint64(seat), uint64(micro))
	return true
}

// evaluationOrder is what an evaluation reads: each local seat's part of the set in batches, and these in pieces.
type evaluationOrder struct {
	arc                  plan.Arc
	seats, samples, size int // size is that of a piece
	seat                 int // under way, with what is left of its part, and where that began
	left                 plan.Interval
	begin                int
}

// feedEvaluation makes the feed of an evaluation in pieces of that size.
func (t *Trainer) feedEvaluation(arc plan.Arc, size int) *feed {
	o := &evaluationOrder{arc: arc, seats: t.Job.Seats, samples: t.Data.Eval.Len(), size: size, seat: arc.Begin - 1}
	return newFeed(t.Data.Eval, t.evaluationSlots(size), o.settle)
}

func (o *evaluationOrder) settle(_ int, s *slot) bool {
	for o.left.Len() == 0 {
		if o.seat++; o.seat >= o.arc.End {
			return false
		}
		o.left = plan.Interval{Begin: 0, End: o.samples}.Part(o.seat, o.seats)
		o.begin = o.left.Begin
	}
	batchEnd := o.begin + ((o.left.Begin-o.begin)/evalBatch+1)*evalBatch
	end := min(o.left.Begin+o.size, batchEnd, o.left.End)
	s.indices = s.indices[:0]
	for k := o.left.Begin; k < end; k++ {
		s.indices = append(s.indices, int32(k))
	}
	o.left.Begin = end
	return true
}

// evaluationSlots is how many pieces of an evaluation are held at a time, one of them being computed: as many as fit evalRoom, at least two.
func (p *Plan) evaluationSlots(size int) int {
	const most = 5 // a few readers keep up with any model
	return int(min(max(evalRoom/p.portionBytes(size), 2), most))
}

// aheadOfEvaluation is the memory that reading ahead takes in an evaluation in pieces of that size, 0 where samples are in memory.
func (p *Plan) aheadOfEvaluation(size int) int64 {
	if p.Data.Eval.Resident() {
		return 0
	}
	return int64(p.evaluationSlots(size)-1) * p.portionBytes(size)
}

// feedBytes is the memory that reading ahead takes for one seat's batch of that many samples, 0 where samples are in memory: the batch, and room for the
// records and files under way.
func (p *Plan) feedBytes(samples int) int64 {
	if p.Data.Train.Resident() {
		return 0
	}
	return p.portionBytes(samples)
}

// portionBytes is the memory of one portion that is read ahead.
func (p *Plan) portionBytes(samples int) int64 {
	return int64(samples+feedRoom) * int64(p.Data.Schema.SampleBytes())
}

// feedRoom is how many samples the records and files under way count as.
const feedRoom = 4
