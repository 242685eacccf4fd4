package fsm

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"ringmaster/internal/metric"
)

// Judged is what a rule makes of the first n epochs; nil: there is no rule.
func (j *Job) Judged(r *metric.Rule, n int) *metric.Judged {
	if r == nil {
		return nil
	}
	var judged metric.Judged
	for _, e := range j.Epochs[:min(n, len(j.Epochs))] {
		evaluated := e.evaluated()
		judged = r.Judge(judged, &evaluated)
	}
	return &judged
}

func (e *Epoch) evaluated() metric.Evaluated {
	return metric.Evaluated{Epoch: e.Epoch, Step: e.Step, TrainLoss: math.Float64frombits(e.TrainLoss), HasEval: e.HasEval,
		Loss: math.Float64frombits(e.EvalLoss), Accuracy: math.Float64frombits(e.EvalAccuracy), Figures: e.Metrics}
}

// best is the step of the best of the checkpoints that there are, the run's older ones among them; false: none counts.
func (j *Job) best() (uint64, bool) {
	if j.KeepBest == nil {
		return 0, false
	}
	saved := map[uint64]bool{}
	for _, c := range j.Checkpoints {
		saved[c.Step] = true
	}
	for _, folder := range j.Earlier {
		saved[stepOf(folder)] = true
	}
	var judged metric.Judged
	for _, e := range j.Epochs {
		if evaluated := e.evaluated(); saved[e.Step] {
			judged = j.KeepBest.Judge(judged, &evaluated)
		}
	}
	if judged.Epoch == 0 {
		return 0, false
	}
	return j.Epochs[judged.Epoch-1].Step, true
}

// stepOf is the step in the name of a checkpoint's folder; 0 where there is none.
func stepOf(folder string) uint64 {
	digits, _, _ := strings.Cut(strings.TrimPrefix(folder, "step-"), "-")
	step, _ := strconv.ParseUint(digits, 10, 64) // names were checked when they came
	return step
}

// Surplus is the oldest checkpoint that need not be kept: it is neither among the newest nor the best. nil: there is none.
func (j *Job) Surplus() *Checkpoint {
	if j.Keep <= 0 {
		return nil
	}
	best, any := j.best()
	for i := range len(j.Checkpoints) - j.Keep {
		c := &j.Checkpoints[i]
		if !any || c.Step != best || j.Checkpoints[i+1].Step == best { // of two at one step the newer stays
			return c
		}
	}
	return nil
}

// Inherited are those of the older checkpoints of the run that still count among the newest ones that the job keeps, or are the best.
func (j *Job) Inherited() []string {
	if j.Keep <= 0 {
		return j.Earlier
	}
	n := max(0, len(j.Earlier)-max(0, j.Keep-len(j.Checkpoints)))
	kept := j.Earlier[n:]
	best, any := j.best()
	if !any || slices.ContainsFunc(j.Checkpoints, func(c Checkpoint) bool { return c.Step == best }) {
		return kept
	}
	for _, folder := range slices.Backward(j.Earlier[:n]) {
		if stepOf(folder) == best {
			return append([]string{folder}, kept...)
		}
	}
	return kept
}
