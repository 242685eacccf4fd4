package chaos

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/launch"
)

func TestAttributeFindsTheViewOfAFault(t *testing.T) {
	start := time.Now()
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	hits := []*hit{
		{fault: Fault{Kind: KillWorker, Target: "w2"}, at: at(1), generation: 1},
		{fault: Fault{Kind: KillLeader, Target: "leader"}, at: at(1), generation: 1, answerMs: 80},
		{fault: Fault{Kind: StopWorker, Target: "w2"}, at: at(4), generation: 3}, // short: nobody noticed
		{fault: Fault{Kind: KillWorker, Target: "w2"}, at: at(5), generation: 3},
		{fault: Fault{Kind: LoseQuorum, Target: "majority"}, at: at(9), generation: 4}, // the job ended first
	}
	views := []launch.ViewSummary{
		{Generation: 1, Cause: "start", Reason: "3 workers are ready"},
		{Generation: 2, Cause: "worker lost", Reason: "worker w2 on host closed its connection; worker w3 on host closed its connection"},
		{Generation: 3, Cause: "joined", Reason: "worker w2 joined"},
		{Generation: 4, Cause: "worker lost", Reason: "worker w2 on host has been silent for 1501 ms"},
		{Generation: 5, Cause: "joined", Reason: "worker w12 joined"},
	}
	changes := map[uint64]change{2: {at(2), 44}, 3: {at(3), 10}, 4: {at(6), 1600}, 5: {at(7), 9}}
	want := []float64{40, 80, math.NaN(), 1596, math.NaN()}
	got := attribute(hits, views, changes, 4)
	for i, r := range got {
		if r.kind != hits[i].fault.Kind || r.ms != want[i] && !(math.IsNaN(r.ms) && math.IsNaN(want[i])) {
			t.Errorf("hit %d: %s after %v ms, want %v", i, r.kind, r.ms, want[i])
		}
	}
}

func TestFiguresOfKnownTimes(t *testing.T) {
	var all []recovery
	for i := range 200 {
		all = append(all, recovery{kind: KillWorker, ms: float64(200 - i)})
	}
	all = append(all, recovery{kind: KillWorker, ms: math.NaN()})
	want := Figures{Kind: "kill-worker", Faults: 201, Recoveries: 200, MinMs: 1, MedianMs: 100, P99Ms: 198, MaxMs: 200}
	if got := figures("kill-worker", all); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	none := Figures{Kind: "kill-leader", Faults: 1}
	if got := figures("kill-leader", all[200:]); got.Recoveries != none.Recoveries || got.MaxMs != 0 {
		t.Errorf("got %+v", got)
	}
}

// Each thing that must not happen makes the report fail and say so.
func TestReportFails(t *testing.T) {
	reference := &launch.Summary{State: launch.StateDone, Digest: "d", StateDigest: "s", Step: 10,
		Epochs: []launch.EpochSummary{{Epoch: 1, TrainLoss: 0.5, Eval: &launch.EvalSummary{Loss: 0.25, Accuracy: 0.75}}}}
	for name, change := range map[string]func(t *trial, s *launch.Summary){
		"":                   func(*trial, *launch.Summary) {},
		"digest x":           func(_ *trial, s *launch.Summary) { s.Digest = "x" },
		"state digest x":     func(_ *trial, s *launch.Summary) { s.StateDigest = "x" },
		"figures":            func(_ *trial, s *launch.Summary) { s.Epochs[0].Eval.Accuracy = 0.7 },
		"lost 2 finished":    func(_ *trial, s *launch.Summary) { s.Views[0].LostSteps = 2 },
		"state failed":       func(_ *trial, s *launch.Summary) { s.State = launch.StateFailed },
		"w1 ended by itself": func(t *trial, _ *launch.Summary) { t.problem("w1 ended by itself") },
		"only 0 of 1 fault":  func(t *trial, _ *launch.Summary) { t.hits = nil },
	} {
		tr := &trial{hits: []*hit{{fault: Fault{Kind: KillLeader}, answerMs: 7}}}
		s := *reference
		s.Epochs = []launch.EpochSummary{reference.Epochs[0]}
		eval := *reference.Epochs[0].Eval
		s.Epochs[0].Eval = &eval
		s.Views = []launch.ViewSummary{{Generation: 1, Cause: "start"}}
		change(tr, &s)
		r := &Report{Job: "job", Seed: 3}
		r.note(tr, "dir", &s, reference, nil)
		r.conclude(1)
		if r.Passed != (name == "") || !strings.Contains(strings.Join(r.Problems, "\n"), name) {
			t.Errorf("%q: passed %v, problems %q", name, r.Passed, r.Problems)
		}
		if table := r.Table(); !strings.Contains(table, "seed 3") || (len(r.Problems) > 0) != strings.Contains(table, "problem:") {
			t.Errorf("%q: table %s", name, table)
		}
	}
}

func TestSlowestAreNamed(t *testing.T) {
	r := &Report{}
	for run := range 3 {
		n := Round{Equal: true}
		for i := range 4 {
			ms := float64(10*i + run)
			n.recoveries = append(n.recoveries, recovery{kind: KillWorker, ms: ms, slow: Slow{Fault: "kill-worker w1", Generation: uint64(i), Ms: ms}})
		}
		n.recoveries = append(n.recoveries, recovery{kind: StopWorker, ms: math.NaN()}, recovery{kind: KillLeader, ms: 1000})
		r.Rounds = append(r.Rounds, n)
	}
	r.conclude(0)
	want := []Slow{{3, "kill-worker w1", 3, 32}, {2, "kill-worker w1", 3, 31}, {1, "kill-worker w1", 3, 30}}
	if !slices.Equal(r.Slowest, want) {
		t.Errorf("got %+v, want %+v", r.Slowest, want)
	}
}
