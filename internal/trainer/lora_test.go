package trainer

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/optim"
	"ringmaster/internal/plan"
	"ringmaster/internal/rng"
)

func adaptedJob(t *testing.T, lora string) (*config.Job, *dataset.Data) {
	t.Helper()
	job, err := config.Parse("lora.yaml", []byte("name: lora\nmodel:\n    kind: mlp\n    lora: "+lora+
		"\ntrain: {optimizer: {kind: adamw, lr: 0.001, weight_decay: 0.01}}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return job, readyData(t, job)
}

// A step of adapters, what they give, and the merged weights are PEFT's.
func TestAdaptersAreThoseOfPEFT(t *testing.T) {
	raw, err := os.ReadFile("testdata/lora.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Loss           float64
		Logits, Merged []float64
		After          map[string][]float64
	}
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	job, d := adaptedJob(t, `{rank: 4, alpha: 6, targets: ["0", "2"], train: ["4"]}`)
	m, err := BuildModel(job, d.Schema)
	if err != nil {
		t.Fatal(err)
	}
	before, grad, batch := firstValues(m), make([]float32, m.GradientLen()), readyBatch(d)
	result := m.NewReplica(nil).Gradient(before, nil, grad, batch, rng.Key{}, nil, nil)
	if mean := result.Loss / float64(result.Count); math.Abs(mean-want.Loss) > 1e-5*want.Loss {
		t.Errorf("loss %.8g, want %.8g", mean, want.Loss)
	}
	groups, err := groupsOf(job, m)
	if err != nil {
		t.Fatal(err)
	}
	o, err := optim.New(job.Train.Optimizer, job.Train.Schedule, m.Len(), groups)
	if err != nil {
		t.Fatal(err)
	}
	after := slices.Clone(before)
	o.Step(nil, 1, after, grad, plan.Interval{End: len(grad)}, float64(result.Count), 1)
	checked := 0
	for _, p := range m.Params() {
		values := after[p.Interval.Begin:p.Interval.End]
		peft, trained := want.After[p.Name]
		if trained {
			checked++
			near(t, p.Name, values, peft, 1e-6)
		} else if !slices.Equal(values, before[p.Interval.Begin:p.Interval.End]) {
			t.Errorf("%s is trained", p.Name)
		}
	}
	if checked != 6 || checked != len(want.After) {
		t.Errorf("%d tensors are trained, PEFT trains %d", checked, len(want.After))
	}
	logits, _, _ := m.NewReplica(nil).Predict(after, nil, batch)
	near(t, "logits", logits, want.Logits, 1e-5)
	m.Merge(after)
	for _, p := range m.Params() {
		if p.Name == "2.weight" {
			near(t, "merged 2.weight", after[p.Interval.Begin:], want.Merged, 1e-6)
		}
	}
}

func near(t *testing.T, what string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	for i, w := range want {
		if math.Abs(float64(got[i])-w) > tolerance*(1+math.Abs(w)) {
			t.Errorf("%s[%d] is %.8g, PEFT has %.8g", what, i, got[i], w)
			return
		}
	}
}

func TestAdaptersThatCannotBe(t *testing.T) {
	for lora, want := range map[string]string{
		`{rank: 4, targets: ["1"]}`:                              "lora.yaml:4:31: model.lora.targets[0]: no linear layer of the model is named 1",
		`{rank: 4, targets: ["0"], train: [fc]}`:                 "model.lora.train[0]: no parameter of the model is named fc",
		`{rank: 4, targets: ["0"]}` + "\n    freeze: ['*']":      "model.freeze: it names every parameter",
		`{rank: 4, targets: ["0"]}` + "\n    freeze: [\"nope\"]": "model.freeze[0]: no parameter of the model is named nope",
	} {
		job, d := adaptedJob(t, lora)
		if _, err := BuildModel(job, d.Schema); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", lora, err, want)
		}
	}
}
