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
// the others lack, one of them is always in the ring, even if a ring without them would be larger. The workers keep their order if it is usable, else
// the one whose hops are the shortest altogether by distance (each below 1,000), and of those the first. One worker is always a ring.
//
// With more than twelve workers the ring is good, but not always the best; grown says what is sure and what it costs.
func ArrangeRing(n int, usable func(from, to int) bool, distance func(a, b int) int, worth func(worker int) int, holds func(worker int) bool) []int {
	all, closes := make([]int, n), true
	for i := range all {
		all[i] = i
		next := (i + 1) % n
		closes = closes && (next == i || usable(i, next))
	}
	if closes { // as almost always, and then nobody asks for the links between all others
		return all
	}
	g := links{n: n, usable: usable, distance: distance, worth: worth, holds: holds}
	if n <= exactRing {
		return g.exact()
	}
	return g.grown(mostAsked)
}

// links says which worker can send to which.
type links struct {
	n        int
	usable   func(from, to int) bool // asked of two different workers
	distance func(a, b int) int
	worth    func(int) int
	holds    func(int) bool
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
	return g.shortest(best)
}

// shortest orders workers that make a ring so that its hops are the shortest altogether. rest[set][v] is how far it is from members[v]
// through all members of the set and on to the first one (Held and Karp, 1962).
func (g *links) shortest(members []int) []int {
	const never = 1 << 20 // no sum of distances is as large
	var hop [exactRing][exactRing]int
	for i, from := range members {
		for k, to := range members {
			if hop[i][k] = never; from != to && g.usable(from, to) {
				hop[i][k] = g.distance(from, to)
			}
		}
	}
	rest := make([][exactRing]int, 1<<len(members))
	nearest := func(from, set int) (next, far int) {
		far = 1 << 30
		for left := set; left != 0; left &= left - 1 {
			to := bits.TrailingZeros(uint(left))
			if d := hop[from][to] + rest[set&^(1<<to)][to]; d < far {
				next, far = to, d
			}
		}
		return next, far
	}
	for v := range members {
		rest[0][v] = hop[v][0]
	}
	for set := 2; set < len(rest); set += 2 { // the first member is in none
		for v := range members {
			if set&(1<<v) == 0 {
				_, rest[set][v] = nearest(v, set)
			}
		}
	}
	ring, at := []int{members[0]}, 0
	for set := len(rest) - 2; set != 0; set &^= 1 << at {
		at, _ = nearest(at, set)
		ring = append(ring, members[at])
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
