package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/plural"
	"ringmaster/internal/printable"
	"ringmaster/internal/rpc"
)

// settleSeats takes a view that a rule proposes and decides how many seats each member gets: in proportion to their speeds, and no
// more than fit into their memory. A view with fewer workers than the job needs, or with too little memory for its seats, is
// not made. If the job cannot run without it, further workers are seated too; if there are none, the job pauses.
func (o *observations) settleSeats(j *fsm.Job, d *Decision, now time.Time, t Timing) *Decision {
	if d.Command == nil || d.Command.View == nil {
		return d
	}
	v := &d.Command.View.View
	if j.Halts() { // it only saves a checkpoint and ends
		return d
	}
	wait := ""
	for _, members := range o.candidateSets(j, v, now, t) {
		counts, why := o.fit(j, members)
		if why != "" {
			if wait == "" {
				wait = why
			}
			continue
		}
		if n := len(members) - len(v.Members); n > 0 {
			v.Reason += fmt.Sprintf("; it waited until worker %s came", members[len(members)-1].Worker)
			d.Reason = viewReason(v)
		}
		v.View = plan.SeatUnevenly(v.Generation, counts, members)
		return d
	}
	if n := len(v.Members); v.Cause == causeScaled && n == j.Bound && j.Least < len(j.View.Members) {
		n = len(j.View.Members)
		return propose(fsm.Command{Least: &fsm.Least{Job: j.ID, Workers: n}}, "it cannot make way with fewer than its %s: %s", plural.Of(n, "worker"), wait)
	}
	if j.Running() && v.Orderly {
		return &Decision{Wait: fmt.Sprintf("put off (%s: %s): %s", v.Cause, v.Reason, wait), putOff: true}
	}
	if again := o.tryAgain(j, v, wait, now, t); again != nil {
		return again
	}
	if j.View == nil {
		return waitFor("%s", wait)
	}
	return &Decision{Wait: wait, TooFew: true}
}

// candidateSets lists sets of members for a view in order of preference; the first that fits wins: those proposed; those of them that
// can hold a seat at all; and, if the job would stand still otherwise, those proposed plus one more worker after another.
func (o *observations) candidateSets(j *fsm.Job, v *fsm.View, now time.Time, t Timing) [][]plan.Member {
	all := [][]plan.Member{v.Members}
	var holding []plan.Member
	for k, limit := range o.limits(j, v.Members) {
		// A worker that has had a seat may be the one that holds the newest state.
		if m := v.Members[k]; limit >= 1 || seated(j.StartedView, m.Incarnation) {
			holding = append(holding, m)
		}
	}
	if n := len(holding); n > 0 && n < len(v.Members) && !(j.Running() && v.Orderly && sameMembers(holding, j.View.Members)) {
		all = append(all, holding)
	}
	if j.View == nil || v.Orderly {
		return all
	}
	members, wanted := slices.Clone(v.Members), o.wanted(j, now, t)
	for _, w := range o.candidates(j, now, t) {
		m := member(w.report)
		if len(members) >= wanted || slices.ContainsFunc(members, func(n plan.Member) bool { return n.Incarnation == m.Incarnation }) {
			continue
		}
		if ring, out, _ := o.arrange(j, append(slices.Clone(members), m)); len(out) == 0 {
			members = ring
			all = append(all, ring)
		}
	}
	return all
}

func sameMembers(a, b []plan.Member) bool {
	return slices.EqualFunc(a, b, func(x, y plan.Member) bool { return x.Incarnation == y.Incarnation })
}

// tryAgain rebuilds a broken ring with all its members from time to time, if the job cannot run with one of them left
// out.
func (o *observations) tryAgain(j *fsm.Job, v *fsm.View, wait string, now time.Time, t Timing) *Decision {
	if !j.Running() {
		return nil
	}
	out := slices.DeleteFunc(slices.Clone(j.View.Members), func(m plan.Member) bool { return seated(v, m.Incarnation) })
	if len(out) == 0 {
		return nil
	}
	broken := false
	for _, m := range j.View.Members {
		w := o.workers[m.Incarnation]
		if !o.alive(m.Incarnation, now, t) || now.Sub(w.brokenSince) < t.Exile {
			return nil
		}
		broken = broken || !w.brokenSince.IsZero()
	}
	if !broken {
		return nil
	}
	return o.proposeView(j, j.View.Members, false, "worker lost", fmt.Sprintf("the ring broke and there is none without %s (%s), so all try again", names(out), wait), 0)
}

