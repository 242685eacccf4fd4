package decide

import (
	"slices"
	"time"

	"ringmaster/internal/rpc"
)

// A straggler is a worker that sets the ring's pace: each seat keeps it busy longer than the others, and they spend
// the difference waiting. All workers do the same steps, so shares of the same span of time can be compared.
const (
	paceSpan  = 600 * time.Millisecond // over which shares are compared,
	paceParts = 3                      // the worker must be slow in each part, so that one hiccup does not make a straggler
	paceKept  = 1500 * time.Millisecond

	slowTimes, stillSlowTimes = 1.4, 1.25 // times the others' share: to become a straggler, and to stay one
	slowPart                  = 1.05      // the same in each part
	slowWaits                 = 0.2       // share of their time that the others wait longer than the straggler
)

// gap is a time in which a worker did not report: it was stopped, say. Its own clock counts such time as spent on whatever
// it was doing.
type gap struct {
	took time.Duration
	end  time.Time
	step uint64 // under way
}

// pace is how a worker had spent its time up to a report.
type pace struct {
	at                     time.Time
	reading, busy, waiting time.Duration // busy: it read, computed, or was kept from running
}

// note records, from a report, the counters whose changes the leader watches. It is called for every report, before that becomes the newest.
func (w *seen) note(r *rpc.Report, now time.Time) {
	w.noteSaving(r, now)
	a := r.GetActivity()
	if took := now.Sub(w.heard); w.report != nil && took > unheard {
		w.silence = gap{took, now, a.GetStep()}
	}
	if old := w.report.GetActivity(); old == nil || a.GetSent() != old.Sent || w.report.Generation != r.Generation {
		w.sentAt = now
	}
	if old := w.report.GetActivity(); old == nil || a.GetReceived() != old.Received || w.report.Generation != r.Generation {
		w.receivedAt = now
	}
	if r.Phase != rpc.Phase_PHASE_TRAINING || w.report.GetGeneration() != r.Generation {
		w.paces = nil
	}
	if r.Phase != rpc.Phase_PHASE_TRAINING || a == nil {
		return
	}
	old := slices.IndexFunc(w.paces, func(p pace) bool { return now.Sub(p.at) <= paceKept })
	if old < 0 {
		old = len(w.paces)
	}
	w.paces = append(slices.Delete(w.paces, 0, old), pace{now, micros(a.ReadingUs), micros(a.ReadingUs + a.ComputingUs + a.HeldUs), micros(a.WaitingUs)})
}

// share is how a worker spent a span of time: parts of 1.
type share struct{ reading, busy, waiting float64 }

// between is how the worker spent the time between two moments before its newest report; false where too little is known.
func (w *seen) between(begin, end time.Duration) (share, bool) {
	if len(w.paces) == 0 {
		return share{}, false
	}
	newest := w.paces[len(w.paces)-1].at
	from, ok := w.paceAt(newest.Add(-begin))
	to, also := w.paceAt(newest.Add(-end))
	reading, busy, waiting := to.reading-from.reading, to.busy-from.busy, to.waiting-from.waiting
	total := float64(busy + waiting)
	if !ok || !also || total <= 0 {
		return share{}, false
	}
	return share{float64(reading) / total, float64(busy) / total, float64(waiting) / total}, true
}

// paceAt is the newest pace that was reported at that time.
func (w *seen) paceAt(at time.Time) (pace, bool) {
	for _, p := range slices.Backward(w.paces) {
		if !p.at.After(at) {
			return p, true
		}
	}
	return pace{}, false
}

// straggler names the worker that sets the ring's pace; nil: none is slower than the others.
func (g *waits) straggler(shown *stall) *stall {
	if len(g.ring) < 2 {
		return nil
	}
	whole, ok := g.shares(paceSpan, 0)
	if !ok {
		return nil
	}
	at, times := slowest(whole, g)
	n := &g.ring[at]
	least := slowTimes
	if shown != nil && shown.slow && shown.culprit.Incarnation == n.Incarnation {
		least = stillSlowTimes
	}
	if times < least || others(whole, at, func(i int) float64 { return whole[i].waiting })-whole[at].waiting < slowWaits {
		return nil
	}
	for part := range time.Duration(paceParts) {
		some, ok := g.shares(paceSpan*(part+1)/paceParts, paceSpan*part/paceParts)
		if !ok || g.times(some, at) < slowPart {
			return nil
		}
	}
	s := &stall{culprit: n.Member, doing: doings[rpc.Doing_DOING_COMPUTING], since: paceSpan, step: n.activity().GetStep(), slow: true, times: times}
	reading := whole[at].reading/float64(n.Arc.Len()) - others(whole, at, func(i int) float64 { return whole[i].reading / g.seats(i) })
	busy := whole[at].busy/float64(n.Arc.Len()) - others(whole, at, func(i int) float64 { return whole[i].busy / g.seats(i) })
	if mostly(reading, busy) {
		s.doing = doings[rpc.Doing_DOING_READING]
	}
	if next := &g.ring[g.next(at)]; next.waiting() {
		s.wait = next.report.Waiting
	}
	return s
}

func (g *waits) seats(i int) float64 { return float64(g.ring[i].Arc.Len()) }

// shares are how all members spent a span of time; false if that is unknown for one of them, as when it does not report.
func (g *waits) shares(begin, end time.Duration) ([]share, bool) {
	all := make([]share, len(g.ring))
	for i := range g.ring {
		n := &g.ring[i]
		if !n.trains || n.age > unheard || n.Arc.Len() == 0 {
			return nil, false
		}
		var ok bool
		if all[i], ok = n.seen.between(begin, end); !ok {
			return nil, false
		}
	}
	return all, true
}

// slowest is the member that a seat keeps busy longest, and the ratio to the others.
func slowest(all []share, g *waits) (at int, times float64) {
	for i := range all {
		if t := g.times(all, i); t > times {
			at, times = i, t
		}
	}
	return at, times
}

// times is how long a seat keeps a member busy, relative to the others.
func (g *waits) times(all []share, at int) float64 {
	rest := others(all, at, func(i int) float64 { return all[i].busy / g.seats(i) })
	return all[at].busy / g.seats(at) / max(rest, 1e-3)
}

// others is the median of a figure over all members but one.
func others(all []share, but int, figure func(i int) float64) float64 {
	var figures []float64
	for i := range all {
		if i != but {
			figures = append(figures, figure(i))
		}
	}
	slices.Sort(figures)
	mid := len(figures) / 2
	if len(figures)%2 == 0 {
		return (figures[mid-1] + figures[mid]) / 2
	}
	return figures[mid]
}
