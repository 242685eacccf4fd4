package plan

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func even(int) int { return 0 }

func nobody(int) bool { return false }

func TestARingGoesAroundClosedWays(t *testing.T) {
	without := func(closed ...[2]int) func(from, to int) bool {
		return func(from, to int) bool { return !slices.Contains(closed, [2]int{from, to}) }
	}
	halves := func(from, to int) bool { return from/2 == to/2 }
	for name, c := range map[string]struct {
		n      int
		usable func(from, to int) bool
		worth  func(int) int
		holds  func(int) bool
		want   []int
	}{
		"nothing is closed":             {4, without(), even, nobody, []int{0, 1, 2, 3}},
		"one alone":                     {1, without(), even, nobody, []int{0}},
		"one way that no hop needs":     {4, without([2]int{1, 0}), even, nobody, []int{0, 1, 2, 3}},
		"neighbours, one way":           {4, without([2]int{0, 1}), even, nobody, []int{0, 2, 1, 3}},
		"neighbours, both directions":   {4, without([2]int{0, 1}, [2]int{1, 0}), even, nobody, []int{0, 2, 1, 3}},
		"three need the other way":      {3, without([2]int{0, 1}), even, nobody, []int{0, 2, 1}},
		"a pair of three":               {3, without([2]int{0, 1}, [2]int{1, 0}), even, nobody, []int{0, 2}},
		"halves":                        {4, halves, even, nobody, []int{0, 1}},
		"halves, the second has more":   {5, halves3, even, nobody, []int{2, 3, 4}},
		"halves, the second knows more": {4, halves, func(v int) int { return v / 2 }, nobody, []int{2, 3}},
		"the smaller half holds more":   {5, halves3, even, func(v int) bool { return v == 1 }, []int{0, 1}},
		"nobody reaches anybody":        {3, func(int, int) bool { return false }, func(v int) int { return v }, nobody, []int{2}},
	} {
		if got := ArrangeRing(c.n, c.usable, c.worth, c.holds); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func halves3(from, to int) bool { return (from < 2) == (to < 2) }

// The ring is as good as the best of all orders of all sets.
func TestRingIsBest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "workers")
		open := rapid.SliceOfN(rapid.Bool(), n*n, n*n).Draw(t, "links")
		worth := rapid.SliceOfN(rapid.IntRange(0, 2), n, n).Draw(t, "worth")
		holds := rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "holds")
		g := links{n: n, open: open, worth: func(v int) int { return worth[v] }, holds: func(v int) bool { return holds[v] }}
		got := ArrangeRing(n, g.usable, g.worth, g.holds)
		checkRing(t, &g, got)
		var best []int
		eachOrder(n, nil, func(ring []int) {
			if g.closes(ring) && (best == nil || g.better(ring, best)) {
				best = slices.Clone(ring)
			}
		})
		if g.better(best, got) {
			t.Fatalf("%v, and %v is better", got, best)
		}
		if inOrder := slices.Sorted(slices.Values(got)); g.closes(inOrder) && !slices.Equal(got, inOrder) {
			t.Fatalf("%v, although %v does", got, inOrder)
		}
	})
}

// Among many workers a ring is found at least as large as the largest group in which everybody reaches everybody.
func TestRingOfMany(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(exactRing+1, 40).Draw(t, "workers")
		groups := rapid.SliceOfN(rapid.IntRange(0, 3), n, n).Draw(t, "groups")
		got := ArrangeRing(n, func(from, to int) bool { return groups[from] == groups[to] }, even, nobody)
		for _, v := range got {
			if groups[v] != groups[got[0]] {
				t.Fatalf("%v is no ring", got)
			}
		}
		sizes := [4]int{}
		for _, group := range groups {
			sizes[group]++
		}
		if len(got) != slices.Max(sizes[:]) {
			t.Fatalf("%d workers, groups of %v", len(got), sizes)
		}
		// A single closed way costs nobody.
		from, to := rapid.IntRange(0, n-1).Draw(t, "from"), rapid.IntRange(0, n-1).Draw(t, "to")
		if ring := ArrangeRing(n, func(a, b int) bool { return a != from || b != to }, even, nobody); len(ring) != n {
			t.Fatalf("%d of %d workers because %d does not reach %d", len(ring), n, from, to)
		}
	})
}

func checkRing(t *rapid.T, g *links, ring []int) {
	t.Helper()
	sorted := slices.Sorted(slices.Values(ring))
	if len(slices.Compact(sorted)) != len(ring) || !g.closes(ring) {
		t.Fatalf("%v is no ring", ring)
	}
}

func eachOrder(n int, chosen []int, do func([]int)) {
	for v := range n {
		if slices.Contains(chosen, v) {
			continue
		}
		do(append(chosen, v))
		eachOrder(n, append(slices.Clone(chosen), v), do)
	}
}
