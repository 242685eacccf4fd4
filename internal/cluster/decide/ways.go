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

// arrange makes a ring of those members that reach each other, in which those of one machine sit beside each other if that order is usable. out are the others.
// One of them holds the state that the last started view began with, if any of the members does. apart says, for people, who does not reach
// whom, which is why the ring goes on without some or does not keep the members' order; it is empty if each member reaches the one behind it.
func (o *observations) arrange(j *fsm.Job, members []plan.Member) (ring, out []plan.Member, apart string) {
	links := o.reachOf(members)
	chosen := o.choose(j, members, links, plan.Beside(members))
	in := make([]bool, len(members))
	for _, k := range chosen {
		ring, in[k] = append(ring, members[k]), true
	}
	if len(chosen) == len(members) {
		return ring, nil, detour(members, links, ring)
	}
	var left []int
	for k, m := range members {
		if !in[k] {
			out, left = append(out, m), append(left, k)
		}
	}
	return ring, out, leftOut(members, links, chosen, left)
}

// choose orders those of some members, named by their positions, that make the best ring.
func (o *observations) choose(j *fsm.Job, members []plan.Member, links *reach, some []int) []int {
	step := func(k int) uint64 { return o.workers[members[some[k]].Incarnation].report.GetStep() }
	newest, started := uint64(0), uint64(0)
	for k := range some {
		newest = max(newest, step(k))
	}
	if j.Started != nil {
		started = j.Started.Step
	}
	chosen := plan.ArrangeRing(len(some), func(from, to int) bool { return links.usable(some[from], some[to]) }, func(a, b int) int {
		return plan.Distance(members[some[a]], members[some[b]])
	}, func(k int) int {
		seats := members[some[k]].Arc.Len()
		if step(k) == newest {
			seats += 1 << 20 // a worker with the newest state counts more than all seats
		}
		return seats
	}, func(k int) bool { return step(k) >= started })
	for i, k := range chosen {
		chosen[i] = some[k]
	}
	return chosen
}

// detour says why a ring of all members has another order; empty where each reaches the one behind it.
func detour(members []plan.Member, links *reach, ring []plan.Member) string {
	var closed []string
	for i, m := range members {
		if to := (i + 1) % len(members); to != i && !links.usable(i, to) {
			next := members[to]
			closed = append(closed, fmt.Sprintf("worker %s on %s cannot reach worker %s on %s", m.Worker, m.Host, next.Worker, next.Host))
		}
	}
	if len(closed) == 0 {
		return ""
	}
	return fmt.Sprintf("%s: going on in the order %s", strings.Join(shortened(closed), ", "), names(ring))
}

// leftOut says why a ring goes on without some members.
func leftOut(members []plan.Member, links *reach, ring, out []int) string {
	var cannot []plan.Member
	for _, k := range ring {
		if slices.ContainsFunc(out, func(lost int) bool { return !links.usable(k, lost) || !links.usable(lost, k) }) {
			cannot = append(cannot, members[k])
		}
	}
	lost := make([]string, len(out))
	for i, k := range out {
		lost[i] = fmt.Sprintf("worker %s on %s", members[k].Worker, members[k].Host)
	}
	return fmt.Sprintf("%s cannot reach %s: going on with %s", names(cannot), listed(lost), names(at(members, ring)))
}

// at are the members at some positions.
func at(members []plan.Member, positions []int) []plan.Member {
	some := make([]plan.Member, len(positions))
	for i, k := range positions {
		some[i] = members[k]
	}
	return some
}

// names lists workers by their ids.
func names(members []plan.Member) string {
	all := make([]string, len(members))
	for i, m := range members {
		all[i] = m.Worker
	}
	return listed(all)
}

// maxListed bounds how many workers a reason names.
const maxListed = 32

// shortened is a list of at most maxListed entries; the last one says how many there are beyond the others.
func shortened(all []string) []string {
	if len(all) <= maxListed {
		return all
	}
	return append(slices.Clone(all[:maxListed-1]), fmt.Sprintf("%d more", len(all)-(maxListed-1)))
}

func listed(all []string) string {
	if all = shortened(all); len(all) < 2 {
		return strings.Join(all, "")
	}
	return strings.Join(all[:len(all)-1], ", ") + " and " + all[len(all)-1]
}

// proposeRing proposes a view of those members that reach each other. A member that is left out may come back when its links are open
// again: the first time at once, and the more often it was left out, the later.
func (o *observations) proposeRing(j *fsm.Job, members []plan.Member, orderly bool, cause, reason string, detectedMs float64) *Decision {
	ring, out, why := o.arrange(j, members)
	if why != "" {
		if reason != "" {
			reason += "; "
		}
		reason += why
	}
	d := o.proposeView(j, ring, orderly, cause, reason, detectedMs)
	for _, m := range out {
		d.apart = append(d.apart, m.Incarnation)
	}
	return d
}

// joinable returns the workers, up to a number, that fit into a ring with the members that stay; none while one of
// them still tests its links, so that all join at once. Some of these links may be closed: the ring then takes another order. wait says
// what is waited for. Workers are tried in growing groups, and groups that do not fit are halved.
func (o *observations) joinable(j *fsm.Job, stay []plan.Member, ready []*seen, most int) (come []plan.Member, wait string) {
	all := slices.Concat(stay, membersOf(ready))
	links := o.reachOf(all)
	ring := make([]int, len(stay), len(all)) // positions
	for k := range ring {
		ring[k] = k
	}
	for next, n := len(stay), len(ready); next < len(all) && len(come) < most; {
		n = min(n, len(all)-next, most-len(come))
		group := make([]int, n)
		for i := range group {
			group[i] = next + i
			if m := all[group[i]]; !links.provenAmong(group[i], len(stay)) {
				return nil, fmt.Sprintf("worker %s on %s tests its links to the others", m.Worker, m.Host)
			}
		}
		with := append(ring, group...)
		switch fits := len(o.choose(j, all, links, with)) == len(with); {
		case fits:
			ring, come, next, n = with, append(come, all[next:next+n]...), next+n, 2*n
		case n > 1:
			n /= 2
		default:
			wait = fmt.Sprintf("worker %s on %s waits: it and %s cannot reach each other", all[next].Worker, all[next].Host, names(links.closedTo(all, next, len(stay))))
			next++
		}
	}
	return come, wait
}

// provenAmong reports whether a candidate and the first n have tested their links to each other.
func (r *reach) provenAmong(candidate, n int) bool {
	for k := range n {
		if !r.tested(candidate, k) {
			return false
		}
	}
	return true
}

// closedTo are those of the first n members that one does not reach, or that do not reach it.
func (r *reach) closedTo(members []plan.Member, k, n int) (closed []plan.Member) {
	for other := range n {
		if !r.usable(k, other) || !r.usable(other, k) {
			closed = append(closed, members[other])
		}
	}
	return closed
}

// longestExile bounds how long a worker stays left out; after that time earlier exiles no longer count.
const longestExile = time.Minute

// note records the consequences of a decision that the log has taken.
func (o *observations) note(d Decision, now time.Time, t Timing) {
	if d.rebuilt != 0 {
		o.rebuilds[accusation{d.job, d.rebuilt}]++
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
