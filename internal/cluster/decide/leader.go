package decide

import (
	"maps"
	"slices"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// Leader is what a leading coordinator knows about its workers beyond the log, and the decisions it makes from that. It reads no clock:
// every call is told the time. A new leader starts with an empty Leader. It is not safe for concurrent use.
type Leader struct {
	obs    observations
	timing Timing
	stalls stallWatch
}

// Describe makes the log's entry of a checkpoint whose shares are stored, in the order of the shares.
type Describe func(*fsm.Job, []*rpc.ShareFact) (fsm.Checkpoint, error)

// NewLeader makes the Leader of a coordinator that begins to lead at the time now.
func NewLeader(timing Timing, describe Describe, now time.Time) *Leader {
	return &Leader{timing: timing, obs: observations{workers: map[plan.Incarnation]*seen{}, named: map[string][]plan.Incarnation{}, since: now, moved: now,
		rebuilds: map[plan.Incarnation]int{}, best: map[string]uint64{}, describe: describe}}
}

// Reached is the newest step that a member of the view that runs has reported; 0: none.
func (l *Leader) Reached(j *fsm.Job) (step uint64) {
	l.obs.members(j, func(r *rpc.Report) *Decision {
		if r.Job == j.ID && r.Parked == j.Parked {
			step = max(step, r.Step, r.Progress.GetStep())
		}
		return nil
	})
	return step
}

// Attached says how a worker attached.
type Attached struct {
	Again    bool               // this process was attached before
	Replaced []plan.Incarnation // processes that were the worker of that id before, and count as dead from now on
}

// Attach registers a worker that opens its line with a report. The error is a *TakenError where another process is the worker of that id,
// and a *ForeignError where the incarnation is another worker's.
func (l *Leader) Attach(s *fsm.State, first *rpc.Report, now time.Time) (Attached, error) {
	id := plan.Incarnation(first.Incarnation)
	if owner := l.obs.ownerOf(s, id); owner != "" && owner != first.Worker {
		return Attached{}, &ForeignError{Incarnation: id, Worker: first.Worker, Owner: owner}
	}
	if taken := l.obs.claimID(s.Active(), id, first.Worker, now, l.timing); taken != nil {
		return Attached{}, taken
	}
	var out Attached
	for _, other := range l.obs.named[first.Worker] {
		if l.obs.workers[other].stale {
			out.Replaced = append(out.Replaced, other)
		}
	}
	slices.Sort(out.Replaced)
	w := l.obs.workers[id]
	if out.Again = w != nil; !out.Again {
		w = &seen{}
		l.obs.workers[id] = w
		l.obs.named[first.Worker] = append(l.obs.named[first.Worker], id)
	}
	w.connected = true
	l.obs.moved = now
	l.obs.take(w, first, now)
	return out, nil
}

// Observe takes the newest report of an attached worker; false where no such worker is attached.
func (l *Leader) Observe(r *rpc.Report, now time.Time) bool {
	w := l.obs.workers[plan.Incarnation(r.Incarnation)]
	if w == nil || !w.connected {
		return false
	}
	l.obs.take(w, r, now)
	return true
}

// take stores a report; every report goes through it.
func (o *observations) take(w *seen, r *rpc.Report, now time.Time) {
	if r.Phase != rpc.Phase_PHASE_BROKEN {
		w.brokenSince = time.Time{}
	} else if w.brokenSince.IsZero() || r.Generation != w.report.GetGeneration() {
		w.brokenSince = now
	}
	if w.report != nil && r.Step > w.report.Step && r.Phase == rpc.Phase_PHASE_TRAINING {
		clear(o.rebuilds) // a step was finished
	}
	w.note(r, now)
	w.report, w.heard = r, now
	if r.Job != "" && r.Progress != nil {
		o.best[r.Job] = max(o.best[r.Job], r.Progress.Step)
	}
}

// Detach records that a worker's line is closed.
func (l *Leader) Detach(id plan.Incarnation, now time.Time) {
	if w := l.obs.workers[id]; w != nil {
		w.connected = false
		l.obs.moved = now
	}
}

// SetVoters says which coordinators count for a majority.
func (l *Leader) SetVoters(ids []string) { l.obs.voters = ids }

// SetStore says what this coordinator cannot store, and whether the active job's newest checkpoint is still incomplete here.
func (l *Leader) SetStore(unsaved []*rpc.Unsaved, lacksNewest bool) {
	l.obs.own, l.obs.lacksNewest = unsaved, lacksNewest
}

// Next decides what to propose next. The same state, reports and time give the same decision, so a lost one is simply made
// again.
func (l *Leader) Next(s *fsm.State, now time.Time) Decision {
	l.obs.forget(s, now, l.timing)
	l.obs.weigh(s, now, l.timing)
	return decide(s, &l.obs, now, l.timing)
}

// Confirm says that the log has taken the decision's command.
func (l *Leader) Confirm(d Decision, now time.Time) { l.obs.note(d, now, l.timing) }

// Stall finds who holds up the active job; nil: nobody does. news reports whether this differs from the previous call's result.
func (l *Leader) Stall(s *fsm.State, now time.Time) (stall *rpc.Stall, news bool) {
	j := s.Active()
	l.obs.noteView(j, now)
	before := l.stalls.shown
	found := findStall(j, &l.obs, now, l.timing, before)
	l.stalls.take(found, now)
	if found != nil && (found.doing == notAnswering || found.doing == partitioned) {
		// The time that the others waited meanwhile says nothing about anybody's pace.
		for _, w := range l.obs.workers {
			w.paces = nil
		}
	}
	shown := l.stalls.shown
	if shown == nil {
		return nil, before != nil
	}
	return shown.message(), !shown.same(before)
}

// Orders returns what workers' orders depend on beyond the log: whether they load the newest checkpoint, because no live worker
// holds a newer state, and to which candidates the members test their links.
func (l *Leader) Orders(j *fsm.Job, now time.Time) (restore bool, candidates []*rpc.Member) {
	return l.obs.restore(j, now, l.timing), l.obs.wants(j, now, l.timing)
}

// Unsaved lists what the job's workers and this coordinator cannot store, one entry a place.
func (l *Leader) Unsaved(j *fsm.Job) []*rpc.Unsaved { return l.obs.unsaved(j) }

// Workers are the newest reports of the live workers in the order of their ids. They must not be changed.
func (l *Leader) Workers(now time.Time) []*rpc.Report {
	var all []*rpc.Report
	for _, w := range l.obs.sorted(now, l.timing) {
		all = append(all, w.report)
	}
	return all
}

// forgetAfter is the number of Timing.Orphan periods after which a silent worker is forgotten; by then it counts as dead anyway.
const forgetAfter = 2

// forget drops jobs that are gone, and workers silent for so long that they count as dead whether remembered or
// not. It bounds a leader's memory.
func (o *observations) forget(s *fsm.State, now time.Time, t Timing) {
	maps.DeleteFunc(o.best, func(id string, _ uint64) bool { return s.Job(id) == nil })
	j := s.Active()
	maps.DeleteFunc(o.workers, func(id plan.Incarnation, w *seen) bool {
		gone := !w.connected && now.Sub(w.heard) > forgetAfter*t.Orphan && (j == nil || !seated(j.View, id) && !seated(j.StartedView, id))
		if gone {
			o.forgetName(w.report.GetWorker(), id)
		}
		return gone
	})
	o.forgetRolls(s)
	maps.DeleteFunc(o.rebuilds, func(id plan.Incarnation, _ int) bool { return o.workers[id] == nil })
}

func (o *observations) forgetName(worker string, id plan.Incarnation) {
	o.named[worker] = slices.DeleteFunc(o.named[worker], func(other plan.Incarnation) bool { return other == id })
	if len(o.named[worker]) == 0 {
		delete(o.named, worker)
	}
}
