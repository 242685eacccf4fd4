package trainer

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"ringmaster/internal/config"
)

// Steps from weights that PyTorch saved, on the same rows, are PyTorch's: with groups, frozen parameters and clipping.
func TestStepsAsPyTorch(t *testing.T) {
	text, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Cases []struct {
			Freeze    []string
			Clip      float64
			Optimizer map[string]any
			Tensors   map[string][]float64
		}
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Cases) != 9 {
		t.Fatalf("%d cases", len(golden.Cases))
	}
	for _, c := range golden.Cases {
		c.Optimizer["no_decay"] = []string{config.NormsAndBiases}
		c.Optimizer["groups"] = []map[string]any{{"match": "3", "lr_factor": 0.1, "weight_decay": 0.2}}
		optimizer, _ := json.Marshal(c.Optimizer)
		freeze, _ := json.Marshal(append([]string{}, c.Freeze...))
		job, err := config.Parse("job.yaml", fmt.Appendf(nil, `
seats: 1
data: {kind: csv, train: testdata/rows.csv, target: kind, categories: [kind]}
model:
    kind: sequential
    stack: [{kind: linear, out: 8, bias: false}, {kind: batch_norm}, {kind: relu}, {kind: linear, out: 8}, {kind: relu}, {kind: linear, out: 3}]
    init: testdata/weights.safetensors
    freeze: %s
train: {steps: 5, batch_per_seat: 12, clip_norm: %g, optimizer: %s}
`, freeze, c.Clip, optimizer), nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Assemble(job)
		if err != nil {
			t.Fatal(err)
		}
		tr := train(t, p, 1, 1, 1, nil, nil)[0]
		compared := 0
		compare := func(name string, values []float32) {
			want := c.Tensors[name]
			if len(want) != len(values) {
				t.Fatalf("%s has %d values, PyTorch's %d", name, len(values), len(want))
			}
			compared++
			for i, v := range values {
				if math.Abs(float64(v)-want[i]) > 1e-5 {
					t.Errorf("%v, freeze %v, clip %g: %s[%d] is %v, PyTorch's %v", c.Optimizer["kind"], c.Freeze, c.Clip, name, i, v, want[i])
					return
				}
			}
		}
		for _, tensor := range p.Model.Params() {
			compare(tensor.Name, tr.params[tensor.Interval.Begin:tensor.Interval.End])
		}
		for _, tensor := range p.Model.Stats() {
			compare(tensor.Name, tr.stats[tensor.Interval.Begin:tensor.Interval.End])
		}
		if compared != len(c.Tensors) || compared != 9 {
			t.Errorf("%d tensors compared, PyTorch has %d", compared, len(c.Tensors))
		}
	}
}

// With groups and frozen parameters the bits are the same on any ring, and what is frozen has not moved.
func TestFrozenOnAnyRing(t *testing.T) {
	p := planOf(t, `{layers: [784, 12, 12, 10], freeze: ["0", "*.bias"]}`,
		"{steps: 8, batch_per_seat: 3, clip_norm: 0.05, optimizer: {kind: adamw, no_decay: [norms_and_biases], groups: [{match: \"4\", lr_factor: 2}]}}")
	fresh, err := New(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := ""
	for workers := 1; workers <= 3; workers++ {
		for _, tr := range train(t, p, workers, 1+workers%2, 1, nil, nil) {
			if want == "" {
				want = digestOf(tr)
			} else if got := digestOf(tr); got != want {
				t.Errorf("%d workers end at %s, one at %s", workers, got, want)
			}
			for _, tensor := range p.Model.Params() {
				frozen := strings.HasPrefix(tensor.Name, "0.") || strings.HasSuffix(tensor.Name, ".bias")
				moved := false
				for i := tensor.Interval.Begin; i < tensor.Interval.End; i++ {
					moved = moved || tr.params[i] != fresh.params[i]
				}
				if moved == frozen {
					t.Errorf("%s: frozen %v, moved %v", tensor.Name, frozen, moved)
				}
			}
		}
	}
	if got := Frozen(p.Job, p.Model); got != "frozen: 4 tensors with 9442 of the 9706 parameters" {
		t.Error(got)
	}
}

// A pattern that names nothing is an error at its place, and so is a model of which nothing is left to train.
func TestPatternsOfNothing(t *testing.T) {
	for _, test := range []struct{ model, optimizer, want string }{
		{"{freeze: [\"0\", fc]}", "{}", "job.yaml:3:23: model.freeze[1]: no parameter of the model is named fc"},
		{"{freeze: [\"*\"]}", "{}", "job.yaml:3:17: model.freeze: it names every parameter, so there is nothing to train; leave some out"},
		{"{}", "{no_decay: [norms_and_biases, \"*.gamma\"]}", "train.optimizer.no_decay[1]: no parameter of the model is named *.gamma"},
		{"{}", "{groups: [{match: \"0\"}, {match: head}]}", "train.optimizer.groups[1].match: no parameter of the model is named head"},
	} {
		job, err := config.Parse("job.yaml", []byte("seed: 4\nseats: 3\nmodel: "+test.model+"\ntrain: {optimizer: "+test.optimizer+"}\n"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := BuildModel(job, digits(t).Data.Schema); err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "job.yaml:") {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
}
