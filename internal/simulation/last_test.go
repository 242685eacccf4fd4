package simulation

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringmaster/internal/cluster/fsm"
)

// TestLastCheckpointOutlivesItsView kills the leader and a worker when the last checkpoint is in the log and the job's end is not yet.
// The workers that are left store that checkpoint once more in their new view, and the job ends.
func TestLastCheckpointOutlivesItsView(t *testing.T) {
	p := assemble(t)
	reference := referenceOf(t, p)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		w, job, err := begin(ctx, Options{Seed: 1, Workers: 3, Coordinators: 1, Plan: p, Log: logger()})
		defer w.close()
		defer cancel()
		if err != nil {
			t.Fatal(err)
		}
		committed := make(chan struct{})
		var once sync.Once
		heard := func(c fsm.Command) {
			if c.Checkpoint != nil && c.Checkpoint.Step == 700 {
				once.Do(func() {
					close(committed)
					time.Sleep(time.Second) // nothing follows before the leader is gone
				})
			}
		}
		w.judge.heard.Store(&heard)
		select {
		case <-committed:
		case <-time.After(patience):
			t.Fatalf("no last checkpoint: %s", w.where())
		}
		c1 := w.all()[0]
		w.workers[1].crash()
		c1.crash()
		w.restart(c1)
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
