package plan

import (
	"math/bits"
	"slices"
)

// exactRing is the largest number of workers for which ArrangeRing tries every set; with more it searches greedily.
const exactRing = 12

// ArrangeRing chooses who of n workers makes a ring where not everybody reaches everybody: usable says whether a worker can send to
// another. The result is the largest set that can be ordered so that each sends to the next and the last to the first; among sets
// of one size the one with the most worth, then the one whose workers come first. If holds names workers that have what
// the others lack, one of them is always in the ring, even if a ring without them would be larger. The workers keep their order if it is usable, else the
// first usable one is taken. One worker is always a ring.
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
	g := links{n: n, worth: worth, holds: holds, open: make([]bool, n*n)}
	for from := range n {
		for to := range n {
			g.open[from*n+to] = from != to && usable(from, to)
		}
	}
	switch {
	case n <= exactRing:
		return g.exact()
	}
	return g.grown()
}

// links says which worker can send to which.
type links struct {
	n     int
	open  []bool // from*n + to
	worth func(int) int
	holds func(int) bool
}

func (g *links) usable(from, to int) bool { return g.open[from*g.n+to] }

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
	in := make([]int, g.n)
	for i := range a {
		worthA, worthB = worthA+g.worth(a[i]), worthB+g.worth(b[i])
		in[a[i]]++
		in[b[i]]--
	}
	if worthA != worthB {
		return worthA > worthB
	}
	for _, difference := range in {
		if difference != 0 {
			return difference > 0
		}
	}
	return false
}

// exact tries all sets. begins[set] is the set of workers from which a path leads through the whole set to its first worker.
func (g *links) exact() []int {
	begins := make([]uint32, 1<<g.n)
	to := make([]uint32, g.n) // whom each can send to
	for from := range g.n {
		for v := range g.n {
			if g.usable(from, v) {
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

// grown starts from each worker in turn and inserts the others, one after another, wherever they fit.
func (g *links) grown() []int {
	var best []int
	for seed := range g.n {
		ring, in := []int{seed}, make([]bool, g.n)
		in[seed] = true
		for grows := true; grows; {
			grows = false
			for i := 1; i < g.n; i++ {
				v := (seed + i) % g.n
				if at := g.fits(ring, v); !in[v] && at > 0 {
					ring = append(ring[:at], append([]int{v}, ring[at:]...)...)
					in[v], grows = true, true
				}
			}
		}
		if best == nil || g.better(ring, best) {
			best = ring
		}
	}
	return best
}

// fits returns where the worker can be inserted into the ring: at the end if possible, which keeps the order, else the last place that works; 0: nowhere.
func (g *links) fits(ring []int, v int) int {
	for k := len(ring); k > 0; k-- {
		if g.usable(ring[k-1], v) && g.usable(v, ring[k%len(ring)]) {
			return k
		}
	}
	return 0
}
