package allreduce

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ringmaster/internal/plan"
	"ringmaster/internal/trace"
)

// Ring is the all-reduce of one session: an immutable plan for one view, its two links, and the sums under way. The trainer calls
// Begin, Ready, Contribute, Wait, Collect and End from one goroutine or with its own ordering between them; WaitingFor, Failed
// and Close may be called from any.
//
// One goroutine receives frames in the order of their arrival and adds them; one sends what the trainer and the receiver
// put into a queue, so that a full outgoing window never keeps the receiver from emptying the incoming one.
type Ring struct {
	id      Identity
	self    int // position in the ring
	workers int
	grad    gradients
	out     Outgoing // nil if the worker is alone
	in      Incoming
	toNext  Header // the identity of frames to the next worker,
	toPrev  Header // to the previous one (a farewell),
	ofPrev  Header // and of those that come from the previous
	ofNext  Header // and the next one

	mu      sync.Mutex
	trainer sync.Cond // Wait, Collect, End
	intake  sync.Cond // the receiver, waiting for its own worker
	outgo   sync.Cond // the sender

	step      uint64
	begun     bool // true from the first Begin on: then there is always a current step
	broken    bool // some part of this step did not start, because of the error
	parity    int  // flips with each step: the half of each gather's double buffer
	buckets   []bucket
	active    int // buckets that are ready and not yet summed
	incoming  int // elements not yet received from the previous worker, for the buckets that are ready
	readied   int // buckets that were ready in this step
	queue     queue
	views     views
	gathers   [MaxKinds][2]gather
	pending   int // gathers contributed to and not yet complete
	wait      Waiting
	waits     bool
	left      *PeerLostError // a neighbour that closed its session normally after this step
	err       error          // sticky
	failed    chan struct{}
	sender    chan struct{} // closed when the sender has ended
	nextEnded chan struct{} // closed when the link to the next worker has
	tornDown  chan struct{}
	running   sync.WaitGroup

	sent, received atomic.Uint64 // frames
	pieces         [][]byte      // of the payload that is sent

	wires wired

	board  *board      // nil: buckets go round the ring
	begins uint32      // steps begun
	down   atomic.Bool // the session has an error
}

// bucket is the state of one bucket in the current step.
type bucket struct {
	plan.Bucket
	raw     []float32 // for a bucket that travels raw: every seat's elements, seat after seat
	lanes   []lane    // indexed by laneAt
	at      []int     // how much of each lane has arrived; for the worker's own final lane, how much has been sent
	inbound int       // elements received from the previous worker in a step, over all lanes
	ready   bool
	began   trace.Mark // when it became ready, while that is traced
	left    int        // elements still missing from the sum
	done    bool
}

// The phases of a bucket's lanes, in the order of laneAt.
const firstLane, laneKinds = phaseBody, int(phaseRaw-phaseBody) + 1

func (r *Ring) laneAt(p phase, owner int) int { return int(p-firstLane)*r.workers + owner }

// Open connects the session to its neighbours and starts it. seats are the flat gradient vectors of the worker's seats in the
// arc's order, buckets intervals of it. It blocks until both neighbours have the same session open, ctx ends, or one refuses:
// StaleError and PeerLostError say so. A worker alone in its view needs no links.
func Open(ctx context.Context, id Identity, links Links, seats [][]float32, buckets []plan.Bucket) (*Ring, error) {
	if err := checkPlan(&id, seats, buckets); err != nil {
		return nil, fmt.Errorf("open ring of generation %d: %w", id.View.Generation, err)
	}
	id.shape = shapeOf(&id.View, buckets)
	r := newRing(id, seats, buckets)
	if r.workers > 1 {
		if err := r.connect(ctx, links); err != nil {
			return nil, fmt.Errorf("open ring of generation %d: %w", id.View.Generation, err)
		}
		err := r.wire()
		if err == nil {
			err = r.agreeOnBoard(ctx)
		}
		if err != nil {
			r.in.Close(nil)
			r.out.Close()
			return nil, fmt.Errorf("open ring of generation %d: %w", id.View.Generation, err)
		}
		r.running.Go(r.awaitNext)
	}
	r.startMoving()
	return r, nil
}

