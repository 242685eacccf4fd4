package trainer

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/tensor/kernel"
)

// TestScoreIsTheRunsOwn compares an evaluation of the state alone with those of rings of several workers.
func TestScoreIsTheRunsOwn(t *testing.T) {
	p := assemble(t, 5, "")
	p.PerPass = 25
	var mu sync.Mutex
	var ends []EpochEnd
	trained := train(t, p, 3, 1, 1, nil, nil, func(r *Run) {
		r.OnEpoch = func(e EpochEnd) {
			mu.Lock()
			defer mu.Unlock()
			ends = append(ends, e)
		}
	})[0]
	state := trained.State()
	before := slices.Clone(state.Params)
	for _, threads := range []int{1, 2} {
		team := kernel.NewTeam(threads)
		defer team.Close()
		got, err := p.Score(team, state.Params, state.Stats)
		if err != nil {
			t.Fatal(err)
		}
		if len(ends) != 3 || ends[0].Eval.Count == 0 {
			t.Fatalf("the run reported %d ends", len(ends))
		}
		for _, e := range ends {
			if *got != *e.Eval {
				t.Errorf("%d threads: scored %+v, the run %+v", threads, *got, *e.Eval)
			}
		}
	}
	if !slices.Equal(before, state.Params) {
		t.Error("scoring changes the parameters")
	}
	p.Data.Eval = nil
	if got, err := p.Score(nil, state.Params, state.Stats); got != nil || err != nil {
		t.Errorf("without an evaluation set: %v, %v", got, err)
	}
}

// assembleText parses a small job on a text of its own.
func assembleText(t *testing.T) *Plan {
	t.Helper()
	file := filepath.Join(t.TempDir(), "text.txt")
	if err := os.WriteFile(file, []byte(strings.Repeat("the quick brown fox jumps over the lazy dog. ", 40)), 0o644); err != nil {
		t.Fatal(err)
	}
	job, err := config.Parse("text.yaml", []byte(`
name: text
seats: 4
model: {kind: gpt, depth: 1, heads: 2, width: 8}
data: {kind: text, context: 8, dir: `+file+`}
train: {steps: 5, batch_per_seat: 2}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Assemble(job)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestProgressCountsSamples: where samples have many targets each, the progress counts samples all the same.
func TestProgressCountsSamples(t *testing.T) {
	p := assembleText(t)
	for i, tr := range train(t, p, 2, 1, 1, nil, nil) {
		if got, want := tr.Progress.Samples.Load(), uint64(5*p.Job.Seats*p.Job.Train.BatchPerSeat); got != want {
			t.Errorf("worker %d: %d samples in 5 steps, want %d", i+1, got, want)
		}
	}
}

// A last step that leaves a value that is not finite fails the job: no later loss would tell.
func TestCompleteWantsFiniteValues(t *testing.T) {
	p := assemble(t, 2, "")
	team := kernel.NewTeam(1)
	defer team.Close()
	tr, err := New(t.Context(), p, team)
	if err != nil {
		t.Fatal(err)
	}
	if ending, err := tr.complete(); ending != Complete || err != nil {
		t.Errorf("%v, %v", ending, err)
	}
	for _, v := range []float64{math.NaN(), math.Inf(-1)} {
		tr.params[784*24+1] = float32(v)
		_, err = tr.complete()
		if bad := new(NotFiniteError); !errors.As(err, &bad) || bad.Tensor != "0.bias" {
			t.Errorf("%v: %v", v, err)
		}
	}
}
