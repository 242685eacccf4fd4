//go:build !race

package trainer

import (
	"context"
	"testing"

	"ringmaster/internal/allreduce"
	"ringmaster/internal/plan"
)

// TestStepsAllocateNothing counts allocations of whole steps once all batch sizes have been seen. The
// race detector's own allocations count too, so it is left out there.
func TestStepsAllocateNothing(t *testing.T) {
	stepsAllocateNothing(t, assemble(t, 4, ""))
	stepsAllocateNothing(t, assemble(t, 4, ", accumulate: 3, schedule: {kind: one_cycle}"))
	stepsAllocateNothing(t, assemble(t, 4, ", gradient_noise: true"))
}

func stepsAllocateNothing(t *testing.T, p *Plan) {
	t.Helper()
	tr, err := New(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	view, err := plan.Seat(1, 4, []plan.Member{{Worker: "w1", Incarnation: 1}})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := allreduce.Open(context.Background(), allreduce.Identity{Cluster: 1, Job: "small", View: view}, nil, tr.Gradients(4, false), p.Buckets)
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	run := &Run{Arc: view.Members[0].Arc, Ring: ring, Signals: &Signals{}}
	if err := tr.enter(run); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(50, func() {
		if _, err := tr.stepOnce(run); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("a step allocates %v times", n)
	}
}

// TestReadingAheadAllocatesNothing counts over many steps, and prices the batches that are read ahead.
func TestReadingAheadAllocatesNothing(t *testing.T) {
	p := assemble(t, 3, "")
	before := p.Memory()
	data := *p.Data
	data.Train = elsewhere{data.Train}
	p.Data, p.Steps = &data, 200
	batch := int64((3 + feedRoom) * 4 * 785)
	if after := p.Memory(); after.Work != before.Work+batch || after.Seat != before.Seat+batch || after.State != before.State {
		t.Errorf("reading ahead takes %+v, without %+v", after, before)
	}
	tr, err := New(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	tr.Gradients(3, false)
	r := &Run{Arc: plan.Arc{Begin: 0, End: 3}, Ring: &solo{}}
	if err := tr.enter(r); err != nil {
		t.Fatal(err)
	}
	defer tr.feed.close()
	step := func() {
		if _, err := tr.stepOnce(r); err != nil {
			t.Fatal(err)
		}
	}
	step()
	if n := testing.AllocsPerRun(50, step); n != 0 {
		t.Errorf("a step allocates %v times", n)
	}
}