// startMoving starts the goroutines that receive and send.
func (r *Ring) startMoving() {
	switch {
	case r.workers == 1:
	case r.wires.in != nil:
		r.running.Go(r.watchPrev)
		r.running.Go(r.readBehind)
	default:
		r.running.Go(r.receiveAll)
	}
	if r.wires.out != nil {
		r.running.Go(r.sendBehind)
	} else {
		r.running.Go(r.sendAll)
	}
}

func checkPlan(id *Identity, seats [][]float32, buckets []plan.Bucket) error {
	if !littleEndian() {
		return errors.New("this machine is big-endian, the wire is not")
	}
	if err := id.View.Validate(); err != nil {
		return err
	}
	if id.Self < 0 || id.Self >= len(id.View.Members) {
		return fmt.Errorf("position %d in a ring of %d workers", id.Self, len(id.View.Members))
	}
	if arc := id.own().Arc; arc.Len() != len(seats) {
		return fmt.Errorf("%d gradient vectors for the arc %v", len(seats), arc)
	}
	for _, s := range seats {
		if len(s) != len(seats[0]) || int64(len(s)) > math.MaxUint32 {
			return fmt.Errorf("a gradient vector of %d elements beside one of %d, at most 2^32", len(s), len(seats[0]))
		}
	}
	at := 0
	for _, b := range buckets {
		if b.Begin < at || b.End < b.Begin || b.End > len(seats[0]) {
			return fmt.Errorf("bucket %v after element %d of %d", b, at, len(seats[0]))
		}
		if c := b.Borders; c != nil && (len(c) != id.View.Seats+1 || c[0] != b.Begin || c[len(c)-1] != b.End || !slices.IsSorted(c)) {
			return fmt.Errorf("bucket %v has chunks at %v for %d seats", b.Interval, c, id.View.Seats)
		}
		at = b.End
	}
	return nil
}

func newRing(id Identity, seats [][]float32, buckets []plan.Bucket) *Ring {
	r := &Ring{
		id: id, self: id.Self, workers: len(id.View.Members),
		grad:   gradients{flat: seats, arc: id.own().Arc, seats: id.View.Seats},
		failed: make(chan struct{}), sender: make(chan struct{}), nextEnded: make(chan struct{}), tornDown: make(chan struct{}),
	}
	r.trainer.L, r.intake.L, r.outgo.L = &r.mu, &r.mu, &r.mu
	r.toNext, r.toPrev = id.header(id.own(), id.next()), id.header(id.own(), id.prev())
	r.ofPrev, r.ofNext = id.header(id.prev(), id.own()), id.header(id.next(), id.own())
	r.views.init(r)
	frames := 0
	for _, i := range buckets {
		b := bucket{Bucket: i}
		if n := i.Len() * r.id.View.Seats; n <= rawLimit && r.workers > 1 {
			b.raw = make([]float32, n)
		}
		r.layLanes(&b)
		b.rewind()
		frames += 1 + r.framesOf(&b)
		r.buckets = append(r.buckets, b)
	}
	r.queue.init(frames + 8*MaxKinds*r.workers + MaxGather/frameBytes)
	return r
}

// layLanes computes which intervals of the bucket travel as lanes.
func (r *Ring) layLanes(b *bucket) {
	if r.workers == 1 {
		return
	}
	b.lanes, b.at = make([]lane, laneKinds*r.workers), make([]int, laneKinds*r.workers)
	for v, m := range r.id.View.Members {
		if b.raw != nil {
			b.lanes[r.laneAt(phaseRaw, v)] = lane{Begin: m.Arc.Begin * b.Len(), End: m.Arc.End * b.Len()}
			continue
		}
		b.lanes[r.laneAt(phaseBody, v)] = lane(bodyOf(b.Bucket, m.Arc, r.id.View.Seats))
		b.lanes[r.laneAt(phaseTail, v)] = lane(tailOf(b.Bucket, m.Arc, r.id.View.Seats))
		b.lanes[r.laneAt(phaseFinal, v)] = lane(Segment(b.Bucket, m.Arc, r.id.View.Seats))
	}
	for p := firstLane; p <= phaseRaw; p++ {
		for v := range r.workers {
			if takes(p, v, r.self, r.workers) {
				b.inbound += plan.Interval(b.lanes[r.laneAt(p, v)]).Len()
			}
		}
	}
}

