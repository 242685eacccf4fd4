//go:build !purego

package caches

// instruction is CPUID.
func instruction(leaf, sub uint32) (a, b, c, d uint32)

func here() CPU { return fromCPUID(instruction) }

func name() string { return signature(instruction) }
