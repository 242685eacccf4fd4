package allreduce

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"ringmaster/internal/plan"
	"ringmaster/internal/trace"
)

// holding is a connection whose writes a fault may hold back.
type holding interface {
	NetConn() net.Conn
	Held() bool
}

// errWireEnded says that a wire ended without a farewell.
var errWireEnded = errors.New("its connection broke")

// taker gets the frames that come by a wire.
type taker interface {
	// locate says where a frame's payload belongs, in its whole length, or that the time for it has not come.
	locate(h *Header) (place []byte, ready bool, err error)
	// landed tells that the payload's bytes from one to another are there, at last up to h.Length.
	landed(h *Header, from, to int) error
}

// wired is what a session needs whose frames come or go by wires: those are moved by whoever waits for them, first of all the trainer. While
// it computes, and buckets are under way, readBehind and sendBehind move them.
type wired struct {
	in, out *wire // nil: that link has none
	bell    *bell // ends the poll of whoever holds reading

	reading  sync.Mutex // held by who reads
	flushing sync.Mutex // held by who writes
	spare    bool       // there are processors beside those on which workers of this host compute
	items    [8]item    // taken out of the queue by who writes
	frame    landing    // the one that is read
	scratch  []float32  // partial sums that are read
	bye      []byte     // a farewell that is read

	// Guarded by the session's lock.
	changes  uint64 // things that the trainer may have waited for
	parked   bool   // the trainer polls
	behind   bool   // readBehind polls
	wanted   bool   // the trainer waits for reading
	patient  bool   // the trainer has polled in vain in this wait
	summoned bool   // sendBehind is to write
	over     bool   // nothing more comes from in
	broken   error  // why the stream beside in has ended

	agreed bool // what the previous worker has said of a board, while the session opens
}

// landing is where a frame's payload goes.
type landing struct {
	bucket *bucket
	at     plan.Interval
	gather *gather
	began  trace.Mark // when its header had come, while that is traced
}

// wire sets the session up for links that have wires.
func (r *Ring) wire() (err error) {
	if in, ok := r.in.(*wireIncoming); ok {
		r.wires.in = in.wire
		r.wires.scratch, r.wires.bye = make([]float32, frameLen), make([]byte, maxFarewell)
	}
	if out, ok := r.out.(*wireOutgoing); ok {
		r.wires.out = out.wire
	}
	if r.wires.in != nil || r.wires.out != nil {
		r.wires.spare = r.sparesProcessors()
		r.wires.bell, err = newBell()
	}
	return err
}

// threads is the number of threads that this worker computes with: Go is given one more.
func (r *Ring) threads() int { return max(runtime.GOMAXPROCS(0)-1, 1) }

// processors is the number of this host's processors.
func processors() int { return runtime.NumCPU() }

// sparesProcessors reports whether this host has more processors than its workers compute on, if these have as many threads as this one.
func (r *Ring) sparesProcessors() bool {
	here := 0
	for _, m := range r.id.View.Members {
		if m.Machine == r.id.own().Machine {
			here++
		}
	}
	return processors() > here*r.threads()
}

// wakeTrainer wakes the trainer, for which something has changed; the caller holds the lock.
func (r *Ring) wakeTrainer() {
	r.wires.changes++
	if r.wires.parked {
		r.wires.parked = false
		r.wires.bell.ring()
	}
	r.trainer.Broadcast()
}

// pause returns when something may have changed for the trainer, which holds the lock. It takes the previous worker's frames itself where they come by
// a wire.
func (r *Ring) pause() {
	w := &r.wires
	if w.in == nil {
		r.flushFor(w.out != nil && !r.queue.idle())
		return
	}
	changes := w.changes
	r.mu.Unlock()
	moved, blocked := r.turn(true)
	r.mu.Lock()
	if moved || r.err != nil || w.changes != changes {
		return
	}
	in, out := w.in, w.out
	if blocked || w.over {
		in = nil
	}
	if out != nil && !out.pending() {
		out = nil
	}
	w.parked = true
	short := !w.patient
	r.mu.Unlock()
	happened := w.bell.poll(in, out, short)
	r.mu.Lock()
	w.parked = false
	w.patient = !happened
}

// flushFor waits for a signal, after what is queued has been written.
func (r *Ring) flushFor(unsent bool) {
	if unsent {
		changes := r.wires.changes
		r.mu.Unlock()
		r.flush()
		r.mu.Lock()
		if r.wires.changes != changes || r.err != nil {
			return
		}
	}
	r.trainer.Wait()
}