// rewind resets the bucket for the next step.
func (b *bucket) rewind() {
	b.ready, b.done, b.left = false, false, b.Len()
	if b.raw != nil {
		b.left = len(b.raw)
	}
	for i, l := range b.lanes {
		b.at[i] = l.Begin
	}
}

// framesOf is the number of frames that this worker sends for the bucket in a step, which bounds the queue.
func (r *Ring) framesOf(b *bucket) int {
	n := 0
	for _, l := range b.lanes {
		n += l.frames(frameLen)
	}
	return n
}

// Begin starts a step: the gradients are about to be filled. Steps ascend; the one before must have ended. Gathers that follow
// a step's End belong to that step still.
func (r *Ring) Begin(step uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil && (r.active > 0 || (r.begun && step <= r.step)) {
		panic(fmt.Sprintf("allreduce: step %d begins while step %d has %d buckets to sum", step, r.step, r.active))
	}
	if r.left != nil {
		r.failLocked(r.left)
	}
	// After an error too: leftovers of the previous step must not be taken for this one's.
	r.broken = r.err != nil
	r.step, r.begun, r.parity, r.readied = step, true, 1-r.parity, 0
	r.begins++
	for i := range r.buckets {
		r.buckets[i].rewind()
	}
	for k := range r.gathers {
		r.gathers[k][r.parity].rewind()
	}
	if r.wires.in == nil {
		r.intake.Broadcast()
	}
}

// aloneLimit is the largest number of additions that a lone worker does at once. Otherwise the sender does them in parallel to
// the computation, but it sleeps, and waking it takes as long as this sum, or longer in virtual machines.
const aloneLimit = 1 << 16

// Ready says that the local seats' gradients of the bucket are final. It does not block. All workers make their buckets ready in the
// same order, from the last to the first.
func (r *Ring) Ready(bucket int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := &r.buckets[bucket]
	if r.err != nil {
		r.broken = true
		return
	}
	if !r.begun || b.ready {
		panic(fmt.Sprintf("allreduce: bucket %d of step %d became ready twice, or before the step began", bucket, r.step))
	}
	b.ready, b.began = true, r.id.Trace.Now()
	r.readied++
	switch additions := b.Len() * (len(r.grad.flat) - 1); {
	case b.Len() == 0:
		b.done = true
		return
	case r.workers == 1 && additions <= aloneLimit:
		r.grad.alone(b.Bucket)
		b.done = true
		return
	}
	r.active++
	if r.board != nil {
		r.mu.Unlock()
		r.post(r.board.bounds[bucket])
		r.mu.Lock()
		return
	}
	r.incoming += b.inbound
	r.push(item{phase: phaseStart, step: r.step, bucket: bucket})
	if r.wires.in == nil {
		r.intake.Signal()
	}
	if r.wires.spare && r.readied < len(r.buckets) { // else the trainer is about to wait
		r.summon()
	}
}

// Tend moves what can be moved at once: frames, where no processor is free for the goroutines that do it otherwise. The trainer calls it now and then
// while it computes. The local seats' gradients are final from one element on.
func (r *Ring) Tend(from int) {
	if r.board != nil && r.board.hold() {
		r.post(r.board.final(from))
		r.board.release()
		return
	}
	w := &r.wires
	r.mu.Lock()
	idle := w.in == nil || w.spare || r.active == 0
	r.mu.Unlock()
	for moved := !idle; moved && w.reading.TryLock(); {
		moved, _ = r.readOnce()
		w.reading.Unlock()
		if w.out != nil {
			r.flush()
		}
	}
}

// Wait returns when the sum of the bucket is in the vector of the first local seat, or with the session's first error.
func (r *Ring) Wait(bucket int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := &r.buckets[bucket]
	defer r.endWait()
	for !b.done {
		if r.err != nil {
			return r.err
		}
		if !b.ready {
			panic(fmt.Sprintf("allreduce: Wait for bucket %d of step %d before it was ready", bucket, r.step))
		}
		if r.board != nil {
			r.awaitSums(bucket)
			continue
		}
		r.startWait(Waiting{Bucket: bucket, Doing: "receiving"})
		r.pause()
	}
	return nil
}

