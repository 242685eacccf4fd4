package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
)

// TestSharedWorkers has jobs share the workers while nothing goes wrong: several run at once, and each ends as it does alone.
func TestSharedWorkers(t *testing.T) {
	trials := []Trial{trial(t, 1, 400, 100, 2, "max_workers=2"), trial(t, 2, 300, 100, 2, "max_workers=1"), trial(t, 3, 200, 100, 2), trial(t, 4, 60, 20, 1, "min_workers=3")}
	synctest.Test(t, func(t *testing.T) {
		o := Options{Seed: 1, Workers: 4, Coordinators: 1, Plan: trials[0].Plan, Reference: trials[0].Reference, Queue: trials[1:], Shared: true, Log: logger()}
		out := Run(o)
		for _, problem := range out.Problems {
			t.Error(problem)
		}
		if out.Beside < 500 {
			t.Errorf("only %d of %d steps were finished beside another job's", out.Beside, out.Steps)
		}
	})
}

// TestSharedWorkersUnderFaults draws jobs with bounds on their workers, which share a few workers, together with faults and people who pause,
// prioritise, save and cancel.
func TestSharedWorkersUnderFaults(t *testing.T) {
	var kinds []Trial
	for i, bounds := range []string{"max_workers=1", "max_workers=2", "min_workers=2 max_workers=3", "min_workers=2", "min_workers=3 max_workers=3", ""} {
		for k, steps := range []int{30, 150} {
			kinds = append(kinds, trial(t, uint64(1+i+k), steps, []int{10, 40}[k], 1+i%2, strings.Fields(bounds)...))
		}
	}
	steps, beside, jobs := 0, 0, 0
	began := time.Now()
	n := max(4, *seeds/2)
	for seed := *first; seed < *first+uint64(n); seed++ {
		synctest.Test(t, func(t *testing.T) {
			shape := rand.New(rand.NewPCG(seed, 31))
			trials := make([]Trial, 2+shape.IntN(4))
			for i := range trials {
				trials[i] = kinds[shape.IntN(len(kinds))]
			}
			o := Options{Seed: seed, Workers: 3 + shape.IntN(3), Coordinators: []int{1, 3, 3, 5}[shape.IntN(4)], Faults: *faults, Shared: true,
				Plan: trials[0].Plan, Reference: trials[0].Reference, Queue: trials[1:], Early: shape.IntN(2) == 0, Steered: shape.IntN(3) > 0, Log: logger()}
			out := Run(o)
			steps, beside, jobs = steps+out.Steps, beside+out.Beside, jobs+len(trials)
			for _, problem := range out.Problems {
				t.Errorf("seed %d (%d jobs, %d workers, %d coordinators): %s\n  again: go test ./internal/simulation -run TestSharedWorkersUnderFaults -seeds 1 -seed %d -tell",
					seed, len(trials), o.Workers, o.Coordinators, problem, seed)
			}
		})
		if t.Failed() && n > 1 {
			t.FailNow()
		}
	}
	t.Logf("%d schedules of %d faults from seed %d on, with %d jobs in all: %d steps finished, %d of them beside another job's, in %v", n, *faults, *first, jobs, steps, beside, time.Since(began))
}

// A judge that found nothing wrong with a worker in two jobs, or with a job that has too many, too few, or yields to nobody, would be none.
func TestJudgeNoticesSharing(t *testing.T) {
	view := func(g plan.Generation, ids ...plan.Incarnation) *fsm.View {
		v := &fsm.View{View: plan.View{Generation: g, Seats: 4}}
		for _, id := range ids {
			v.Members = append(v.Members, plan.Member{Worker: fmt.Sprint("w", id), Incarnation: id})
		}
		return v
	}
	job := func(id string, v *fsm.View, change func(*fsm.Job)) *fsm.Job {
		j := &fsm.Job{ID: id, Seats: 4, Phase: fsm.Running, View: v, StartedView: v, Started: &fsm.Start{Generation: v.Generation}, MinWorkers: 1, MaxWorkers: 2}
		change(j)
		return j
	}
	same := func(*fsm.Job) {}
	for name, test := range map[string]struct {
		a, b *fsm.Job
		says string
	}{
		"nothing":                        {job("a", view(1, 1, 2), same), job("b", view(2, 3), same), ""},
		"a worker in two views":          {job("a", view(1, 1, 2), same), job("b", view(2, 2), same), "w2 is at work for the jobs"},
		"a worker that may be at work":   {job("a", view(1, 1, 2), func(j *fsm.Job) { j.View = view(3, 1) }), job("b", view(2, 2), same), "w2 is at work for the jobs"},
		"one that has ended":             {job("a", view(1, 1, 2), func(j *fsm.Job) { j.Phase = fsm.Done }), job("b", view(2, 2), same), ""},
		"too many workers":               {job("a", view(1, 1, 2, 3), same), job("b", view(2, 4), same), "max_workers is 2"},
		"too few workers":                {job("a", view(1, 1), func(j *fsm.Job) { j.MinWorkers = 2 }), job("b", view(2, 4), same), "min_workers is 2"},
		"too few to stop":                {job("a", view(1, 1), func(j *fsm.Job) { j.MinWorkers, j.Started.Halt = 2, true }), job("b", view(2, 4), same), ""},
		"who yields to nobody":           {job("a", view(1, 1), func(j *fsm.Job) { j.Yields = "why" }), job("b", view(2, 2), func(j *fsm.Job) { j.Priority = -1 }), "no job comes before it"},
		"who yields to a lower one":      {job("a", view(1, 1), func(j *fsm.Job) { j.Yields = "why" }), job("b", view(2, 2, 3), func(j *fsm.Job) { j.Priority = -1 }), "do not shrink"},
		"who yields to a more important": {job("a", view(1, 1), func(j *fsm.Job) { j.Yields = "why" }), job("b", view(2, 2), func(j *fsm.Job) { j.Priority = 1 }), ""},
	} {
		judge := newJudge()
		judge.inspect(&fsm.State{Size: 4, Jobs: []*fsm.Job{test.a, test.b}})
		if test.says == "" && len(judge.problems) > 0 || test.says != "" && !slices.ContainsFunc(judge.problems, func(p string) bool { return strings.Contains(p, test.says) }) {
			t.Errorf("%s: %q, want %q", name, judge.problems, test.says)
		}
	}
}
