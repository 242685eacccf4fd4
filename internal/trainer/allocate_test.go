//go:build !race

package trainer

import (
	"context"
	"testing"

	"ringmaster/internal/allreduce"
	"ringmaster/internal/plan"
	"ringmaster/internal/trace"
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
	var recorder trace.Recorder
	tr, step := steps(t, p, &recorder)
	if n := testing.AllocsPerRun(50, step); n != 0 {
		t.Errorf("a step allocates %v times", n)
	}
	recording := recorder.Start(tr.step+1, 1000, 1<<12)
	if n := testing.AllocsPerRun(50, step); n != 0 {
		t.Errorf("a step that is traced allocates %v times", n)
	}
	recorder.Stop()
	seen := map[trace.Kind]bool{}
	spans, _ := recording.Spans()
	for _, s := range spans {
		seen[s.Kind] = true
	}
	for _, kind := range []trace.Kind{trace.Step, trace.Reading, trace.Forward, trace.Backward, trace.Optimizer, trace.Waiting,
		trace.ForwardOperation, trace.BackwardOperation} {
		if !seen[kind] {
			t.Errorf("no span of %v in 50 steps", kind)
		}
	}
	if took := tr.Progress.Took.Snapshot(); took.Count() != tr.step {
		t.Errorf("%d durations of %d steps", took.Count(), tr.step)
	}
}

// steps makes a worker that is alone, and the function that does its next step.
func steps(t testing.TB, p *Plan, recorder *trace.Recorder) (tr *Trainer, step func()) {
	t.Helper()
	tr, err := New(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	tr.TraceTo(recorder)
	view, err := plan.Seat(1, 4, []plan.Member{{Worker: "w1", Incarnation: 1}})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := allreduce.Open(context.Background(), allreduce.Identity{Cluster: 1, Job: "small", View: view, Trace: recorder}, nil, tr.Gradients(4, false), p.Buckets)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ring.Close() })
	run := &Run{Arc: view.Members[0].Arc, Ring: ring, Signals: &Signals{}}
	if err := tr.enter(run); err != nil {
		t.Fatal(err)
	}
	return tr, func() {
		if _, err := tr.stepOnce(run); err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkStep compares steps that nobody traces with traced ones. What metrics and a trace that nobody asks for cost is in both: see the benchmarks
// of packages histogram and trace.
func BenchmarkStep(b *testing.B) {
	for name, traced := range map[string]bool{"untraced": false, "traced": true} {
		b.Run(name, func(b *testing.B) {
			var recorder trace.Recorder
			_, step := steps(b, assemble(b, 4, ""), &recorder)
			if traced {
				recorder.Start(1, 1<<40, 1<<12)
			}
			for b.Loop() {
				step()
			}
		})
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
