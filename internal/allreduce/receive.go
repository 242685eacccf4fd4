package allreduce

import (
	"errors"
	"fmt"
	"io"

	"ringmaster/internal/plan"
	"ringmaster/internal/trace"
)

// receiveAll takes the previous worker's frames in order until the link ends.
func (r *Ring) receiveAll() {
	var numbers floats
	for {
		began := r.id.Trace.Now()
		f, err := r.in.Receive()
		if err == nil {
			r.traceFrame(trace.Arriving, &f.Header, began)
			r.count(&f.Header)
			err = r.take(&f, &numbers)
			f.Free()
			if r.wires.out != nil {
				r.flush()
			}
		}
		if err != nil {
			// Closing our end tells the previous worker that everything was read; after a failure the farewell goes first.
			if errors.Is(err, io.EOF) {
				r.in.Close(nil)
			} else {
				r.failPrev(err)
			}
			return
		}
	}
}

// count counts a frame that has come.
func (r *Ring) count(h *Header) {
	r.received.Add(1)
	if m := r.id.Meter; m != nil {
		m.Received.Add(headerLen + uint64(h.Length))
	}
}

// take handles one frame. io.EOF: the previous worker has ended its session normally and we need nothing more.
func (r *Ring) take(f *Frame, numbers *floats) error {
	if err := f.check(&r.ofPrev); err != nil {
		return fmt.Errorf("refused a %v frame: %w", f.Phase, err)
	}
	switch {
	case f.Phase == phaseBye:
		return r.takeFarewell(&f.Header, f.payload())
	case f.Phase == phaseRecord:
		return r.takeRecord(f)
	case f.Phase < firstLane || f.Phase > phaseRaw:
		return fmt.Errorf("refused a %v frame in the middle of a session", f.Phase)
	}
	b, at, _, err := r.admit(&f.Header, true)
	if err != nil {
		return err
	}
	begin, began := at.Begin, r.id.Trace.Now()
	numbers.reset(f)
	for run := numbers.next(); len(run) > 0; run = numbers.next() {
		r.apply(b, &f.Header, begin, run)
		begin += len(run)
	}
	r.traceFrame(trace.Folding, &f.Header, began)
	r.forward(b, &f.Header, at)
	return nil
}

