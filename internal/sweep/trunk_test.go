package sweep

import (
	"context"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/launch"
)

// Trials whose schedules give the same rates for a while begin with one training of these steps; where nothing proves it, each begins alone.
func TestTrunks(t *testing.T) {
	type trunk struct {
		steps  uint64
		parent int
		trials []int
	}
	for name, c := range map[string]struct {
		base []string
		grid []Axis
		want []trunk
	}{
		"steps of a schedule": {[]string{"train.steps=100", "train.schedule.kind=step"}, []Axis{{"train.schedule.step_size", []string{"20", "50", "200", "300"}}},
			[]trunk{{20, 0, []int{1, 2, 3, 4}}, {50, 1, []int{2, 3, 4}}, {100, 2, []int{3, 4}}}},
		"decay after a warm-up": {[]string{"train.epochs=2", "train.schedule.warmup=9"}, []Axis{{"train.schedule.kind", []string{"cosine", "linear", "constant"}}},
			[]trunk{{10, 0, []int{1, 2, 3}}}},
		"a horizon that follows from the length": {[]string{"train.schedule.kind=cosine", "train.schedule.warmup=30"}, []Axis{{"train.steps", []string{"100", "200"}}},
			[]trunk{{31, 0, []int{1, 2}}}},
		"the length alone": {[]string{"train.schedule.kind=step"}, []Axis{{"train.steps", []string{"100", "200"}}}, nil},
		"too little":       {[]string{"train.steps=1000", "train.schedule.kind=step"}, []Axis{{"train.schedule.step_size", []string{"20", "50"}}}, nil},
		"the warm-up":      {[]string{"train.steps=100"}, []Axis{{"train.schedule.warmup", []string{"20", "50"}}}, nil},
		"the rate, too": {[]string{"train.steps=100", "train.schedule.kind=step"}, []Axis{{"train.optimizer.lr", []string{"0.1", "0.2"}}, {"train.schedule.step_size", []string{"20", "50"}}},
			[]trunk{{20, 0, []int{1, 2}}, {20, 0, []int{3, 4}}}},
		"one cycle": {[]string{"train.steps=100", "train.schedule.kind=one_cycle"}, []Axis{{"train.schedule.final_div_factor", []string{"10", "100"}}},
			[]trunk{{30, 0, []int{1, 2}}}},
	} {
		dir := t.TempDir()
		o := Options{Share: true, Space: Space{Grid: c.grid}, Folder: func() (string, error) { return filepath.Join(dir, "s"), nil },
			Samples: func(*config.Job) (int, error) { return 640, nil },
			Job:     func(sets []string) (*config.Job, error) { return load(append(slices.Clone(c.base), sets...)) }}
		s, err := prepare(&o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []trunk
		for _, tr := range s.report.Trunks {
			got = append(got, trunk{tr.Steps, tr.Parent, tr.Trials})
		}
		if !slices.EqualFunc(got, c.want, func(a, b trunk) bool {
			return a.steps == b.steps && a.parent == b.parent && slices.Equal(a.trials, b.trials)
		}) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// A trunk is trained once, before its trials, and not again where the sweep is resumed; what fails or ended early is not gone on from.
func TestTrialsBeginWithTheirTrunk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	var ran []string
	state := launch.StateInterrupted
	o := Options{Share: true, Space: Space{Grid: []Axis{{"train.schedule.step_size", []string{"20", "40"}}}}, Folder: func() (string, error) { return dir, nil },
		Samples: func(*config.Job) (int, error) { panic("the steps are known") },
		Job: func(sets []string) (*config.Job, error) {
			return load(append([]string{"train.steps=40", "train.schedule.kind=step"}, sets...))
		},
		Train: func(_ context.Context, o *Outcome, job *config.Job, begin string) (*launch.Summary, error) {
			ran = append(ran, filepath.Base(o.Run)+" from "+begin)
			s := summary(t, job)
			s.Step, s.State = uint64(job.Train.Steps), state
			s.Checkpoints[0].Path = filepath.Base(o.Run)
			if state == launch.StateInterrupted {
				return s, context.Canceled
			}
			if begin != "" && job.Train.Schedule.Horizon != 40 {
				t.Errorf("%s: a horizon of %d", o.Run, job.Train.Schedule.Horizon)
			}
			return s, nil
		}}
	if _, err := Run(t.Context(), o); err == nil {
		t.Fatal("the interrupt is not told")
	}
	state, o.Resume = launch.StateDone, true
	r, err := Run(t.Context(), o)
	if err != nil || !slices.Equal(ran, []string{"trunk-001 from ", "trunk-001 from ", "trial-001 from trunk-001", "trial-002 from trunk-001"}) {
		t.Fatalf("%q: %v", ran, err)
	}
	if a := r.Trials[1]; a.Trunk != 1 || a.From != 0 || a.Shared != 20 {
		t.Errorf("%+v", a)
	}
	if _, err := Run(t.Context(), o); err != nil || len(ran) != 4 {
		t.Errorf("what is over was trained again: %q, %v", ran, err)
	}
	ran, state, dir = nil, launch.StateFailed, filepath.Join(t.TempDir(), "t")
	o.Resume = false
	if _, err := Run(t.Context(), o); err != nil || !slices.Equal(ran, []string{"trunk-001 from ", "trial-001 from ", "trial-002 from "}) {
		t.Errorf("a trunk that failed was gone on from: %q, %v", ran, err)
	}
}

// As many trials run at once as were asked for, and a trial's bars are those of trials that are over in any case.
func TestTrialsAtOnce(t *testing.T) {
	var running, most atomic.Int32
	begun := make(chan struct{}, 8)
	o := Options{Job: load, At: 3, Startup: 1, Space: Space{Grid: []Axis{{"train.optimizer.lr", []string{"0.1", "0.2", "0.3", "0.4", "0.5", "0.6"}}}},
		Folder: func() (string, error) { return filepath.Join(t.TempDir(), "s"), nil },
		Train: func(_ context.Context, o *Outcome, job *config.Job, _ string) (*launch.Summary, error) {
			most.Store(max(most.Load(), running.Add(1)))
			if begun <- struct{}{}; o.Number <= 3 {
				for len(begun) < 3 { // the first three wait for each other
				}
			}
			if bars := len(job.Train.EarlyStop.Bars); (o.Number > 3) != (bars > 0) {
				t.Errorf("trial %d has %d bars", o.Number, bars)
			}
			running.Add(-1)
			return summary(t, job, 1, 1, 1, 1), nil
		}}
	r, err := Run(t.Context(), o)
	if err != nil || most.Load() != 3 {
		t.Fatalf("%d at once: %v", most.Load(), err)
	}
	for _, o := range r.Trials {
		if o.State != launch.StateDone {
			t.Errorf("%+v", o)
		}
	}
}

// What is only submitted is found again by its token.
func TestTrialsThatAreLeft(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	tokens := map[int]uint64{}
	o := Options{Job: load, Space: Space{Seeds: 3}, Folder: func() (string, error) { return dir, nil },
		Submit: func(_ context.Context, o *Outcome, _ *config.Job) error {
			tokens[o.Number], o.Run = o.Token, "job-x"
			return nil
		}}
	r, err := Run(t.Context(), o)
	if err != nil || len(tokens) != 3 || r.Trials[2].State != Waiting || r.Trials[2].Run != "job-x" {
		t.Fatalf("%+v: %v", r, err)
	}
	o.Submit, o.Resume = nil, true
	o.Train = func(_ context.Context, o *Outcome, job *config.Job, _ string) (*launch.Summary, error) {
		if tokens[o.Number] != o.Token {
			t.Errorf("trial %d is submitted again", o.Number)
		}
		s := summary(t, job, 1)
		if s.State = launch.StateCancelled; o.Number == 3 {
			s.State = launch.StateDone
		}
		return s, nil
	}
	if r, err = Run(t.Context(), o); err != nil || r.Trials[2].State != launch.StateDone {
		t.Fatalf("%+v: %v", r, err)
	}
	o.Train = func(_ context.Context, o *Outcome, job *config.Job, _ string) (*launch.Summary, error) {
		if tokens[o.Number] == o.Token {
			t.Errorf("trial %d, which was cancelled, is looked for by its old token", o.Number)
		}
		return summary(t, job, 1), nil
	}
	if _, err = Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}
