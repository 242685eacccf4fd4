package model

import (
	"fmt"

	"ringmaster/internal/config"
	"ringmaster/internal/plan"
)

// Gather copies what is trained of the flat parameter vector to a vector of the gradient's length.
func (m *Model) Gather(trained, params []float32) {
	for _, in := range m.trained {
		trained = trained[copy(trained, params[in.Begin:in.End]):]
	}
}

// Scatter copies a vector of the gradient's length to what is trained of the flat parameter vector.
func (m *Model) Scatter(params, trained []float32) {
	for _, in := range m.trained {
		trained = trained[copy(params[in.Begin:in.End], trained):]
	}
}

// freeze says which parameters are frozen: those that model.freeze names, and in a model with adapters all but these and what model.lora.train
// names. The others get their places in the flat gradient. A pattern that names no parameter is an error, and so is a model of which nothing is trained.
func (m *Model) freeze(cfg config.Model) error {
	frozen, train, adapts := config.NewPatterns(cfg.Freeze), config.NewPatterns(cfg.LoRA.Train), cfg.LoRA.Rank > 0
	for k := range m.params {
		t := &m.params[k]
		trained := !adapts || train.Match(t.Name) || t.Adapter
		if frozen.Match(t.Name) || !trained {
			t.Frozen = true
			continue
		}
		t.Gradient = plan.Interval{Begin: m.gradLength, End: m.gradLength + t.Interval.Len()}
		m.gradLength = t.Gradient.End
		if n := len(m.trained) - 1; n >= 0 && m.trained[n].End == t.Interval.Begin {
			m.trained[n].End = t.Interval.End
		} else {
			m.trained = append(m.trained, t.Interval)
		}
	}
	for _, list := range []struct {
		key      string
		patterns *config.Patterns
	}{{"model.freeze", frozen}, {"model.lora.train", train}} {
		for _, i := range list.patterns.Unused() {
			key := fmt.Sprintf("%s[%d]", list.key, i)
			return config.KeyErrorf(key, "no parameter of the model is named %s", list.patterns.At(i))
		}
	}
	if m.gradLength == 0 && m.length > 0 {
		return config.KeyErrorf("model.freeze", "it names every parameter, so there is nothing to train; leave some out")
	}
	return nil
}
