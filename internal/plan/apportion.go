package plan

import (
	"container/heap"
	"slices"
)

// Seatable is what a member can do with seats.
type Seatable struct {
	Ms    float64 // what one seat takes the member in a step; 0 where that is unknown
	Limit int     // the most seats it can hold
}

// Apportion says how many seats each member gets so that the slowest of them is done as early as possible: every member
// at least one, none more than its limit. Among equally good distributions those in front get more, so members of one
// speed are served as evenly as an interval is cut into parts. A member of unknown speed counts as fast as the median of those
// that have one. It returns false if the seats do not fit.
func Apportion(seats int, members []Seatable) ([]int, bool) {
	if len(members) == 0 || seats < len(members) {
		return nil, false
	}
	speeds := Speeds(members)
	counts := make([]int, len(members))
	next := &turns{speeds: speeds, counts: counts}
	for k, m := range members {
		if m.Limit < 1 {
			return nil, false
		}
		counts[k] = 1
		if m.Limit > 1 {
			next.order = append(next.order, k)
		}
	}
	heap.Init(next)
	// Each seat goes to the member that would finish it first. No other distribution is better: if you take the
	// seat that finishes last away from its member, every other member would finish it later still.
	for range seats - len(members) {
		if len(next.order) == 0 {
			return nil, false
		}
		k := next.order[0]
		if counts[k]++; counts[k] < members[k].Limit {
			heap.Fix(next, 0)
		} else {
			heap.Pop(next)
		}
	}
	return counts, true
}

// Speeds are the members' milliseconds a seat, with the median of those that are known where one is not; 1 where none is.
func Speeds(members []Seatable) []float64 {
	var known []float64
	for _, m := range members {
		if m.Ms > 0 {
			known = append(known, m.Ms)
		}
	}
	median := 1.0
	if n := len(known); n > 0 {
		slices.Sort(known)
		median = known[(n-1)/2]
	}
	speeds := make([]float64, len(members))
	for k, m := range members {
		if speeds[k] = m.Ms; m.Ms <= 0 {
			speeds[k] = median
		}
	}
	return speeds
}

// Slowest is the time at which the last member finishes its seats.
func Slowest(speeds []float64, counts []int) float64 {
	last := 0.0
	for k, n := range counts {
		last = max(last, float64(n)*speeds[k])
	}
	return last
}

// turns is a heap of members, ordered by when each would finish one more seat.
type turns struct {
	speeds []float64
	counts []int
	order  []int
}

func (t *turns) Len() int { return len(t.order) }

func (t *turns) Less(i, j int) bool {
	a, b := t.order[i], t.order[j]
	done := func(k int) float64 { return float64(t.counts[k]+1) * t.speeds[k] }
	if x, y := done(a), done(b); x != y {
		return x < y
	}
	return a < b
}

func (t *turns) Swap(i, j int) { t.order[i], t.order[j] = t.order[j], t.order[i] }

// Push is never called: no member is added while seats are assigned.
func (t *turns) Push(any) { panic("plan: a member joined while seats are dealt out") }

func (t *turns) Pop() any {
	last := t.order[len(t.order)-1]
	t.order = t.order[:len(t.order)-1]
	return last
}
