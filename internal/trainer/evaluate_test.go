package trainer

import (
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/plan"
	"ringmaster/internal/rng"
)

// evaluateIn evaluates the plan's state at step 0 in pieces of that number of samples.
func evaluateIn(t *testing.T, p *Plan, piece int) Evaluation {
	t.Helper()
	tr, err := New(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	tr.piece = piece
	e, err := tr.Evaluate(&solo{}, plan.Arc{Begin: 0, End: p.Job.Seats})
	if err != nil {
		t.Fatal(err)
	}
	return *e
}

// TestPiecesDoNotShow evaluates sets of more than one batch a seat, with a ragged last one, in pieces of several sizes.
func TestPiecesDoNotShow(t *testing.T) {
	digits := assemble(t, 1, "")
	text := assembleText(t)
	for name, p := range map[string]*Plan{"digits": digits, "text": text} {
		want := evaluateIn(t, p, evalBatch)
		for _, piece := range []int{1, 3, 7, 64} {
			if got := evaluateIn(t, p, piece); got != want {
				t.Errorf("%s in pieces of %d: %+v, in batches %+v", name, piece, got, want)
			}
		}
	}
	if shard := digits.Data.Eval.Len(); shard <= evalBatch || shard%evalBatch == 0 {
		t.Errorf("a seat evaluates %d digits, which are no batches with a ragged one after them", shard)
	}
}

// unread is a set of which only the length counts.
type unread struct {
	dataset.Set
	count int
}

func (s unread) Len() int       { return s.count }
func (s unread) Resident() bool { return true }
func (s unread) Read(*dataset.Batch, []int32, rng.Key) error {
	panic("nobody reads it")
}

// TestEvaluationIsBounded wants no job's evaluation to take more than its training does, or than the room that there is for
// any, and jobs that fit that room to evaluate whole batches.
func TestEvaluationIsBounded(t *testing.T) {
	images := func(shape ...int) dataset.Schema {
		return dataset.Schema{
			{Name: "pixels", Type: dataset.Float32, Role: dataset.Input, Shape: shape},
			{Name: "label", Type: dataset.Int32, Role: dataset.Target, Classes: 10},
		}
	}
	text := dataset.Schema{
		{Name: "tokens", Type: dataset.Int32, Role: dataset.Input, Shape: []int{1024}, Classes: 50000},
		{Name: "next", Type: dataset.Int32, Role: dataset.Target, Shape: []int{1024}, Classes: 50000},
	}
	for _, c := range []struct {
		name   string
		cfg    config.Model
		schema dataset.Schema
		batch  int
		want   int
	}{
		{"digits", config.Model{Kind: config.ModelMLP, Layers: []int{784, 128, 10}}, images(784), 1, evalBatch},
		{"photos", config.Model{Kind: config.ModelMobileNetV2, Variant: "cifar"}, images(3, 32, 32), 1, 32},
		{"photos, larger batch", config.Model{Kind: config.ModelMobileNetV2, Variant: "cifar"}, images(3, 32, 32), 32, evalBatch},
		{"large photos", config.Model{Kind: config.ModelMobileNetV2}, images(3, 1024, 1024), 1, 4},
		{"text", config.Model{Kind: config.ModelGPT, Depth: 2, Heads: 2, Width: 512}, text, 1, 4},
	} {
		job := &config.Job{Seats: 2, Model: c.cfg, Train: config.Train{BatchPerSeat: c.batch, Loss: config.LossCrossEntropy}}
		m, err := BuildModel(job, c.schema)
		if err != nil {
			t.Fatal(err)
		}
		p := &Plan{Job: job, Data: &dataset.Data{Schema: c.schema, Train: unread{count: 1000}, Eval: unread{count: 1000}}, Model: m}
		piece := p.EvaluationPiece()
		took, room := m.EvaluationBytes(piece), max(m.TrainingBytes(c.batch), evalRoom)
		t.Logf("%s: pieces of %d take %d MiB, training takes %d MiB", c.name, piece, took>>20, m.TrainingBytes(c.batch)>>20)
		if took > room || piece < 1 || evalBatch%piece != 0 {
			t.Errorf("%s: pieces of %d take %d bytes where there is room for %d", c.name, piece, took, room)
		}
		if piece != c.want {
			t.Errorf("%s: pieces of %d, want %d", c.name, piece, c.want)
		}
	}
}
