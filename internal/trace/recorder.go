// Package trace records what a worker does in some steps, and writes the traces of many workers as one in the Chrome trace event format.
package trace

import (
	"sync/atomic"
	"time"
)

// Kind is what a span of time was spent on.
type Kind uint8

// The kinds. A program that reads a trace of an earlier build finds them by number, so new ones come last.
const (
	Step Kind = iota
	Reading
	Computing
	Forward
	Backward
	Optimizer
	Waiting   // for the ring, whatever for
	Receiving // waiting for the previous worker
	Sending   // waiting for the next worker
	Evaluating
	Saving // copying the state for a checkpoint, or waiting for the checkpoint before
	Other
	Reduce // from when a bucket is ready to when its sum is there

	ForwardOperation // one operation of Forward
	BackwardOperation
	Packing  // adding up the local seats of what begins its way round the ring here
	Passing  // giving a frame to the link to the next worker
	Arriving // waiting for a frame from the previous worker, until its bytes are there
	Early    // a frame has come before this worker is ready for it
	Folding  // adding a frame to the local seats, or copying what is finished
	kinds
)

var names = [kinds]string{"step", "reading", "computing", "forward", "backward", "optimizer", "waiting", "receiving", "sending", "evaluating", "saving", "other", "reduce",
	"forward operation", "backward operation", "packing", "passing", "arriving", "early", "folding"}

// String is the kind's name.
func (k Kind) String() string {
	if k < kinds {
		return names[k]
	}
	return "unknown"
}

// thread is one of those that a worker's spans are shown in, one below the other.
type thread int

const (
	stepLoop    thread = iota + 1
	sending            // to the next worker
	receiving          // from the previous worker
	overlapping        // spans that overlap have no thread
)

var threadNames = map[thread]string{stepLoop: "step loop", sending: "ring: sending", receiving: "ring: receiving"}

// thread is the one in which a kind happens.
func (k Kind) thread() thread {
	switch k {
	case Reduce:
		return overlapping
	case Packing, Passing:
		return sending
	case Arriving, Early, Folding:
		return receiving
	}
	return stepLoop
}

// None is the index of a span that has none.
const None = -1

// Span is one piece of a worker's time.
type Span struct {
	Kind Kind
	// Index is the local seat of Forward and Backward, the operation of theirs, and the bucket of what the ring does, where None means
	// records, such as the tally; else None.
	Index  int32
	Step   uint64
	Began  time.Duration // since the recording's origin
	Lasted time.Duration
}

// began is when this process's marks count from.
var began = time.Now()

// Mark is a moment at which spans are recorded, in nanoseconds; 0: nobody recorded then. It is read from one clock alone, in half the time that time.Now takes.
type Mark int64

func now() Mark { return Mark(time.Since(began)) }

// Recorder records while somebody has asked for it. While nobody has, it costs an atomic load a span; a nil one is never asked.
type Recorder struct{ on atomic.Pointer[Recording] }

// Recording is the trace of some steps: at most as many spans as there is room for, which is made at its beginning. Several goroutines record at the
// same time without waiting for each other.
type Recording struct {
	Origin time.Time
	origin Mark
	first  uint64 // step
	end    uint64 // the step after the last one
	over   atomic.Bool
	done   chan struct{}
	taken  atomic.Uint64 // spans so far, those without room too
	slots  []slot
}

// slot holds a span once it is full.
type slot struct {
	span Span
	full atomic.Bool
}

// Start begins to record, in place of an earlier recording, which is over then.
func (r *Recorder) Start(first, steps uint64, room int) *Recording {
	origin := time.Now()
	rec := &Recording{Origin: origin, origin: Mark(origin.Sub(began)), first: first, end: first + steps, done: make(chan struct{}), slots: make([]slot, room)}
	if old := r.on.Swap(rec); old != nil {
		old.finish()
	}
	return rec
}

// Stop ends the recording under way, if there is one.
func (r *Recorder) Stop() {
	if old := r.on.Swap(nil); old != nil {
		old.finish()
	}
}

// Now is the moment at which a span begins, if spans are recorded at present.
func (r *Recorder) Now() Mark {
	if r == nil || r.on.Load() == nil {
		return 0
	}
	return now()
}

// Span records that something began, and ended now. It does nothing where nobody recorded at the beginning. It allocates nothing.
func (r *Recorder) Span(kind Kind, step uint64, index int32, from Mark) {
	if r == nil || from == 0 {
		return
	}
	if rec := r.on.Load(); rec != nil {
		rec.add(kind, step, index, from)
	}
}

// Since is Span for what took a time that is kept anyway.
func (r *Recorder) Since(kind Kind, step uint64, index int32, from time.Time) {
	if r == nil {
		return
	}
	if rec := r.on.Load(); rec != nil {
		rec.add(kind, step, index, Mark(from.Sub(began)))
	}
}

func (rec *Recording) add(kind Kind, step uint64, index int32, from Mark) {
	if step < rec.first || from < rec.origin || rec.over.Load() {
		return
	}
	if step < rec.end {
		if at := rec.taken.Add(1) - 1; at < uint64(len(rec.slots)) {
			s := &rec.slots[at]
			s.span = Span{kind, index, step, time.Duration(from - rec.origin), time.Duration(now() - from)}
			s.full.Store(true)
		}
	}
	if kind == Step && step+1 >= rec.end {
		rec.finish()
	}
}

func (rec *Recording) finish() {
	if rec.over.CompareAndSwap(false, true) {
		close(rec.done)
	}
}

// Done is closed when the recording is over: its last step is, or it was stopped.
func (rec *Recording) Done() <-chan struct{} { return rec.done }

// Spans are what was recorded, and how many spans there was no room for. It is for after Done.
func (rec *Recording) Spans() (spans []Span, lost uint64) {
	taken := rec.taken.Load()
	kept := min(taken, uint64(len(rec.slots)))
	for i := range rec.slots[:kept] {
		if s := &rec.slots[i]; s.full.Load() { // else the worker is just writing it
			spans = append(spans, s.span)
		}
	}
	return spans, taken - kept
}
