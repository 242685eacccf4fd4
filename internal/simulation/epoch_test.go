package simulation

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
)

// TestEpochOfTheDead ends an epoch while no coordinator is there, hands the state on to a worker that did not see it end, and
// kills the one that did before the leader hears another word from it. The log must hold the epoch by then: from that state on
// nobody reaches it again.
func TestEpochOfTheDead(t *testing.T) {
	p := assemble(t)
	reference := referenceOf(t, p)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		w, job, err := begin(ctx, Options{Seed: 1, Workers: 2, Coordinators: 1, Plan: p, Log: logger(), SeatTimes: []time.Duration{4 * time.Millisecond, 4 * time.Millisecond}})
		defer w.close()
		defer cancel()
		if err != nil {
			t.Fatal(err)
		}
		until := func(what string, done func() bool) {
			t.Helper()
			for range 100000 {
				if done() {
					return
				}
				time.Sleep(50 * time.Microsecond)
			}
			t.Fatalf("never %s: %s", what, w.where())
		}
		c1, w1, w2 := w.all()[0], w.workers[0], w.workers[1]
		until("in the first epoch", func() bool { return w.judge.reached() > 100 })
		c1.crash()
		until("in the second epoch", func() bool { return w.judge.reached() > uint64(p.PerPass)+20 })
		w2.crash()
		w.addWorker().start()
		w.restart(c1)
		until("handed on", func() bool { return w.judge.started("w1", "w3") })
		w.net.block("w1", "c1")
		until("without w1", func() bool { return w.judge.started("w3") })
		w1.crash()
		if !w.await(patience, job) {
			t.Errorf("the job does not end: %s", w.where())
		}
		w.read(func(st *fsm.State) {
			for _, problem := range w.judge.verdict(st, Trial{p, reference}) {
				t.Error(problem)
			}
		})
	})
}

// started reports whether the last acknowledged start is that of a view of these workers.
func (j *judge) started(ids ...string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	last := plan.Generation(0)
	for _, c := range slices.Backward(j.acked) {
		switch {
		case c.Start != nil && last == 0:
			last = c.Start.Generation
		case c.View != nil && c.View.View.Generation == last:
			return slices.EqualFunc(c.View.View.Members, ids, func(m plan.Member, id string) bool { return m.Worker == id })
		}
	}
	return false
}
