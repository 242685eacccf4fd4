package simulation

import (
	"context"

	"ringmaster/internal/allreduce"
	"ringmaster/internal/checkpoint"
	"ringmaster/internal/plan"
	"ringmaster/internal/trainer"
)

// undisturbed trains a plan alone, with no cluster around it, and returns the state digest at the end.
func undisturbed(ctx context.Context, p *trainer.Plan) (string, error) {
	t, err := trainer.New(ctx, p, nil)
	if err != nil {
		return "", err
	}
	arc := plan.Arc{Begin: 0, End: p.Job.Seats}
	view := plan.View{Generation: 1, Seats: p.Job.Seats, Members: []plan.Member{{Worker: "alone", Incarnation: 1, Arc: arc}}}
	ring, err := allreduce.Open(ctx, allreduce.Identity{Cluster: 1, Job: "reference", View: view}, nil, t.Gradients(arc.Len(), false), p.Buckets)
	if err != nil {
		return "", err
	}
	defer ring.Close()
	if _, err := t.Train(trainer.Run{Arc: arc, Ring: ring}); err != nil {
		return "", err
	}
	s := t.State()
	return checkpoint.StateDigest(&s).String(), nil
}
