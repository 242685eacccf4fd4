package chaos

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func shapes() map[string]Shape {
	return map[string]Shape{
		"all":             {Workers: 3, Coordinators: 3, Most: 4, Overlap: 0.4},
		"one coordinator": {Workers: 2, Coordinators: 1, Most: 4, Overlap: 0.9},
		"five":            {Workers: 4, Coordinators: 5, Most: 8, Overlap: 1},
		"kills":           {Workers: 3, Coordinators: 3, Most: 4, Overlap: 0.5, Kinds: []Kind{KillWorker}},
		"one worker":      {Workers: 1, Coordinators: 3, Most: 2, Overlap: 0.5},
	}
}

func TestScheduleIsAFunctionOfTheSeed(t *testing.T) {
	for name, shape := range shapes() {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				one, err := Schedule(seed, 200, shape)
				if err != nil {
					t.Fatal(err)
				}
				again, err := Schedule(seed, 200, shape)
				if err != nil || !slices.Equal(one, again) {
					t.Fatalf("seed %d: two schedules differ (%v)", seed, err)
				}
				// A longer schedule begins with the shorter one.
				if longer, err := Schedule(seed, 300, shape); err != nil || !slices.Equal(one, longer[:200]) {
					t.Fatalf("seed %d: a longer schedule begins otherwise (%v)", seed, err)
				}
				if other, err := Schedule(seed+1, 200, shape); err != nil || slices.Equal(one, other) {
					t.Fatalf("seeds %d and %d draw the same (%v)", seed, seed+1, err)
				}
			}
		})
	}
}

// The first faults of seed 1 are written down: a seed in a report must mean the same faults in every version.
func TestScheduleStays(t *testing.T) {
	faults, err := Schedule(1, 6, shapes()["all"])
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range faults {
		when := "once whole"
		if f.Overlap {
			when = "after that"
		}
		lines = append(lines, fmt.Sprintf("%d ms %s: %s", f.After.Milliseconds(), when, f))
	}
	want := `434 ms once whole: kill-worker w2 for 758 ms
788 ms once whole: stop-leader for 701 ms
80 ms after that: kill-coordinators for 1741 ms
624 ms once whole: restart-worker w1 for 842 ms
66 ms after that: kill-worker w2 for 228 ms
189 ms once whole: kill-leader for 513 ms`
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestScheduleSparesAWorker replays schedules on a model of its own: time goes by, processes come back after their pauses,
// and between two moments at which the cluster is whole some worker is never touched.
func TestScheduleSparesAWorker(t *testing.T) {
	for name, shape := range shapes() {
		t.Run(name, func(t *testing.T) {
			seen := map[Kind]int{}
			for seed := range uint64(50) {
				faults, err := Schedule(seed, 200, shape)
				if err != nil {
					t.Fatal(err)
				}
				replay(t, seed, faults, shape, seen)
			}
			kinds := shape.Kinds
			if len(kinds) == 0 {
				kinds = Kinds()
			}
			for _, k := range kinds {
				if impossible := shape.Coordinators == 1 && slices.Contains([]Kind{KillFollower, KillLeader, LoseQuorum}, k); (seen[k] == 0) != impossible {
					t.Errorf("%s was drawn %d times", k, seen[k])
				}
			}
		})
	}
}

func replay(t *testing.T, seed uint64, faults []Fault, shape Shape, seen map[Kind]int) {
	t.Helper()
	running, added, touched := map[string]time.Duration{}, map[string]bool{}, map[string]bool{}
	for i := range shape.Workers {
		running[fmt.Sprintf("w%d", i+1)] = 0
	}
	now := time.Duration(0)
	for i, f := range faults {
		seen[f.Kind]++
		if i == 0 && f.Overlap {
			t.Fatalf("seed %d: the first fault overlaps", seed)
		}
		if !f.Overlap {
			now = 0
			clear(touched)
			for name := range running {
				running[name] = 0
			}
		} else {
			now += f.After
		}
		if f.After <= 0 || f.Pause < 0 {
			t.Fatalf("seed %d, fault %d: %+v", seed, i, f)
		}
		if !f.Kind.OfWorker() {
			if f.Pause == 0 {
				t.Fatalf("seed %d, fault %d: a coordinator that does not come back: %+v", seed, i, f)
			}
			continue
		}
		if f.Kind == AddWorker {
			if _, taken := running[f.Target]; taken || len(running) >= shape.Most {
				t.Fatalf("seed %d, fault %d: %s joins %v", seed, i, f.Target, running)
			}
			running[f.Target], added[f.Target], touched[f.Target] = now, true, true
			continue
		}
		back, runs := running[f.Target]
		if !runs || back > now {
			t.Fatalf("seed %d, fault %d: %s at %v hits %s, which runs again at %v", seed, i, f.Kind, now, f.Target, back)
		}
		touched[f.Target], running[f.Target] = true, now+f.Pause
		if f.Pause == 0 {
			if f.Kind != KillWorker || !added[f.Target] {
				t.Fatalf("seed %d, fault %d: %+v for good", seed, i, f)
			}
			delete(running, f.Target)
		}
		spared := 0
		for name := range running {
			if !touched[name] {
				spared++
			}
		}
		if spared == 0 {
			t.Fatalf("seed %d, fault %d: nobody is spared", seed, i)
		}
	}
}

func TestScheduleRefuses(t *testing.T) {
	for name, shape := range map[string]Shape{
		"a kind that is none":      {Workers: 3, Coordinators: 3, Most: 4, Kinds: []Kind{"kill-cat"}},
		"nobody may be killed":     {Workers: 1, Coordinators: 1, Most: 1, Kinds: []Kind{KillWorker}},
		"one has no followers":     {Workers: 1, Coordinators: 1, Most: 1, Kinds: []Kind{KillFollower}},
		"there is room for no one": {Workers: 2, Coordinators: 1, Most: 2, Kinds: []Kind{AddWorker}},
	} {
		if faults, err := Schedule(1, 10, shape); err == nil {
			t.Errorf("%s: %v", name, faults)
		}
	}
}
