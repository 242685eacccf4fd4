package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/launch"
	"ringmaster/internal/metric"
)

const jobText = `
name: swept
model: {kind: mlp, layers: [784, 2, 10]}
data: {kind: glyphs}
train: {epochs: 4, optimizer: {kind: sgd, lr: 0.1}}
`

func load(sets []string) (*config.Job, error) {
	return config.Parse("swept.yaml", []byte(jobText), sets)
}

// summary is a training that reaches these losses; the job's rules end it as they would in a cluster.
func summary(t *testing.T, job *config.Job, losses ...float64) *launch.Summary {
	t.Helper()
	s := &launch.Summary{Job: job.Name, State: launch.StateDone, Seed: job.Seed}
	text := `{"job":"swept","state":"done","epochs":[]}`
	if err := json.Unmarshal([]byte(text), s); err != nil {
		t.Fatal(err)
	}
	var judged metric.Judged
	rule := metric.EarlyStop(job)
	for i, loss := range losses {
		e := launch.EpochSummary{Epoch: i + 1, Eval: &launch.EvalSummary{}}
		*(*float64)(&e.Eval.Loss), *(*float64)(&e.Eval.Accuracy) = loss, math.NaN()
		s.Epochs, s.Eval, s.Step = append(s.Epochs, e), e.Eval, uint64(10*(i+1))
		if rule != nil {
			if judged = rule.Judge(judged, &metric.Evaluated{Epoch: i + 1, Step: s.Step, HasEval: true, Loss: loss}); judged.Stop > 0 {
				s.Reason = rule.Reason(judged)
				break
			}
		}
	}
	s.Checkpoints = []launch.CheckpointSummary{{Step: s.Step, Path: "checkpoint-" + job.Name}}
	return s
}

// A trial that stays behind half of those before it ends, what is over is not run again, and the report says which is the best.
func TestSweep(t *testing.T) {
	losses := map[string][]float64{"0.1": {4, 3, 2, 1}, "0.2": {5, 4, 3, 2}, "0.3": {6, 2, 1, 0.5}, "0.4": {4, 3.5, 3, 3}}
	dir := filepath.Join(t.TempDir(), "s")
	var ran []string
	broken := errors.New("interrupted")
	o := Options{Job: load, Space: Space{Grid: []Axis{{"train.optimizer.lr", []string{"0.1", "0.2", "0.3", "0.4"}}}}, Startup: 2, Folder: func() (string, error) { return dir, nil },
		Train: func(_ context.Context, o *Outcome, job *config.Job, begin string) (*launch.Summary, error) {
			lr := strings.TrimPrefix(o.Sets[0], "train.optimizer.lr=")
			if ran = append(ran, lr); len(ran) == 3 {
				s := summary(t, job, losses[lr][0])
				s.State = launch.StateInterrupted
				return s, broken
			}
			if begin != "" {
				t.Errorf("trial %d goes on from %s", o.Number, begin)
			}
			return summary(t, job, losses[lr]...), nil
		}}
	if r, err := Run(t.Context(), o); !errors.Is(err, broken) || r.Best != 1 || r.Trials[2].State != launch.StateInterrupted || r.Trials[3].State != Waiting {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "holds a sweep already") {
		t.Error(err)
	}
	o.Resume = true
	other := o
	other.Space = Space{Grid: []Axis{{"train.optimizer.lr", []string{"0.1", "0.2", "0.3", "0.5"}}}}
	if _, err := Run(t.Context(), other); err == nil || !strings.Contains(err.Error(), "its trial 4 has train.optimizer.lr=0.4 seed=1, not train.optimizer.lr=0.5 seed=1") {
		t.Error(err)
	}
	r, err := Run(t.Context(), o)
	if err != nil || !slices.Equal(ran, []string{"0.1", "0.2", "0.3", "0.3", "0.4"}) {
		t.Fatalf("%v: %v", ran, err)
	}
	// After two trials the bars are those of the worse: 5, 4, 3, 2; 0.3 has 6 after its first epoch.
	var states []string
	for i := range r.Trials {
		states = append(states, r.Trials[i].State)
	}
	if !slices.Equal(states, []string{"done", "done", "stopped", "stopped"}) || r.Trials[2].Step != 10 || r.Best != 1 {
		t.Errorf("%v, best %d: %+v", states, r.Best, r.Trials)
	}
	if ranked := r.Ranked(3); len(ranked) != 3 || ranked[0].Number != 1 || ranked[1].Number != 2 || ranked[2].Number != 4 {
		t.Errorf("ranked %+v", ranked)
	}
	if text, err := os.ReadFile(filepath.Join(dir, file)); err != nil || !json.Valid(text) {
		t.Error(err)
	}
	if table := r.Table(); !strings.Contains(table, "1 *    0.1") || !strings.Contains(table, "4 of 4 trials over; the best is trial 1") {
		t.Error(table)
	}
}

func numbers(values ...float64) []*float64 {
	var out []*float64
	for _, v := range values {
		out = append(out, number(v))
	}
	return out
}

