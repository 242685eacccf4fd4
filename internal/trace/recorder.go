// Package trace records what a worker does in some steps, and writes the traces of many workers as one in the Chrome trace event format.
package trace

import (
	"sync"
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

// Recorder records while somebody has asked for it. While nobody has, it costs an atomic load a span; a nil one is never asked.
type Recorder struct{ on atomic.Pointer[Recording] }

// Recording is the trace of some steps: at most as many spans as there is room for, which is made at its beginning.
type Recording struct {
	Origin time.Time
	first  uint64 // step
	end    uint64 // the step after the last one
	done   chan struct{}

	mu    sync.Mutex
	spans []Span
	lost  uint64 // spans for which there was no room
	over  bool
}

// Start begins to record, in place of an earlier recording, which is over then.
func (r *Recorder) Start(first, steps uint64, room int) *Recording {
	rec := &Recording{Origin: time.Now(), first: first, end: first + steps, done: make(chan struct{}), spans: make([]Span, 0, room)}
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

// Now is the time if spans are recorded at present, else the zero time, for a span that begins.
func (r *Recorder) Now() time.Time {
	if r == nil || r.on.Load() == nil {
		return time.Time{}
	}
	return time.Now()
}

// Span records that something began, and ended now. It does nothing where the beginning is the zero time. It allocates nothing.
func (r *Recorder) Span(kind Kind, step uint64, index int32, began time.Time) {
	if r == nil || began.IsZero() {
		return
	}
	if rec := r.on.Load(); rec != nil {
		rec.add(kind, step, index, began, time.Now())
	}
}

func (rec *Recording) add(kind Kind, step uint64, index int32, began, ended time.Time) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	switch {
	case rec.over || step < rec.first || began.Before(rec.Origin):
		return
	case step < rec.end && len(rec.spans) < cap(rec.spans):
		rec.spans = append(rec.spans, Span{kind, index, step, began.Sub(rec.Origin), ended.Sub(began)})
	case step < rec.end:
		rec.lost++
	}
	if kind == Step && step+1 >= rec.end {
		rec.over = true
		close(rec.done)
	}
}

func (rec *Recording) finish() {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if !rec.over {
		rec.over = true
		close(rec.done)
	}
}

// Done is closed when the recording is over: its last step is, or it was stopped.
func (rec *Recording) Done() <-chan struct{} { return rec.done }

// Spans are what was recorded, in the order in which they ended, and how many spans there was no room for. It is for after Done.
func (rec *Recording) Spans() (spans []Span, lost uint64) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.spans, rec.lost
}