// admit waits until the frame's bucket is ready here, or says that it is not, and checks the frame against the plan: at is where its payload belongs.
func (r *Ring) admit(f *Header, wait bool) (to *bucket, at plan.Interval, ready bool, err error) {
	refuse := func(format string, args ...any) (*bucket, plan.Interval, bool, error) {
		return nil, plan.Interval{}, false, fmt.Errorf("refused a %v frame of step %d, bucket %d, segment %d: %w",
			f.Phase, f.Step, f.Bucket, f.Segment, fmt.Errorf(format, args...))
	}
	if int64(f.Bucket) >= int64(len(r.buckets)) || int64(f.Segment) >= int64(r.workers) {
		return refuse("expected less than %d buckets and %d segments", len(r.buckets), r.workers)
	}
	b := &r.buckets[f.Bucket]
	if !takes(f.Phase, int(f.Segment), r.self, r.workers) || (f.Phase == phaseRaw) != (b.raw != nil) {
		return refuse("no such frame is sent to position %d", r.self)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if ready, err := r.awaitStep(f.Step, wait); err != nil {
		return refuse("%w", err)
	} else if !ready {
		return nil, at, false, nil
	}
	if !b.ready {
		early := r.id.Trace.Now()
		for !b.ready && r.err == nil {
			if !wait {
				return nil, at, false, nil
			}
			r.intake.Wait()
		}
		r.traceFrame(trace.Early, f, early)
	}
	if r.err != nil {
		return nil, at, false, r.err
	}
	i := r.laneAt(f.Phase, int(f.Segment))
	l := b.lanes[i]
	at = l.frame(b.at[i], frameLen)
	if offset := at.Begin - l.Begin; at.Len() <= 0 || int(f.Offset) != offset || int(f.Length) != 4*at.Len() {
		return refuse("expected %d bytes at element %d, got %d at %d", 4*max(at.Len(), 0), offset, f.Length, f.Offset)
	}
	return b, at, true, nil
}

// awaitStep waits until the own worker has reached the step, or says that it has not; the caller holds the lock. The previous worker can be one step
// ahead, once it needs nothing more from us.
func (r *Ring) awaitStep(step uint64, wait bool) (reached bool, err error) {
	for r.err == nil && (!r.begun || r.step != step) {
		if r.begun && (step < r.step || r.incoming > 0 || (r.readied > 0 && r.readied < len(r.buckets))) {
			return false, fmt.Errorf("expected step %d, got %d", r.step, step)
		}
		if !wait {
			return false, nil
		}
		r.intake.Wait()
	}
	return r.err == nil, r.err
}

// apply adds or copies numbers of a frame, from an element on, into the gradients.
func (r *Ring) apply(b *bucket, f *Header, begin int, run []float32) {
	switch {
	case f.Phase == phaseFinal:
		copy(r.grad.flat[0][begin:], run)
	case f.Phase == phaseRaw:
		copy(b.raw[begin:], run)
	case int(f.Segment) == r.self:
		r.grad.finish(b.Bucket, begin, run)
	default:
		r.grad.pass(begin, run)
	}
}

// forward passes the frame on to the next worker, or starts the all-gather of what it has finished, and counts what has arrived.
func (r *Ring) forward(b *bucket, f *Header, at plan.Interval) {
	r.mu.Lock()
	owner := int(f.Segment)
	b.at[r.laneAt(f.Phase, owner)] = at.End
	r.incoming -= at.Len()
	finished := at.Len()
	switch {
	case owner == r.self: // a body or tail is back at its owner
		r.sendFinished(b, int(f.Bucket))
	default:
		if sends(f.Phase, owner, r.self, r.workers) {
			r.push(item{phase: f.Phase, step: f.Step, bucket: int(f.Bucket), segment: owner, begin: at.Begin})
		}
		if f.Phase != phaseFinal && f.Phase != phaseRaw {
			finished = 0
		}
	}
	r.mu.Unlock()
	if finished > 0 {
		r.arrived(b, finished)
	}
}

// sendFinished queues those frames of the worker's own segment that are finished without a gap from its beginning; the caller holds the lock.
func (r *Ring) sendFinished(b *bucket, number int) {
	body, tail, final := r.laneAt(phaseBody, r.self), r.laneAt(phaseTail, r.self), r.laneAt(phaseFinal, r.self)
	upTo := b.at[body]
	if upTo == b.lanes[body].End {
		upTo = b.at[tail]
	}
	for l := b.lanes[final]; b.at[final] < l.End; {
		at := l.frame(b.at[final], frameLen)
		if at.End > upTo {
			return
		}
		r.push(item{phase: phaseFinal, step: r.step, bucket: number, segment: r.self, begin: at.Begin})
		b.at[final] = at.End
	}
}

// traceBucket records how long the bucket's sum took.
func (r *Ring) traceBucket(b *bucket) {
	if b.began == 0 {
		return
	}
	for i := range r.buckets {
		if &r.buckets[i] == b {
			r.id.Trace.Span(trace.Reduce, r.step, int32(i), b.began)
			return
		}
	}
}

// traceFrame records what was done with a frame.
func (r *Ring) traceFrame(kind trace.Kind, h *Header, began trace.Mark) {
	index := int32(trace.None)
	if h.Phase != phaseRecord {
		index = int32(h.Bucket)
	}
	r.id.Trace.Span(kind, h.Step, index, began)
}

// arrived counts finished elements of the bucket; with the last ones the bucket is done.
func (r *Ring) arrived(b *bucket, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.left -= n
	if b.left > 0 || r.err != nil { // after an error the step may be another
		return
	}
	if b.raw != nil {
		// Nobody else touches the bucket between its last frame and done.
		r.mu.Unlock()
		r.grad.foldRaw(b.Bucket, b.raw)
		r.mu.Lock()
	}
	b.done = true
	r.traceBucket(b)
	r.active--
	r.wakeTrainer()
}

// takeFarewell handles the farewell of the previous worker, after which nothing can follow.
func (r *Ring) takeFarewell(h *Header, text []byte) error {
	bye, err := readFarewell(h, text)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if bye.kind == byeOrderly && r.incoming == 0 && r.pending == 0 && (!r.begun || bye.step >= r.step) {
		r.left = &PeerLostError{Member: r.id.prev(), Culprit: r.id.prev().Worker, Cause: ErrPeerClosed}
		return io.EOF
	}
	return farewellError{bye}
}

// farewellError is the error for a neighbour's farewell in the middle of a step.
type farewellError struct{ farewell }

func (e farewellError) Error() string { return e.reason }

func (e farewellError) Unwrap() error {
	if e.kind == byeFailed {
		return nil
	}
	return ErrPeerClosed
}
