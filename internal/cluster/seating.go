package cluster

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// settleSeats looks at a view that a rule proposes and says how many seats each member gets: as their speeds are, and no
// more than their memory holds. A view with fewer workers than the job needs, or whose memory is too small for its seats, is
// not made: where nothing goes on without it others are seated too, and where none are there the job pauses.
func (o *observations) settleSeats(j *fsm.Job, d *decision, now time.Time, t Timing) *decision {
	if d.command == nil || d.command.View == nil {
		return d
	}
	v := &d.command.View.View
	if j.Stop { // it only saves a checkpoint and ends
		return d
	}
	wait := ""
	for _, members := range o.companies(j, v, now, t) {
		counts, why := o.fit(j, members)
		if why != "" {
			if wait == "" {
				wait = why
			}
			continue
		}
		if n := len(members) - len(v.Members); n > 0 {
			v.Reason += fmt.Sprintf("; paused until worker %s came", members[len(members)-1].Worker)
			d.reason = viewReason(v)
		}
		v.View = plan.SeatUnevenly(v.Generation, counts, members)
		return d
	}
	if j.Running() && v.Orderly {
		return &decision{wait: fmt.Sprintf("put off (%s: %s): %s", v.Cause, v.Reason, wait), putOff: true}
	}
	if again := o.tryAgain(j, v, wait, now, t); again != nil {
		return again
	}
	if j.View == nil {
		return waitFor("%s", wait)
	}
	return &decision{wait: "paused: " + wait, paused: true}
}

// companies are the members that a view may be made of, the first that fit are taken: those proposed, those of them that
// can hold a seat at all, and where the job stands still otherwise, those proposed with one more after another.
func (o *observations) companies(j *fsm.Job, v *fsm.View, now time.Time, t Timing) [][]plan.Member {
	all := [][]plan.Member{v.Members}
	holding := slices.DeleteFunc(slices.Clone(v.Members), func(m plan.Member) bool {
		// Who has had a seat may be the one who holds the newest state.
		return o.limit(j, v.Members, m) < 1 && !seated(j.StartedView, m.Incarnation)
	})
	if n := len(holding); n > 0 && n < len(v.Members) && !(j.Running() && v.Orderly && sameMembers(holding, j.View.Members)) {
		all = append(all, holding)
	}
	if j.View == nil || v.Orderly {
		return all
	}
	members := slices.Clone(v.Members)
	for _, w := range o.candidates(j, now, t) {
		m := member(w.report)
		if len(members) >= o.wanted(j, now, t) || slices.ContainsFunc(members, func(n plan.Member) bool { return n.Incarnation == m.Incarnation }) {
			continue
		}
		if ring, out := o.arrange(j, append(slices.Clone(members), m)); len(out) == 0 {
			members = ring
			all = append(all, ring)
		}
	}
	return all
}

func sameMembers(a, b []plan.Member) bool {
	return slices.EqualFunc(a, b, func(x, y plan.Member) bool { return x.Incarnation == y.Incarnation })
}

// tryAgain makes a ring that broke anew with all its members, every now and then, where leaving one of them out is no way
// out.
func (o *observations) tryAgain(j *fsm.Job, v *fsm.View, wait string, now time.Time, t Timing) *decision {
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
	return proposeView(j, j.View.Members, false, "worker lost", fmt.Sprintf("the ring broke and there is none without %s (%s), so all try again", names(out), wait), 0)
}

// fit says how many seats each member gets, or why these members are no view.
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
		return nil, fmt.Sprintf("%d workers for %d seats", len(members), j.Seats)
	}
	return nil, o.tooSmall(j, members, seatable)
}

// seatable is what the members can do with seats, as far as it counts for the job.
func (o *observations) seatable(j *fsm.Job, members []plan.Member) []plan.Seatable {
	out := make([]plan.Seatable, len(members))
	for k, m := range members {
		out[k].Limit = o.limit(j, members, m)
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

// limit is how many seats' gradients the member can hold. The members on one machine share its memory, of which a tenth
// is left to everything else there.
func (o *observations) limit(j *fsm.Job, members []plan.Member, m plan.Member) int {
	r := o.reportOf(m)
	if r == nil || r.Job != j.ID || r.SeatMemory == 0 {
		return j.Seats
	}
	room := memoryOf(r, members, m)
	if room == 0 {
		return j.Seats
	}
	if room <= r.JobMemory {
		return 0
	}
	return int(min((room-r.JobMemory)/r.SeatMemory, uint64(j.Seats)))
}

// memoryOf is what the member may use among those members, in bytes; 0 where that is not known.
func memoryOf(r *rpc.Report, members []plan.Member, m plan.Member) uint64 {
	neighbours := uint64(0)
	for _, n := range members {
		if n.Incarnation == m.Incarnation || n.Machine == m.Machine && m.Machine != "" {
			neighbours++
		}
	}
	room := r.MachineMemory / 10 * 9 / max(neighbours, 1)
	if r.MemoryLimit > 0 && (room == 0 || r.MemoryLimit < room) {
		room = r.MemoryLimit
	}
	return room
}

// tooSmall says whose memory does not hold the job's seats.
func (o *observations) tooSmall(j *fsm.Job, members []plan.Member, seatable []plan.Seatable) string {
	var parts []string
	for k, m := range members {
		r := o.reportOf(m)
		if seatable[k].Limit >= j.Seats || r == nil {
			continue
		}
		parts = append(parts, fmt.Sprintf("worker %s on %s holds %d of them (of %s the job takes %s, a seat %s)", m.Worker, m.Host, seatable[k].Limit,
			mebibytes(memoryOf(r, members, m)), mebibytes(r.JobMemory), mebibytes(r.SeatMemory)))
	}
	if len(parts) > 4 {
		parts = append(parts[:3], fmt.Sprintf("and %d more workers", len(parts)-3))
	}
	return fmt.Sprintf("the gradients of %d seats do not fit into memory: %s; more workers or more memory must come", j.Seats, strings.Join(parts, ", "))
}

func mebibytes(bytes uint64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// alone names the members: "worker w1 alone is" or "workers w1 and w2 alone are".
func alone(members []plan.Member) string {
	if len(members) == 1 {
		return "worker " + names(members) + " alone is"
	}
	return "workers " + names(members) + " alone are"
}
