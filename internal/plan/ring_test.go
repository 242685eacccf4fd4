package plan

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func even(int) int { return 0 }

func nobody(int) bool { return false }

func nowhere(int, int) int { return 0 }

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
		if got := ArrangeRing(c.n, c.usable, nowhere, c.worth, c.holds); !slices.Equal(got, c.want) {
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
		machine := rapid.SliceOfN(rapid.IntRange(0, 2), n, n).Draw(t, "machines")
		far := func(a, b int) int { return min(1, max(machine[a]-machine[b], machine[b]-machine[a])) }
		g := links{n: n, usable: func(from, to int) bool { return open[from*n+to] }, distance: far, worth: func(v int) int { return worth[v] }, holds: func(v int) bool { return holds[v] }}
		got := ArrangeRing(n, g.usable, g.distance, g.worth, g.holds)
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
		} else if !g.closes(inOrder) {
			checkShortest(t, &g, got)
		}
	})
}

// checkShortest compares a ring with all orders of its workers.
func checkShortest(t *rapid.T, g *links, ring []int) {
	t.Helper()
	long := func(ring []int) (sum int) {
		for i, from := range ring {
			sum += g.distance(from, ring[(i+1)%len(ring)])
		}
		return sum
	}
	eachOrder(g.n, nil, func(other []int) {
		same := len(other) == len(ring) && slices.Equal(slices.Sorted(slices.Values(other)), slices.Sorted(slices.Values(ring)))
		if same && g.closes(other) && long(other) < long(ring) {
			t.Fatalf("%v goes %d far, and %v only %d", ring, long(ring), other, long(other))
		}
	})
}

// Among many workers a ring is found at least as large as the largest group in which everybody reaches everybody.
func TestRingOfMany(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(exactRing+1, 40).Draw(t, "workers")
		groups := rapid.SliceOfN(rapid.IntRange(0, 3), n, n).Draw(t, "groups")
		got := ArrangeRing(n, func(from, to int) bool { return groups[from] == groups[to] }, nowhere, even, nobody)
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
		if ring := ArrangeRing(n, func(a, b int) bool { return a != from || b != to }, nowhere, even, nobody); len(ring) != n {
			t.Fatalf("%d of %d workers because %d does not reach %d", len(ring), n, from, to)
		}
	})
}

// Inserting one after another is as good as trying everything as long as few links are closed, keeps whoever holds the state, and never
// looks at more links than promised.
func TestGrownRings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 9).Draw(t, "workers")
		g, closed := drawn(t, n, rapid.IntRange(0, n*n).Draw(t, "most closed links"))
		asked, usable := 0, g.usable
		want := g.exact()
		g.usable = func(from, to int) bool {
			if asked++; from == to {
				t.Fatal("asked for the link to itself")
			}
			return usable(from, to)
		}
		most := rapid.IntRange(0, 100).Draw(t, "most")
		got := g.grown(most)
		if asked > 8*(n+len(closed))+most+n {
			t.Fatalf("looked at %d links, of %d closed ones and %d workers", asked, len(closed), n)
		}
		checkRing(t, g, got)
		if slices.ContainsFunc(want, g.holds) && !slices.ContainsFunc(got, g.holds) {
			t.Fatalf("%v leaves out who holds the state, %v does not", got, want)
		}
		if g.better(got, want) {
			t.Fatalf("%v is better than %v, which should be the best", got, want)
		}
		degree, clean := make([]int, n), 0
		for link := range closed {
			degree[link[0]]++
			degree[link[1]]++
		}
		for _, d := range degree {
			if d == 0 {
				clean++
			}
		}
		for v, d := range degree {
			if d < clean && !slices.Contains(got, v) {
				t.Fatalf("%v leaves out %d, which has %d closed links, beside %d workers without any", got, v, d, clean)
			}
		}
	})
}

// drawn are n workers with at most that many closed links.
func drawn(t *rapid.T, n, most int) (*links, map[[2]int]bool) {
	closed := map[[2]int]bool{}
	for range rapid.IntRange(0, most).Draw(t, "closed") {
		from, to := rapid.IntRange(0, n-1).Draw(t, "from"), rapid.IntRange(0, n-1).Draw(t, "to")
		if from != to {
			closed[[2]int{from, to}] = true
		}
	}
	worth := rapid.SliceOfN(rapid.IntRange(0, 2), n, n).Draw(t, "worth")
	holds := rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "holds")
	return &links{n: n, usable: func(from, to int) bool { return !closed[[2]int{from, to}] }, distance: nowhere,
		worth: func(v int) int { return worth[v] }, holds: func(v int) bool { return holds[v] }}, closed
}

// One closed link among 10,000 workers costs no more than a look at each of them, and nobody's seat.
func TestRingOfTenThousand(t *testing.T) {
	const n = 10000
	for name, c := range map[string]struct {
		closed func(from, to int) bool
		want   int // members
		asked  int
	}{
		"one way":          {func(from, to int) bool { return from == 4000 && to == 4001 }, n, 8 * n},
		"one alone":        {func(from, to int) bool { return from == 4000 || to == 4000 }, n - 1, 16 * n},
		"one only listens": {func(from, to int) bool { return from == 4000 }, n - 1, 16 * n},
		"every neighbour":  {func(from, to int) bool { return (from+1)%n == to }, n, 16 * n},
	} {
		asked := 0
		ring := ArrangeRing(n, func(from, to int) bool {
			asked++
			return !c.closed(from, to)
		}, nowhere, even, nobody)
		if len(ring) != c.want || asked > c.asked {
			t.Errorf("%s: a ring of %d, %d links were looked at", name, len(ring), asked)
		}
		for i, from := range ring {
			if c.closed(from, ring[(i+1)%len(ring)]) {
				t.Fatalf("%s: the ring uses a closed link", name)
			}
		}
	}
}

// BenchmarkArrangeRing arranges 10,000 workers. go test ./internal/plan -run - -bench ArrangeRing -benchtime 3x
func BenchmarkArrangeRing(b *testing.B) {
	const n = 10000
	at := rand.New(rand.NewPCG(1, 2))
	some := map[[2]int]bool{}
	for range 20 * n {
		some[[2]int{at.IntN(n), at.IntN(n)}] = true
	}
	for _, c := range []struct {
		name   string
		closed func(from, to int) bool
	}{
		{"one-closed", func(from, to int) bool { return from == 4000 && to == 4001 }},
		{"one-alone", func(from, to int) bool { return from == 4000 || to == 4000 }},
		{"one-with-two-links", func(from, to int) bool { return from == 4000 && to != 77 || to == 4000 && from != 9000 }},
		{"200000-closed", func(from, to int) bool { return some[[2]int{from, to}] }},
		{"half-of-one-way", func(from, to int) bool { return from < n/2 && to >= n/2 }},
		{"halves", func(from, to int) bool { return from < n/2 != (to < n/2) }},
		{"all-closed", func(int, int) bool { return true }},
	} {
		b.Run(c.name, func(b *testing.B) {
			for range b.N {
				ArrangeRing(n, func(from, to int) bool { return !c.closed(from, to) }, nowhere, even, nobody)
			}
		})
	}
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
