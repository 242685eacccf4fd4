package model

import (
	"math"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

var shakespeare = Spec{Tokens: true, Classes: 65, Context: 64}

func TestGPTTensors(t *testing.T) {
	m := mustBuild(t, config.Model{Kind: config.ModelGPT, Depth: 4, Heads: 4, Width: 128}, shakespeare)
	if m.Len() != 804096 {
		t.Errorf("%d parameters, want nanoGPT's 804096", m.Len())
	}
	if got := len(m.Params()); got != 2+4*6+1 {
		t.Errorf("%d tensors", got)
	}
	for _, p := range m.Params() {
		if p.Decay != (len(p.Shape) == 2) {
			t.Errorf("%s of shape %v: decay is %v", p.Name, p.Shape, p.Decay)
		}
	}
	small := mustBuild(t, config.Model{Kind: config.ModelGPT, Depth: 12, Heads: 12, Width: 768, Bias: true},
		Spec{Tokens: true, Classes: 50257, Context: 1024})
	if small.Len() != 124439808 || len(small.Params()) != 148 {
		t.Errorf("GPT-2 small has %d parameters in %d tensors, want 124439808 in 148", small.Len(), len(small.Params()))
	}
}

func TestGPTMustFitTheData(t *testing.T) {
	for _, c := range []struct {
		cfg  config.Model
		spec Spec
		want string
	}{
		{config.Model{Depth: 1, Heads: 1, Width: 8}, digits, "gpt reads tokens"},
		{config.Model{Depth: 1, Heads: 3, Width: 8}, shakespeare, "3 heads do not divide the width 8"},
		{config.Model{Depth: 0, Heads: 1, Width: 8}, shakespeare, "at least 1"},
	} {
		c.cfg.Kind = config.ModelGPT
		if _, err := build(c.cfg, c.spec); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %s", c.cfg, err, c.want)
		}
	}
}

// TestGPTLearns overfits one batch: the loss begins near that of guessing and falls far below it.
func TestGPTLearns(t *testing.T) {
	spec := Spec{Tokens: true, Classes: 11, Context: 12}
	m := mustBuild(t, config.Model{Kind: config.ModelGPT, Depth: 2, Heads: 2, Width: 16, Bias: true, Dropout: 0.05}, spec)
	params, _ := initial(m, 1)
	batch := randomBatch(spec, 3, 1)
	grad := make([]float32, m.Len())
	r := m.NewReplica(nil)
	first := r.Evaluate(params, nil, batch, Result{})
	if mean := first.Loss / float64(first.Count); first.Count != 36 || math.Abs(mean-math.Log(11)) > 0.05 {
		t.Errorf("loss begins at %g over %d targets, want ln 11 over 36", mean, first.Count)
	}
	descend(params, 300, func(step uint64) []float32 {
		r.Gradient(params, nil, grad, batch, rng.SeatKey(1, step, 0, 0), nil, nil)
		return grad
	})
	if last := r.Evaluate(params, nil, batch, Result{}); last.Loss > 0.3*first.Loss {
		t.Errorf("loss %g after 300 steps, began at %g", last.Loss, first.Loss)
	}
}

// descend takes steps of sign descent, which needs no state and no rate for each layer.
func descend(params []float32, steps uint64, gradient func(step uint64) []float32) {
	for step := range steps {
		for i, g := range gradient(step) {
			switch {
			case g > 0:
				params[i] -= 0.003
			case g < 0:
				params[i] += 0.003
			}
		}
	}
}