// turn reads once, and writes what can be written.
func (r *Ring) turn(trainer bool) (moved, blocked bool) {
	w := &r.wires
	if !w.reading.TryLock() {
		r.mu.Lock()
		w.wanted = true
		r.mu.Unlock()
		w.bell.ring()
		w.reading.Lock()
		r.mu.Lock()
		w.wanted = false
		r.mu.Unlock()
	}
	moved, blocked = r.readOnce()
	w.reading.Unlock()
	if w.out != nil {
		r.flush()
	}
	return moved, blocked
}

// readOnce reads once; the caller holds reading.
func (r *Ring) readOnce() (moved, blocked bool) {
	r.mu.Lock()
	done := r.wires.over || r.err != nil
	r.mu.Unlock()
	if done {
		return false, true
	}
	moved, blocked, err := r.wires.in.read(r)
	if err == nil {
		return moved, blocked
	}
	r.mu.Lock()
	r.wires.over = true
	r.mu.Unlock()
	if errors.Is(err, io.EOF) {
		r.in.Close(nil)
	} else {
		r.failPrev(err)
	}
	return true, true
}

// readBehind reads while the trainer computes and buckets are under way.
func (r *Ring) readBehind() {
	w := &r.wires
	for {
		r.mu.Lock()
		for r.err == nil && !w.over && !r.behindLocked() {
			r.intake.Wait()
		}
		done := r.err != nil || w.over
		r.mu.Unlock()
		if done {
			return
		}
		w.reading.Lock()
		r.readOn()
		w.reading.Unlock()
	}
}

// behindLocked reports whether readBehind is to read.
func (r *Ring) behindLocked() bool {
	return (!r.waits || r.board != nil) && !r.wires.wanted && (r.wires.spare && r.incoming > 0 || r.wires.broken != nil)
}

// readOn reads until the trainer waits or nothing is under way; the caller holds reading.
func (r *Ring) readOn() {
	w := &r.wires
	for {
		moved, blocked := r.readOnce()
		if w.out != nil {
			r.flush()
		}
		r.mu.Lock()
		if r.err != nil || w.over || !r.behindLocked() {
			r.mu.Unlock()
			return
		}
		in := w.in
		if blocked {
			in = nil
		}
		w.behind = true
		r.mu.Unlock()
		if !moved {
			w.bell.poll(in, nil, false)
		}
		r.mu.Lock()
		w.behind = false
		r.mu.Unlock()
	}
}

// summon has the wires moved in parallel to the trainer's computation; the caller holds the lock.
func (r *Ring) summon() {
	if r.wires.out != nil {
		r.wires.summoned = true
		r.outgo.Signal()
	}
	if r.wires.in != nil {
		r.intake.Signal()
		if r.wires.behind {
			r.wires.bell.ring()
		}
	}
}

// watchPrev waits for the end of the stream beside the wire.
func (r *Ring) watchPrev() {
	f, err := r.in.Receive()
	if err == nil {
		f.Free()
		err = fmt.Errorf("refused a %v frame beside the wire", f.Phase)
	}
	r.mu.Lock()
	r.wires.broken = err
	r.intake.Signal()
	if r.wires.behind || r.wires.parked {
		r.wires.bell.ring()
	}
	r.mu.Unlock()
	if errors.Is(err, io.EOF) { // the farewell is in the wire
		return
	}
	// What the wire still holds tells more.
	patience := time.NewTimer(lingerFailed)
	defer patience.Stop()
	select {
	case <-r.failed:
	case <-patience.C:
		r.mu.Lock()
		over := r.wires.over
		r.mu.Unlock()
		if !over {
			r.failPrev(err)
		}
	}
}

// locate says where a frame's payload belongs.
func (r *Ring) locate(h *Header) (place []byte, ready bool, err error) {
	if err := h.check(&r.ofPrev); err != nil {
		return nil, false, fmt.Errorf("refused a %v frame: %w", h.Phase, err)
	}
	l := &r.wires.frame
	l.began = r.id.Trace.Now()
	switch {
	case h.Phase == phaseBye:
		if h.Length > maxFarewell {
			return nil, false, fmt.Errorf("refused a farewell of %d bytes", h.Length)
		}
		return r.wires.bye[:h.Length], true, nil
	case h.Phase == phaseRecord:
		r.mu.Lock()
		defer r.mu.Unlock()
		if l.gather, l.at, ready, err = r.admitRecord(h, false); err != nil || !ready {
			return nil, false, err
		}
		return l.gather.records[l.at.Begin:l.at.End], true, nil
	}
	if h.Phase < firstLane || h.Phase > phaseRaw {
		return nil, false, fmt.Errorf("refused a %v frame in the middle of a session", h.Phase)
	}
	if l.bucket, l.at, ready, err = r.admit(h, false); err != nil || !ready {
		return nil, false, err
	}
	numbers := r.wires.scratch[:l.at.Len()]
	switch h.Phase {
	case phaseFinal:
		numbers = r.grad.flat[0][l.at.Begin:l.at.End]
	case phaseRaw:
		numbers = l.bucket.raw[l.at.Begin:l.at.End]
	}
	return asBytes(numbers), true, nil
}

