package plan

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// on are workers w0, w1, ... on these machines.
func on(machines ...string) []Member {
	members := make([]Member, len(machines))
	for i, machine := range machines {
		members[i] = Member{Worker: fmt.Sprintf("w%d", i), Machine: machine}
	}
	return members
}

// ringOf is the members in the order of Beside.
func ringOf(members []Member) (ring []Member) {
	for _, k := range Beside(members) {
		ring = append(ring, members[k])
	}
	return ring
}

// left counts the hops of a ring that leave something which workers share.
func left(ring []Member, level int) (hops int) {
	for i, m := range ring {
		if next := ring[(i+1)%len(ring)]; nearness(m.Machine, next.Machine) < level {
			hops++
		}
	}
	return hops
}

func TestWorkersOfOneMachineSitBesideEachOther(t *testing.T) {
	for _, c := range []struct {
		machines, want []string // in the ring
	}{
		{[]string{"a", "b", "a", "b", "a", "b"}, []string{"w0", "w2", "w4", "w1", "w3", "w5"}},
		{[]string{"a", "a", "b", "b"}, []string{"w0", "w1", "w2", "w3"}},
		{[]string{"", "a", "", "a"}, []string{"w0", "w1", "w3", "w2"}},
		{[]string{"k net:1", "l net:1", "k net:2", "k net:1", "l net:2"}, []string{"w0", "w3", "w2", "w1", "w4"}},
		{[]string{"k n m", "k o m", "k n p", "k o m", "k n m"}, []string{"w0", "w4", "w2", "w1", "w3"}},
		{nil, []string{}},
	} {
		got := []string{}
		for _, m := range ringOf(on(c.machines...)) {
			got = append(got, m.Worker)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: %v, want %v", c.machines, got, c.want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"k n m", "k n m", 0}, {"k n m", "k n l", 1}, {"k n m", "k o m", 2}, {"k n m", "j n m", 100}, {"k", "k", 0}, {"k", "j", 100}, {"", "", 100}, {"k n", "k n m", 1},
	} {
		if got := Distance(Member{Machine: c.a}, Member{Machine: c.b}); got != c.want {
			t.Errorf("from %q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// Whatever the order was, the ring leaves each machine, network and kernel once, holds everybody, and stays when it is ordered again.
func TestBesideLeavesEachMachineOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.SampledFrom([]string{"k n a", "k n b", "k o c", "l n a", "l n b", "m"}), 1, 30).Draw(t, "machines")
		ring := ringOf(on(names...))
		seen := map[string]bool{}
		for _, m := range ring {
			seen[m.Worker] = true
		}
		if len(seen) != len(names) || len(ring) != len(names) || !slices.Equal(ringOf(ring), ring) {
			t.Fatalf("%v: %v", names, ring)
		}
		for level := sameKernel; level <= sameMachine; level++ {
			groups := map[string]bool{}
			for _, name := range names {
				groups[leading(name, level)] = true
			}
			want := len(groups)
			if want == 1 {
				want = 0
			}
			if got := left(ring, level); got != want {
				t.Fatalf("%v: %d groups of level %d are left %d times", ring, len(groups), level, got)
			}
		}
	})
}
