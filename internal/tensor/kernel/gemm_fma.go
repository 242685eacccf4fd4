package kernel

import "math"

const (
	// The low 29 bits of a float64 are those a float32 drops; this pattern is exactly between two float32 neighbours.
	droppedBits = 1<<29 - 1
	midpoint    = 1 << 28
	// Biased float64 exponent of 2^-126, the smallest normal float32.
	normalExponent = 1023 - 126
)

// FMA returns x*y + z rounded once, in plain Go and with the same bits as the hardware instruction (the payload of a NaN
// aside).
//
// The product of two float32 is exact in float64, the sum s with z is rounded to 53 bits. Rounding s to float32 can
// differ from rounding the exact sum only if s itself is half-way between two float32 neighbours: both roundings are
// monotonic and every such half-way point is a float64, so otherwise s and the exact sum lie on the same side of each of
// them. A normal s is half-way exactly if the dropped bits read 100...0; those, and the denormal results, whose
// half-way points lie elsewhere, take the slow path.
func FMA(x, y, z float32) float32 {
	s := float64(float64(x)*float64(y)) + float64(z)
	if delicate(s) {
		return fmaSlow(x, y, z)
	}
	return float32(s)
}

// delicate reports whether rounding s to float32 may differ from rounding the sum that s was rounded from.
func delicate(s float64) bool {
	b := math.Float64bits(s)
	return b&droppedBits == midpoint || b>>52&0x7ff < normalExponent
}

// fmaSlow rounds the sum to odd before it is rounded to float32: Boldo and Melquiond, "Emulation of a FMA and correctly
// rounded sums: proved algorithms using rounding to odd" (2008). 53 bits are at least the 24 + 2 that their proof asks
// for. The error term is Knuth's TwoSum, which is exact in any order of magnitude.
func fmaSlow(x, y, z float32) float32 {
	p, q := float64(float64(x)*float64(y)), float64(z)
	s := p + q
	if s == 0 {
		return float32(s) // exact, as every sum of float64 that is zero
	}
	back := s - p
	lost := (p - (s - back)) + (q - back)
	if b := math.Float64bits(s); lost != 0 && b&1 == 0 {
		// s is not exact and even. The odd neighbour on the side of the exact sum replaces it. s is finite here: infinities
		// and NaN have no dropped midpoint pattern and a large exponent.
		if (lost > 0) == (s > 0) {
			s = math.Float64frombits(b + 1)
		} else {
			s = math.Float64frombits(b - 1)
		}
	}
	return float32(s)
}
