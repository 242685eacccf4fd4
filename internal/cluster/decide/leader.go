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
}

// Describe makes the log's entry of a checkpoint whose shares are stored, in the order of the shares.
type Describe func(*fsm.Job, []*rpc.ShareFact) (fsm.Checkpoint, error)

// NewLeader makes the Leader of a coordinator that begins to lead at the time now.
func NewLeader(timing Timing, describe Describe, now time.Time) *Leader {
	workers := map[plan.Incarnation]*seen{}
	return &Leader{timing: timing, obs: observations{workers: workers, everyone: workers, named: map[string][]plan.Incarnation{}, since: now, moved: now, countSince: now,
		rebuilds: map[accusation]int{}, best: map[string]uint64{}, jobs: map[string]*notes{}, describe: describe}}
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
	if taken := l.obs.claimID(s, id, first.Worker, now, l.timing); taken != nil {
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
		maps.DeleteFunc(o.rebuilds, func(a accusation, _ int) bool { return a.job == r.Job }) // a step was finished
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

// SetStore says what this coordinator cannot store, and of which jobs, by their ids, the newest checkpoint is still incomplete here.
func (l *Leader) SetStore(unsaved []*rpc.Unsaved, lacksNewest map[string]bool) {
	l.obs.own, l.obs.lacksNewest = unsaved, lacksNewest
}

// Next decides what to propose next. The same state, reports and time give the same decision, so a lost one is simply made
// again.
func (l *Leader) Next(s *fsm.State, now time.Time) Decision {
	l.obs.forget(s, now, l.timing)
	l.obs.count(now, l.timing)
	for _, p := range l.remember(s, now) {
		p.weigh(p.job, now, l.timing)
	}
	return decide(s, &l.obs, now, l.timing)
}

// remember is the jobs' parts of the workers, where what is noted of each job is kept.
func (l *Leader) remember(s *fsm.State, now time.Time) []part {
	parts := l.obs.split(s, now, l.timing)
	for _, p := range parts {
		l.obs.jobs[p.job.ID] = p.notes
	}
	return parts
}

// Refused says that the log has refused the decision's command.
func (l *Leader) Refused(d Decision, now time.Time) {
	if n := l.obs.jobs[d.job]; n != nil {
		n.refused = now
	}
}

// Confirm says that the log has taken the decision's command.
func (l *Leader) Confirm(d Decision, now time.Time) { l.obs.note(d, now, l.timing) }

// Stalled is who holds a job up.
type Stalled struct {
	Job   string
	Stall *rpc.Stall // nil: nobody does
	News  bool       // this differs from what was said of the job before
}

// Stalls finds who holds up each job whose turn it is.
func (l *Leader) Stalls(s *fsm.State, now time.Time) []Stalled {
	var all []Stalled
	for _, p := range l.remember(s, now) {
		stall, news := p.stalled(p.job, now, l.timing)
		all = append(all, Stalled{p.job.ID, stall, news})
	}
	return all
}

func (o *observations) stalled(j *fsm.Job, now time.Time, t Timing) (stall *rpc.Stall, news bool) {
	o.notes.view(j, now)
	watch := &o.notes.stalls
	before := watch.shown
	found := findStall(j, o, now, t, before)
	watch.take(found, now)
	if found != nil && (found.doing == notAnswering || found.doing == partitioned) {
		// The time that the others waited meanwhile says nothing about anybody's pace.
		for _, w := range o.workers {
			w.paces = nil
		}
	}
	if watch.shown == nil {
		return nil, before != nil
	}
	return watch.shown.message(), !watch.shown.same(before)
}

// Order is what the orders of a job's workers depend on beyond the log.
type Order struct {
	Job        *fsm.Job
	Restore    bool          // they load the newest checkpoint, because no live worker holds a newer state
	Candidates []*rpc.Member // to these the members test their links
}

// Orders lists the jobs whose turn it is, and says for which of them each worker is.
func (l *Leader) Orders(s *fsm.State, now time.Time) (orders []Order, of map[plan.Incarnation]*fsm.Job) {
	for _, p := range l.obs.split(s, now, l.timing) {
		orders = append(orders, Order{p.job, p.restore(p.job, now, l.timing), p.wants(p.job, now, l.timing)})
	}
	return orders, l.obs.assign(s.Active(), now, l.timing)
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
	maps.DeleteFunc(o.jobs, func(id string, _ *notes) bool { return s.Job(id) == nil })
	active := s.Active()
	maps.DeleteFunc(o.workers, func(id plan.Incarnation, w *seen) bool {
		gone := !w.connected && now.Sub(w.heard) > forgetAfter*t.Orphan && !slices.ContainsFunc(active, func(j *fsm.Job) bool { return seated(j.View, id) || seated(j.StartedView, id) })
		if gone {
			o.forgetName(w.report.GetWorker(), id)
		}
		return gone
	})
	o.forgetRolls(s)
	maps.DeleteFunc(o.rebuilds, func(a accusation, _ int) bool { return o.workers[a.worker] == nil || s.Job(a.job) == nil })
}

func (o *observations) forgetName(worker string, id plan.Incarnation) {
	o.named[worker] = slices.DeleteFunc(o.named[worker], func(other plan.Incarnation) bool { return other == id })
	if len(o.named[worker]) == 0 {
		delete(o.named, worker)
	}
}
