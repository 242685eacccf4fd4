package cluster

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

// Timing are the leader's patience settings.
type Timing struct {
	Silence time.Duration // no report for this long: the worker is suspected and leaves the ring
	Grace   time.Duration // a ring broke but both neighbours report: wait this long for one to fall silent
	Orphan  time.Duration // nobody of the last started view answers: after this long all count as dead
	Exile   time.Duration // a worker put out although it answers may come back after this long
	Gather  time.Duration // with fewer workers than wanted, and none new for this long, a job starts with those there are
}

// DefaultTiming suits a local network.
func DefaultTiming() Timing {
	return Timing{Silence: 1500 * time.Millisecond, Grace: 150 * time.Millisecond, Orphan: 10 * time.Second, Exile: 5 * time.Second,
		Gather: 5 * time.Second}
}

// seen is what the leader knows about one attached worker. Nothing of it is in the log: it only leads to suspicions and
// proposals.
type seen struct {
	report      *rpc.Report
	connected   bool
	heard       time.Time // of the newest report
	brokenSince time.Time // first report of a broken session in the present generation; zero: none
	exiledUntil time.Time
	stale       bool // a newer process of the same id attached
}

// observations are the attached workers by incarnation, since this coordinator began to lead.
type observations struct {
	workers  map[plan.Incarnation]*seen
	since    time.Time                // this coordinator leads since
	rebuilds map[plan.Incarnation]int // rings built anew because of a worker, without a finished step in between
	best     uint64                   // highest step that any worker reported
	moved    time.Time                // when a worker last attached or went
	replicas int                      // coordinators in all
	manifest func(*fsm.Job, []*rpc.ShareFact) (fsm.Checkpoint, error)
}

// decision is a command to propose with the reason to log. wait says, where there is nothing to propose, what the job
// waits for.
type decision struct {
	command *fsm.Command
	reason  string
	wait    string
}

func (o *observations) alive(id plan.Incarnation, now time.Time, t Timing) bool {
	w := o.workers[id]
	return w != nil && w.connected && !w.stale && now.Sub(w.heard) <= t.Silence
}

