package simulation

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"testing/synctest"

	"ringmaster/internal/config"
	"ringmaster/internal/trainer"
)

var (
	seeds  = flag.Int("seeds", 12, "how many schedules to run")
	first  = flag.Uint64("seed", 1, "the first seed")
	faults = flag.Int("faults", 12, "faults a schedule")
	epoch  = flag.Int("epoch", 150, "steps an epoch")
	tell   = flag.Bool("tell", false, "log what everybody does")
)

const jobText = `
name: simulated
seed: 5
seats: 5
model: {kind: mlp, layers: [784, 2, 10]}
data: {kind: glyphs}
train: {steps: 700, batch_per_seat: 1}
checkpoint: {every_steps: 40, keep_last: 3}
`

func assemble(t *testing.T) *trainer.Plan { return assembleWith(t) }

func assembleWith(t *testing.T, sets ...string) *trainer.Plan {
	t.Helper()
	job, err := config.Parse("simulated.yaml", []byte(jobText), sets)
	if err != nil {
		t.Fatal(err)
	}
	p, err := trainer.Assemble(job)
	if err != nil {
		t.Fatal(err)
	}
	p.PerPass = *epoch // epochs short enough to end several times in a run
	return p
}

func logger() *slog.Logger {
	if !*tell {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}

// TestWholeCluster lives the lives of many clusters: each seed has its own size, schedule of faults and delays.
func TestWholeCluster(t *testing.T) {
	p := assemble(t)
	reference := ""
	synctest.Test(t, func(t *testing.T) {
		o := Options{Seed: 0, Workers: 2, Coordinators: 1, Plan: p, Log: logger(), Reference: fmt.Sprintf("%064d", 0)}
		out := Run(o)
		reference = referenceOf(t, p)
		if len(out.Problems) != 1 || out.Steps != 2*700 {
			t.Fatalf("undisturbed: %d steps, problems %q", out.Steps, out.Problems)
		}
	})
	steps, views, moves := 0, 0, 0
	for seed := *first; seed < *first+uint64(*seeds); seed++ {
		synctest.Test(t, func(t *testing.T) {
			shape := rand.New(rand.NewPCG(seed, 9))
			o := Options{Seed: seed, Workers: 1 + shape.IntN(4), Coordinators: []int{1, 3, 3, 5}[shape.IntN(4)], Faults: *faults, Plan: p, Reference: reference, Log: logger()}
			out := Run(o)
			steps, views, moves = steps+out.Steps, views+out.Views, moves+out.Moves
			for _, problem := range out.Problems {
				t.Errorf("seed %d (%d workers, %d coordinators): %s\n  again: go test ./internal/simulation -run TestWholeCluster -seeds 1 -seed %d -epoch %d -tell", seed, o.Workers, o.Coordinators, problem, seed, *epoch)
			}
		})
		if t.Failed() && *seeds > 1 {
			t.FailNow()
		}
	}
	if moves == 0 && *seeds >= 12 {
		t.Error("no seats moved to faster workers, so nothing shows that they may")
	}
	t.Logf("%d schedules of %d faults from seed %d on: %d steps finished in %d views, %d of which moved seats to faster workers", *seeds, *faults, *first, steps, views, moves)
}

// referenceOf trains the plan without a cluster.
func referenceOf(t *testing.T, p *trainer.Plan) string {
	t.Helper()
	digest, err := undisturbed(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// TestScheduleReplays draws each schedule twice.
func TestScheduleReplays(t *testing.T) {
	for seed := range uint64(50) {
		a, b := drawSchedule(rand.New(rand.NewPCG(seed, 1)), 40, true), drawSchedule(rand.New(rand.NewPCG(seed, 1)), 40, true)
		if !slices.Equal(a, b) {
			t.Fatalf("seed %d draws two schedules", seed)
		}
	}
}

// TestJudgeNotices breaks what the cluster relies on. A judge that found nothing wrong then would be none.
func TestJudgeNotices(t *testing.T) {
	p, other := assemble(t), assembleWith(t, "seed=6")
	reference := referenceOf(t, p)
	for name, o := range map[string]Options{
		"disks that forget":  {Seed: 3, Workers: 2, Coordinators: 1, Faults: 12, Sabotage: Sabotage{ForgetfulDisks: true}},
		"a worker that lies": {Seed: 3, Workers: 2, Coordinators: 1, Faults: 0, Sabotage: Sabotage{Liar: other}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o.Plan, o.Reference, o.Log = p, reference, logger()
				out := Run(o)
				if len(out.Problems) == 0 {
					t.Error("nobody noticed")
				}
				t.Logf("%q", out.Problems)
			})
		})
	}
}
