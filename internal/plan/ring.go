package plan

import (
	"math/bits"
	"slices"
)

// exactRing is the largest number of workers for which ArrangeRing tries every set; with more it inserts one after another.
const exactRing = 12

// ArrangeRing chooses who of n workers makes a ring where not everybody reaches everybody: usable says whether a worker can send to
// another. The result is the largest set that can be ordered so that each sends to the next and the last to the first; among sets
// of one size the one with the most worth, then the one whose workers come first. If holds names workers that have what
// the others lack, one of them is always in the ring, even if a ring without them would be larger. The workers keep their order if it is usable, else the
// first usable one is taken. One worker is always a ring.
//
// With more than twelve workers the ring is good, but not always the best; grown says what is sure and what it costs.
func ArrangeRing(n int, usable func(from, to int) bool, worth func(worker int) int, holds func(worker int) bool) []int {
	all, closes := make([]int, n), true
	for i := range all {
		all[i] = i
		next := (i + 1) % n
		closes = closes && (next == i || usable(i, next))
	}
	if closes { // as almost always, and then nobody asks for the links between all others
		return all
	}
	g := links{n: n, usable: usable, worth: worth, holds: holds}
	if n <= exactRing {
		return g.exact()
	}
	return g.grown(mostAsked)
}

// links says which worker can send to which.
type links struct {
	n      int
	usable func(from, to int) bool // asked of two different workers
	worth  func(int) int
	holds  func(int) bool
}

// closes reports whether each worker of the ring can send to the next.
func (g *links) closes(ring []int) bool {
	for i, from := range ring {
		if to := ring[(i+1)%len(ring)]; from != to && !g.usable(from, to) {
			return false
		}
	}
	return true
}

// better compares two rings by what they hold, size, worth, and who is in them.
func (g *links) better(a, b []int) bool {
	if holdA, holdB := slices.ContainsFunc(a, g.holds), slices.ContainsFunc(b, g.holds); holdA != holdB {
		return holdA
	}
	if len(a) != len(b) {
		return len(a) > len(b)
	}
	worthA, worthB := 0, 0
	for i := range a {
		worthA, worthB = worthA+g.worth(a[i]), worthB+g.worth(b[i])
	}
	if worthA != worthB {
		return worthA > worthB
	}
	return slices.Compare(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))) < 0
}

// exact tries all sets. begins[set] is the set of workers from which a path leads through the whole set to its first worker.
func (g *links) exact() []int {
	begins := make([]uint32, 1<<g.n)
	to := make([]uint32, g.n) // whom each can send to
	for from := range g.n {
		for v := range g.n {
			if from != v && g.usable(from, v) {
				to[from] |= 1 << v
			}
		}
	}
	var best []int
	for set := uint32(1); set < 1<<g.n; set++ {
		first := bits.TrailingZeros32(set)
		if set == 1<<first {
			begins[set] = set
		}
		for rest := set &^ (1 << first); rest != 0; rest &= rest - 1 {
			v := bits.TrailingZeros32(rest)
			if begins[set&^(1<<v)]&to[v] != 0 {
				begins[set] |= 1 << v
			}
		}
		if begins[set] == 1<<first || begins[set]&to[first] != 0 {
			if members := elements(set); best == nil || g.better(members, best) {
				best = members
			}
		}
	}
	if g.closes(best) {
		return best
	}
	ring, left := []int{best[0]}, uint32(0)
	for _, v := range best {
		left |= 1 << v
	}
	for len(ring) < len(best) {
		next := bits.TrailingZeros32(begins[left] & to[ring[len(ring)-1]] &^ (1 << best[0]))
		ring = append(ring, next)
		left &^= 1 << next
	}
	return ring
}

func elements(set uint32) []int {
	all := make([]int, 0, bits.OnesCount32(set))
	for ; set != 0; set &= set - 1 {
		all = append(all, bits.TrailingZeros32(set))
	}
	return all
}
