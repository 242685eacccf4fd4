package kernel

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestTeamRunsEachPartOnce(t *testing.T) {
	for _, threads := range []int{0, 1, 2, 3, 8} {
		team := NewTeam(threads)
		if want := max(threads, 1); team.Threads() != want {
			t.Errorf("NewTeam(%d).Threads() = %d", threads, team.Threads())
		}
		for round := range 300 {
			n := round % 17
			counts := make([]atomic.Int32, n)
			team.Run(n, func(part int) { counts[part].Add(1) })
			for part := range counts {
				if got := counts[part].Load(); got != 1 {
					t.Fatalf("%d threads, %d parts: part %d ran %d times", threads, n, part, got)
				}
			}
			if round%100 == 99 {
				time.Sleep(2 * time.Millisecond) // lets the helpers fall asleep
			}
		}
		team.Close()
		team.Close()
		ran := 0
		team.Run(5, func(int) { ran++ })
		if ran != 5 {
			t.Errorf("a closed team ran %d of 5 parts", ran)
		}
	}
}

func TestNilTeamRunsOnTheCaller(t *testing.T) {
	var team *Team
	var order []int
	team.Run(4, func(part int) { order = append(order, part) })
	if len(order) != 4 || order[0] != 0 || order[3] != 3 || team.Threads() != 1 {
		t.Errorf("parts %v on %d threads", order, team.Threads())
	}
	team.Close()
}

// The slow parts make the caller fall asleep while it waits for the helpers.
func TestTeamWaitsForSleepersAndSlowParts(t *testing.T) {
	team := NewTeam(3)
	defer team.Close()
	for range 20 {
		var sum atomic.Int64
		team.Run(6, func(part int) {
			time.Sleep(time.Duration(part) * 200 * time.Microsecond)
			sum.Add(int64(part))
		})
		if sum.Load() != 15 {
			t.Fatalf("parts add up to %d, want 15", sum.Load())
		}
	}
}

func TestTeamServesNestedAndSecondCallers(t *testing.T) {
	team := NewTeam(2)
	defer team.Close()
	var total atomic.Int64
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for range 50 {
				team.Run(4, func(int) {
					team.Run(3, func(int) { total.Add(1) })
				})
			}
		})
	}
	callers.Wait()
	if got := total.Load(); got != 4*50*4*3 {
		t.Errorf("%d inner parts ran, want %d", got, 4*50*4*3)
	}
}

func TestTeamRunDoesNotAllocate(t *testing.T) {
	team := NewTeam(2)
	defer team.Close()
	var sum atomic.Int64
	task := func(part int) { sum.Add(int64(part)) }
	if allocs := testing.AllocsPerRun(200, func() { team.Run(4, task) }); allocs != 0 {
		t.Errorf("Run allocates %v times", allocs)
	}
}

func TestLateness(t *testing.T) {
	long := time.Now().Add(-time.Hour)
	var l lateness
	if l.again(time.Now()) {
		t.Error("room is made before a helper can have woken up")
	}
	l.over()
	if !l.again(long) {
		t.Error("no room is made for a helper that has been late for an hour")
	}
	l.over()
	if l != (lateness{since: long}) {
		t.Errorf("doubts remain after it helped: %+v", l)
	}
	// In vain each time: the rows of late jobs between two moves grow, to a bound.
	var rows []int
	for late, moves := 0, 0; moves < 8; late++ {
		if l.again(long) {
			rows, late, moves = append(rows, late+1), -1, moves+1
		}
	}
	if want := []int{1, 3, 15, 63, 255, 1023, 1023, 1023}; !slices.Equal(rows, want) {
		t.Errorf("made room after rows of %v late jobs, want %v", rows, want)
	}
	// It helps again: each time by a step less doubt.
	for l.doubt > 0 {
		doubt := l.doubt
		for !l.again(long) {
			if l.doubt > doubt {
				doubt = l.doubt // of the move before
			}
		}
		l.over()
		if l.doubt != doubt-1 {
			t.Fatalf("doubt went from %d to %d", doubt, l.doubt)
		}
	}
}
