package decide

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// Timing holds the leader's timeouts.
type Timing struct {
	Silence              time.Duration // no report for this long: the worker is suspected and removed from the ring
	Grace                time.Duration // a ring broke but both neighbours report: wait this long for one to fall silent
	Orphan               time.Duration // nobody of the last started view answers: after this long all count as dead
	Search               time.Duration // how long the members of a broken ring may take to find out whom they reach
	Exile                time.Duration // a worker put out although it answers may come back after this long
	Attach               time.Duration // how long a new leader waits for workers to attach while the job stands still; otherwise twice Silence
	Settle               time.Duration // a view must be this old before seats move in it,
	Sustain              time.Duration // and moving them must have promised to pay for this long
	Unsaved, UnsavedStop time.Duration // how long a job's end, and a stopped one's, waits for a checkpoint that cannot be stored

	Gather time.Duration // with fewer workers than wanted, and none new for this long, a job starts with those there are
}

// DefaultTiming suits a local network.
func DefaultTiming() Timing {
	return Timing{Silence: 1500 * time.Millisecond, Grace: 150 * time.Millisecond, Search: 3 * time.Second, Orphan: 10 * time.Second, Exile: 5 * time.Second,
		Attach: 750 * time.Millisecond, Gather: 5 * time.Second,
		Unsaved: 30 * time.Second, UnsavedStop: 5 * time.Second,
		Settle: 3 * time.Second, Sustain: 2 * time.Second}
}

// seen is what the leader knows about one attached worker. None of it is in the log: it only leads to suspicions and
// proposals.
type seen struct {
	report      *rpc.Report
	connected   bool
	heard       time.Time // of the newest report
	savingSince time.Time // since when it has only the last checkpoint left to store; zero: it has more to do
	brokenSince time.Time // first report of a broken session in the present generation; zero: none
	exiledUntil time.Time
	exiles      int  // how often it was left out recently
	stale       bool // a newer process of the same id attached
	claim       claim

	sentAt, receivedAt time.Time // when the counts of its session's frames last changed
	silence            gap       // the newest one
	paces              []pace    // of its newest reports in this generation
}

// accusation is that a job's ring breaks at a worker.
type accusation struct {
	job    string
	worker plan.Incarnation
}

// notes are what the leader remembers of one job between two looks.
type notes struct {
	balance   balance
	stalls    stallWatch
	viewed    plan.Generation // the newest view,
	viewSince time.Time       // and when it was first seen
	refused   time.Time       // when the log refused a command of the job last
}

// observations are the attached workers by incarnation, since this coordinator began to lead. The rules get those of one job (see split).
type observations struct {
	workers     map[plan.Incarnation]*seen // of one job: those that live and are another one's are left out
	everyone    map[plan.Incarnation]*seen
	named       map[string][]plan.Incarnation // the processes among them that have, or had, an id
	rolls       map[*fsm.View]*roll
	since       time.Time          // this coordinator leads since
	rebuilds    map[accusation]int // rings rebuilt because of a worker, without a finished step in between
	best        map[string]uint64  // highest step that any worker reported, by job
	moved       time.Time          // when a worker last attached or left
	voters      []string           // ids of the coordinators that count for a majority
	own         []*rpc.Unsaved     // what this coordinator cannot store
	lacksNewest map[string]bool    // jobs whose newest checkpoint is not complete here yet
	counted     int                // workers that live and stay,
	countSince  time.Time          // and since when they are as many as that

	jobs     map[string]*notes
	describe Describe

	// Of the job whose rules are asked.
	notes *notes
	next  plan.Generation // of its next view
}

// Decision is a command to propose or, if there is none, what the job waits for.
type Decision struct {
	Command *fsm.Command // nil: nothing
	Reason  string       // for the command, to be logged
	Wait    string       // what the job waits for; empty where it waits for nothing
	TooFew  bool         // with Wait: there is no ring because the job has too few workers
	Waits   []Waiting    // without a Command: what each job waits for whose turn it is

	job    string
	putOff bool // with Wait: the ring goes on as it is, and later rules may still want something

	// What to remember once the log has taken the command.
	rebuilt plan.Incarnation   // the ring is rebuilt because of this worker
	accused plan.Incarnation   // a worker is left out because its neighbours accuse it
	apart   []plan.Incarnation // workers are left out because others do not reach them
}

// Waiting is what a job waits for.
type Waiting struct {
	Job, Reason string // Reason is empty where it waits for nothing
	TooFew      bool   // see Decision
}

func (o *observations) alive(id plan.Incarnation, now time.Time, t Timing) bool {
	w := o.workers[id]
	return w != nil && w.connected && !w.stale && now.Sub(w.heard) <= t.Silence
}

