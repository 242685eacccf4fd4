//go:build !race

package trace

import "testing"

func TestSpansAllocateNothing(t *testing.T) {
	for _, asked := range []bool{false, true} {
		var r Recorder
		if asked {
			r.Start(1, 10, 50) // too small for all of them
		}
		if n := testing.AllocsPerRun(100, func() { r.Span(Forward, 1, 0, r.Now()) }); n != 0 {
			t.Errorf("asked %v: %v allocations, want none", asked, n)
		}
	}
}

func BenchmarkSpanThatNobodyAsksFor(b *testing.B) {
	var r Recorder
	for b.Loop() {
		r.Span(Forward, 1, 0, r.Now())
	}
}

func BenchmarkSpanThatIsRecorded(b *testing.B) {
	var r Recorder
	r.Start(1, 1<<40, 1<<12)
	for b.Loop() {
		r.Span(Forward, 1, 0, r.Now())
	}
}
