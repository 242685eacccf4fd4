package trainer

import (
	"testing"

	"ringmaster/internal/config"
)

// Activations may be computed again: parameters, running statistics and the curve are those of a training that keeps them, on any ring.
func TestRecomputingChangesNoState(t *testing.T) {
	want := ""
	for _, extra := range []string{"", ", recompute: true"} {
		job, err := config.Parse("job.yaml", []byte(`
seats: 2
model:
    kind: sequential
    stack: [{kind: linear, out: 24}, {kind: batch_norm}, {kind: relu}, {kind: dropout, rate: 0.2},
        {kind: residual, stack: [{kind: linear, out: 24}, {kind: batch_norm}, {kind: gelu}, {kind: linear, out: 24}]}, {kind: linear, out: 10}]
data: {kind: glyphs}
train: {steps: 12, batch_per_seat: 5, accumulate: 2`+extra+`}
`), nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Assemble(job)
		if err != nil {
			t.Fatal(err)
		}
		for _, workers := range []int{1, 2} {
			got := digestOf(train(t, p, workers, 1, 1, nil, nil)[0])
			if want == "" {
				want = got
			}
			if got != want {
				t.Errorf("%d workers%s: state %s, want %s", workers, extra, got, want)
			}
		}
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
