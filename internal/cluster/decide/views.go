package decide

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/plural"
	"ringmaster/internal/rpc"
)

func member(r *rpc.Report) plan.Member {
	return plan.Member{Worker: r.Worker, Incarnation: plan.Incarnation(r.Incarnation), Address: r.Address, Socket: r.Socket,
		Machine: r.Machine, Host: r.Host}
}

func seated(v *fsm.View, id plan.Incarnation) bool {
	return v != nil && slices.ContainsFunc(v.Members, func(m plan.Member) bool { return m.Incarnation == id })
}

func decideFirstView(j *fsm.Job, o *observations, now time.Time, t Timing) *Decision {
	if j.View != nil {
		return nil
	}
	ready, want := o.candidates(j, now, t), o.wanted(j, now, t)
	if j.Stop && o.deserted(j, now, t) && now.Sub(o.since) > 2*t.Silence {
		return propose(fsm.Command{Finish: &fsm.Outcome{Job: j.ID, Generation: j.Generation, Phase: fsm.Interrupted}},
			"stopped before any worker came")
	}
	reason := plural.Are(want, "worker") + " ready"
	if len(ready) < want {
		// Missing workers may be dead, or may join later; those that are attached must be ready.
		if n := len(o.sorted(now, t)) - len(o.outgrown(j, now, t)); len(ready) == 0 || len(ready) < n || now.Sub(o.moved) < t.Gather {
			return o.waitForWorkers(j, now, t, fmt.Sprintf("waiting for workers: %d of %d ready", len(ready), want))
		}
		reason = fmt.Sprintf("%d of %s came", len(ready), plural.Of(want, "worker"))
		want = len(ready)
	}
	cause := "start"
	if c := j.Newest(); c != nil {
		cause, reason = "resumed", fmt.Sprintf("resumed from the checkpoint at step %d with %s", c.Step, plural.Of(want, "worker"))
	}
	return o.proposeView(j, beside(membersOf(ready[:want])), true, cause, reason, 0)
}

// causeScaled is the cause of a view with fewer workers than before because fewer are wanted.
const causeScaled = "scaled"

func membersOf(workers []*seen) []plan.Member {
	members := make([]plan.Member, len(workers))
	for i, w := range workers {
		members[i] = member(w.report)
	}
	return members
}

// beside orders members so that those of one machine sit beside each other.
func beside(members []plan.Member) []plan.Member { return at(members, plan.Beside(members)) }

// proposeView proposes a view of these members. settleSeats decides how many seats each of them gets.
func (o *observations) proposeView(j *fsm.Job, members []plan.Member, orderly bool, cause, reason string, detectedMs float64) *Decision {
	v, err := plan.Seat(o.next, j.Seats, members)
	if err != nil {
		return waitFor("%v", err)
	}
	view := fsm.View{View: v, Orderly: orderly, Cause: cause, Reason: reason, DetectedMs: detectedMs}
	return propose(fsm.Command{View: &fsm.ProposeView{Job: j.ID, View: view}}, "%s", viewReason(&view))
}

func viewReason(v *fsm.View) string {
	return fmt.Sprintf("view %d: %s (%s)", v.Generation, v.Cause, v.Reason)
}

