package bench

import (
	"math"
	"testing"
	"time"

	"ringmaster/internal/tensor"
	"ringmaster/internal/trace"
)

// TestRooflineAddsUp: two operations of a kind and another one, two passes in each of three steps, and what the update and the rest take.
func TestRooflineAddsUp(t *testing.T) {
	r := &roofline{machine: machine{flops: 1e9, bytes: 1e9}, repeated: 2, update: 1_000_000, works: []tensor.OperationWork{
		{Name: "linear", Forward: tensor.Work{MultiplyAdds: 500_000, Bytes: 100_000}},
		{Name: "norm", Forward: tensor.Work{Bytes: 2_000_000}},
		{Name: "linear", Forward: tensor.Work{MultiplyAdds: 1_000_000}},
	}}
	var spans []trace.Span
	for step := uint64(3); step < 6; step++ {
		ms := func(kind trace.Kind, index int32, d time.Duration) {
			spans = append(spans, trace.Span{Kind: kind, Index: index, Step: step, Lasted: d * time.Millisecond})
		}
		for range 2 {
			ms(trace.ForwardOperation, 0, 2)
			ms(trace.ForwardOperation, 1, 3)
			ms(trace.ForwardOperation, 2, 4)
			ms(trace.Forward, 0, 9)
			ms(trace.BackwardOperation, 0, 5)
		}
		ms(trace.Optimizer, trace.None, 6)
		ms(trace.Step, trace.None, time.Duration(35+step)) // 38, 39, 40
	}
	want := map[string]RooflineResult{
		"linear forward":  {Count: 2, Ms: 12, GFLOP: 0.006, ArithmeticMs: 6, MemoryMs: 0.2, LeftMs: 6},
		"norm forward":    {Count: 1, Ms: 6, ArithmeticMs: 0, MemoryMs: 4, LeftMs: 2},
		"linear backward": {Count: 1, Ms: 10, LeftMs: 10},
		"optimizer":       {Count: 1, Ms: 6, MemoryMs: 1, LeftMs: 5},
		"the rest":        {Count: 1, Ms: 5, LeftMs: 5},
		"step":            {Count: 6, Ms: 39, GFLOP: 0.006, ArithmeticMs: 6, MemoryMs: 5.2, LeftMs: 28},
	}
	near := func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }
	report := r.report(spans)
	for _, result := range report.Results {
		got := result.(RooflineResult)
		w := want[got.Case]
		if got.Count != w.Count || !near(got.Ms, w.Ms) || !near(got.GFLOP, w.GFLOP) || !near(got.ArithmeticMs, w.ArithmeticMs) || !near(got.MemoryMs, w.MemoryMs) ||
			!near(got.LeftMs, w.LeftMs) || !near(got.Share, w.Ms/39) {
			t.Errorf("%+v, want %+v", got, w)
		}
	}
	if len(report.Results) != len(want) {
		t.Errorf("%d lines, want %d", len(report.Results), len(want))
	}
	r.parts, r.each = nil, true
	if n := len(r.report(spans).Results); n != len(want)+1 {
		t.Errorf("%d lines with every operation by itself, want one more", n)
	}
}

// TestRooflineOfAJob trains two steps of the digits' classifier.
func TestRooflineOfAJob(t *testing.T) {
	report, err := Roofline(t.Context(), RooflineOptions{File: "../../configs/quickstart.yaml", Steps: 2, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Results) < 5 || len(report.Notes) != 2 {
		t.Errorf("%d lines", len(report.Results))
	}
	for _, result := range report.Results {
		if r := result.(RooflineResult); r.Case == "linear backward" && (r.Count != 3 || r.Ms <= 0 || r.ArithmeticMs <= 0 || r.MemoryMs <= 0) {
			t.Errorf("%+v", r)
		}
	}
	for _, o := range []RooflineOptions{{File: "nowhere.yaml", Steps: 1, Threads: 1}, {File: "../../configs/quickstart.yaml", Steps: 0, Threads: 1}} {
		if _, err := Roofline(t.Context(), o); err == nil {
			t.Errorf("%+v measured", o)
		}
	}
}