// dead reports whether a process counts as dead: another of its id attached, or nobody heard of it for long.
func (o *observations) dead(m plan.Member, now time.Time, t Timing) bool {
	if w := o.workers[m.Incarnation]; w != nil {
		return w.stale || (!w.connected && now.Sub(w.heard) > t.Orphan)
	}
	for _, w := range o.workers {
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

// decide looks at the state and at the workers and says what to propose next. It is pure: the same arguments give the
// same decision. Each rule is level-triggered, so a command that got lost is simply decided again.
func decide(s *fsm.State, o *observations, now time.Time, t Timing) decision {
	j := s.Active()
	if j == nil {
		return decision{}
	}
	for _, rule := range []func(*fsm.Job, *observations, time.Time, Timing) *decision{
		decideFailure, decideData, decideFirstView, decideLost, decideBroken, decideStart,
		decideEpoch, decideCheckpoint, decideRetire, decideFinish, decideMembers,
	} {
		if d := rule(j, o, now, t); d != nil {
			return *d
		}
	}
	return decision{}
}

func propose(c fsm.Command, format string, args ...any) *decision {
	return &decision{command: &c, reason: fmt.Sprintf(format, args...)}
}

func waitFor(format string, args ...any) *decision {
	return &decision{wait: fmt.Sprintf(format, args...)}
}

func fail(j *fsm.Job, format string, args ...any) *decision {
	message := fmt.Sprintf(format, args...)
	return propose(fsm.Command{Finish: &fsm.Outcome{Job: j.ID, Generation: j.Generation, Phase: fsm.Failed, Error: message}}, "%s", message)
}

func member(r *rpc.Report) plan.Member {
	return plan.Member{Worker: r.Worker, Incarnation: plan.Incarnation(r.Incarnation), Address: r.Address, Socket: r.Socket,
		Machine: r.Machine, Host: r.Host}
}

func seated(v *fsm.View, id plan.Incarnation) bool {
	return v != nil && slices.ContainsFunc(v.Members, func(m plan.Member) bool { return m.Incarnation == id })
}

// decideFailure ends the job when a worker that belongs to it cannot go on.
func decideFailure(j *fsm.Job, o *observations, now time.Time, t Timing) *decision {
	for _, w := range o.sorted(now, t) {
		r := w.report
		if r.Job != j.ID || r.Phase != rpc.Phase_PHASE_FAILED {
			continue
		}
		// A worker that only wants to join does not end a job that runs without it.
		if j.View == nil || seated(j.View, plan.Incarnation(r.Incarnation)) {
			return fail(j, "%s", r.Failure)
		}
	}
	return nil
}

// decideData takes the fingerprint of the first worker that has read the data, where the submitter had none.
func decideData(j *fsm.Job, o *observations, now time.Time, t Timing) *decision {
	if len(j.Fingerprint) != 0 {
		return nil
	}
	for _, w := range o.sorted(now, t) {
		if r := w.report; r.Job == j.ID && len(r.Fingerprint) != 0 {
			files := make([]fsm.DataFile, len(r.Files))
			for i, f := range r.Files {
				files[i] = fsm.DataFile{Name: f.Name, SHA256: f.Sha256}
			}
			return propose(fsm.Command{Data: &fsm.Data{Job: j.ID, Fingerprint: r.Fingerprint, Files: files}},
				"data fingerprint taken from worker %s on %s", r.Worker, r.Host)
		}
	}
	return nil
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
		if r.Job == s.ID && r.Phase == rpc.Phase_PHASE_READY && !r.Leaving && r.Step >= least &&
			len(s.Fingerprint) != 0 && bytes.Equal(r.Fingerprint, s.Fingerprint) && now.After(w.exiledUntil) {
			ready = append(ready, w)
		}
	}
	return ready
}

// wanted is how many workers the job should have: what was asked for, else all that are attached, at most its seats.
func (o *observations) wanted(j *fsm.Job, now time.Time, t Timing) int {
	if j.Workers > 0 {
		return min(j.Workers, j.Seats)
	}
	attached := 0
	for _, w := range o.sorted(now, t) {
		if !w.report.Leaving && w.report.Phase != rpc.Phase_PHASE_FAILED {
			attached++
		}
	}
	return max(1, min(attached, j.Seats))
}

func decideFirstView(j *fsm.Job, o *observations, now time.Time, t Timing) *decision {
	if j.View != nil {
		return nil
	}
	ready, want := o.candidates(j, now, t), o.wanted(j, now, t)
	if j.Stop && len(o.sorted(now, t)) == 0 && now.Sub(o.since) > 2*t.Silence {
		return propose(fsm.Command{Finish: &fsm.Outcome{Job: j.ID, Generation: j.Generation, Phase: fsm.Interrupted}},
			"stopped before any worker came")
	}
	reason := fmt.Sprintf("%d workers are ready", want)
	if len(ready) < want {
		// Those that are still missing may be dead, or come later and join; whoever is there must be ready.
		if n := len(o.sorted(now, t)); len(ready) == 0 || len(ready) < n || now.Sub(o.moved) < t.Gather {
			return waitFor("waiting for workers: %d of %d are ready", len(ready), want)
		}
		reason = fmt.Sprintf("%d of %d workers came", len(ready), want)
		want = len(ready)
	}
	cause := "start"
	if j.Origin != nil {
		cause, reason = "resumed", fmt.Sprintf("resumed from the checkpoint at step %d with %d workers", j.Origin.Step, want)
	}
	return proposeView(j, membersOf(ready[:want]), true, cause, reason, 0)
}

func membersOf(workers []*seen) []plan.Member {
	members := make([]plan.Member, len(workers))
	for i, w := range workers {
		members[i] = member(w.report)
	}
	return members
}

func proposeView(j *fsm.Job, members []plan.Member, orderly bool, cause, reason string, detectedMs float64) *decision {
	v, err := plan.Seat(j.Generation+1, j.Seats, members)
	if err != nil {
		return waitFor("%v", err)
	}
	return propose(fsm.Command{View: &fsm.ProposeView{Job: j.ID, View: fsm.View{View: v, Orderly: orderly, Cause: cause,
		Reason: reason, DetectedMs: detectedMs}}}, "view %d: %s (%s)", v.Generation, cause, reason)
}

// decideLost leaves members that do not answer out of a new view. With nobody left it waits until the old ring is
// surely gone and then begins again from the newest checkpoint.
func decideLost(j *fsm.Job, o *observations, now time.Time, t Timing) *decision {
	if j.View == nil {
		return nil
	}
	var left, lost []plan.Member
	for _, m := range j.View.Members {
		if o.alive(m.Incarnation, now, t) {
			left = append(left, m)
		} else if o.workers[m.Incarnation] != nil || now.Sub(o.since) > 2*t.Silence {
			// A new leader gives every worker time to attach before it misses anybody.
			lost = append(lost, m)
		} else {
			return waitFor("waiting for worker %s to attach to the new leader", m.Worker)
		}
	}
	switch {
	case len(lost) == 0:
		return nil
	case len(left) > 0:
		reason, detected := o.lostReason(lost, now)
		return proposeView(j, left, false, "worker lost", reason, detected)
	}
	for _, m := range append(slices.Clone(lost), startedMembers(j)...) {
		if !o.alive(m.Incarnation, now, t) && !o.dead(m, now, t) {
			return waitFor("all workers are lost; waiting until worker %s is surely gone", m.Worker)
		}
	}
	ready := o.candidates(j, now, t)
	if len(ready) == 0 {
		return waitFor("all workers are lost; waiting for workers")
	}
	ready = ready[:min(len(ready), o.wanted(j, now, t))]
	return proposeView(j, membersOf(ready), false, "resumed", fmt.Sprintf("all workers of view %d were lost; %d came", j.View.Generation, len(ready)), 0)
}

func startedMembers(j *fsm.Job) []plan.Member {
	if j.StartedView == nil {
		return nil
	}
	return j.StartedView.Members
}

func (o *observations) lostReason(lost []plan.Member, now time.Time) (string, float64) {
	reason, detected := "", 0.0
	for i, m := range lost {
		if i > 0 {
			reason += "; "
		}
		w := o.workers[m.Incarnation]
		switch {
		case w == nil:
			reason += fmt.Sprintf("worker %s on %s did not attach to the new leader", m.Worker, m.Host)
		case !w.connected:
			reason += fmt.Sprintf("worker %s on %s closed its connection", m.Worker, m.Host)
		default:
			reason += fmt.Sprintf("worker %s on %s has been silent for %d ms", m.Worker, m.Host, now.Sub(w.heard).Milliseconds())
		}
		if w != nil {
			detected = max(detected, float64(now.Sub(w.heard).Microseconds())/1e3)
		}
	}
	return reason, detected
}

// maxRebuilds is how often a ring is built anew with the same members before the one that its neighbours accuse is put out.
const maxRebuilds = 2

// decideBroken acts when a ring broke although all its members answer: it is built anew, and after a few times in a
// row the accused member is left out for a while.
func decideBroken(j *fsm.Job, o *observations, now time.Time, t Timing) *decision {
	if !j.Running() {
		return nil
	}
	var accused plan.Incarnation
	accuser, reason := "", ""
	for _, m := range j.View.Members {
		w := o.workers[m.Incarnation]
		r := w.report
		if r.Phase != rpc.Phase_PHASE_BROKEN || plan.Generation(r.Generation) != j.View.Generation {
			continue
		}
		if accuser == "" || (accused == 0 && len(r.LostPeers) > 0) {
			accuser, reason = r.Worker, r.LostReason
			if len(r.LostPeers) > 0 {
				accused = plan.Incarnation(r.LostPeers[0])
			}
		}
		if now.Sub(w.brokenSince) < t.Grace {
			return waitFor("the ring broke at worker %s: %s", r.Worker, r.LostReason)
		}
	}
	if accuser == "" {
		return nil
	}
	members := slices.Clone(j.View.Members)
	if o.rebuilds[accused] >= maxRebuilds && len(members) > 1 {
		members = slices.DeleteFunc(members, func(m plan.Member) bool { return m.Incarnation == accused })
		o.workers[accused].exiledUntil = now.Add(t.Exile)
		return proposeView(j, members, false, "worker lost", fmt.Sprintf("%s cannot reach it again and again: %s", accuser, reason), 0)
	}
	o.rebuilds[accused]++
	return proposeView(j, members, false, "worker lost", fmt.Sprintf("%s: %s; all answer, the ring is built anew", accuser, reason), 0)
}

// decideStart starts the newest view once all its members have ended their old sessions and reported.
func decideStart(j *fsm.Job, o *observations, now time.Time, t Timing) *decision {
	if j.View == nil || j.Running() {
		return nil
	}
	var newest *rpc.Report
	for _, m := range j.View.Members {
		r := o.workers[m.Incarnation].report
		if plan.Generation(r.Generation) != j.View.Generation || r.Phase != rpc.Phase_PHASE_READY || len(r.StateDigest) == 0 {
			return waitFor("view %d: waiting for worker %s to end its step", j.View.Generation, m.Worker)
		}
		if newest == nil || r.Step > newest.Step {
			newest = r
		}
	}
	sources := []string{}
	for _, m := range j.View.Members {
		r := o.workers[m.Incarnation].report
		if r.Step != newest.Step {
			continue
		}
		if !bytes.Equal(r.StateDigest, newest.StateDigest) {
			return fail(j, "workers %s and %s hold different states at step %d (%x, %x): one of them computes wrong; check their memory and CPU",
				newest.Worker, r.Worker, newest.Step, newest.StateDigest[:6], r.StateDigest[:6])
		}
		sources = append(sources, m.Worker)
	}
	if !o.fenced(j, now, t) {
		return waitFor("view %d: waiting for a worker of view %d, which may still be at work", j.View.Generation, j.StartedView.Generation)
	}
	lost := uint64(0)
	if o.best > newest.Step+1 {
		lost = o.best - newest.Step
	}
	return propose(fsm.Command{Start: &fsm.Start{Job: j.ID, Generation: j.View.Generation, Step: newest.Step,
		StateDigest: newest.StateDigest, Halt: j.Stop, Sources: sources, LostSteps: lost}},
		"view %d starts after step %d", j.View.Generation, newest.Step)
}

// fenced reports whether the ring of the last started view cannot finish another step: one of its members sits in the
// new view and has ended its old session, or all are dead.
func (o *observations) fenced(j *fsm.Job, now time.Time, t Timing) bool {
	all := true
	for _, m := range startedMembers(j) {
		if seated(j.View, m.Incarnation) {
			return true
		}
		all = all && o.dead(m, now, t)
	}
	return all
}

// members calls do for the newest reports of the members of the running view that come from its generation.
func (o *observations) members(j *fsm.Job, do func(*rpc.Report) *decision) *decision {
	if !j.Running() {
		return nil
	}
	for _, m := range j.View.Members {
		if w := o.workers[m.Incarnation]; w != nil && plan.Generation(w.report.Generation) == j.View.Generation {
			if d := do(w.report); d != nil {
				return d
			}
		}
	}
	return nil
}

func decideEpoch(j *fsm.Job, o *observations, _ time.Time, _ Timing) *decision {
	return o.members(j, func(r *rpc.Report) *decision {
		for _, e := range r.Epochs {
			if int(e.Epoch) <= len(j.Epochs) && int(e.Epoch) >= 1 {
				continue
			}
			return propose(fsm.Command{Epoch: &fsm.Epoch{Job: j.ID, Generation: j.View.Generation, Epoch: int(e.Epoch), Step: e.Step,
				TrainLoss: e.TrainLoss, HasEval: e.HasEval, EvalLoss: e.EvalLoss, EvalAccuracy: e.EvalAccuracy, EvalCount: e.EvalCount}},
				"epoch %d is complete", e.Epoch)
		}
		return nil
	})
}

// decideCheckpoint commits a checkpoint whose shares are all stored with a majority of the coordinators.
func decideCheckpoint(j *fsm.Job, o *observations, _ time.Time, _ Timing) *decision {
	shares := map[uint64]map[uint32]*rpc.ShareFact{}
	o.members(j, func(r *rpc.Report) *decision {
		for _, f := range r.Shares {
			if plan.Generation(f.Generation) != j.View.Generation || committed(j, f.Step, f.Generation) || len(f.Holders) <= o.replicas/2 {
				continue
			}
			if shares[f.Step] == nil {
				shares[f.Step] = map[uint32]*rpc.ShareFact{}
			}
			shares[f.Step][f.Share] = f
		}
		return nil
	})
	var whole []*rpc.ShareFact
	for _, byShare := range shares {
		facts := make([]*rpc.ShareFact, 0, len(byShare))
		for _, f := range byShare {
			facts = append(facts, f)
		}
		// The newest whole one wins where several are.
		if len(facts) == int(facts[0].Shares) && (whole == nil || facts[0].Step > whole[0].Step) {
			whole = facts
		}
	}
	if whole == nil {
		return nil
	}
	slices.SortFunc(whole, func(a, b *rpc.ShareFact) int { return cmp.Compare(a.Share, b.Share) })
	for _, f := range whole {
		if !bytes.Equal(f.StateDigest, whole[0].StateDigest) {
			return fail(j, "workers disagree about the state at step %d while saving it: one of them computes wrong; check their memory and CPU", f.Step)
		}
	}
	c, err := o.manifest(j, whole)
	if err != nil {
		return fail(j, "describe the checkpoint at step %d: %v", whole[0].Step, err)
	}
	return propose(fsm.Command{Checkpoint: &c}, "checkpoint at step %d is stored", c.Step)
}

func committed(j *fsm.Job, step, generation uint64) bool {
	return slices.ContainsFunc(j.Checkpoints, func(c fsm.Checkpoint) bool {
		return c.Step > step || (c.Step == step && uint64(c.Generation) == generation)
	})
}

func decideRetire(j *fsm.Job, _ *observations, _ time.Time, _ Timing) *decision {
	if j.Keep <= 0 || len(j.Checkpoints) <= j.Keep {
		return nil
	}
	c := j.Checkpoints[0]
	return propose(fsm.Command{Retire: &fsm.Retire{Job: j.ID, Step: c.Step, Generation: c.Generation}},
		"checkpoint at step %d is retired: the newest %d are kept", c.Step, j.Keep)
}

// decideFinish ends the job when its last checkpoint is committed and its last epoch recorded.
func decideFinish(j *fsm.Job, o *observations, now time.Time, t Timing) *decision {
	return o.members(j, func(r *rpc.Report) *decision {
		out := r.Outcome
		if out == nil || plan.Generation(out.Generation) != j.View.Generation || len(r.Epochs) > 0 && int(r.Epochs[len(r.Epochs)-1].Epoch) > len(j.Epochs) {
			return nil
		}
		saved := slices.ContainsFunc(j.Checkpoints, func(c fsm.Checkpoint) bool {
			return c.Step == out.Step && c.Generation == j.View.Generation
		})
		if !saved {
			return waitFor("saving the checkpoint at step %d", out.Step)
		}
		phase := fsm.Interrupted
		if out.Complete {
			phase = fsm.Done
		}
		return propose(fsm.Command{Finish: &fsm.Outcome{Job: j.ID, Generation: j.View.Generation, Phase: phase, Step: out.Step,
			Digest: out.Digest, StateDigest: out.StateDigest, TrainLoss: out.TrainLoss,
			HasEval: out.HasEval, EvalLoss: out.EvalLoss, EvalAccuracy: out.EvalAccuracy}}, "job %s at step %d", phase, out.Step)
	})
}

// decideMembers changes the ring in good order: workers that leave, workers that come, another number that is wanted.
func decideMembers(j *fsm.Job, o *observations, now time.Time, t Timing) *decision {
	if !j.Running() || j.Stop {
		return nil
	}
	var stay, leave []plan.Member
	for _, m := range j.View.Members {
		r := o.workers[m.Incarnation].report
		if r.Phase == rpc.Phase_PHASE_SAVING {
			return nil
		}
		if r.Leaving {
			leave = append(leave, m)
		} else {
			stay = append(stay, m)
		}
	}
	want := o.wanted(j, now, t)
	ready := slices.DeleteFunc(o.candidates(j, now, t), func(w *seen) bool { return seated(j.View, plan.Incarnation(w.report.Incarnation)) })
	switch {
	case len(leave) > 0 && len(stay) > 0:
		return proposeView(j, stay, true, "left", fmt.Sprintf("worker %s leaves", leave[0].Worker), 0)
	case len(leave) > 0:
		return waitFor("worker %s wants to leave but is the last", leave[0].Worker)
	case len(stay) > want:
		return proposeView(j, stay[:want], true, "scaled", fmt.Sprintf("scaled from %d to %d workers", len(stay), want), 0)
	case len(stay) < want && len(ready) > 0:
		come := membersOf(ready[:min(len(ready), want-len(stay))])
		reason := fmt.Sprintf("worker %s joined", come[0].Worker)
		if len(come) > 1 {
			reason = fmt.Sprintf("worker %s and %d more joined", come[0].Worker, len(come)-1)
		}
		return proposeView(j, append(stay, come...), true, "joined", reason, 0)
	}
	return nil
}
