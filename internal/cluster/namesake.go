package cluster

import (
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/printable"
	"ringmaster/internal/rpc"
)

// proofOfLife: a report read this long after another process claimed its sender's id was sent after the claim, so its sender lives.
const proofOfLife = 500 * time.Millisecond

const shownHost = 64 // bytes of a host's name in a message

// claim is a process's wish to be the worker of an id that another one has.
type claim struct {
	by    plan.Incarnation
	since time.Time
}

// takenError says who has a worker's id.
type takenError struct {
	worker, holder string
	final          bool // the holder was heard of since the claim
}

// Error names the holder.
func (e *takenError) Error() string {
	if e.final {
		return fmt.Sprintf("worker %s is %s, which answers; give each worker an id of its own (--id), or end that process first", e.worker, e.holder)
	}
	return fmt.Sprintf("worker %s was %s a moment ago; waiting for its end or a sign of life", e.worker, e.holder)
}

// claimID decides whether a process may be the worker of an id, and puts its dead namesakes out. A namesake is dead once its line
// has closed, as the system does it at a process's end, or has been silent for the worker timeout. One that has a seat and has
// not found this leader yet has that time too.
func (o *observations) claimID(j *fsm.Job, id plan.Incarnation, worker string, now time.Time, t Timing) *takenError {
	for other, w := range o.workers {
		if other == id || w.report.GetWorker() != worker || !o.alive(other, now, t) {
			continue
		}
		if w.claim.by != id {
			w.claim = claim{id, now}
		}
		return &takenError{worker, process(w.report), w.heard.Sub(w.claim.since) > proofOfLife}
	}
	if m := seatedAs(j, worker); m != nil && m.Incarnation != id && o.workers[m.Incarnation] == nil && now.Sub(o.since) <= t.Silence {
		return &takenError{worker, "a process with seats on " + printable.Line(m.Host, shownHost), false}
	}
	for other, w := range o.workers {
		if w.report.GetWorker() == worker {
			w.stale = other != id
		}
	}
	return nil
}

// seatedAs is the member of the newest view of that id; nil where there is none.
func seatedAs(j *fsm.Job, worker string) *plan.Member {
	if j == nil || j.View == nil {
		return nil
	}
	for i, m := range j.View.Members {
		if m.Worker == worker {
			return &j.View.Members[i]
		}
	}
	return nil
}

// process says which process a report is from.
func process(r *rpc.Report) string {
	return fmt.Sprintf("process %d on host %s", r.Pid, printable.Line(r.Host, shownHost))
}

// turnAway ends the line of a worker that may not have its id: for good where another process has proved to have it, else until it asks again.
func turnAway(stream Line, taken *takenError) error {
	if taken.final {
		if err := stream.Send(&rpc.Order{Refused: taken.Error()}); err != nil {
			return err
		}
	}
	return status.Error(codes.AlreadyExists, taken.Error())
}
