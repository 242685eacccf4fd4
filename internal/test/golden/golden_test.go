package golden

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"ringmaster/internal/allreduce"
	"ringmaster/internal/checkpoint"
	"ringmaster/internal/config"
	"ringmaster/internal/plan"
	"ringmaster/internal/tensor/kernel"
	"ringmaster/internal/trainer"
)

// job is the quickstart with an end after 50 steps and a clipped norm, so that the schedule, Adam, the fold of the seats and
// the float64 norm all leave their mark. It is written out here so that a change of the quickstart does not move the digests.
const job = `
name: golden
seed: 1
seats: 4
model: {kind: mlp, layers: [784, 128, 128, 10]}
data: {kind: glyphs}
train:
    steps: 50
    batch_per_seat: 8
    clip_norm: 1.0
    optimizer: {kind: adam, lr: 0.001}
    schedule: {kind: cosine, min_lr: 0.0001, warmup: 5}
`

// The digests. Whoever changes what training computes changes them, and raises the contract's version: checkpoints of before
// cannot be continued with the same bits. A change that is not meant to change the bits must leave them alone.
const (
	fingerprint = "db0d949294c70d31c29877532276c69f299442163162dac7d6b31eca55bdea47" // of the decoded data
	atStart     = "2a356e1fc323592ef83225a439801cfb544d00fe3309ad2c81338433fa1913c4" // state digest before the first step
	atEnd       = "8c52f8c88109ef411123f382c6cafaf06fceade46a9fe9c2dc14d519a50a96f5" // state digest after 50 steps
	parameters  = "f7849bf364ebc555563e6ce720991bc5dd65cfd5ea06f9411ce6042e8c7836a8" // digest of the parameters alone after 50 steps
)

func assemble(t *testing.T) *trainer.Plan {
	t.Helper()
	parsed, err := config.Parse("golden.yaml", []byte(job), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := trainer.Assemble(parsed)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// train takes the plan to its end on a ring of workers within this process; it returns the digests of the first worker at
// the start and those of each at the end.
func train(t *testing.T, p *trainer.Plan, workers, threads int) (start string, ends, params []string) {
	t.Helper()
	members := make([]plan.Member, workers)
	for i := range members {
		members[i] = plan.Member{Worker: fmt.Sprintf("w%d", i+1), Incarnation: plan.Incarnation(i + 1)}
	}
	view, err := plan.Seat(1, p.Job.Seats, members)
	if err != nil {
		t.Fatal(err)
	}
	links := &allreduce.InProcess{}
	trainers := make([]*trainer.Trainer, workers)
	var all sync.WaitGroup
	for i := range workers {
		team := kernel.NewTeam(threads)
		defer team.Close()
		if trainers[i], err = trainer.New(t.Context(), p, team); err != nil {
			t.Fatal(err)
		}
		start = stateDigest(trainers[i])
		all.Go(func() {
			arc := view.Members[i].Arc
			id := allreduce.Identity{Cluster: 1, Job: "golden", View: view, Self: i}
			ring, err := allreduce.Open(context.Background(), id, links, trainers[i].Gradients(arc.Len(), false), p.Buckets)
			if err != nil {
				t.Error(err)
				return
			}
			defer ring.Close()
			if _, err := trainers[i].Train(trainer.Run{Arc: arc, Ring: ring}); err != nil {
				t.Errorf("worker %d: %v", i+1, err)
			}
		})
	}
	all.Wait()
	for _, tr := range trainers {
		ends = append(ends, stateDigest(tr))
		params = append(params, checkpoint.Digest(tr.State().Params).String())
	}
	return start, ends, params
}

func stateDigest(t *trainer.Trainer) string {
	s := t.State()
	return checkpoint.StateDigest(&s).String()
}

// TestGoldenDigest trains on each tier that this machine has, with one worker and with an uneven ring of three whose
// workers have two threads.
func TestGoldenDigest(t *testing.T) {
	p := assemble(t)
	if got := fmt.Sprintf("%x", p.Data.Fingerprint); got != fingerprint {
		t.Errorf("the embedded data's fingerprint is %s, want %s", got, fingerprint)
	}
	for _, tier := range kernel.Tiers() {
		for _, ring := range []struct{ workers, threads int }{{1, 1}, {3, 2}} {
			t.Run(fmt.Sprintf("%v/%d", tier, ring.workers), func(t *testing.T) {
				if testing.Short() && ring.workers > 1 {
					t.Skip("one worker in short mode")
				}
				defer kernel.Force(tier)()
				start, ends, params := train(t, p, ring.workers, ring.threads)
				if start != atStart {
					t.Errorf("initial state %s, want %s", start, atStart)
				}
				for i := range ends {
					if ends[i] != atEnd || params[i] != parameters {
						t.Errorf("worker %d after %d steps: state %s, parameters %s; want %s, %s", i+1, p.Steps, ends[i], params[i], atEnd, parameters)
					}
				}
			})
		}
	}
}
