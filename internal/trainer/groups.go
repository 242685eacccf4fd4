package trainer

import (
	"fmt"
	"slices"

	"ringmaster/internal/config"
	"ringmaster/internal/model"
	"ringmaster/internal/optim"
	"ringmaster/internal/plan"
	"ringmaster/internal/plural"
)

// groupsOf are the intervals of the parameters that are trained, each with its learning rate and weight decay; neighbours that have the
// same are joined. A pattern that names no parameter is an error, and so is a model of which nothing is trained.
func groupsOf(job *config.Job, m *model.Model) ([]optim.Group, error) {
	o := &job.Train.Optimizer
	freeze, spare := config.NewPatterns(job.Model.Freeze), config.NewPatterns(o.NoDecay)
	train, adapts := config.NewPatterns(job.Model.LoRA.Train), job.Model.LoRA.Rank > 0
	matches := make([]string, len(o.Groups))
	for i, g := range o.Groups {
		matches[i] = g.Match
	}
	match, vectors := config.NewPatterns(matches), slices.Contains(o.NoDecay, config.NormsAndBiases)
	var groups []optim.Group
	for _, t := range m.Params() {
		g := optim.Group{Interval: t.Interval, LRFactor: 1, WeightDecay: o.WeightDecay}
		if i := match.First(t.Name); i >= 0 {
			g.LRFactor, g.WeightDecay = o.Groups[i].LRFactor, o.Groups[i].WeightDecay
		}
		if spared := spare.Match(t.Name); !t.Decay || spared || vectors && len(t.Shape) <= 1 {
			g.WeightDecay = 0
		}
		kept := adapts && !train.Match(t.Name) && !t.Adapter
		if freeze.Match(t.Name) || kept {
			continue
		}
		if k := len(groups) - 1; k >= 0 && groups[k].End == g.Begin && groups[k].LRFactor == g.LRFactor && groups[k].WeightDecay == g.WeightDecay {
			groups[k].End = g.End
		} else {
			groups = append(groups, g)
		}
	}
	for _, list := range []struct {
		key, suffix string
		patterns    *config.Patterns
	}{{"model.freeze", "", freeze}, {"model.lora.train", "", train}, {"train.optimizer.no_decay", "", spare}, {"train.optimizer.groups", ".match", match}} {
		for _, i := range list.patterns.Unused() {
			if pattern := list.patterns.At(i); pattern != config.NormsAndBiases || list.patterns != spare {
				key := fmt.Sprintf("%s[%d]%s", list.key, i, list.suffix)
				return nil, job.Errorf(key, "%s: no parameter of the model is named %s", key, pattern)
			}
		}
	}
	if len(groups) == 0 {
		return nil, job.Errorf("model.freeze", "model.freeze names every parameter, so there is nothing to train; leave some out")
	}
	return groups, nil
}

// trainedOf are the intervals of the groups, neighbours joined.
func trainedOf(groups []optim.Group) []plan.Interval {
	var out []plan.Interval
	for _, g := range groups {
		if k := len(out) - 1; k >= 0 && out[k].End == g.Begin {
			out[k].End = g.End
		} else {
			out = append(out, g.Interval)
		}
	}
	return out
}

// Frozen says in one line what is not trained; "" where everything is.
func Frozen(job *config.Job, m *model.Model) string {
	l := &job.Model.LoRA
	if len(job.Model.Freeze) == 0 && l.Rank == 0 {
		return ""
	}
	freeze, train, tensors, values := config.NewPatterns(job.Model.Freeze), config.NewPatterns(l.Train), 0, 0
	for _, t := range m.Params() {
		if freeze.Match(t.Name) || l.Rank > 0 && !t.Adapter && !train.Match(t.Name) {
			tensors, values = tensors+1, values+t.Interval.Len()
		}
	}
	return fmt.Sprintf("frozen: %s with %d of the %d parameters", plural.Of(tensors, "tensor"), values, m.Len())
}
