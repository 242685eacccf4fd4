//go:build !race

package histogram

import (
	"testing"
	"time"
)

func TestObserveAllocatesNothing(t *testing.T) {
	var d Durations
	if n := testing.AllocsPerRun(100, func() { d.Observe(3 * time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	var d Durations
	for b.Loop() {
		d.Observe(3 * time.Millisecond)
	}
}
