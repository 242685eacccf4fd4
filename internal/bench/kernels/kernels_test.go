package kernels

import (
	"testing"

	"ringmaster/internal/tensor/kernel"
)

func TestCallsRunInEveryTier(t *testing.T) {
	for _, tier := range kernel.Tiers() {
		restore := kernel.Force(tier)
		names := map[string]bool{}
		for _, c := range Calls(2 * Columns) {
			if names[c.Name] || c.Bytes <= 0 {
				t.Errorf("call %q is there twice or moves %d bytes", c.Name, c.Bytes)
			}
			names[c.Name] = true
			c.Run()
			if allocs := testing.AllocsPerRun(2, c.Run); allocs != 0 {
				t.Errorf("%s, %s: %v allocations", c.Name, tier, allocs)
			}
		}
		restore()
	}
}
