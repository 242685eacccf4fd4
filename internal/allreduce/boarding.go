package allreduce

import (
	"context"
	"fmt"

	"ringmaster/internal/trace"
)

// agreeOnBoard gives the session a board if all its links are wires. The first worker makes it and hands it round the ring; if it comes back, all have it, and
// the first worker says so in a second round.
func (r *Ring) agreeOnBoard(ctx context.Context) error {
	in, out := within(r.wires.in), within(r.wires.out)
	b := newBoard(r)
	able := in != nil && out != nil && in.boards && out.boards && out.held == nil && b.plan.size <= boardLimit
	fd := -1
	defer func() {
		if fd >= 0 {
			closeDescriptor(fd)
		}
	}()
	if r.self > 0 {
		var err error
		if fd, err = r.offered(ctx, in); err != nil {
			return err
		}
	}
	able = able && (r.self == 0 || fd >= 0)
	if able {
		fd, able = r.mapBoard(b, fd)
	}
	if !able {
		r.offer(out, -1)
	} else {
		defer func() {
			if r.board == nil {
				b.release()
			}
		}()
		r.offer(out, fd)
	}
	agreed, err := r.hearOfBoard(ctx, in, out)
	if agreed && able && err == nil {
		r.board = b
	}
	return err
}

// within is a wire within the host, by which memory can be handed on; nil where there is none.
func within(w *wire) *wire {
	if w == nil || !w.local() {
		return nil
	}
	return w
}

// mapBoard gives the board its memory: new one if fd is negative.
func (r *Ring) mapBoard(b *board, fd int) (int, bool) {
	var err error
	if r.self == 0 {
		b.memory, fd, err = makeBoard(b.plan.size)
	} else {
		b.memory, err = mapBoard(fd, b.plan.size)
	}
	if err != nil {
		return fd, false // then the ring does without
	}
	b.holders.Store(1)
	boardsHere.Add(1)
	if r.self == 0 {
		b.number(0).Store(r.id.shape)
	} else if b.number(0).Load() != r.id.shape {
		b.release()
		return fd, false
	}
	if b.workers*r.threads() <= processors() {
		b.spin = spinTime
	}
	return fd, true
}

// hearOfBoard waits for the end of the first round, and passes on in the second whether all have the board.
func (r *Ring) hearOfBoard(ctx context.Context, in, out *wire) (agreed bool, err error) {
	fd, err := r.offered(ctx, in) // to the first worker the board itself, to others the word
	if err != nil {
		return false, err
	}
	if r.self == 0 {
		agreed = fd >= 0
	} else {
		agreed = r.wires.agreed
	}
	if fd >= 0 {
		closeDescriptor(fd)
	}
	if r.id.View.Next(r.self) != 0 {
		r.tell(out, agreed)
	}
	return agreed, nil
}

// offer hands the board to the next worker; without one it says that there is none.
func (r *Ring) offer(out *wire, fd int) {
	if out != nil {
		h := r.boardFrame(fd >= 0)
		_ = out.hand(&h, fd) // whoever misses it notices that the link has ended
	}
}

// tell says whether the board is to be used.
func (r *Ring) tell(out *wire, agreed bool) {
	if out != nil {
		h := r.boardFrame(agreed)
		_ = out.hand(&h, -1)
	}
}

func (r *Ring) boardFrame(yes bool) Header {
	h := r.toNext
	h.Phase = phaseBoard
	if yes {
		h.Kind = 1
	}
	return h
}

// offered waits for what the previous worker says of a board.
func (r *Ring) offered(ctx context.Context, in *wire) (fd int, err error) {
	r.wires.agreed = false
	if in == nil {
		return -1, nil
	}
	var h Header
	fd, err = in.receive(ctx, &h)
	if err == nil {
		err = h.check(&r.ofPrev)
	}
	if err == nil && (h.Phase != phaseBoard || h.Length != 0) {
		err = fmt.Errorf("a wire begins with a %v frame", h.Phase)
	}
	if err != nil {
		if fd >= 0 {
			closeDescriptor(fd)
		}
		prev := r.id.prev()
		if ctx.Err() != nil {
			return -1, outOfTime(ctx, prev, err)
		}
		return -1, &PeerLostError{Member: prev, Culprit: prev.Worker, Cause: err}
	}
	r.wires.agreed = h.Kind == 1
	return fd, nil
}

