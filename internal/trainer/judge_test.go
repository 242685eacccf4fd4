package trainer

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/dataset"
	"ringmaster/internal/metric"
	"ringmaster/internal/plan"
)

// stopping is a plan whose epochs are 5 steps and whose learning rate spoils the model before long.
func stopping(t *testing.T) *Plan {
	p := assemble(t, 4, ", early_stop: {metric: loss, patience: 2}")
	p.Job.Checkpoint.KeepBest, p.Job.Checkpoint.EverySteps = "accuracy", 0
	p.Job.Train.Optimizer.LR = 0.05
	p.PerPass, p.Steps = 5, 500
	return p
}

// log is what the coordinators would have recorded.
type log struct {
	mu     sync.Mutex
	epochs []EpochEnd
	saves  map[uint64]int
}

func (l *log) end(e EpochEnd) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Epoch == len(l.epochs)+1 {
		l.epochs = append(l.epochs, e)
	}
}

// judged is what a rule makes of the first n epochs.
func (l *log) judged(r *metric.Rule, n int) (j metric.Judged) {
	for _, e := range l.epochs[:n] {
		j = r.Judge(j, &metric.Evaluated{Epoch: e.Epoch, Step: e.Step, TrainLoss: e.TrainLoss, HasEval: true, Loss: e.Eval.Loss, Accuracy: e.Eval.Accuracy})
	}
	return j
}

// Save counts.
func (l *log) Save(t *Trainer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.saves[t.step]++
	return true
}

func (l *log) Stuck() bool { return false }

// session trains from a state with the first n epochs recorded.
func (l *log) session(t *testing.T, p *Plan, workers int, generation plan.Generation, from *checkpoint.State, n int, signals *Signals) []*Trainer {
	return train(t, p, workers, 1, generation, from, signals, func(r *Run) {
		r.OnEpoch, r.Saver, r.Evaluated = l.end, l, n
		r.EarlyStop, r.KeepBest = l.judged(metric.EarlyStop(p.Job), n), l.judged(metric.KeepBest(p.Job), n)
	})
}

// A job ends after the epoch that the rule says, on any ring; the best states are saved, and no others.
func TestEarlyStopOnAnyRing(t *testing.T) {
	p := stopping(t)
	whole := &log{saves: map[uint64]int{}}
	tr := whole.session(t, p, 1, 1, nil, 0, nil)[0]
	want, rule := digestOf(tr), metric.EarlyStop(p.Job)
	judged := whole.judged(rule, len(whole.epochs))
	if tr.Step() != judged.Stop || tr.Step() >= p.Steps || judged.Waited != 2 || len(whole.epochs) < 4 || !strings.HasPrefix(tr.EndReason, "stopped early: loss has been no better than ") {
		t.Fatalf("ended at step %d (%s), judged %+v of %d epochs", tr.Step(), tr.EndReason, judged, len(whole.epochs))
	}
	best := []uint64{}
	for n := range whole.epochs {
		if j := whole.judged(metric.KeepBest(p.Job), n+1); j.Epoch == n+1 && whole.epochs[n].Step < tr.Step() {
			best = append(best, whole.epochs[n].Step)
		}
	}
	if len(best) == 0 || len(best) == len(whole.epochs) {
		t.Fatalf("%v of %d epochs are the best so far; the test wants some, not all", best, len(whole.epochs))
	}
	for workers := 2; workers <= 3; workers++ {
		l := &log{saves: map[uint64]int{}}
		for i, other := range l.session(t, p, workers, 1, nil, 0, nil) {
			if digestOf(other) != want || other.EndReason != tr.EndReason {
				t.Errorf("worker %d of %d ends at step %d (%s), one alone at %d", i+1, workers, other.Step(), other.EndReason, tr.Step())
			}
		}
		for _, step := range best {
			if l.saves[step] != workers {
				t.Errorf("%d workers: %d copies of the state at step %d, which is the best so far", workers, l.saves[step], step)
			}
		}
		if len(l.saves) != len(best) {
			t.Errorf("copies at %v, want %v", l.saves, best)
		}
	}
}

// The end stays where it is across sessions that each begin with what the log has, also where a session begins before epochs that the log
// holds, and where the job was over already.
func TestEarlyStopAcrossSessions(t *testing.T) {
	p := stopping(t)
	whole := &log{saves: map[uint64]int{}}
	want := whole.session(t, p, 1, 1, nil, 0, nil)[0]
	l := &log{saves: map[uint64]int{}}
	var states []checkpoint.State
	from := (*checkpoint.State)(nil)
	for round := 0; ; round++ {
		signals := &Signals{}
		signals.Stop.Store(true)
		tr := l.session(t, p, 1+round%3, plan.Generation(round+1), from, len(l.epochs), signals)[0]
		if from != nil && tr.Step() == from.Step {
			break
		}
		if round > int(p.Steps) {
			t.Fatal("it does not end")
		}
		var state checkpoint.State
		tr.Copy(&state)
		states = append(states, state)
		from = &state
	}
	if got := checkpoint.StateDigest(from).String(); got != digestOf(want) || !slices.EqualFunc(l.epochs, whole.epochs, func(a, b EpochEnd) bool { return *a.Eval == *b.Eval }) {
		t.Errorf("step by step it ends after step %d and %d epochs, in one go after %d and %d", from.Step, len(l.epochs), want.Step(), len(whole.epochs))
	}
	again := l.session(t, p, 2, 1000, &states[6], len(l.epochs), nil)[0] // all died, and the newest checkpoint is older than what the log knows
	if digestOf(again) != digestOf(want) || again.EndReason != want.EndReason {
		t.Errorf("from step 7 with all epochs recorded it ends after step %d (%s)", again.Step(), again.EndReason)
	}
	p.Job.Train.EarlyStop.Patience = 3
	if longer := l.session(t, p, 2, 1001, from, len(l.epochs), nil)[0]; longer.Step() <= want.Step() {
		t.Errorf("with more patience it ends after step %d, with less after %d", longer.Step(), want.Step())
	}
}

// Figures of an evaluation need an evaluation set.
func TestRulesNeedAnEvaluation(t *testing.T) {
	p := stopping(t)
	if _, err := BuildMetrics(p.Job, p.Model, p.Data); err != nil {
		t.Error(err)
	}
	if _, err := BuildMetrics(p.Job, p.Model, &dataset.Data{}); err == nil || !strings.Contains(err.Error(), "train.early_stop.metric: loss is of an evaluation, but the data have no evaluation set") {
		t.Error(err)
	}
	p.Job.Train.EarlyStop.Metric, p.Job.Checkpoint.KeepBest = "train_loss", ""
	if _, err := BuildMetrics(p.Job, p.Model, &dataset.Data{}); err != nil {
		t.Error(err)
	}
}
