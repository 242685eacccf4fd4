package allreduce

import (
	"errors"
	"fmt"

	"ringmaster/internal/plan"
)

// ErrClosed is what waiters get from a session that its own worker has closed.
var ErrClosed = errors.New("the ring session is closed")

// ErrPeerClosed is the cause in a PeerLostError where the neighbour closed its session normally, as it does for a newer view.
var ErrPeerClosed = errors.New("it closed its session")

// PeerLostError says that the session cannot go on because of a neighbour.
type PeerLostError struct {
	Member  plan.Member // the neighbour
	Culprit string      // the worker that failed first, as far as is known: the neighbour, or one further along the ring
	Cause   error
}

// Error names the neighbour, the cause, and the worker that failed first if that is another one.
func (e *PeerLostError) Error() string {
	if e.Culprit != e.Member.Worker {
		return fmt.Sprintf("lost worker %s on %s (because of worker %s): %v", e.Member.Worker, e.Member.Host, e.Culprit, e.Cause)
	}
	return fmt.Sprintf("lost worker %s on %s: %v", e.Member.Worker, e.Member.Host, e.Cause)
}

// Unwrap is the cause.
func (e *PeerLostError) Unwrap() error { return e.Cause }

// StaleError says that a neighbour is at a newer generation: this worker has to learn of the newer view first.
type StaleError struct {
	Member     plan.Member
	Generation plan.Generation // the neighbour's
	Own        plan.Generation
}

// Error names the neighbour and both generations.
func (e *StaleError) Error() string {
	return fmt.Sprintf("generation %d is stale: worker %s on %s is at %d", e.Own, e.Member.Worker, e.Member.Host, e.Generation)
}