// landed takes the part of a payload that has come.
func (r *Ring) landed(h *Header, from, to int) error {
	l := &r.wires.frame
	if h.Phase == phaseBody || h.Phase == phaseTail {
		began := r.id.Trace.Now()
		r.apply(l.bucket, h, l.at.Begin+from/4, r.wires.scratch[from/4:to/4])
		r.traceFrame(trace.Folding, h, began)
	}
	if to < int(h.Length) {
		return nil
	}
	r.traceFrame(trace.Arriving, h, l.began)
	r.count(h)
	switch h.Phase {
	case phaseBye:
		return r.takeFarewell(h, r.wires.bye[:h.Length])
	case phaseRecord:
		r.mu.Lock()
		defer r.mu.Unlock()
		r.recorded(l.gather, h, l.at)
	default:
		r.forward(l.bucket, h, l.at)
	}
	return nil
}

// flush writes what is queued as far as the wire to the next worker takes it. What it does not take is left to who polls it.
func (r *Ring) flush() {
	for r.wires.flushing.TryLock() {
		r.write()
		r.wires.flushing.Unlock()
		r.mu.Lock()
		stuck := r.wires.out.pending()
		if stuck && !(r.wires.in != nil && (r.waits || !r.wires.spare)) && !r.wires.summoned {
			r.wires.summoned = true
			r.outgo.Signal()
		}
		more := r.queue.count > 0 && r.err == nil && !stuck
		r.mu.Unlock()
		if !more {
			return
		}
	}
}

// write takes items out of the queue and writes them; the caller holds flushing.
func (r *Ring) write() {
	w := &r.wires
	for {
		if w.out.write() != nil { // awaitNext learns why
			r.dropItems()
			return
		}
		if w.out.pending() {
			return
		}
		n := r.takeItems(w.items[:])
		if n == 0 {
			return
		}
		for _, it := range w.items[:n] {
			_ = r.carry(it) // a wire takes everything
		}
	}
}

// takeItems takes out of the queue what is to be sent next.
func (r *Ring) takeItems(into []item) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.queue.busy {
		r.queue.busy = false
		if r.sentLocked() {
			r.wakeTrainer()
		}
	}
	if r.err != nil && !errors.Is(r.err, ErrClosed) {
		return 0
	}
	for n < len(into) && r.queue.count > 0 {
		into[n] = r.queue.pop()
		n++
	}
	r.queue.busy = n > 0
	return n
}

// dropItems empties the queue.
func (r *Ring) dropItems() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue.count, r.queue.busy = 0, false
	r.wakeTrainer()
}

// sendBehind writes what the wire did not take at once, until the session ends. One that was closed normally still writes all.
func (r *Ring) sendBehind() {
	defer close(r.sender)
	w := &r.wires
	for {
		r.mu.Lock()
		for r.err == nil && !w.summoned {
			r.outgo.Wait()
		}
		w.summoned = false
		closed := r.err != nil
		r.mu.Unlock()
		if closed {
			break
		}
		r.flush()
		if w.out.pending() {
			w.out.await()
			r.flush()
		}
	}
	w.flushing.Lock()
	defer w.flushing.Unlock()
	for r.write(); w.out.pending() && w.out.await(); {
		r.write()
	}
	r.dropItems()
}

// wireIncoming is a link from the previous worker whose frames come by a wire. The stream beside it carries the farewell back.
type wireIncoming struct {
	Incoming
	wire *wire
}

// Close ends both.
func (in *wireIncoming) Close(bye *Frame) {
	in.Incoming.Close(bye)
	in.wire.close()
}

// wireOutgoing is a link to the next worker whose frames go by a wire.
type wireOutgoing struct {
	Outgoing
	wire   *wire
	closed atomic.Bool
}

// Send writes a frame behind all others, at the session's end.
func (o *wireOutgoing) Send(f Frame) error {
	o.wire.frame(&f.Header)
	for _, b := range f.Data {
		o.wire.add(b.ReadOnlyData())
	}
	for {
		if err := o.wire.write(); err != nil || !o.wire.pending() {
			return err
		}
		if !o.wire.await() {
			return io.EOF
		}
	}
}

// Close ends both.
func (o *wireOutgoing) Close() {
	o.closed.Store(true)
	o.wire.close()
	o.Outgoing.Close()
}