// post writes gradients to the board, up to a part.
func (r *Ring) post(upTo int) {
	if !r.board.hold() {
		return
	}
	defer r.board.release()
	began, before := r.id.Trace.Now(), r.board.written()
	r.board.post(r.grad.flat, upTo)
	r.id.Trace.Span(trace.Packing, r.step, trace.None, began)
	if m := r.id.Meter; m != nil {
		m.Sent.Add(uint64(4 * len(r.grad.flat) * (r.board.written() - before)))
	}
}

// awaitSums takes the sums of a bucket and those before it, or returns after a while. The caller holds the lock.
func (r *Ring) awaitSums(bucket int) {
	r.startWait(Waiting{Bucket: bucket, Doing: "receiving"})
	b := r.board
	b.step = r.step
	r.mu.Unlock()
	if b.hold() {
		b.await(roundAlarm, func() bool { return r.down.Load() || b.take(r.grad.flat[0], b.bounds[bucket]) })
		b.release()
	}
	r.mu.Lock()
	for k := len(r.buckets) - 1; k >= bucket; k-- {
		if of := &r.buckets[k]; of.ready && !of.done && b.taken >= b.bounds[k] {
			of.done = true
			r.traceBucket(of)
			r.active--
			if m := r.id.Meter; m != nil {
				m.Received.Add(uint64(4 * of.Len()))
			}
		}
	}
	if b.taken == len(b.parts) {
		b.finish()
	}
}

// collectFromBoard waits for the records of all seats. The caller holds the lock.
func (r *Ring) collectFromBoard(kind uint8, g *gather) ([]byte, error) {
	b, parity := r.board, r.parity
	b.step = r.step
	for g.left > 0 {
		if r.err != nil {
			return nil, r.err
		}
		r.startWait(Waiting{Bucket: len(r.buckets), Doing: "receiving"})
		r.mu.Unlock()
		var err error
		whole := false
		if b.hold() {
			b.await(gatherAlarm, func() bool { return r.down.Load() || b.lacks(kind, parity, r.begins) < 0 })
			if whole = b.lacks(kind, parity, r.begins) < 0; whole {
				err = b.gathered(kind, parity, g.records)
			}
			b.release()
		}
		r.mu.Lock()
		switch {
		case err != nil:
			r.failLocked(fmt.Errorf("step %d: %w", r.step, err))
		case whole:
			g.left = 0
		}
	}
	return g.records, nil
}

// onBoard reports whether the gather's records come by the board.
func (r *Ring) onBoard(g *gather) bool { return r.board != nil && r.board.carries(g.size) }

// missingOnBoard says in w which worker the trainer waits for, if it waits for something on the board; the caller holds the lock.
func (r *Ring) missingOnBoard(w *Waiting) {
	if r.board == nil || !r.board.hold() {
		return
	}
	defer r.board.release()
	missing := -1
	if w.Bucket < len(r.buckets) {
		missing = r.board.missing()
	}
	for kind := range r.gathers {
		if g := &r.gathers[kind][r.parity]; missing < 0 && g.contributed && g.left > 0 && r.onBoard(g) {
			missing = r.board.lacks(uint8(kind), r.parity, r.begins)
		}
	}
	if missing >= 0 {
		w.Peer = r.id.View.Members[missing]
		w.Chunk = w.Peer.Arc.Begin
	}
}

// owesRecords reports whether the worker waits for a gather on the board; the caller holds the lock.
func (r *Ring) owesRecords() bool {
	for kind := range r.gathers {
		if g := &r.gathers[kind][r.parity]; g.contributed && g.left > 0 && r.onBoard(g) {
			return true
		}
	}
	return false
}

// wakeBoard wakes who sleeps at the board.
func (r *Ring) wakeBoard() {
	if r.board != nil && r.board.hold() {
		r.board.ring(roundAlarm)
		r.board.ring(gatherAlarm)
		r.board.release()
	}
}
