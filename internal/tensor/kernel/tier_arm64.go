//go:build !purego

package kernel

import "golang.org/x/sys/cpu"

// machineTiers lists the SIMD tiers of this machine. Every arm64 CPU that Go supports has NEON.
func machineTiers() []Tier {
	if !cpu.ARM64.HasASIMD {
		return nil
	}
	return []Tier{NEON}
}