// dead reports whether a process counts as dead: another one of its id attached, or it has been silent for long.
func (o *observations) dead(m plan.Member, now time.Time, t Timing) bool {
	if w := o.everyone[m.Incarnation]; w != nil {
		return w.stale || (!w.connected && now.Sub(w.heard) > t.Orphan)
	}
	for _, w := range o.everyone {
		if w.report.GetWorker() == m.Worker {
			return true
		}
	}
	return now.Sub(o.since) > t.Orphan
}

// sorted are the live workers in the order of their ids.
func (o *observations) sorted(now time.Time, t Timing) []*seen {
	var live []*seen
	for id, w := range o.workers {
		if o.alive(id, now, t) && w.report != nil {
			live = append(live, w)
		}
	}
	slices.SortFunc(live, func(a, b *seen) int { return cmp.Compare(a.report.Worker, b.report.Worker) })
	return live
}

// refusedFor is how long a job must not hold the others up after the log has refused a command of its.
const refusedFor = 100 * time.Millisecond

// decide looks at the state and at the workers and says what to propose next: for the first job, in the order of their turns, that needs
// something. It is pure: the same arguments give the same decision. Each rule is level-triggered, so a lost command is simply decided again.
func decide(s *fsm.State, o *observations, now time.Time, t Timing) Decision {
	if d := decideSize(s, o, now, t); d != nil {
		return *d
	}
	var all Decision
	parts := o.split(s, now, t)
	for _, p := range parts {
		if len(parts) > 1 && now.Sub(p.notes.refused) < refusedFor {
			continue
		}
		d := decideJob(p.job, p.observations, now, t)
		if d.job = p.job.ID; d.Command != nil {
			return d
		}
		all.Waits = append(all.Waits, Waiting{Job: d.job, Reason: d.Wait, TooFew: d.TooFew})
	}
	return all
}

// decideJob says what one job needs next.
func decideJob(j *fsm.Job, o *observations, now time.Time, t Timing) Decision {
	var put Decision // off: the job runs on meanwhile
	for _, rule := range []func(*fsm.Job, *observations, time.Time, Timing) *Decision{
		decideFailure, decideData, decideFirstView, decideLost, decideBroken, decideEpoch, decideStart,
		decideCheckpoint, decideRetire, decideFinish, decideMembers, decideBalance,
	} {
		d := rule(j, o, now, t)
		if d == nil {
			continue
		}
		if d = o.settleSeats(j, d, now, t); !d.putOff {
			return *d
		}
		put = *d
	}
	return put
}

func propose(c fsm.Command, format string, args ...any) *Decision {
	return &Decision{Command: &c, Reason: fmt.Sprintf(format, args...)}
}

func waitFor(format string, args ...any) *Decision {
	return &Decision{Wait: fmt.Sprintf(format, args...)}
}

func fail(j *fsm.Job, format string, args ...any) *Decision {
	message := fmt.Sprintf(format, args...)
	return propose(fsm.Command{Finish: &fsm.Outcome{Job: j.ID, Generation: j.Generation, Phase: fsm.Failed, Error: message}}, "%s", message)
}

// restore reports whether workers should load the newest checkpoint, because nobody who is alive holds a newer state.
func (o *observations) restore(j *fsm.Job, now time.Time, t Timing) bool {
	c := j.Newest()
	if c == nil {
		return false
	}
	if j.StartedView == nil {
		return true
	}
	for _, m := range j.StartedView.Members {
		if o.alive(m.Incarnation, now, t) {
			return false
		}
	}
	return true
}

// candidates are the live workers that could be seated: they hold a state of the job and are ready.
func (o *observations) candidates(s *fsm.Job, now time.Time, t Timing) []*seen {
	least := uint64(0)
	if o.restore(s, now, t) {
		least = s.Newest().Step
	}
	var ready []*seen
	for _, w := range o.sorted(now, t) {
		r := w.report
		if r.Job == s.ID && r.Parked == s.Parked && r.Phase == rpc.Phase_PHASE_READY && !r.Leaving && r.Step >= least &&
			len(s.Fingerprint) != 0 && bytes.Equal(r.Fingerprint, s.Fingerprint) && now.After(w.exiledUntil) {
			ready = append(ready, w)
		}
	}
	return ready
}

// wanted is how many workers the job should have: the number asked for, else all that are attached, at most its seats and max_workers; and no
// more than other jobs leave.
func (o *observations) wanted(j *fsm.Job, now time.Time, t Timing) int {
	wanted := j.Most()
	if j.Workers == 0 {
		attached := 0
		for _, w := range o.sorted(now, t) {
			if !w.report.Leaving && w.report.Phase != rpc.Phase_PHASE_FAILED {
				attached++
			}
		}
		wanted = max(1, min(attached-len(o.outgrown(j, now, t)), wanted))
	}
	if j.Bound > 0 {
		wanted = min(wanted, j.Bound)
	}
	return wanted
}
