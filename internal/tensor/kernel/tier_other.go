//go:build !amd64

package kernel

func machineTiers() []Tier { return nil }
