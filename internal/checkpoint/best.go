package checkpoint

import (
	"errors"
	"fmt"

	"ringmaster/internal/metric"
)

// bestStep is the step of the best of the epochs after which a checkpoint was saved; false: there is none.
func bestStep(epochs []EpochMetrics, rule *metric.Rule, saved func(step uint64) bool) (uint64, bool) {
	var judged metric.Judged
	best := uint64(0)
	for _, e := range epochs {
		if !saved(e.Step) {
			continue
		}
		told := metric.Evaluated{Epoch: e.Epoch, Step: e.Step, TrainLoss: e.TrainLoss, HasEval: e.HasEval, Loss: e.EvalLoss, Accuracy: e.EvalAccuracy, Figures: e.Metrics}
		if judged = rule.Judge(judged, &told); judged.Epoch == e.Epoch {
			best = e.Step
		}
	}
	return best, judged.Epoch != 0
}

// BestBy is the good checkpoint whose epoch is the best by a rule, of those of the newest one's run. Only checkpoints at the end of an epoch count. Damaged ones are passed over.
func (f *Found) BestBy(rule *metric.Rule) (*Entry, error) {
	newest, err := f.Best()
	if err != nil {
		return nil, err
	}
	bad := map[uint64]bool{}
	for {
		at := map[uint64]bool{}
		for _, e := range f.Entries {
			if e.Err == nil && !bad[e.Step] && SameRun(e.Manifest, newest.Manifest) {
				at[e.Step] = true
			}
		}
		step, any := bestStep(newest.Manifest.Epochs, rule, func(step uint64) bool { return at[step] })
		if !any {
			return nil, fmt.Errorf("%w in %s is of an epoch of which %s is known", ErrNone, f.Dir, rule.Metric)
		}
		e, err := f.At(step)
		if err == nil {
			return e, nil
		}
		if !errors.Is(err, ErrDamaged) {
			return nil, err
		}
		bad[step] = true
	}
}
