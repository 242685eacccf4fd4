package plan

import (
	"cmp"
	"slices"
)

// mostAsked is the number of links after which grown tries no further ring: all pairs of 1,400 workers.
const mostAsked = 1 << 21

// grown finds a ring of many workers. Every ring lies within a group of workers that reach each other, directly or over others. In each
// group, first in those that may hold the best ring, a ring begins with the first worker, and the others are inserted one after another
// wherever they fit. If that does not bring in the whole group, the same begins with the next worker, until enough links were looked at.
//
// A closed link spoils one place of a ring, so a worker fits into every ring that has more members than the worker has closed links to
// them. Hence only a worker is left out that has at least as many closed links as there are workers without any.
//
// For n workers with m closed links it looks at most at 8(n + m) + most links: nothing is squared while few are closed. If one half cannot
// reach the other, m is n*n/2.
func (g *links) grown(most int) []int {
	var best []int
	looks := search{links: g, most: most}
	for _, group := range g.groups() {
		holds := slices.ContainsFunc(group, g.holds)
		if best != nil && (len(group) < len(best) || !holds && slices.ContainsFunc(best, g.holds)) {
			continue // no ring of this group is better
		}
		for first := range group {
			ring := looks.insert(group, first)
			if best == nil || g.better(ring, best) {
				best = ring
			}
			if len(ring) == len(group) || looks.asked > most {
				break
			}
		}
		if holds && !slices.ContainsFunc(best, g.holds) {
			best = looks.insert(group, slices.IndexFunc(group, g.holds))
		}
	}
	return best
}

// search counts the links that were looked at.
type search struct {
	*links
	asked, most int
}

// insert begins a ring with one of the group and inserts the others, in the order in which they follow, until nobody else fits.
func (s *search) insert(group []int, first int) []int {
	ring, left := []int{group[first]}, slices.Concat(group[first+1:], group[:first])
	for pass := 0; pass < 2 || s.asked <= s.most; pass++ {
		out := left[:0]
		for _, v := range left {
			if at := s.fits(ring, v); at > 0 {
				ring = slices.Insert(ring, at, v)
			} else {
				out = append(out, v)
			}
		}
		if len(out) == len(left) {
			break
		}
		left = out
	}
	return ring
}

// fits returns where the worker can be inserted into the ring: at the end if possible, which keeps the order, else the last place that works; 0: nowhere.
func (s *search) fits(ring []int, v int) int {
	for k := len(ring); k > 0; k-- {
		if s.asked++; !s.usable(ring[k-1], v) {
			continue
		}
		if s.asked++; s.usable(v, ring[k%len(ring)]) {
			return k
		}
	}
	return 0
}

// groups are the strongly connected components of the open links, by Kosaraju's algorithm: first those with a worker that holds what
// others lack, then the larger ones. Each closed link is looked at once in either direction.
func (g *links) groups() [][]int {
	var groups [][]int
	left := newUnseen(g.n)
	for _, v := range slices.Backward(g.finished()) {
		if left.next(v) != v {
			continue
		}
		left.take(v)
		group := []int{v}
		for k := 0; k < len(group); k++ {
			for u := left.next(0); u < g.n; u = left.next(u + 1) {
				if g.usable(u, group[k]) {
					left.take(u)
					group = append(group, u)
				}
			}
		}
		slices.Sort(group)
		groups = append(groups, group)
	}
	slices.SortFunc(groups, func(a, b []int) int {
		if x, y := slices.ContainsFunc(a, g.holds), slices.ContainsFunc(b, g.holds); x != y {
			if x {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a[0], b[0]))
	})
	return groups
}

// finished lists the workers as a depth-first search along the open links is done with them.
func (g *links) finished() []int {
	type visit struct{ worker, next int }
	order, left := make([]int, 0, g.n), newUnseen(g.n)
	var path []visit
	for root := left.next(0); root < g.n; root = left.next(root) {
		left.take(root)
		path = append(path, visit{worker: root})
		for len(path) > 0 {
			top := &path[len(path)-1]
			to := left.next(top.next)
			if to == g.n {
				order, path = append(order, top.worker), path[:len(path)-1]
				continue
			}
			if top.next = to + 1; g.usable(top.worker, to) {
				left.take(to)
				path = append(path, visit{worker: to})
			}
		}
	}
	return order
}

// unseen are numbers from 0 that have not been taken: unseen[i] is i for one of them, else a number up to the next of them.
type unseen []int

func newUnseen(n int) unseen {
	u := make(unseen, n+1)
	for i := range u {
		u[i] = i
	}
	return u
}

func (u unseen) take(i int) { u[i] = i + 1 }

// next is the smallest that is at least i; n where there is none.
func (u unseen) next(i int) int {
	for u[i] != i {
		u[i] = u[u[i]]
		i = u[i]
	}
	return i
}
