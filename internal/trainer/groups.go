package trainer

import (
	"fmt"
	"slices"

	"ringmaster/internal/config"
	"ringmaster/internal/model"
	"ringmaster/internal/optim"
	"ringmaster/internal/plural"
)

// groupsOf are the intervals of the parameters that are trained, each with its learning rate and weight decay; neighbours that have the
// same are joined. A pattern that names no parameter is an error.
func groupsOf(job *config.Job, m *model.Model) ([]optim.Group, error) {
	o := &job.Train.Optimizer
	spare := config.NewPatterns(o.NoDecay)
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
		if t.Frozen {
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
	}{{"train.optimizer.no_decay", "", spare}, {"train.optimizer.groups", ".match", match}} {
		for _, i := range list.patterns.Unused() {
			if pattern := list.patterns.At(i); pattern != config.NormsAndBiases || list.patterns != spare {
				key := fmt.Sprintf("%s[%d]%s", list.key, i, list.suffix)
				return nil, job.Errorf(key, "%s: no parameter of the model is named %s", key, pattern)
			}
		}
	}
	return groups, nil
}

// Frozen says in one line what is not trained; "" where everything is.
func Frozen(job *config.Job, m *model.Model) string {
	if len(job.Model.Freeze) == 0 && job.Model.LoRA.Rank == 0 {
		return ""
	}
	tensors := 0
	for _, t := range m.Params() {
		if t.Frozen {
			tensors++
		}
	}
	return fmt.Sprintf("frozen: %s with %d of the %d parameters", plural.Of(tensors, "tensor"), m.Len()-m.GradientLen(), m.Len())
}
