package worker

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"runtime/debug"
	"testing"

	"ringmaster/internal/allreduce"
	"ringmaster/internal/config"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
	"ringmaster/internal/trainer"
)

// ringless are links of a worker that opens no ring.
type ringless struct{ Network }

func (*ringless) OpenRing(context.Context, allreduce.Identity, [][]float32, []plan.Bucket) (Ring, error) {
	return nil, errors.New("no ring")
}

// TestSessionKeepsWithinItsRoom wants the collector to know the room that a view was made with: else the heap would grow to twice of
// what the job takes, and a machine that holds the job would kill its workers.
func TestSessionKeepsWithinItsRoom(t *testing.T) {
	before := debug.SetMemoryLimit(math.MaxInt64)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	p, self := assemble(t), &rpc.Member{Worker: "w1", Incarnation: 1, Machine: "here", SeatEnd: 1}
	view := &rpc.View{Generation: 1, Seats: 3, Members: []*rpc.Member{self, {Worker: "w2", Incarnation: 2, Machine: "here", SeatBegin: 1, SeatEnd: 2},
		{Worker: "w3", Incarnation: 3, Machine: "there", SeatBegin: 2, SeatEnd: 3}}}
	for name, c := range map[string]struct {
		memory plan.Memory
		want   int64
	}{
		"shared":              {plan.Memory{Machine: 100 << 30}, 45 << 30},
		"with a limit":        {plan.Memory{Machine: 100 << 30, Limit: 7 << 30}, 7 << 30},
		"of an unknown size":  {plan.Memory{}, math.MaxInt64},
		"larger than numbers": {plan.Memory{Limit: math.MaxUint64}, math.MaxInt64},
	} {
		debug.SetMemoryLimit(math.MaxInt64)
		w := New(Config{Self: memberFrom(self), Threads: 1, Log: slog.New(slog.DiscardHandler)}, &ringless{})
		j := newJob(w, &rpc.Order{Job: &rpc.JobSpec{Id: "job"}})
		made, err := trainer.New(t.Context(), p, j.team)
		if err != nil {
			t.Fatal(err)
		}
		j.trainer.Store(made)
		j.hold(rpc.Phase_PHASE_READY)
		j.memory, j.generation = c.memory, 1
		j.begin(t.Context(), &rpc.Order{View: view, Start: &rpc.Start{Generation: 1, StateDigest: j.digest}})
		if got := debug.SetMemoryLimit(-1); got != c.want {
			t.Errorf("a machine %s: the collector keeps within %d bytes, not %d", name, got, c.want)
		}
		j.close()
	}
}

// TestMakingKeepsWithinWhatTheJobTakes wants the same before there is a view: a checkpoint that is restored is no reason to take more.
func TestMakingKeepsWithinWhatTheJobTakes(t *testing.T) {
	before := debug.SetMemoryLimit(math.MaxInt64)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	p := assemble(t)
	w := New(Config{Threads: 1, Log: slog.New(slog.DiscardHandler), Memory: Memory{Machine: 100 << 30},
		Assemble: func([]byte) (*trainer.Plan, error) { return p, nil }}, &ringless{})
	w.job = newJob(w, &rpc.Order{Job: &rpc.JobSpec{Id: "job"}})
	defer w.dropJob()
	w.job.prepare(t.Context())
	(<-w.events)()
	if got, want := debug.SetMemoryLimit(-1), int64(w.job.memory.Job+w.job.memory.Seat); want == 0 || got != want {
		t.Errorf("the collector keeps within %d bytes, not %d", got, want)
	}
}

// assemble is a small job's plan.
func assemble(t *testing.T) *trainer.Plan {
	t.Helper()
	file, err := config.Parse("job.yaml", []byte("seats: 3\nmodel: {kind: mlp, layers: [784, 10]}\ndata: {kind: glyphs}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := trainer.Assemble(file)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