// End returns when all ready buckets are summed and everything that this worker sends in the step has left the gradients: they may be
// overwritten. After an error they may not, until Close says that they are drained.
func (r *Ring) End(step uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if step != r.step || !r.begun {
		panic(fmt.Sprintf("allreduce: step %d ends in step %d", step, r.step))
	}
	defer r.endWait()
	for r.broken || r.active > 0 || !r.sentLocked() {
		if r.err != nil {
			return r.err
		}
		switch {
		case r.active > 0 && r.board != nil:
			r.awaitSums(r.firstActive())
			continue
		case r.active > 0:
			r.startWait(Waiting{Bucket: r.firstActive(), Doing: "receiving"})
		default:
			r.startWait(Waiting{Doing: "sending"})
		}
		r.pause()
	}
	return nil
}

// sentLocked reports whether nothing is queued, being sent or held by the transport.
func (r *Ring) sentLocked() bool { return r.queue.idle() && r.views.out == 0 }

func (r *Ring) firstActive() int {
	for i := len(r.buckets) - 1; i >= 0; i-- {
		if b := &r.buckets[i]; b.ready && !b.done {
			return i
		}
	}
	return 0
}

// Failed is closed when the session can no longer go on; Err then says why. A neighbour that closes its session after a finished step
// does not fail this one before it begins another.
func (r *Ring) Failed() <-chan struct{} { return r.failed }

// Err is the session's first error, nil while it has none.
func (r *Ring) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Waiting is what a session's trainer waits for.
type Waiting struct {
	Peer   plan.Member // the neighbour
	Step   uint64
	Bucket int       // a gather counts as the bucket after the last
	Chunk  int       // the first chunk (of a gather: seat) still missing, if Doing is "receiving"
	Doing  string    // "receiving" from the worker before, or "sending" to the next
	Since  time.Time // when the wait began
}

// WaitingFor says what the trainer waits for; false: it is not waiting. It is cheap.
func (r *Ring) WaitingFor() (Waiting, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.waits || r.workers == 1 {
		return Waiting{}, false
	}
	w := r.wait
	w.Step, w.Peer = r.step, r.id.prev()
	if w.Doing == "sending" {
		w.Peer = r.id.next()
	} else {
		w.Chunk = r.firstMissing(w.Bucket)
		r.missingOnBoard(&w)
	}
	return w, true
}

// firstMissing is the first chunk of the bucket that has not fully arrived from the previous worker.
func (r *Ring) firstMissing(bucket int) int {
	if bucket >= len(r.buckets) { // a gather, which comes after the buckets
		return r.firstUngathered()
	}
	b := &r.buckets[bucket]
	for p := firstLane; p <= phaseRaw; p++ {
		for v, m := range r.id.View.Members {
			if i := r.laneAt(p, v); takes(p, v, r.self, r.workers) && b.at[i] < b.lanes[i].End {
				if p == phaseTail {
					return m.Arc.End - 1
				}
				return m.Arc.Begin
			}
		}
	}
	return 0
}

func (r *Ring) startWait(w Waiting) {
	if !r.waits {
		r.waits, w.Since = true, time.Now()
	} else {
		w.Since = r.wait.Since
	}
	r.wait = w
}

func (r *Ring) endWait() {
	if r.waits && r.workers > 1 {
		kind := trace.Receiving
		if r.wait.Doing == "sending" {
			kind = trace.Sending
		}
		index := int32(r.wait.Bucket)
		if r.wait.Bucket >= len(r.buckets) || kind == trace.Sending {
			index = trace.None // records
		}
		r.id.Trace.Since(kind, r.step, index, r.wait.Since)
	}
	r.waits = false
	r.wires.patient = false
	if r.wires.out != nil && r.wires.out.pending() { // the next worker waits for it
		r.wires.summoned = true
		r.outgo.Signal()
	}
}
