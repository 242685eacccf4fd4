package allreduce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"ringmaster/internal/plan"
)

// How long an ending session waits for its last frames to leave and for the next worker to have read them: after an orderly end, and after
// a failure, when only the reason is to be passed on.
const (
	lingerOrderly = time.Second
	lingerFailed  = 200 * time.Millisecond
)

// connect opens both links at the same time.
func (r *Ring) connect(ctx context.Context, links Links) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type accepted struct {
		in  Incoming
		err error
	}
	incoming := make(chan accepted, 1)
	go func() {
		in, err := links.Accept(ctx, &r.id)
		if err != nil {
			cancel()
		} else if r.id.Opening != nil {
			r.id.Opening.prev.Store(true)
		}
		incoming <- accepted{in, err}
	}()
	out, err := links.Dial(ctx, &r.id)
	if err != nil {
		cancel()
	} else if r.id.Opening != nil {
		r.id.Opening.next.Store(true)
	}
	prev := <-incoming
	switch {
	case err == nil && prev.err == nil:
		r.out, r.in = out, prev.in
		return nil
	case err == nil:
		out.Close()
		return prev.err
	case prev.err == nil:
		prev.in.Close(nil)
		return err
	case errors.Is(err, context.Canceled): // by the other link's error
		return prev.err
	}
	return err
}

// failPrev and failNext end the session because of a neighbour.
func (r *Ring) failPrev(err error) {
	member := r.id.prev()
	r.fail(&PeerLostError{Member: member, Culprit: culprit(err, member.Worker), Cause: err})
}

func (r *Ring) failNext(err error) {
	if errors.Is(err, io.EOF) {
		return // the link has ended: awaitNext learns why
	}
	member := r.id.next()
	r.fail(&PeerLostError{Member: member, Culprit: culprit(err, member.Worker), Cause: err})
}

// Lose ends the session because its worker has found that a neighbour cannot be reached.
func (r *Ring) Lose(neighbour plan.Member, cause error) {
	r.fail(&PeerLostError{Member: neighbour, Culprit: neighbour.Worker, Cause: cause})
}

func culprit(err error, neighbour string) string {
	if bye, ok := errors.AsType[farewellError](err); ok && bye.culprit != "" {
		return bye.culprit
	}
	return neighbour
}

func (r *Ring) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failLocked(err)
}

// failLocked makes err the session's error, wakes everybody, and takes the session down. Only the first error counts.
func (r *Ring) failLocked(err error) {
	if r.err != nil {
		return
	}
	bye := r.farewell(err)
	r.err = err
	r.down.Store(true)
	close(r.failed)
	r.wakeBoard()
	r.wakeTrainer()
	r.intake.Broadcast()
	r.outgo.Broadcast()
	if r.wires.bell != nil {
		r.wires.bell.ring()
	}
	go r.tearDown(bye)
}

// farewell is what the neighbours are told about the end of the session; the caller holds the lock.
func (r *Ring) farewell(err error) farewell {
	if lost, ok := errors.AsType[*PeerLostError](err); ok {
		return r.passOn(lost)
	}
	if !errors.Is(err, ErrClosed) {
		return farewell{kind: byeFailed, step: r.step, reason: fmt.Sprintf("worker %s: %v", r.id.own().Worker, err)}
	}
	if r.active > 0 || r.pending > 0 || r.owesRecords() || (r.readied > 0 && r.readied < len(r.buckets)) {
		return farewell{kind: byeClosed, step: r.step, reason: fmt.Sprintf("worker %s closed its session in the middle of step %d", r.id.own().Worker, r.step)}
	}
	return farewell{kind: byeOrderly, step: r.step, reason: "after a finished step"}
}

// passOn is the farewell of a session that a neighbour ended. A reason that comes from a worker further away is passed on unchanged.
func (r *Ring) passOn(lost *PeerLostError) farewell {
	bye := farewell{kind: byeFailed, step: r.step, culprit: lost.Culprit}
	if errors.Is(lost, ErrPeerClosed) {
		bye.kind = byeClosed
	}
	if heard, ok := errors.AsType[farewellError](lost.Cause); ok {
		bye.reason = heard.reason
	} else {
		bye.reason = fmt.Sprintf("worker %s lost worker %s: %v", r.id.own().Worker, lost.Member.Worker, lost.Cause)
	}
	return bye
}

// tearDown says goodbye to both neighbours, ends the links and waits for the goroutines.
func (r *Ring) tearDown(bye farewell) {
	defer close(r.tornDown)
	if r.workers > 1 {
		linger := lingerFailed
		if bye.kind == byeOrderly {
			linger = lingerOrderly
		}
		end := time.NewTimer(linger)
		defer end.Stop()
		// A silent worker whose buffers are full would not even take the farewell.
		cut := time.AfterFunc(linger, r.out.Close)
		defer cut.Stop()
		f := bye.frame(r.toPrev)
		r.in.Close(&f)
		select {
		case <-r.sender:
			f = bye.frame(r.toNext)
			r.wires.flushing.Lock()
			err := r.out.Send(f)
			r.wires.flushing.Unlock()
			if err == nil && r.out.Finish() == nil {
				select {
				case <-r.nextEnded:
				case <-end.C:
				}
			}
		case <-end.C:
		}
		r.out.Close()
	}
	r.running.Wait()
	if r.wires.bell != nil {
		r.wires.bell.close()
	}
	if r.board != nil {
		r.board.release()
	}
}

// awaitNext reads what the next worker sends back: at most a farewell, and then the end of the link.
func (r *Ring) awaitNext() {
	defer close(r.nextEnded)
	for {
		f, err := r.out.Await()
		if err == nil {
			err = r.takeNextsFarewell(&f)
			f.Free()
		} else if errors.Is(err, io.EOF) {
			err = errors.New("it ended the link")
		}
		if err == nil {
			continue
		}
		r.mu.Lock()
		if r.left == nil {
			member := r.id.next()
			r.failLocked(&PeerLostError{Member: member, Culprit: culprit(err, member.Worker), Cause: err})
		}
		r.mu.Unlock()
		return
	}
}

func (r *Ring) takeNextsFarewell(f *Frame) error {
	if err := f.check(&r.ofNext); err != nil {
		return fmt.Errorf("refused a %v frame from the next worker: %w", f.Phase, err)
	}
	if f.Phase != phaseBye {
		return fmt.Errorf("refused a %v frame from the next worker: expected a farewell", f.Phase)
	}
	bye, err := readFarewell(&f.Header, f.payload())
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if bye.kind == byeOrderly && (!r.begun || bye.step >= r.step) {
		r.left = &PeerLostError{Member: r.id.next(), Culprit: r.id.next().Worker, Cause: ErrPeerClosed}
		return nil
	}
	return farewellError{bye}
}

// Close ends the session for good: waiters get ErrClosed, no goroutine is left behind. It reports whether the transport has let go of the
// gradients; where it has not, they must not be used again. Closing again does nothing more.
func (r *Ring) Close() (drained bool) {
	r.fail(ErrClosed)
	<-r.tornDown
	r.mu.Lock()
	defer r.mu.Unlock()
	late := false
	patience := time.AfterFunc(lingerFailed, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		late = true
		r.trainer.Broadcast()
	})
	defer patience.Stop()
	for r.views.out > 0 && !late {
		r.trainer.Wait()
	}
	return r.views.out == 0
}
