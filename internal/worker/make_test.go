package worker

import (
	"context"
	"log/slog"
	"testing"

	"ringmaster/internal/rpc"
	"ringmaster/internal/tensor/kernel"
	"ringmaster/internal/trainer"
)

// TestCloseWhileMaking ends a worker's part in a job while it makes a state that takes for ever: the making is told, and given up.
func TestCloseWhileMaking(t *testing.T) {
	begun := make(chan struct{})
	w := New(Config{Log: slog.New(slog.DiscardHandler), New: func(ctx context.Context, _ *trainer.Plan, _ *kernel.Team) (*trainer.Trainer, error) {
		close(begun)
		<-ctx.Done()
		return nil, ctx.Err()
	}}, &Network{})
	j := newJob(w, &rpc.Order{Job: &rpc.JobSpec{Id: "job"}})
	j.make(t.Context())
	<-begun
	j.close()
	if j.trainer.Load() != nil || j.phase != rpc.Phase_PHASE_PREPARING {
		t.Errorf("a state that was given up is held, phase %v", j.phase)
	}
}