// decideLost proposes a view without the members that do not answer. With nobody left it waits until the old ring is
// certainly gone and then restarts from the newest checkpoint.
func decideLost(j *fsm.Job, o *observations, now time.Time, t Timing) *Decision {
	if j.View == nil {
		return nil
	}
	var left, lost []plan.Member
	for _, m := range j.View.Members {
		if o.alive(m.Incarnation, now, t) {
			left = append(left, m)
		} else if o.workers[m.Incarnation] != nil || now.Sub(o.since) > o.patience(j, now, t) {
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
		return o.proposeRing(j, left, false, "worker lost", reason, detected)
	}
	if j.Stop && o.deserted(j, now, t) && now.Sub(o.since) > 2*t.Silence {
		return propose(fsm.Command{Finish: &fsm.Outcome{Job: j.ID, Generation: j.Generation, Phase: fsm.Interrupted}},
			"stopped while no worker is there; the newest checkpoint is the result")
	}
	for _, m := range append(slices.Clone(lost), startedMembers(j)...) {
		if !o.alive(m.Incarnation, now, t) && !o.dead(m, now, t) {
			return waitFor("all workers are lost; waiting until worker %s is surely gone", m.Worker)
		}
	}
	if j.Yields != "" {
		return park(j)
	}
	ready := o.candidates(j, now, t)
	if len(ready) == 0 {
		return o.waitForWorkers(j, now, t, "all workers are lost; waiting for workers")
	}
	ready = ready[:min(len(ready), o.wanted(j, now, t))]
	return o.proposeView(j, beside(membersOf(ready)), false, "resumed", fmt.Sprintf("all workers of view %d were lost; %d came", j.View.Generation, len(ready)), 0)
}

// patience is how long a new leader waits for members to attach before it counts them as missing. While the ring trains there is no
// hurry: a finished step proves all its members alive. Once it has broken, or a view waits to be started, the job stands
// still until the missing ones are left out.
func (o *observations) patience(j *fsm.Job, now time.Time, t Timing) time.Duration {
	stands := !j.Running()
	for _, m := range j.View.Members {
		if o.alive(m.Incarnation, now, t) {
			r := o.workers[m.Incarnation].report
			stands = stands || r.Phase == rpc.Phase_PHASE_BROKEN && plan.Generation(r.Generation) == j.View.Generation
		}
	}
	if stands {
		return t.Attach
	}
	return 2 * t.Silence
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
		case w.stale:
			reason += fmt.Sprintf("worker %s on %s was replaced by another process of its id", m.Worker, m.Host)
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

// maxRebuilds is how often a ring is rebuilt with the same members before the one that its neighbours accuse is left out.
const maxRebuilds = 2

// decideBroken acts when a ring broke although all its members answer the leader. If some do not reach each other, the
// ring is reordered around the broken links, or goes on without as few members as possible. If all do, it is rebuilt, and after a few
// times in a row the accused member is left out for a while.
func decideBroken(j *fsm.Job, o *observations, now time.Time, t Timing) *Decision {
	if !j.Running() {
		return nil
	}
	var accused plan.Incarnation
	accuser, reason, named := "", "", false
	for _, m := range j.View.Members {
		w := o.workers[m.Incarnation]
		r := w.report
		if r.Phase != rpc.Phase_PHASE_BROKEN || plan.Generation(r.Generation) != j.View.Generation {
			continue
		}
		if accuser == "" || len(r.LostPeers) > 0 && !named {
			// A worker that accuses nobody had a failure of its own.
			accuser, reason, accused = r.Worker, r.LostReason, m.Incarnation
			if named = len(r.LostPeers) > 0; named {
				accused = plan.Incarnation(r.LostPeers[0])
			}
		}
		if now.Sub(w.brokenSince) < t.Grace {
			return waitFor("the ring broke at worker %s: %s", r.Worker, r.LostReason)
		}
		if searching(j, w, now, t) {
			return waitFor("the ring broke at worker %s: %s; looking who reaches whom", r.Worker, r.LostReason)
		}
	}
	if accuser == "" {
		return nil
	}
	if m := o.quiet(j, now, t); m != nil {
		return waitFor("the ring broke and worker %s on %s is quiet", m.Worker, m.Host)
	}
	members := j.View.Members
	if _, _, apart := o.arrange(j, members); apart != "" {
		return o.proposeRing(j, members, false, "worker lost", "", 0)
	}
	if o.rebuilds[accusation{j.ID, accused}] >= maxRebuilds && len(members) > 1 {
		others := slices.DeleteFunc(slices.Clone(members), func(m plan.Member) bool { return m.Incarnation == accused })
		d := o.proposeRing(j, others, false, "worker lost", fmt.Sprintf("worker %s is left out for a while, the ring broke there again and again: %s: %s", o.workers[accused].report.Worker, accuser, reason), 0)
		d.accused = accused
		return d
	}
	d := o.proposeView(j, members, false, "worker lost", fmt.Sprintf("%s: %s; all answer, the ring is rebuilt", accuser, reason), 0)
	d.rebuilt = accused
	return d
}

// decideStart starts the newest view once all its members have ended their old sessions and reported.
func decideStart(j *fsm.Job, o *observations, now time.Time, t Timing) *Decision {
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
	// The view may have been made before the network broke between its members.
	if _, _, apart := o.arrange(j, j.View.Members); apart != "" {
		return o.proposeRing(j, j.View.Members, false, "worker lost", "", 0)
	}
	if !o.fenced(j, now, t) {
		if d := o.seatHolders(j, now, t); d != nil {
			return d
		}
		return waitFor("view %d: waiting for a worker of view %d, which may still be at work", j.View.Generation, j.StartedView.Generation)
	}
	if d := o.behind(j, newest.Step, now, t); d != nil {
		return d
	}
	lost := uint64(0)
	if best := o.best[j.ID]; best > newest.Step+1 {
		lost = best - newest.Step
	}
	return propose(fsm.Command{Start: &fsm.Start{Job: j.ID, Generation: j.View.Generation, Step: newest.Step,
		StateDigest: newest.StateDigest, Halt: j.Halts(), Sources: sources, LostSteps: lost}},
		"view %d starts after step %d", j.View.Generation, newest.Step)
}

// behind waits if no member of the newest view holds the state that the last started view began with. The workers that hold it may only be
// cut off, and that state is worth waiting for until they count as dead.
func (o *observations) behind(j *fsm.Job, step uint64, now time.Time, t Timing) *Decision {
	if j.Started == nil || step >= j.Started.Step {
		return nil
	}
	if d := o.seatHolders(j, now, t); d != nil {
		return d
	}
	for _, m := range startedMembers(j) {
		if !slices.Contains(j.Started.Sources, m.Worker) {
			continue
		}
		ending := false // its session, in which it may still have been working
		if o.alive(m.Incarnation, now, t) {
			phase := o.workers[m.Incarnation].report.Phase
			ending = phase != rpc.Phase_PHASE_READY && phase != rpc.Phase_PHASE_FAILED
		}
		if ending || !o.alive(m.Incarnation, now, t) && !o.dead(m, now, t) {
			return waitFor("view %d: waiting for worker %s on %s, which holds the state at step %d", j.View.Generation, m.Worker, m.Host, j.Started.Step)
		}
	}
	return nil
}

// seatHolders makes a view with those workers of the last started view that answer but were left out of the newest one.
// They hold the newest state, and with one of them in the new view the old ring is fenced.
func (o *observations) seatHolders(j *fsm.Job, now time.Time, t Timing) *Decision {
	var holders []plan.Member
	for _, w := range o.candidates(j, now, t) {
		id := plan.Incarnation(w.report.Incarnation)
		if seated(j.StartedView, id) && !seated(j.View, id) {
			holders = append(holders, member(w.report))
		}
	}
	if len(holders) == 0 {
		return nil
	}
	members := append(slices.Clone(holders), j.View.Members...)
	return o.proposeView(j, beside(members[:min(len(members), mostSeated(j))]), false, "joined",
		fmt.Sprintf("worker %s is back with the state of view %d", holders[0].Worker, j.StartedView.Generation), 0)
}

// mostSeated is the largest number of members that a view of the job may have.
func mostSeated(j *fsm.Job) int {
	if j.MaxWorkers > 0 {
		return min(j.MaxWorkers, j.Seats)
	}
	return j.Seats
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

// decideMembers changes a working ring between two steps: workers that leave or join, or another number of workers wanted.
func decideMembers(j *fsm.Job, o *observations, now time.Time, t Timing) *Decision {
	if !j.Running() || j.Halts() {
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
		return o.proposeRing(j, stay, true, "left", fmt.Sprintf("worker %s leaves", leave[0].Worker), 0)
	case len(leave) > 0:
		return waitFor("worker %s wants to leave but is the last", leave[0].Worker)
	case len(stay) > want:
		reason := fmt.Sprintf("scaled from %d to %s", len(stay), plural.Of(want, "worker"))
		if want == j.Bound {
			reason += ": a job before it takes the others"
		}
		return o.proposeRing(j, stay[:want], true, causeScaled, reason, 0)
	case len(stay) < want && len(ready) > 0:
		come, wait := o.joinable(j, stay, ready, want-len(stay))
		if len(come) == 0 {
			return waitFor("%s", wait)
		}
		reason := fmt.Sprintf("worker %s joined", come[0].Worker)
		if len(come) > 1 {
			reason = fmt.Sprintf("worker %s and %d more joined", come[0].Worker, len(come)-1)
		}
		return o.proposeRing(j, append(stay, come...), true, "joined", reason, 0)
	}
	return nil
}
