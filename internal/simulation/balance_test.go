package simulation

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestBalancedThroughput trains on two workers, one at half the other's speed, and compares the whole run's time with
// that of a pair between which the work is divided without any loss, from the first step on.
func TestBalancedThroughput(t *testing.T) {
	if testing.Short() {
		t.Skip("two long runs, in which nothing happens that the others do not show")
	}
	const steps, seats, fast, slow = 1500, 12, 4 * time.Millisecond, 8 * time.Millisecond
	ideal := steps * seats * fast * slow / (fast + slow)
	reference := referenceOf(t, assembleWith(t, "seats=12", "train.steps=1500"))
	for _, c := range []struct {
		balance     string
		moves       int
		least, most float64
	}{
		{"true", 1, 0.9, 1},
		{"false", 0, 0.6, 0.7}, // six seats of the slow one: two thirds at best
	} {
		p := assembleWith(t, "seats=12", "train.steps=1500", "balance="+c.balance)
		synctest.Test(t, func(t *testing.T) {
			out := Run(Options{Seed: 1, Workers: 2, Coordinators: 1, Plan: p, Reference: reference, Log: logger(), SeatTimes: []time.Duration{fast, slow}})
			if len(out.Problems) > 0 || out.Moves != c.moves {
				t.Errorf("balance %s: seats moved %d times, problems %q", c.balance, out.Moves, out.Problems)
			}
			got := ideal.Seconds() / out.Took.Seconds()
			t.Logf("balance %s: %d steps in %v of simulated time, %.1f %% of the ideal throughput", c.balance, steps, out.Took, 100*got)
			if got < c.least || got > c.most {
				t.Errorf("balance %s: %.1f %% of the ideal throughput, want %.0f to %.0f", c.balance, 100*got, 100*c.least, 100*c.most)
			}
		})
	}
}
