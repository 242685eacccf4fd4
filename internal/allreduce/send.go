package allreduce

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/mem"

	"ringmaster/internal/plan"
	"ringmaster/internal/trace"
)

// phaseStart is a queue item only: begin the bucket's lanes that start here.
const phaseStart = phaseEnd

// copyLimit is the payload up to which a frame is copied to be sent: a view of the gradients costs more than that.
const copyLimit = 1 << 10

// item is one frame to send; its place and length follow from the plan.
type item struct {
	phase   phase
	kind    uint8 // of a gather
	parity  int   // of a gather
	step    uint64
	bucket  int
	segment int
	begin   int // as in lane
}

// queue is a ring buffer of items, large enough for all frames of a step.
type queue struct {
	items []item
	head  int
	count int
	busy  bool // the sender is still busy with an item it has taken
}

func (q *queue) init(capacity int) { q.items = make([]item, capacity) }
func (q *queue) idle() bool        { return q.count == 0 && !q.busy }

func (q *queue) push(it item) bool {
	if q.count == len(q.items) {
		return false
	}
	q.items[(q.head+q.count)%len(q.items)] = it
	q.count++
	return true
}

func (q *queue) pop() item {
	it := q.items[q.head]
	q.head = (q.head + 1) % len(q.items)
	q.count--
	return it
}

// push queues an item; the caller holds the lock. Frames are checked against the plan before they are passed on, so a full queue can only
// come from large gathers of many kinds that the next worker does not take.
func (r *Ring) push(it item) {
	if !r.queue.push(it) {
		r.failLocked(fmt.Errorf("step %d: %d frames wait to be sent to worker %s", r.step, len(r.queue.items), r.id.next().Worker))
		return
	}
	if r.wires.out == nil { // else whoever is at work writes it soon
		r.outgo.Signal()
	}
}

// sendAll drains the queue until the session ends. A session that was closed normally still sends what is queued.
func (r *Ring) sendAll() {
	defer close(r.sender)
	for {
		it, ok := r.nextItem()
		if !ok {
			break
		}
		if err := r.carry(it); err != nil {
			r.failNext(err)
			break
		}
	}
	r.dropItems()
}

// carry carries out an item of the queue.
func (r *Ring) carry(it item) error {
	if it.phase == phaseStart {
		return r.start(it.bucket, it.step)
	}
	return r.send(it)
}

func (r *Ring) nextItem() (item, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.queue.busy {
		r.queue.busy = false
		if r.sentLocked() {
			r.wakeTrainer()
		}
	}
	for {
		if r.err != nil && (!errors.Is(r.err, ErrClosed) || r.queue.count == 0) {
			return item{}, false
		}
		if r.queue.count > 0 {
			r.queue.busy = true
			return r.queue.pop(), true
		}
		r.outgo.Wait()
	}
}

// start starts the bucket's lanes that begin here: the worker's own body and the previous worker's tail, or its own raw seats.
func (r *Ring) start(bucket int, step uint64) error {
	b := &r.buckets[bucket]
	switch {
	case r.workers == 1:
		r.grad.alone(b.Bucket)
		r.arrived(b, b.Len())
		return nil
	case b.raw != nil:
		own, began := plan.Interval(r.grad.arc), r.id.Trace.Now()
		for s := own.Begin; s < own.End; s++ {
			copy(b.raw[s*b.Len():], r.grad.flat[s-own.Begin][b.Begin:b.End])
		}
		r.id.Trace.Span(trace.Packing, step, int32(bucket), began)
		err := r.sendLane(bucket, step, phaseRaw, r.self)
		r.arrived(b, own.Len()*b.Len())
		return err
	}
	if err := r.sendLane(bucket, step, phaseTail, r.id.View.Prev(r.self)); err != nil {
		return err
	}
	return r.sendLane(bucket, step, phaseBody, r.self)
}

