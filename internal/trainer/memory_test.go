package trainer

import (
	"ringmaster/internal/checkpoint"
	"testing"

	"ringmaster/internal/config"
)

// TestMemoryIsKnownBeforehand compares what a plan says with what the trainer made of it holds.
func TestMemoryIsKnownBeforehand(t *testing.T) {
	p := assemble(t, 2, "")
	for name, optimizer := range map[string]config.Optimizer{
		"adam":         {Kind: config.OptimizerAdam, Form: config.FormPyTorch, LR: 1},
		"sgd":          {Kind: config.OptimizerSGD, Form: config.FormPyTorch, LR: 1},
		"sgd momentum": {Kind: config.OptimizerSGD, Form: config.FormPyTorch, LR: 1, Momentum: 0.9},
		"average":      {Kind: config.OptimizerAdam, Form: config.FormPyTorch, LR: 1},
	} {
		p.Job.Train.EMA = map[string]float64{"average": 0.9}[name]
		p.Job.Train.Optimizer = optimizer
		tr, err := New(t.Context(), p, nil)
		if err != nil {
			t.Fatal(err)
		}
		m := p.Memory()
		if want := int64(4 * tr.Floats()); m.State != want {
			t.Errorf("%s: a state of %d bytes, it has %d", name, m.State, want)
		}
		if want := int64(4 * len(tr.Gradients(1, false)[0])); m.Seat != want {
			t.Errorf("%s: a gradient of %d bytes, it has %d", name, m.Seat, want)
		}
	}
}

// TestWorkIsWhatIsComputed wants the activations of real batches to count: of training's full shard, which the data may cut
// short, and of an evaluation where that takes more.
func TestWorkIsWhatIsComputed(t *testing.T) {
	p := assemble(t, 1, "")
	evaluation := p.Model.EvaluationBytes(evalBatch)
	if got := p.Memory().Work; got != evaluation || got <= p.Model.TrainingBytes(3) {
		t.Errorf("batches of 3 take %d bytes of work, an evaluation %d", got, evaluation)
	}
	p.Data.Eval = nil
	if got, want := p.Memory().Work, p.Model.TrainingBytes(3); got != want {
		t.Errorf("without an evaluation %d bytes of work, want %d", got, want)
	}
	p.Job.Train.BatchPerSeat = 1 << 30
	if got, want := p.Memory().Work, p.Model.TrainingBytes(p.Data.Train.Len()); got != want {
		t.Errorf("a batch larger than the data: %d bytes of work, want %d", got, want)
	}
}

// TestHugeJobsAreOnlyPlanned prices a job that no machine holds.
func TestHugeJobsAreOnlyPlanned(t *testing.T) {
	p := assemble(t, 1, "")
	p.Job.Model.Layers = []int{784, 1 << 15, 1 << 15, 10}
	m, err := BuildModel(p.Job, p.Data.Schema)
	if err != nil {
		t.Fatal(err)
	}
	p.Model, p.Job.Train.BatchPerSeat = m, 1<<20
	var got Memory
	if n := testing.AllocsPerRun(1, func() { got = p.Memory() }); n > 10000 {
		t.Errorf("%g allocations", n)
	}
	if params := int64(m.Len()); got.State != 12*params+4*checkpoint.HistoryLength || got.Seat != 4*params || got.Work < int64(p.Data.Train.Len())<<17 {
		t.Errorf("%+v for %d parameters", got, params)
	}
}
