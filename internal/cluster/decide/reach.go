package decide

import (
	"ringmaster/internal/plan"
)

// reach says which of some members reach each other, by their positions. Made once, it answers without searching reports.
type reach struct {
	known, open []row // by the sender; nil: its newest report says nothing of any of them
	closed      bool  // some link is known to be closed
}

// row is a set of positions.
type row []uint64

func (r row) has(k int) bool { return r != nil && r[k/64]&(1<<(k%64)) != 0 }

func (r row) add(k int) { r[k/64] |= 1 << (k % 64) }

// reachOf reads the members' newest reports, as way does.
func (o *observations) reachOf(members []plan.Member) *reach {
	r := &reach{known: make([]row, len(members)), open: make([]row, len(members))}
	var at map[plan.Incarnation]int
	for from, m := range members {
		w := o.workers[m.Incarnation]
		if w == nil || w.stale || len(w.report.GetWays()) == 0 {
			continue
		}
		if at == nil {
			at = make(map[plan.Incarnation]int, len(members))
			for k, m := range members {
				at[m.Incarnation] = k
			}
		}
		size := (len(members) + 63) / 64
		r.known[from], r.open[from] = make(row, size), make(row, size)
		for _, way := range w.report.Ways {
			to, member := at[plan.Incarnation(way.Incarnation)]
			if !member || r.known[from].has(to) {
				continue
			}
			if r.known[from].add(to); way.Open {
				r.open[from].add(to)
			}
			r.closed = r.closed || !way.Open
		}
	}
	return r
}

// usable reports whether one member can probably send to another. An untested link counts as open unless the opposite
// direction is closed: without a route neither side can connect; a firewall may let one side through.
func (r *reach) usable(from, to int) bool {
	switch {
	case !r.closed:
		return true
	case r.known[from].has(to):
		return r.open[from].has(to)
	}
	return r.open[to].has(from) || !r.known[to].has(from)
}

// tested reports whether two members have tested their links to each other.
func (r *reach) tested(a, b int) bool { return r.known[a].has(b) && r.known[b].has(a) }