// sendLane sends a whole lane that starts here, each frame as soon as its local sums are made.
func (r *Ring) sendLane(bucket int, step uint64, p phase, owner int) error {
	b := &r.buckets[bucket]
	l := b.lanes[r.laneAt(p, owner)]
	for begin := l.Begin; begin < l.End; begin += frameLen {
		at := l.frame(begin, frameLen)
		began := r.id.Trace.Now()
		switch p {
		case phaseTail:
			r.grad.startTail(at)
			r.id.Trace.Span(trace.Packing, step, int32(bucket), began)
		case phaseBody:
			r.grad.startBody(b.Bucket, at)
			r.id.Trace.Span(trace.Packing, step, int32(bucket), began)
		}
		if err := r.send(item{phase: p, step: step, bucket: bucket, segment: owner, begin: begin}); err != nil {
			return err
		}
	}
	return nil
}

// send hands the item's frame to the link.
func (r *Ring) send(it item) error {
	r.sent.Add(1)
	h := r.compose(it)
	if m := r.id.Meter; m != nil {
		m.Sent.Add(headerLen + uint64(h.Length))
	}
	began := r.id.Trace.Now()
	err := r.pass(&h)
	r.traceFrame(trace.Passing, &h, began)
	return err
}

// pass gives a frame to the link.
func (r *Ring) pass(h *Header) error {
	if w := r.wires.out; w != nil {
		w.frame(h)
		for _, piece := range r.pieces {
			w.add(piece)
		}
		if h.Length < writeAtOnce {
			return nil
		}
		return w.write()
	}
	f := Frame{Header: *h}
	for _, piece := range r.pieces {
		f.Data = r.views.append(f.Data, piece)
	}
	return r.out.Send(f)
}

// writeAtOnce is the payload from which on a frame does not wait to be written together with others.
const writeAtOnce = 1 << 14

// compose makes the item's header, and its payload in pieces.
func (r *Ring) compose(it item) Header {
	h := r.toNext
	h.Phase, h.Kind, h.Step, h.Segment = it.phase, it.kind, it.step, uint32(it.segment)
	r.pieces = r.pieces[:0]
	if it.phase == phaseRecord {
		r.pieces = append(r.pieces, r.recordFrame(&h, it))
		return h
	}
	b := &r.buckets[it.bucket]
	l := b.lanes[r.laneAt(it.phase, it.segment)]
	at := l.frame(it.begin, frameLen)
	h.Bucket, h.Offset, h.Length = uint32(it.bucket), uint32(at.Begin-l.Begin), uint32(4*at.Len())
	switch {
	case it.phase == phaseRaw:
		r.pieces = append(r.pieces, asBytes(b.raw[at.Begin:at.End]))
	case it.phase == phaseBody && it.segment == r.self:
		for at.Len() > 0 {
			partial := r.grad.bodyPartial(b.Bucket, at)
			r.pieces = append(r.pieces, asBytes(partial))
			at.Begin += len(partial)
		}
	default:
		r.pieces = append(r.pieces, asBytes(r.grad.flat[0][at.Begin:at.End]))
	}
	return h
}

// views makes buffers that show a part of the gradients without copying it, and counts those that the transport still holds.
// It is the pool that the buffers are given back to when the transport has written them.
type views struct {
	ring *Ring
	out  int
	free []*[]byte
}

func (v *views) init(r *Ring) { v.ring = r }

// append adds bytes to the payload: few as a copy, many as a view.
func (v *views) append(data mem.BufferSlice, b []byte) mem.BufferSlice {
	if len(b) <= copyLimit {
		small := buffers.Get(len(b))
		copy(*small, b)
		return append(data, mem.NewBuffer(small, buffers))
	}
	v.ring.mu.Lock()
	defer v.ring.mu.Unlock()
	v.out++
	view := new([]byte)
	if n := len(v.free); n > 0 {
		view, v.free = v.free[n-1], v.free[:n-1]
	}
	*view = b
	return append(data, mem.NewBuffer(view, v))
}

// Get is there for the interface mem.BufferPool; nobody takes buffers from this pool.
func (v *views) Get(length int) *[]byte { b := make([]byte, length); return &b }

// Put takes a view back that has been written.
func (v *views) Put(view *[]byte) {
	v.ring.mu.Lock()
	defer v.ring.mu.Unlock()
	*view = nil
	v.free = append(v.free, view)
	v.out--
	if v.ring.sentLocked() {
		v.ring.wakeTrainer()
	}
}
