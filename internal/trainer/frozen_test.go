package trainer

import (
	"bytes"
	"slices"
	"testing"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/plan"
)

// frozenJobs are jobs of which a part is trained, with what they came to when gradients and moments of frozen parameters were still computed and
// kept: the digests of the parameters and of the history.
var frozenJobs = []struct {
	model, train, params, history string
}{
	{`{layers: [784, 12, 12, 10], freeze: ["0", "*.bias"]}`,
		`{steps: 8, batch_per_seat: 3, clip_norm: 0.05, optimizer: {kind: adamw, no_decay: [norms_and_biases], groups: [{match: "4", lr_factor: 2}]}}`,
		"aa27c7a8d662…", "32bc1caeb887…"},
	{`{layers: [784, 700, 700, 10], lora: {rank: 3, targets: ["0", "2"], train: ["4.bias"]}}`, // three buckets
		`{steps: 4, batch_per_seat: 2, accumulate: 2, clip_norm: 0.5, ema: 0.9, optimizer: {kind: sgd, momentum: 0.9, nesterov: true}}`,
		"418549bfc60a…", "f5af9355a808…"},
	{`{layers: [784, 700, 700, 10], freeze: ["0.weight", "2.bias"]}`,
		`{steps: 3, batch_per_seat: 2, optimizer: {kind: adam, weight_decay: 0.1}}`,
		"0364e4714bf5…", "f510d2f1ab45…"},
}

// TestFrozenPartsChangeNoBit trains these jobs on rings of one to three workers.
func TestFrozenPartsChangeNoBit(t *testing.T) {
	for _, job := range frozenJobs {
		p := planOf(t, job.model, job.train)
		for workers := range 3 {
			for _, tr := range train(t, p, 1+workers, 1, 1, nil, nil) {
				params, history := checkpoint.Digest(tr.params).Short(), checkpoint.Digest(tr.history).Short()
				if params != job.params || history != job.history {
					t.Errorf("%s on %d workers ends at %q, %q, want %q, %q", job.model, 1+workers, params, history, job.params, job.history)
				}
			}
		}
	}
}

// TestFrozenPartsTakeNothing wants gradients, moments, averages and checkpoints to hold what is trained alone, as the plan says beforehand, and a
// run that is resumed from such a checkpoint to end as one without a break.
func TestFrozenPartsTakeNothing(t *testing.T) {
	for _, job := range frozenJobs[1:] {
		p := planOf(t, job.model, job.train)
		whole := train(t, p, 1, 1, 1, nil, nil)[0]
		trained := p.Model.GradientLen()
		state, memory := whole.State(), p.Memory()
		for _, b := range state.Optim {
			if len(b.Data) != trained {
				t.Errorf("%s: %s has %d values for %d trained parameters of %d", job.model, b.Name, len(b.Data), trained, p.Model.Len())
			}
		}
		if got := len(whole.Gradients(1, false)[0]); got != trained || memory.Seat != int64(4*trained) || memory.State != int64(4*whole.Floats()) {
			t.Errorf("%s: gradients of %d values for %d trained parameters; the plan says %+v, the state has %d values", job.model, got, trained, memory, whole.Floats())
		}
		layout, err := p.Layout()
		if err != nil {
			t.Fatal(err)
		}
		size := int64(0)
		for _, share := range layout.Shares() {
			if size += share.Bytes; share.Bytes > int64(4*p.Model.Len()*(1+len(state.Optim))) {
				t.Errorf("%s: file %s has %d bytes", job.model, share.Name, share.Bytes)
			}
		}
		if most := int64(4*(p.Model.Len()+len(state.Optim)*trained+checkpoint.HistoryLength) + 1<<14); size > most {
			t.Errorf("%s: checkpoints of %d bytes, want at most %d", job.model, size, most)
		}
		half := *p
		half.Steps = 2
		first := train(t, &half, 2, 1, 1, nil, nil)[0]
		restored := recode(t, layout, first.State())
		if got := digestOf(train(t, p, 3, 1, 2, restored, nil)[0]); got != digestOf(whole) {
			t.Errorf("%s: resumed, it ends at %s, want %s", job.model, got, digestOf(whole))
		}
	}
}

// recode writes a state's files and reads them again.
func recode(t *testing.T, layout *checkpoint.Layout, state checkpoint.State) *checkpoint.State {
	t.Helper()
	restored := layout.NewState()
	restored.Step, restored.Sums = state.Step, state.Sums
	for k := range layout.Shares() {
		var text bytes.Buffer
		f, err := layout.EncodeShare(&text, k, &state)
		if err == nil {
			err = layout.DecodeShare(&text, k, f, restored)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return restored
}

// TestAverageWithFrozenParts evaluates the average: of what is trained, with the parameters that stay.
func TestAverageWithFrozenParts(t *testing.T) {
	p := planOf(t, frozenJobs[1].model, frozenJobs[1].train)
	tr := train(t, p, 1, 1, 1, nil, nil)[0]
	want := slices.Clone(tr.params)
	p.Model.Scatter(want, tr.average)
	if slices.Equal(want, tr.params) {
		t.Fatal("the average is the parameters")
	}
	score, err := p.Score(nil, want, tr.stats)
	if err != nil {
		t.Fatal(err)
	}
	got, err := tr.Evaluate(&solo{}, plan.Arc{Begin: 0, End: p.Job.Seats})
	if err != nil || *got != *score {
		t.Errorf("%+v, %v, want %+v", got, err, score)
	}
}
