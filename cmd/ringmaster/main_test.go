package main

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/config"
	"ringmaster/internal/launch"
)

func TestOneLine(t *testing.T) {
	err := errors.Join(errors.New("a\n  b"), fmt.Errorf("c: %w", errors.New("d\n")))
	if got := oneLine(err); got != "a; b; c: d" {
		t.Errorf("%q", got)
	}
}

func TestARunsEndGivesTheExitCode(t *testing.T) {
	for _, test := range []struct {
		name   string
		result launch.Result
		err    error
		code   int
		text   string
	}{
		{"done", launch.Result{Summary: &launch.Summary{State: "done"}}, nil, 0, ""},
		{"done while being interrupted", launch.Result{Summary: &launch.Summary{State: "done"}, Signal: syscall.SIGINT}, nil, 0, ""},
		{"failed", launch.Result{Summary: &launch.Summary{State: "failed", Error: "loss is NaN"}}, nil, 1, "loss is NaN"},
		{"broken", launch.Result{Summary: &launch.Summary{State: "failed"}}, errors.New("no disk"), 1, "no disk"},
		{"SIGINT", launch.Result{Summary: &launch.Summary{State: "interrupted"}, Signal: syscall.SIGINT}, nil, 130, ""},
		{"SIGTERM", launch.Result{Summary: &launch.Summary{State: "interrupted"}, Signal: syscall.SIGTERM}, nil, 143, ""},
		{"SIGINT twice", launch.Result{Summary: &launch.Summary{State: "interrupted"}, Signal: syscall.SIGINT}, launch.ErrAbandoned, 130, "interrupted twice"},
		{"stopped by somebody else", launch.Result{Summary: &launch.Summary{State: "interrupted", Step: 7}}, nil, 1, "state interrupted at step 7"},
	} {
		err := ending(&test.result, test.err)
		if test.code == 0 {
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		var e *exit
		if !errors.As(err, &e) || e.code != test.code {
			t.Errorf("%s: %v, want code %d", test.name, err, test.code)
			continue
		}
		if (e.err == nil) != (test.text == "") || e.err != nil && !strings.Contains(e.err.Error(), test.text) {
			t.Errorf("%s: message %v, want %q", test.name, e.err, test.text)
		}
	}
}

func TestNothingStarted(t *testing.T) {
	for code, err := range map[int]error{1: errors.New("no disk"), 2: fmt.Errorf("launch: %w", &launch.UsageError{Err: errors.New("no data")}),
		130: &launch.InterruptedError{Signal: syscall.SIGINT}, 143: &launch.InterruptedError{Signal: syscall.SIGTERM}} {
		var e *exit
		if !errors.As(notStarted(err), &e) || e.code != code || e.Error() != err.Error() {
			t.Errorf("%v gives %+v, want code %d", err, e, code)
		}
	}
}

func TestNextSteps(t *testing.T) {
	resume := []string{"ringmaster", "launch", "my job.yaml", "--dir", "runs/a-1", "--resume", "--workers", "2"}
	sets := []string{"train.epochs=3", "data.dir=it's here", "model.layers=[784, 10]"}
	kept := ` --set 'data.dir=it'\''s here' --set 'model.layers=[784, 10]'`
	start := "ringmaster launch 'my job.yaml' --dir runs/a-1 --resume --workers 2"
	for _, test := range []struct {
		state string
		train config.Train
		want  string // of the last command
	}{
		{launch.StateInterrupted, config.Train{Epochs: 3}, start + " --set train.epochs=3" + kept},
		{launch.StateCancelled, config.Train{Epochs: 3}, start + " --set train.epochs=3" + kept},
		{launch.StateDone, config.Train{Epochs: 3}, start + kept + " --set train.epochs=4"},
		{launch.StateDone, config.Train{Epochs: 3, Steps: 50}, start + " --set train.epochs=3" + kept + " --set train.steps=100"},
	} {
		result := &launch.Result{Summary: &launch.Summary{State: test.state, Reason: "it has one"}, Dir: "runs/a-1"}
		next := nextSteps(resume, sets, &config.Job{Train: test.train}, result)
		if got := next[len(next)-1]; got != test.want {
			t.Errorf("%s after %+v:\n%s\nwant\n%s", test.state, test.train, got, test.want)
		}
	}
}

func TestOneRun(t *testing.T) {
	at := func(paths ...string) *checkpoint.Found {
		found := &checkpoint.Found{Dir: "runs"}
		for _, p := range paths {
			found.Entries = append(found.Entries, checkpoint.Entry{Path: p})
		}
		return found
	}
	const a, again, b = "runs/a/coordinators/c1/checkpoints/step-1", "runs/a/coordinators/c2/checkpoints/step-1", "runs/b/coordinators/c1/checkpoints/step-2"
	for _, found := range []*checkpoint.Found{at(), at(a, again), at("store/step-1", "store/step-2")} {
		if err := oneRun(found); err != nil {
			t.Error(err)
		}
	}
	if err := oneRun(at(b, a, again)); err == nil || err.Error() != "runs holds 2 runs (runs/a, runs/b): name one of them" {
		t.Errorf("%v", err)
	}
}
