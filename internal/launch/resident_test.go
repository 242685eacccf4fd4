package launch

import (
	"testing"

	"ringmaster/internal/rpc"
)

// TestStepsMemoryLeavesTheEndOut: what is read after the last step, or may have been, is no memory of the steps.
func TestStepsMemoryLeavesTheEndOut(t *testing.T) {
	var m stepsMemory
	for _, s := range []struct {
		step     uint64
		resident int64
		want     int64
	}{
		{0, 900, 0}, // a state is made
		{1, 100, 0},
		{2, 110, 100},
		{2, 120, 110},
		{3, 130, 120},
		{4, 140, 130},
		{4, 500, 140}, // the fifth step may have ended meanwhile
		{5, 700, 140},
		{5, 800, 140},
	} {
		m.see(&rpc.JobStatus{Step: s.step, StepsTotal: 5}, s.resident)
		if m.peak != s.want {
			t.Errorf("step %d, %d resident: peak %d, want %d", s.step, s.resident, m.peak, s.want)
		}
	}
}
