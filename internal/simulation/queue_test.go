package simulation

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
)

// trial makes a short job of one seat with its reference.
func trial(t *testing.T, seed uint64, steps, every, keep int, sets ...string) Trial {
	t.Helper()
	p := assembleWith(t, append([]string{"seats=4", fmt.Sprintf("seed=%d", seed), fmt.Sprintf("train.steps=%d", steps),
		fmt.Sprintf("checkpoint.every_steps=%d", every), fmt.Sprintf("checkpoint.keep_last=%d", keep)}, sets...)...)
	return Trial{p, referenceOf(t, p)}
}

// It submits jobs together, which the workers that come then do one after the other. Each must end with its own checkpoints.
func TestJobsRunOneAfterTheOther(t *testing.T) {
	for name, trials := range map[string][]Trial{
		"equal steps":            {trial(t, 1, 5, 40, 3), trial(t, 2, 5, 40, 3)},
		"names that were freed":  {trial(t, 1, 40, 10, 1), trial(t, 2, 30, 10, 1)},
		"a dozen that are equal": repeat(trial(t, 1, 5, 40, 1), 12),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := Options{Seed: 1, Workers: 1, Coordinators: 3, Plan: trials[0].Plan, Reference: trials[0].Reference, Queue: trials[1:], Early: true, Log: logger()}
				if out := Run(o); len(out.Problems) > 0 {
					t.Errorf("%q", out.Problems)
				}
			})
		})
	}
}

// TestLongQueue leaves a line of the first jobs. A coordinator that comes afterwards still takes over their checkpoints.
func TestLongQueue(t *testing.T) {
	trials := repeat(trial(t, 1, 5, 40, 1), 20)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		o := Options{Seed: 1, Workers: 1, Coordinators: 3, Plan: trials[0].Plan, Reference: trials[0].Reference, Queue: trials[1:], Early: true, Log: logger()}
		w, job, err := begin(ctx, o)
		defer w.close()
		defer cancel()
		for _, k := range o.Queue {
			if err == nil {
				job, err = w.submit(k.Plan, 1)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		w.startWorkers(o)
		if !w.await(patience, job) {
			t.Fatalf("the jobs do not end: %s", w.where())
		}
		for _, c := range w.all() {
			w.replace(c)
			if problem := w.settle(patience); problem != "" {
				t.Fatalf("after %s was replaced: %s", c.id, problem)
			}
		}
		w.read(func(st *fsm.State) {
			for _, problem := range w.judge.verdict(st, trials...) {
				t.Error(problem)
			}
			if len(st.Past) == 0 {
				t.Error("all jobs are kept whole, so nothing was tried")
			}
		})
	})
}

func repeat(t Trial, n int) []Trial {
	all := make([]Trial, n)
	for i := range all {
		all[i] = t
	}
	return all
}

// TestQueueUnderFaults draws queues of jobs (seeds, steps, how often they save and how much of it they keep) together with faults.
func TestQueueUnderFaults(t *testing.T) {
	var kinds []Trial
	for i, steps := range []int{5, 30, 40, 90, 5, 30, 40, 90} {
		kinds = append(kinds, trial(t, uint64(1+i/4), steps, []int{5, 10, 40}[i%3], 1+i%2))
	}
	steps, jobs := 0, 0
	began := time.Now()
	n := max(4, *seeds/3)
	for seed := *first; seed < *first+uint64(n); seed++ {
		synctest.Test(t, func(t *testing.T) {
			shape := rand.New(rand.NewPCG(seed, 21))
			trials := make([]Trial, 2+shape.IntN(4))
			for i := range trials {
				trials[i] = kinds[shape.IntN(len(kinds))]
			}
			o := Options{Seed: seed, Workers: 1 + shape.IntN(3), Coordinators: []int{1, 3, 3, 5}[shape.IntN(4)], Faults: *faults,
				Plan: trials[0].Plan, Reference: trials[0].Reference, Queue: trials[1:], Early: shape.IntN(2) == 0, Steered: shape.IntN(2) == 0, Log: logger()}
			out := Run(o)
			steps, jobs = steps+out.Steps, jobs+len(trials)
			for _, problem := range out.Problems {
				t.Errorf("seed %d (%d jobs, %d workers, %d coordinators): %s\n  again: go test ./internal/simulation -run TestQueueUnderFaults -seeds 1 -seed %d -tell",
					seed, len(trials), o.Workers, o.Coordinators, problem, seed)
			}
		})
		if t.Failed() && n > 1 {
			t.FailNow()
		}
	}
	t.Logf("%d queues of %d jobs in all from seed %d on, with %d faults each: %d steps finished, in %v", n, jobs, *first, *faults, steps, time.Since(began))
}

// A judge of queues that found nothing wrong with a shared or a lost checkpoint would be none.
func TestJudgeNoticesQueues(t *testing.T) {
	a := trial(t, 1, 5, 40, 1)
	digest, err := hex.DecodeString(a.Reference)
	if err != nil {
		t.Fatal(err)
	}
	job := func(id string, g plan.Generation, change func(*fsm.Job)) *fsm.Job {
		j := &fsm.Job{ID: id, Phase: fsm.Done, Views: []fsm.ViewRecord{{Generation: 1}}, Checkpoints: []fsm.Checkpoint{{Step: 5}}, Outcome: &fsm.Outcome{Step: 5}}
		j.Outcome.StateDigest = digest
		j.Views[0].Generation = g
		change(j)
		return j
	}
	same := func(*fsm.Job) {}
	for name, test := range map[string]struct {
		second *fsm.Job
		good   bool
	}{
		"nothing":                {job("b", 2, same), true},
		"generations again":      {job("b", 1, same), false},
		"no checkpoint":          {job("b", 2, func(j *fsm.Job) { j.Checkpoints = nil }), false},
		"too many":               {job("b", 2, func(j *fsm.Job) { j.Checkpoints = append(j.Checkpoints, fsm.Checkpoint{Step: 5}) }), false},
		"a checkpoint not of it": {job("b", 2, func(j *fsm.Job) { j.Checkpoints[0].Step = 4 }), false},
	} {
		problems := newJudge().verdict(&fsm.State{Jobs: []*fsm.Job{job("a", 1, same), test.second}}, a, a)
		if (len(problems) == 0) != test.good {
			t.Errorf("%s: %q", name, problems)
		}
	}
}
