package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// recorded is what transformers computes for a folder of testdata, before and after a step: of each gradient the first values and the norm.
type recorded struct {
	Answers [2]struct {
		Logits    []float64
		Loss      float64
		Gradients map[string][]float64
	}
}

// TestFoldersGiveWhatTransformersComputes reads small folders that save_pretrained wrote: logits, losses and gradients are the same within 1e-4, also
// after a step.
func TestFoldersGiveWhatTransformersComputes(t *testing.T) {
	questions, err := filepath.Glob("testdata/*/question.json")
	if err != nil || len(questions) < 8 {
		t.Fatalf("%d folders, %v", len(questions), err)
	}
	for _, path := range questions {
		folder := filepath.Dir(path)
		t.Run(filepath.Base(folder), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var q question
			var want recorded
			if err := json.Unmarshal(text, &q); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
			a, err := q.ask(folder)
			if err != nil {
				t.Fatal(err)
			}
			for k := range a.logits {
				a.compare(t, k, &want)
			}
		})
	}
}

// compare compares the answer before (0) or after the step.
func (a *answer) compare(t *testing.T, k int, want *recorded) {
	t.Helper()
	w := &want.Answers[k]
	if len(a.logits[k]) != len(w.Logits) || math.Abs(a.losses[k]-w.Loss) > 1e-4 {
		t.Fatalf("%d logits and a loss of %v, want %d and %v", len(a.logits[k]), a.losses[k], len(w.Logits), w.Loss)
	}
	for i, v := range w.Logits {
		if math.Abs(float64(a.logits[k][i])-v) > 1e-4 {
			t.Fatalf("logit %d is %v, want %v (question %d)", i, a.logits[k][i], v, k)
		}
	}
	state := a.layout.NewState()
	state.Params = a.grads[k]
	gradients := map[string][]float32{}
	for _, p := range a.layout.Pieces() {
		gradients[p.Name] = p.Values(state)
	}
	for name, values := range w.Gradients {
		checkGradient(t, name, gradients[name], values)
	}
}

// checkGradient compares a gradient's first values and its norm.
func checkGradient(t *testing.T, name string, got []float32, want []float64) {
	t.Helper()
	last := len(want) - 1
	if len(got) < last {
		t.Fatalf("the gradient of %s has %d values", name, len(got))
	}
	norm := 0.0
	for _, v := range got {
		norm += float64(v) * float64(v)
	}
	if math.Abs(math.Sqrt(norm)-want[last]) > 1e-4 {
		t.Errorf("the gradient of %s has norm %v, want %v", name, math.Sqrt(norm), want[last])
	}
	for i, v := range want[:last] {
		if math.Abs(float64(got[i])-v) > 1e-4 {
			t.Errorf("the gradient of %s is %v at %d, want %v", name, got[i], i, v)
		}
	}
}
