package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// way is what the newest report of a worker says about its link to another.
func (o *observations) way(from, to plan.Incarnation) (open, known bool) {
	w := o.workers[from]
	if w == nil || w.stale {
		return false, false
	}
	for _, way := range w.report.GetWays() {
		if plan.Incarnation(way.Incarnation) == to {
			return way.Open, true
		}
	}
	return false, false
}

// usable reports whether one worker can probably send to another. An untested link counts as open unless the opposite
// direction is closed: without a route neither side can connect; a firewall may let one side through.
func (o *observations) usable(from, to plan.Incarnation) bool {
	if open, known := o.way(from, to); known {
		return open
	}
	open, known := o.way(to, from)
	return open || !known
}

// arrange makes a ring of those members that reach each other, in their own order if that is usable. out are the others.
// One of them holds the state that the last started view began with, if any of the members does.
func (o *observations) arrange(j *fsm.Job, members []plan.Member) (ring, out []plan.Member) {
	step := func(k int) uint64 { return o.workers[members[k].Incarnation].report.GetStep() }
	newest, started := uint64(0), uint64(0)
	for k := range members {
		newest = max(newest, step(k))
	}
	if j.Started != nil {
		started = j.Started.Step
	}
	chosen := plan.ArrangeRing(len(members), func(from, to int) bool {
		return o.usable(members[from].Incarnation, members[to].Incarnation)
	}, func(k int) int {
		seats := members[k].Arc.Len()
		if step(k) == newest {
			seats += 1 << 20 // a worker with the newest state counts more than all seats
		}
		return seats
	}, func(k int) bool { return step(k) >= started })
	for _, k := range chosen {
		ring = append(ring, members[k])
	}
	for k, m := range members {
		if !slices.Contains(chosen, k) {
			out = append(out, m)
		}
	}
	return ring, out
}

// apart says, for people, who does not reach whom, which is why the ring has another order or goes on without some. It is empty
// if each member reaches those it has to.
func (o *observations) apart(before, ring, out []plan.Member) string {
	if len(out) == 0 {
		if slices.EqualFunc(before, ring, func(a, b plan.Member) bool { return a.Incarnation == b.Incarnation }) {
			return ""
		}
		var closed []string
		for i, m := range before {
			if next := before[(i+1)%len(before)]; !o.usable(m.Incarnation, next.Incarnation) {
				closed = append(closed, fmt.Sprintf("worker %s on %s cannot reach worker %s on %s", m.Worker, m.Host, next.Worker, next.Host))
			}
		}
		return fmt.Sprintf("%s: going on in the order %s", strings.Join(closed, ", "), names(ring))
	}
	var cannot []plan.Member
	for _, m := range ring {
		if slices.ContainsFunc(out, func(lost plan.Member) bool {
			return !o.usable(m.Incarnation, lost.Incarnation) || !o.usable(lost.Incarnation, m.Incarnation)
		}) {
			cannot = append(cannot, m)
		}
	}
	lost := make([]string, len(out))
	for i, m := range out {
		lost[i] = fmt.Sprintf("worker %s on %s", m.Worker, m.Host)
	}
	return fmt.Sprintf("%s cannot reach %s: going on with %s", names(cannot), listed(lost), names(ring))
}

// names lists workers by their ids.
func names(members []plan.Member) string {
	all := make([]string, len(members))
	for i, m := range members {
		all[i] = m.Worker
	}
	return listed(all)
}

func listed(all []string) string {
	if len(all) < 2 {
		return strings.Join(all, "")
	}
	return strings.Join(all[:len(all)-1], ", ") + " and " + all[len(all)-1]
}

// proposeRing proposes a view of those members that reach each other. A member that is left out may come back when its links are open
// again: the first time at once, and the more often it was left out, the later.
func (o *observations) proposeRing(j *fsm.Job, members []plan.Member, orderly bool, cause, reason string, detectedMs float64) *Decision {
	ring, out := o.arrange(j, members)
	if why := o.apart(members, ring, out); why != "" {
		if reason != "" {
			reason += "; "
		}
		reason += why
	}
	d := proposeView(j, ring, orderly, cause, reason, detectedMs)
	for _, m := range out {
		d.apart = append(d.apart, m.Incarnation)
	}
	return d
}

