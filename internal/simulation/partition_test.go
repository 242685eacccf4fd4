package simulation

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringmaster/internal/allreduce"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
)

// Links between workers break, some in one direction only, for long. All workers reach the leader, so a ring goes on
// meanwhile, of one worker at the least, and it ends with the bits of an undisturbed run.
func TestPartitionedWorkers(t *testing.T) {
	const (
		lasts = 12 * time.Second
		// bound is how long the ring may stand still, in simulated time.
		bound = 4 * time.Second
	)
	p := assembleWith(t, "train.steps=1500")
	reference := referenceOf(t, p)
	longest := time.Duration(0)
	for seed := *first; seed < *first+uint64(max(4, *seeds/3)); seed++ {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 17))
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			o := Options{Seed: seed, Workers: 2 + random.IntN(4), Coordinators: 1, Plan: p, Log: logger()}
			w, job, err := begin(ctx, o)
			defer w.close()
			defer cancel()
			if err != nil {
				t.Fatal(err)
			}
			for w.judge.reached() < 20 {
				time.Sleep(10 * time.Millisecond)
			}
			what := cutWays(w, random)
			standstill := w.longestStandstill(job, lasts)
			longest = max(longest, standstill)
			if standstill > bound {
				t.Errorf("seed %d, %d workers, %s: the ring stood still for %v", seed, o.Workers, what, standstill)
			}
			w.mend()
			ended := w.await(patience, job)
			w.read(func(st *fsm.State) {
				for _, problem := range w.judge.verdict(st, Trial{p, reference}) {
					t.Errorf("seed %d, %d workers, %s: %s", seed, o.Workers, what, problem)
				}
				if views := st.Newest().Views; !ended || views[len(views)-1].Workers != o.Workers {
					t.Errorf("seed %d, %d workers, %s: ended %v, the last view has %d", seed, o.Workers, what, ended, views[len(views)-1].Workers)
				}
			})
			if t.Failed() {
				t.Logf("again: go test ./internal/simulation -run TestPartitionedWorkers -seeds 1 -seed %d -tell", seed)
			}
		})
	}
	t.Logf("the longest standstill was %v", longest)
}

// A worker that dials over a link on which nothing passes gives up when its attempt is over, as it would over TCP, and blames the other.
func TestDiallingEndsWithItsAttempt(t *testing.T) {
	p := assemble(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		w, _, err := begin(ctx, Options{Seed: 1, Workers: 2, Coordinators: 1, Plan: p, Log: logger()})
		defer w.close()
		defer cancel()
		if err != nil {
			t.Fatal(err)
		}
		w.net.block("w2", "w1")
		view, err := plan.Seat(9, 2, []plan.Member{w.workers[0].member, w.workers[1].member})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		attempt, end := context.WithTimeout(ctx, time.Second)
		defer end()
		_, err = (&ringLinks{world: w, self: view.Members[0]}).Dial(attempt, &allreduce.Identity{Cluster: 1, Job: "j", View: view})
		if lost, ok := errors.AsType[*allreduce.PeerLostError](err); !ok || lost.Culprit != "w2" || time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// cutWays cuts the workers in two groups, or ways at random.
func cutWays(w *World, random *rand.Rand) string {
	var what []string
	cut := func(a, b string) {
		w.net.block(a, b)
		what = append(what, a+" to "+b)
	}
	halves, share := random.IntN(3) == 0, random.Float64()/2
	for i, a := range w.workers {
		for k, b := range w.workers {
			if a != b && (halves && i%2 != k%2 || !halves && random.Float64() < share) {
				cut(a.id, b.id)
			}
		}
	}
	if len(what) == 0 {
		cut("w1", "w2")
	}
	return strings.Join(what, ", ")
}

// longestStandstill watches for a while how long no worker finishes a new step.
func (w *World) longestStandstill(job string, d time.Duration) time.Duration {
	longest, at, moved := time.Duration(0), w.judge.reached(), time.Now()
	for until := time.Now().Add(d); time.Now().Before(until) && !w.ended(job); time.Sleep(10 * time.Millisecond) {
		if now := w.judge.reached(); now > at {
			at, moved = now, time.Now()
		}
		longest = max(longest, time.Since(moved))
	}
	return longest
}

// reached is the highest step that any worker has finished.
func (j *judge) reached() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	best := uint64(0)
	for _, step := range j.highest {
		best = max(best, step)
	}
	return best
}
