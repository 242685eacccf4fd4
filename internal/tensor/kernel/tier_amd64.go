//go:build !purego

package kernel

import "golang.org/x/sys/cpu"

// machineTiers lists the SIMD tiers of this machine.
func machineTiers() []Tier {
	var tiers []Tier
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		tiers = append(tiers, AVX2)
		if cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL {
			tiers = append(tiers, AVX512)
		}
	}
	return tiers
}
