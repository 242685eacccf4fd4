package decide

import (
	"fmt"
	"maps"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/printable"
	"ringmaster/internal/rpc"
)

// proofOfLife: a report read this long after another process claimed its sender's id was sent after the claim, so its sender lives.
const proofOfLife = 500 * time.Millisecond

const shownHost = 64 // bytes of a host's name in a message

// claim is a process's request to be the worker of an id that another process has.
type claim struct {
	by    plan.Incarnation
	since time.Time
}

// TakenError says who has a worker's id.
type TakenError struct {
	worker, holder string
	Final          bool // the holder has reported since the claim: it lives, and asking again is useless
}

// Error names the holder.
func (e *TakenError) Error() string {
	if e.Final {
		return fmt.Sprintf("worker %s is %s, which answers; give each worker an id of its own (--id), or end that process first", e.worker, e.holder)
	}
	return fmt.Sprintf("worker %s was %s a moment ago; waiting for its end or a sign of life", e.worker, e.holder)
}

// claimID decides whether a process may be the worker of an id, and removes its dead namesakes. A namesake is dead once its line
// has closed, as the system does when a process ends, or has been silent for the worker timeout. A seated one that has
// not found this leader yet is given that time too.
func (o *observations) claimID(s *fsm.State, id plan.Incarnation, worker string, now time.Time, t Timing) *TakenError {
	for _, other := range o.named[worker] {
		w := o.workers[other]
		if other == id || !o.alive(other, now, t) {
			continue
		}
		if w.claim.by != id {
			w.claim = claim{id, now}
		}
		return &TakenError{worker, process(w.report), w.heard.Sub(w.claim.since) > proofOfLife}
	}
	if m := o.seatedAs(s, worker); m != nil && m.Incarnation != id && o.workers[m.Incarnation] == nil && now.Sub(o.since) <= t.Silence {
		return &TakenError{worker, "a process with seats on " + printable.Line(m.Host, shownHost), false}
	}
	for _, other := range o.named[worker] {
		o.workers[other].stale = other != id
	}
	return nil
}

// seatedAs is the member of that id of a newest view of the jobs whose turn it is; nil where there is none.
func (o *observations) seatedAs(s *fsm.State, worker string) *plan.Member {
	for _, j := range s.Active() {
		if j.View == nil {
			continue
		}
		if i, seated := o.rollOf(j.View).named[worker]; seated {
			return &j.View.Members[i]
		}
	}
	return nil
}

// roll finds a view's members.
type roll struct {
	named map[string]int           // by the id
	being map[plan.Incarnation]int // by the process
}

// rollOf is kept for as long as the log has the view, which never changes: all workers attach to a new leader at once.
func (o *observations) rollOf(v *fsm.View) *roll {
	if r := o.rolls[v]; r != nil {
		return r
	}
	r := &roll{make(map[string]int, len(v.Members)), make(map[plan.Incarnation]int, len(v.Members))}
	for i, m := range v.Members {
		r.named[m.Worker], r.being[m.Incarnation] = i, i
	}
	if o.rolls == nil {
		o.rolls = map[*fsm.View]*roll{}
	}
	o.rolls[v] = r
	return r
}

// forgetRolls drops those of views that the log has no more.
func (o *observations) forgetRolls(s *fsm.State) {
	if len(o.rolls) == 0 {
		return
	}
	there := map[*fsm.View]bool{}
	for _, j := range s.Jobs {
		there[j.View], there[j.StartedView] = true, true
	}
	maps.DeleteFunc(o.rolls, func(v *fsm.View, _ *roll) bool { return !there[v] })
}

// process says which process a report is from.
func process(r *rpc.Report) string {
	return fmt.Sprintf("process %d on host %s", r.Pid, printable.Line(r.Host, shownHost))
}

// ForeignError says that an incarnation belongs to another worker, which has reported with it or is seated with it in the log.
type ForeignError struct {
	Incarnation   plan.Incarnation
	Worker, Owner string
}

// Error names the owner.
func (e *ForeignError) Error() string {
	return fmt.Sprintf("the incarnation %016x belongs to worker %s, not to %s", uint64(e.Incarnation), e.Owner, e.Worker)
}

// ownerOf is the id of the worker with that incarnation; empty if none is known.
func (o *observations) ownerOf(s *fsm.State, id plan.Incarnation) (owner string) {
	if w := o.workers[id]; w != nil {
		owner = w.report.Worker
	}
	for _, j := range s.Jobs {
		for _, v := range []*fsm.View{j.View, j.StartedView} {
			if v == nil {
				continue
			}
			if i, seated := o.rollOf(v).being[id]; seated {
				owner = v.Members[i].Worker
			}
		}
	}
	return owner
}
