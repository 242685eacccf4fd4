//go:build (!amd64 && !arm64) || purego

package kernel

// machineTiers lists the SIMD tiers of this machine: there are none here.
func machineTiers() []Tier { return nil }
