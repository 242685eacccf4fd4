package trainer

import (
	"fmt"
	"testing"

	"ringmaster/internal/config"
)

// Activations may be computed again: parameters, running statistics and the curve are those of a training that keeps them, on any ring, in
// float32 and in bfloat16.
func TestRecomputingChangesNoState(t *testing.T) {
	digests := map[string]bool{}
	for _, precision := range []string{config.PrecisionFloat32, config.PrecisionBFloat16} {
		want := ""
		for _, recompute := range []bool{false, true} {
			job, err := config.Parse("job.yaml", fmt.Appendf(nil, `
seats: 3
model:
    kind: sequential
    stack: [{kind: linear, out: 24}, {kind: batch_norm}, {kind: relu}, {kind: dropout, rate: 0.2},
        {kind: residual, stack: [{kind: linear, out: 24}, {kind: batch_norm}, {kind: gelu}, {kind: linear, out: 24}]}, {kind: linear, out: 10}]
data: {kind: glyphs}
train: {steps: 12, batch_per_seat: 5, accumulate: 2, precision: %s, recompute: %v}
`, precision, recompute), nil)
			if err != nil {
				t.Fatal(err)
			}
			p, err := Assemble(job)
			if err != nil {
				t.Fatal(err)
			}
			for _, workers := range []int{1, 2, 3} {
				got := digestOf(train(t, p, workers, 1, 1, nil, nil)[0])
				if want == "" {
					want = got
				}
				if got != want {
					t.Errorf("%d workers, %s, recompute %v: state %s, want %s", workers, precision, recompute, got, want)
				}
			}
		}
		digests[want] = true
	}
	if len(digests) != 2 {
		t.Errorf("bfloat16 changes nothing")
	}
}

// TestRecomputingNeedsLessMemory wants the planned work to shrink.
func TestRecomputingNeedsLessMemory(t *testing.T) {
	work := func(extra string) int64 {
		p := assemble(t, 1, extra)
		p.Data.Eval, p.Job.Model.Layers = nil, []int{784, 512, 512, 512, 512, 512, 512, 512, 512, 10}
		m, err := BuildModel(p.Job, p.Data.Schema)
		if err != nil {
			t.Fatal(err)
		}
		p.Model, p.Job.Train.BatchPerSeat = m, 64
		return p.Memory().Work
	}
	if kept, dropped := work(""), work(", recompute: true"); dropped >= kept {
		t.Errorf("%d bytes of work, %d where activations are kept", dropped, kept)
	}
}