// fit says how many seats each member gets, or why these members cannot form a view.
func (o *observations) fit(j *fsm.Job, members []plan.Member) (counts []int, why string) {
	if n := max(1, j.MinWorkers); len(members) < n {
		return nil, fmt.Sprintf("%s too few, min_workers is %d: %d more must come", alone(members), n, n-len(members))
	}
	seatable := o.seatable(j, members)
	counts, ok := plan.Apportion(j.Seats, seatable)
	if ok {
		return counts, ""
	}
	if len(members) > j.Seats {
		return nil, plural.Of(len(members), "worker") + " for " + plural.Of(j.Seats, "seat")
	}
	return nil, o.tooSmall(j, members, seatable)
}

// seatable returns the members' speeds and limits, as far as they matter for the job.
func (o *observations) seatable(j *fsm.Job, members []plan.Member) []plan.Seatable {
	out := make([]plan.Seatable, len(members))
	limits := o.limits(j, members)
	for k, m := range members {
		out[k].Limit = limits[k]
		if r := o.reportOf(m); r != nil && r.Job == j.ID && !j.Even {
			out[k].Ms = r.GetProgress().GetSeatMs()
		}
	}
	return out
}

func (o *observations) reportOf(m plan.Member) *rpc.Report {
	if w := o.workers[m.Incarnation]; w != nil {
		return w.report
	}
	return nil
}

// limits is how many seats' gradients each member can hold. The members on one machine share its memory.
func (o *observations) limits(j *fsm.Job, members []plan.Member) []int {
	on := map[string]int{} // members by machine
	for _, m := range members {
		on[m.Machine]++
	}
	on[""] = 1 // nothing is known of it
	out := make([]int, len(members))
	for k, m := range members {
		out[k] = j.Seats
		if r := o.reportOf(m); r != nil && r.Job == j.ID {
			out[k] = memoryOf(r).Seats(on[m.Machine], j.Seats)
		}
	}
	return out
}

func memoryOf(r *rpc.Report) plan.Memory {
	return plan.Memory{Machine: r.MachineMemory, Limit: r.MemoryLimit, Job: r.JobMemory, Seat: r.SeatMemory}
}

// outgrown lists the live workers whose memory is too small for the job with a single seat, even with their machines to themselves.
// They do not even begin to prepare it, so nobody waits for them.
func (o *observations) outgrown(j *fsm.Job, now time.Time, t Timing) []*seen {
	return slices.DeleteFunc(o.sorted(now, t), func(w *seen) bool {
		m := member(w.report)
		return w.report.Job != j.ID || w.report.Phase != rpc.Phase_PHASE_PREPARING || o.limits(j, []plan.Member{m})[0] > 0
	})
}

// deserted reports whether there is no worker that could do anything for the job.
func (o *observations) deserted(j *fsm.Job, now time.Time, t Timing) bool {
	return len(o.sorted(now, t)) == len(o.outgrown(j, now, t))
}

// waitForWorkers waits for workers that are ready, and says which ones never will be.
func (o *observations) waitForWorkers(j *fsm.Job, now time.Time, t Timing, what string) *Decision {
	var members []plan.Member
	var parts []string
	for _, w := range o.outgrown(j, now, t) {
		members = append(members, member(w.report))
	}
	for _, m := range members {
		parts = append(parts, o.holding(j, []plan.Member{m}, m, 0))
	}
	if len(parts) == 0 {
		return waitFor("%s", what)
	}
	return waitFor("%s; its seats do not fit into memory: %s; a smaller model or train.batch_per_seat, or workers with more memory would help", what, few(parts))
}

// tooSmall says whose memory does not hold the job's seats.
func (o *observations) tooSmall(j *fsm.Job, members []plan.Member, seatable []plan.Seatable) string {
	var parts []string
	for k, m := range members {
		if seatable[k].Limit < j.Seats && o.reportOf(m) != nil {
			parts = append(parts, o.holding(j, members, m, seatable[k].Limit))
		}
	}
	return fmt.Sprintf("the gradients of %s do not fit into memory: %s; more workers or more memory must come", plural.Of(j.Seats, "seat"), few(parts))
}

// holding says how many seats one of the members holds, with the sums.
func (o *observations) holding(j *fsm.Job, members []plan.Member, m plan.Member, seats int) string {
	memory := memoryOf(o.reportOf(m))
	return fmt.Sprintf("worker %s on %s holds %d of them (of %s the job takes %s, a seat %s)", m.Worker, m.Host, seats,
		printable.Bytes(memory.Room(plan.Sharing(members, m))), printable.Bytes(memory.Job), printable.Bytes(memory.Seat))
}

// few joins the parts of a sentence; of many it takes only the first ones.
func few(parts []string) string {
	if len(parts) > 4 {
		parts = append(parts[:3], fmt.Sprintf("and %d more workers", len(parts)-3))
	}
	return strings.Join(parts, ", ")
}

// alone names the members: "worker w1 alone is" or "workers w1 and w2 alone are".
func alone(members []plan.Member) string {
	if len(members) == 1 {
		return "worker " + names(members) + " alone is"
	}
	return "workers " + names(members) + " alone are"
}
