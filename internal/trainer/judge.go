package trainer

import "ringmaster/internal/metric"

// judge applies the job's rules to an epoch that this session has evaluated, and saves the state where it is the best so far. Every worker
// comes to the same, whoever was there for the epochs before: what the rules make of those comes with the session's start.
func (t *Trainer) judge(r *Run, e EpochEnd) {
	told := metric.Evaluated{Epoch: e.Epoch, Step: e.Step, TrainLoss: e.TrainLoss}
	if e.Eval != nil {
		told.HasEval, told.Loss, told.Accuracy, told.Figures = true, e.Eval.Loss, e.Eval.Accuracy, e.Eval.Metrics
	}
	if t.earlyStop != nil {
		r.EarlyStop = t.earlyStop.Judge(r.EarlyStop, &told)
	}
	if t.keepBest == nil {
		return
	}
	r.KeepBest = t.keepBest.Judge(r.KeepBest, &told)
	// The job's last state is saved anyway. A copy that is still on its way is not waited for beyond the saver's patience.
	if best := r.KeepBest.Epoch == e.Epoch; best && r.Saver != nil && !t.stuck && t.savedAt != t.step && !t.over(r) {
		t.save(r)
	}
}

// over reports whether the job's last step is done. The rules may have judged epochs that are computed again.
func (t *Trainer) over(r *Run) bool {
	if t.step >= t.Steps {
		return true
	}
	if stop := r.EarlyStop.Stop; t.earlyStop == nil || stop == 0 || t.step < stop {
		return false
	}
	t.EndReason = t.earlyStop.Reason(r.EarlyStop)
	return true
}

// save copies the state for the saver, which stores it in the background; false: it could not.
func (t *Trainer) save(r *Run) bool {
	t.Activity.Turn(Saving)
	if !r.Saver.Save(t) {
		return false
	}
	t.savedAt = t.step
	return true
}