func TestBars(t *testing.T) {
	nan := math.NaN()
	over := func(values ...float64) Outcome {
		return Outcome{State: launch.StateDone, Values: numbers(values...)}
	}
	low, high := metric.Rule{Metric: "loss"}, metric.Rule{Metric: "accuracy", Highest: true}
	for _, c := range []struct {
		rule    metric.Rule
		earlier []Outcome
		least   int
		want    []float64
	}{
		{low, []Outcome{over(3, 2), over(1), over(2, 1)}, 2, []float64{2, 2}},
		{low, []Outcome{over(3, 2), over(1), over(2, 1)}, 3, []float64{2}},
		{high, []Outcome{over(0.1, 0.5), over(0.3, 0.9)}, 2, []float64{0.1, 0.5}},
		{low, []Outcome{over(nan), over(nan), over(1)}, 1, []float64{math.MaxFloat64}},
		{high, []Outcome{over(nan), over(1)}, 1, []float64{-math.MaxFloat64}},
		{low, []Outcome{over(1), {State: launch.StateInterrupted, Values: numbers(9, 9)}}, 1, []float64{1}},
		{low, []Outcome{over(1), over(2)}, 0, nil},
		{low, nil, 1, nil},
	} {
		if got := bars(c.earlier, &c.rule, c.least); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v by %d: %v, want %v", c.rule.Metric, c.least, got, c.want)
		}
	}
}

// Only a training whose steps are the same goes on from another one's end, and alone it would come as far.
func TestSharing(t *testing.T) {
	of := func(sets ...string) course {
		job, err := load(sets)
		if err != nil {
			t.Fatal(err)
		}
		return courseOf(job)
	}
	one := of("train.epochs=1")
	for _, c := range []struct {
		sets []string
		want bool
	}{
		{[]string{"train.epochs=2"}, true},
		{[]string{"train.epochs=1", "name=other"}, true},
		{[]string{"train.steps=1000"}, false},
		{[]string{"train.epochs=2", "seed=2"}, false},
		{[]string{"train.epochs=2", "train.optimizer.lr=0.2"}, false},
		{[]string{"train.epochs=2", "train.schedule.kind=cosine"}, false},
	} {
		if got := of(c.sets...).continues(one); got != c.want {
			t.Errorf("%v goes on from one epoch: %v", c.sets, got)
		}
	}
	if a, b := of("train.schedule.kind=cosine"), of("train.schedule.kind=cosine", "train.epochs=9"); b.continues(a) {
		t.Error("the rate falls towards the end, and the ends differ")
	}
	earlier := []Outcome{
		{Trial: Trial{Number: 1}, State: launch.StateDone, Step: 10, Weights: "a", Values: numbers(3)},
		{Trial: Trial{Number: 2}, State: Stopped, Step: 20, Weights: "b", Values: numbers(3, 2)},
		{Trial: Trial{Number: 3}, State: launch.StateFailed, Step: 30, Weights: "c"},
	}
	courses := []course{one, of("train.epochs=3"), one}
	next := of("train.epochs=4")
	if o := origin(earlier, courses, next, nil); o == nil || o.Number != 2 {
		t.Errorf("%+v", o)
	}
	if o := origin(earlier, courses, next, &metric.Rule{Metric: "loss", Bars: []float64{3, 1}}); o == nil || o.Number != 1 {
		t.Errorf("where the second epoch would end it: %+v", o)
	}
	if o := origin(earlier, courses, next, &metric.Rule{Metric: "loss", Bars: []float64{1}}); o != nil {
		t.Errorf("where the first epoch would end it: %+v", o)
	}
}

// Shorter trainings come first, others keep their order, and points are counted as they come.
func TestArrange(t *testing.T) {
	s := Space{Grid: []Axis{{"train.epochs", []string{"4", "1"}}, {"train.optimizer.lr", []string{"0.1", "0.2"}}}}
	trials, err := s.Trials(1)
	if err != nil {
		t.Fatal(err)
	}
	var courses []course
	for _, tr := range trials {
		job, err := load(tr.Settings())
		if err != nil {
			t.Fatal(err)
		}
		courses = append(courses, courseOf(job))
	}
	arrange(trials, courses)
	var got []string
	for i, tr := range trials {
		if tr.Number != i+1 || tr.Point != i+1 {
			t.Errorf("%+v", tr)
		}
		got = append(got, strings.Join(tr.Sets, " "))
	}
	want := []string{"train.epochs=1 train.optimizer.lr=0.1", "train.epochs=4 train.optimizer.lr=0.1", "train.epochs=1 train.optimizer.lr=0.2", "train.epochs=4 train.optimizer.lr=0.2"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// A setting that no job takes is refused before anything is made.
func TestRefusesBeforeItStarts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Space: Space{Grid: []Axis{{"train.epochs", []string{"1", "-1"}}}}}, "trial 2 of 2: train.epochs=-1 seed=1: "},
		{Options{Space: Space{Grid: []Axis{{"train.epoch", []string{"1"}}}}}, "unknown key train.epoch"},
		{Options{Space: Space{Seeds: 2}, Metric: "f1"}, "f1"},
	} {
		c.o.Job, c.o.Folder = load, func() (string, error) { return dir, nil }
		_, err := Run(t.Context(), c.o)
		var usage *ErrUsage
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v", c.o.Space, err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Error("the folder was made")
		}
	}
}