// proven reports whether a candidate and all members have tested their links to each other. Some of these links
// may be closed: the ring then takes another order.
func (o *observations) proven(candidate plan.Incarnation, members []plan.Member) bool {
	for _, m := range members {
		if m.Incarnation == candidate {
			continue
		}
		_, there := o.way(candidate, m.Incarnation)
		_, back := o.way(m.Incarnation, candidate)
		if !there || !back {
			return false
		}
	}
	return true
}

// joinable returns the workers, up to a number, that fit into a ring with the members that stay; none while one of
// them still tests its links, so that all join at once. wait says what is waited for.
func (o *observations) joinable(j *fsm.Job, stay []plan.Member, ready []*seen, most int) (come []plan.Member, wait string) {
	for _, w := range ready {
		m := member(w.report)
		if len(come) == most {
			break
		}
		with := append(slices.Concat(stay, come), m)
		_, out := o.arrange(j, with)
		switch {
		case !o.proven(m.Incarnation, stay):
			return nil, fmt.Sprintf("worker %s on %s tests its links to the others", m.Worker, m.Host)
		case len(out) > 0:
			wait = fmt.Sprintf("worker %s on %s waits: it and %s cannot reach each other", m.Worker, m.Host, o.closedTo(m, stay))
		default:
			come = append(come, m)
		}
	}
	return come, wait
}

// closedTo names the members that a worker does not reach, or that do not reach it.
func (o *observations) closedTo(m plan.Member, members []plan.Member) string {
	return names(slices.DeleteFunc(slices.Clone(members), func(other plan.Member) bool {
		return o.usable(m.Incarnation, other.Incarnation) && o.usable(other.Incarnation, m.Incarnation)
	}))
}

// longestExile bounds how long a worker stays left out; after that time earlier exiles no longer count.
const longestExile = time.Minute

// note records the consequences of a decision that the log has taken.
func (o *observations) note(d Decision, now time.Time, t Timing) {
	if d.rebuilt != 0 {
		o.rebuilds[d.rebuilt]++
	}
	for _, id := range d.apart {
		o.exile(id, now, t, 0)
	}
	if d.accused != 0 {
		o.exile(d.accused, now, t, 1)
	}
}

// exile keeps a worker out for a while, twice as long each time, so that a flaky link does not change the ring all the time.
// If times is 0, the first exile costs nothing: the worker comes back as soon as its links are open.
func (o *observations) exile(id plan.Incarnation, now time.Time, t Timing, times int) {
	w := o.workers[id]
	if w == nil {
		return
	}
	if now.Sub(w.exiledUntil) > longestExile {
		w.exiles = 0
	}
	w.exiledUntil = now
	if times += w.exiles; times > 0 {
		w.exiledUntil = now.Add(min(t.Exile<<min(times-1, 8), longestExile))
	}
	w.exiles++
}

// searching reports whether a worker whose ring broke is still testing its links to the other members.
func searching(j *fsm.Job, w *seen, now time.Time, t Timing) bool {
	return plan.Generation(w.report.Probed) < j.View.Generation && now.Sub(w.brokenSince) < t.Search
}

// quiet finds a member that another one cannot reach and that has not reported for a while either: it may be gone rather
// than cut off.
func (o *observations) quiet(j *fsm.Job, now time.Time, t Timing) *plan.Member {
	for _, to := range j.View.Members {
		if now.Sub(o.workers[to.Incarnation].heard) <= t.Silence/3 {
			continue
		}
		for _, from := range j.View.Members {
			if open, known := o.way(from.Incarnation, to.Incarnation); known && !open {
				return &to
			}
		}
	}
	return nil
}

// wants are the candidates that are asked to test their links.
func (o *observations) wants(j *fsm.Job, now time.Time, t Timing) []*rpc.Member {
	if j.View == nil || len(j.View.Members) >= o.wanted(j, now, t) {
		return nil
	}
	var all []*rpc.Member
	for _, w := range o.candidates(j, now, t) {
		if r := w.report; !seated(j.View, plan.Incarnation(r.Incarnation)) {
			all = append(all, &rpc.Member{Worker: r.Worker, Incarnation: r.Incarnation, Address: r.Address, Socket: r.Socket, Machine: r.Machine, Host: r.Host})
		}
	}
	return all
}
