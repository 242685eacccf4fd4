//go:build !race

package allreduce

import (
	"runtime"
	"testing"

	"ringmaster/internal/plan"
)

// Steps over wires and boards allocate nothing. The streams beside the wires do, for a ping a second; and where goroutines move frames while the trainer computes, the runtime
// records waiting goroutines from time to time.
func TestWiresAllocateNothing(t *testing.T) {
	for buckets, most := range map[int]uint64{1: 300, 3: 500} {
		for _, board := range []bool{true, false} {
			if n := allocations(t, buckets, 1000, board); n > most {
				t.Errorf("%d buckets, a board is %v: %d allocations in 1000 steps of three workers, want at most %d", buckets, board, n, most)
			}
		}
	}
}

// allocations counts those of a number of steps of three workers, after a few to warm up.
func allocations(t *testing.T, buckets int, steps uint64, board bool) uint64 {
	const warm = 50
	w, _ := wiredWorld(t, 3, 3, plan.Interval{Begin: 0, End: 3000 * buckets}.Parts(buckets), func(_ int, o *Options) { o.NoBoards = !board })
	for _, r := range w.rings {
		r.mu.Lock()
		r.wires.spare = buckets > 1
		r.mu.Unlock()
	}
	at, done := make(chan struct{}), make(chan error, 3)
	for i, r := range w.rings {
		go func() {
			var err error
			for step := uint64(1); step <= warm+steps && err == nil; step++ {
				if i == 0 && step == warm {
					at <- struct{}{}
				}
				err = tallied(r, step)
			}
			done <- err
		}()
	}
	<-at
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range w.rings {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}

var tallies = [][]byte{make([]byte, 48)}

// tallied is a step of a worker with one seat.
func tallied(r *Ring, step uint64) error {
	r.Begin(step)
	r.Contribute(0, tallies)
	for b := range r.buckets {
		r.Ready(len(r.buckets) - 1 - b)
	}
	if _, err := r.Collect(0); err != nil {
		return err
	}
	for b := range r.buckets {
		if err := r.Wait(b); err != nil {
			return err
		}
	}
	return r.End(step)
}
