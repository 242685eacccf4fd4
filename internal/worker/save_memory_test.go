//go:build !race

package worker

import (
	"context"
	"io"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/config"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
	"ringmaster/internal/trainer"
)

// storingLinks are links to one coordinator that counts what it stores.
type storingLinks struct {
	Network
	stored atomic.Int64 // bytes
}

// Write counts.
func (l *storingLinks) Write(p []byte) (int, error) {
	l.stored.Add(int64(len(p)))
	return len(p), nil
}

func (l *storingLinks) PutFile(_ context.Context, _ string, _ *rpc.FilePart, write func(io.Writer) error) (string, error) {
	return "c1", write(l)
}

// TestCheckpointsTakeOneCopy: a job's checkpoints share the memory of one copy of the state, in all the job's sessions, and its last one takes
// none.
func TestCheckpointsTakeOneCopy(t *testing.T) {
	file, err := config.Parse("job.yaml", []byte("seats: 1\nmodel: {kind: mlp, layers: [784, 1500, 10]}\ndata: {kind: glyphs}\ntrain: {optimizer: {kind: adamw}}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := trainer.Assemble(file)
	if err != nil {
		t.Fatal(err)
	}
	links := &storingLinks{}
	w := New(Config{Threads: 1, Log: slog.New(slog.DiscardHandler)}, links)
	w.known, w.voters = []string{"here"}, []string{"c1"}
	j := newJob(w, &rpc.Order{Job: &rpc.JobSpec{Id: "job"}})
	defer j.team.Close()
	made, err := trainer.New(t.Context(), p, j.team)
	if err != nil {
		t.Fatal(err)
	}
	j.trainer.Store(made)
	state := uint64(p.Memory().State)
	s := &session{generation: 1}
	s.id.View = plan.View{Generation: 1, Seats: 1, Members: []plan.Member{{Worker: "w1", Arc: plan.Arc{End: 1}}}}
	want := checkpoint.StateDigest(new(made.State()))

	// measure is what saving allocates, in a session of its own.
	measure := func(name string, save func(v *saver)) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		v, err := newSaver(j, s)
		if err != nil {
			t.Fatal(err)
		}
		j.saver = v
		save(v)
		v.last.Wait()
		v.idle <- <-v.idle
		runtime.ReadMemStats(&after)
		if stored := uint64(links.stored.Swap(0)); stored < state {
			t.Errorf("%s: %d bytes stored of a state of %d", name, stored, state)
		}
		if facts := v.facts(); len(facts) == 0 || checkpoint.Hash(facts[0].StateDigest) != want {
			t.Errorf("%s: reported %v, want the state %v", name, facts, want)
		}
		j.endSaver()
		return after.TotalAlloc - before.TotalAlloc
	}
	last := func(v *saver) { v.SaveLast(made) }
	save := func(v *saver) {
		if !v.Save(made) {
			t.Error("nothing saved")
		}
	}
	const much = 1 << 20
	if took := measure("the last checkpoint", last); took > much {
		t.Errorf("the last checkpoint of a state of %d bytes allocated %d", state, took)
	}
	if took := measure("the first copy", save); took > state+much {
		t.Errorf("a copy of a state of %d bytes allocated %d", state, took)
	}
	if took := measure("the second session's copy", save); took > much {
		t.Errorf("the second session's copy of a state of %d bytes allocated %d", state, took)
	}
}
