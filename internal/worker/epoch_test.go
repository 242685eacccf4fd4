package worker

import (
	"context"
	"math"
	"testing"

	"ringmaster/internal/rpc"
	"ringmaster/internal/trainer"
)

// TestEpochsQueue wants epochs that end faster than the main loop reports them reported in their order, with none missing by the
// time a session's end is.
func TestEpochsQueue(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	j := &job{w: &Worker{events: make(chan func())}, ctx: ctx}
	for range 2 { // a step computed again may end an epoch again
		for epoch := range 50 {
			j.noteEpoch(trainer.EpochEnd{Epoch: epoch + 1, Step: uint64(epoch), TrainLoss: float64(epoch), Eval: &trainer.Evaluation{Loss: 2}})
		}
		j.takeEpochs()
	}
	if len(j.epochs) != 50 {
		t.Fatalf("%d epochs are reported, not 50", len(j.epochs))
	}
	for i, e := range j.epochs {
		if e.Epoch != uint32(i+1) || math.Float64frombits(e.TrainLoss) != float64(i) || !e.HasEval {
			t.Fatalf("epoch %d is reported in place %d: %v", e.Epoch, i, e)
		}
	}
	j.acknowledge(&rpc.Order{EpochsRecorded: 49})
	if len(j.epochs) != 1 || j.epochs[0].Epoch != 50 {
		t.Errorf("with 49 epochs recorded %v are reported", j.epochs)
	}
}
