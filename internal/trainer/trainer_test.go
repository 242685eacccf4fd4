package trainer

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"ringmaster/internal/allreduce"
	"ringmaster/internal/checkpoint"
	"ringmaster/internal/config"
	"ringmaster/internal/plan"
	"ringmaster/internal/tensor/kernel"
)

// assemble parses a small job on the embedded digits.
func assemble(t testing.TB, seats int, extra string) *Plan {
	t.Helper()
	text := fmt.Sprintf(`
name: small
seed: 3
seats: %d
model: {kind: mlp, layers: [784, 24, 10]}
data: {kind: glyphs}
train: {steps: 25, batch_per_seat: 3, optimizer: {kind: adam, lr: 0.002}%s}
`, seats, extra)
	job, err := config.Parse("small.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Assemble(job)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// train runs the plan on a ring of workers within this process and returns their state digests.
func train(t *testing.T, p *Plan, workers, threads int, generation plan.Generation, from *checkpoint.State, signals *Signals, change ...func(*Run)) []*Trainer {
	t.Helper()
	return trainEach(t, slices.Repeat([]*Plan{p}, workers), threads, generation, from, signals, change...)
}

// trainEach is train with a plan for each worker.
func trainEach(t *testing.T, plans []*Plan, threads int, generation plan.Generation, from *checkpoint.State, signals *Signals, change ...func(*Run)) []*Trainer {
	t.Helper()
	view, err := plan.Seat(generation, plans[0].Job.Seats, ringOf(len(plans)))
	if err != nil {
		t.Fatal(err)
	}
	return trainView(t, plans, threads, view, from, signals, change...)
}

func ringOf(workers int) []plan.Member {
	members := make([]plan.Member, workers)
	for i := range members {
		members[i] = plan.Member{Worker: fmt.Sprintf("w%d", i+1), Incarnation: plan.Incarnation(10 + i)}
	}
	return members
}

// trainView is trainEach with the arcs of a view.
func trainView(t *testing.T, plans []*Plan, threads int, view plan.View, from *checkpoint.State, signals *Signals, change ...func(*Run)) []*Trainer {
	t.Helper()
	workers, p := len(plans), plans[0]
	var err error
	links := &allreduce.InProcess{}
	trainers := make([]*Trainer, workers)
	var all sync.WaitGroup
	for i := range workers {
		team := kernel.NewTeam(threads)
		defer team.Close()
		if trainers[i], err = New(t.Context(), plans[i], team); err != nil {
			t.Fatal(err)
		}
		if from != nil {
			if err := trainers[i].Adopt(*from); err != nil {
				t.Fatal(err)
			}
		}
		all.Go(func() {
			arc := view.Members[i].Arc
			ring, err := allreduce.Open(context.Background(), allreduce.Identity{Cluster: 1, Job: "small", View: view, Self: i}, links, trainers[i].Gradients(arc.Len(), false), p.Buckets)
			if err != nil {
				t.Error(err)
				return
			}
			defer ring.Close()
			r := Run{Arc: arc, Ring: ring, Signals: signals}
			for _, c := range change {
				c(&r)
			}
			if _, err := trainers[i].Train(r); err != nil {
				t.Errorf("worker %d: %v", i, err)
			}
		})
	}
	all.Wait()
	return trainers
}

func digestOf(t *Trainer) string {
	s := t.State()
	return checkpoint.StateDigest(&s).String()
}

func TestSameBitsOnAnyRing(t *testing.T) {
	ends := map[string]string{}
	for _, extra := range []string{"", ", clip_norm: 0.05", ", label_smoothing: 0.1"} {
		p := assemble(t, 5, extra)
		want := digestOf(train(t, p, 1, 1, 1, nil, nil)[0])
		if other, same := ends[want]; same {
			t.Errorf("%q and %q end at the same state", extra, other)
		}
		ends[want] = extra
		for workers := 1; workers <= 5; workers++ {
			for i, tr := range train(t, p, workers, 1+workers%2, 1, nil, nil) {
				if got := digestOf(tr); got != want {
					t.Errorf("%q: worker %d of %d ends at %s, one worker alone at %s", extra, i+1, workers, got, want)
				}
				if tr.Step() != 25 {
					t.Errorf("worker %d of %d ends at step %d", i+1, workers, tr.Step())
				}
			}
		}
	}
}

// TestSameBitsOnUnevenArcs trains with seats dealt out in every way.
func TestSameBitsOnUnevenArcs(t *testing.T) {
	const seats = 5
	p := assemble(t, seats, "")
	p.Steps = 8
	want := digestOf(train(t, p, 1, 1, 1, nil, nil)[0])
	for cuts := range 1 << (seats - 1) { // bit i: a worker's arc ends after seat i
		counts := []int{1}
		for i := range seats - 1 {
			if cuts>>i&1 == 1 {
				counts = append(counts, 0)
			}
			counts[len(counts)-1]++
		}
		view := plan.SeatUnevenly(1, counts, ringOf(len(counts)))
		for i, tr := range trainView(t, slices.Repeat([]*Plan{p}, len(counts)), 1, view, nil, nil) {
			if got := digestOf(tr); got != want {
				t.Errorf("seats %v: worker %d ends at %s, one worker alone at %s", counts, i+1, got, want)
			}
		}
	}
}

// TestStopAndGoOn stops after one step and goes on from a copy of the state with other numbers of workers.
func TestStopAndGoOn(t *testing.T) {
	p := assemble(t, 4, "")
	want := digestOf(train(t, p, 1, 1, 1, nil, nil)[0])
	var state checkpoint.State
	from := (*checkpoint.State)(nil)
	for round := 0; ; round++ {
		signals := &Signals{}
		signals.Stop.Store(round < 3)
		tr := train(t, p, 1+round%4, 1, plan.Generation(round+1), from, signals)[0]
		if round < 3 && tr.Step() != uint64(round+1) {
			t.Fatalf("round %d stopped at step %d", round, tr.Step())
		}
		if tr.Step() == p.Steps {
			if got := digestOf(tr); got != want {
				t.Errorf("stopped and resumed: %s, in one go: %s", got, want)
			}
			return
		}
		tr.Copy(&state)
		from = &state
	}
}

// TestBeginAtTheEndOfAnEpoch begins a session where the one before ended between an epoch's last step and its evaluation:
// the evaluation is the first thing that it gathers.
func TestBeginAtTheEndOfAnEpoch(t *testing.T) {
	for _, steps := range []uint64{25, 30} { // the job ends with the epoch, and goes on
		p := assemble(t, 4, "")
		p.PerPass, p.Steps = 25, steps
		var mu sync.Mutex
		var ends []EpochEnd
		note := func(r *Run) {
			r.OnEpoch = func(e EpochEnd) {
				mu.Lock()
				defer mu.Unlock()
				ends = append(ends, e)
			}
		}
		whole := train(t, p, 1, 1, 1, nil, nil, note)[0]
		p.Steps = 25
		var state checkpoint.State
		train(t, p, 1, 1, 1, nil, nil)[0].Copy(&state)
		p.Steps = steps
		for i, tr := range train(t, p, 3, 1, 2, &state, nil, note) {
			if digestOf(tr) != digestOf(whole) {
				t.Errorf("worker %d: other bits than in one go", i+1)
			}
		}
		if len(ends) != 4 {
			t.Fatalf("%d epochs were reported, want one by each of 4 workers", len(ends))
		}
		for _, e := range ends {
			if e.Epoch != 1 || e.Step != 25 || e.TrainLoss != ends[0].TrainLoss || *e.Eval != *ends[0].Eval || e.Eval.Count == 0 {
				t.Errorf("epoch %+v (%+v), want %+v (%+v)", e, e.Eval, ends[0], ends[0].Eval)
			}
		}
	}
}

// sameEverywhere trains the plan on 1, 2 and 3 workers in one go, and on 1 to 4 with an interruption after each of the first steps. It fails
// unless all end at one state, and returns a trainer that did.
func sameEverywhere(t *testing.T, p *Plan) *Trainer {
	t.Helper()
	whole := train(t, p, 1, 1, 1, nil, nil)[0]
	want := digestOf(whole)
	for workers := 2; workers <= 3; workers++ {
		for i, tr := range train(t, p, workers, 2, 1, nil, nil) {
			if got := digestOf(tr); got != want {
				t.Errorf("worker %d of %d ends at %s, one worker alone at %s", i+1, workers, got, want)
			}
		}
	}
	var state checkpoint.State
	from := (*checkpoint.State)(nil)
	for round := range 4 {
		signals := &Signals{}
		signals.Stop.Store(round < 3)
		tr := train(t, p, 1+round%min(4, p.Job.Seats), 1, plan.Generation(round+1), from, signals)[0]
		tr.Copy(&state)
		from = &state
	}
	if got := checkpoint.StateDigest(&state).String(); got != want || state.Step != p.Steps {
		t.Errorf("stopped and resumed: %s at step %d, in one go: %s", got, state.Step, want)
	}
	return whole
}

func TestSchedulesOnAnyRing(t *testing.T) {
	ends := map[string]string{}
	for _, schedule := range []string{"warm_restarts, t_0: 4, t_mult: 2", "warm_restarts, t_0: 4", "one_cycle", "one_cycle, cycle_momentum: false"} {
		end := digestOf(sameEverywhere(t, assemble(t, 4, ", schedule: {kind: "+schedule+"}")))
		if other, same := ends[end]; same {
			t.Errorf("%s and %s end at the same state", schedule, other)
		}
		ends[end] = schedule
	}
}
