package kernel

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exactFMA is x*y + z by big.Float, rounded once. Its operands are finite.
func exactFMA(x, y, z float32) float32 {
	bigX, bigY, bigZ := big.NewFloat(float64(x)), big.NewFloat(float64(y)), big.NewFloat(float64(z))
	sum := new(big.Float).SetPrec(1000)
	sum.Mul(bigX, bigY)
	sum.Add(sum, bigZ)
	r, _ := sum.Float32()
	if r == 0 && sum.Sign() == 0 {
		// big.Float has its own rule for the sign of zero; float64 has IEEE 754's, and is exact here.
		return float32(float64(x)*float64(y) + float64(z))
	}
	return r
}

// roughFloat draws float32 values whose sums and products often lie on or next to a rounding border: few mantissa bits
// set, exponents near to each other or at the ends of the range.
func roughFloat(r *rand.Rand) float32 {
	var mantissa, exponent uint32
	switch r.IntN(4) {
	case 0:
		mantissa = r.Uint32()
	case 1:
		mantissa = 1 << r.IntN(23)
	case 2:
		mantissa = 1 << r.IntN(23)
		mantissa |= 1 << r.IntN(23)
	case 3:
		mantissa = ^uint32(0) << r.IntN(23)
	}
	switch r.IntN(4) {
	case 0:
		exponent = uint32(r.IntN(3))
	case 1:
		exponent = uint32(252 + r.IntN(3))
	case 2:
		exponent = uint32(127 - 26 + r.IntN(52))
	case 3:
		exponent = uint32(63 - 13 + r.IntN(26))
	}
	return math.Float32frombits(r.Uint32()&1<<31 | exponent<<23 | mantissa&(1<<23-1))
}

func TestFMAIsRoundedOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	twice := 0
	for range 300_000 {
		x, y, z := roughFloat(r), roughFloat(r), roughFloat(r)
		got, want := FMA(x, y, z), exactFMA(x, y, z)
		if math.Float32bits(got) != math.Float32bits(want) {
			t.Fatalf("FMA(%x, %x, %x) = %x, want %x", x, y, z, got, want)
		}
		if wide := float32(float64(x)*float64(y) + float64(z)); wide != want {
			twice++
		}
	}
	if twice == 0 {
		t.Error("no case in which float64 arithmetic rounds twice was drawn: the test shows nothing")
	}
}

func TestFMAOfSpecialValues(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	negativeZero := float32(math.Copysign(0, -1))
	tiny, huge := math.Float32frombits(1), math.Float32frombits(0x7f7fffff)
	for _, c := range []struct{ x, y, z, want float32 }{
		{inf, 1, 1, inf}, {inf, 0, 1, nan}, {inf, 1, -inf, nan}, {1, 1, nan, nan}, {nan, 0, 0, nan}, {0, nan, inf, nan},
		{negativeZero, 1, 0, 0}, {negativeZero, 1, negativeZero, negativeZero}, {1, -1, 1, 0}, {2, 3, inf, inf},
		{huge, 2, -inf, -inf}, {huge, huge, 0, inf}, {huge, 1, huge, inf}, {huge, 2, -huge, huge}, {-huge, huge, huge, -inf},
		{tiny, tiny, 0, 0}, {tiny, -tiny, 0, negativeZero}, {tiny, 0.5, 0, 0}, {tiny, 0.5, tiny, 2 * tiny},
		{tiny, 0.75, 0, tiny}, {tiny, 1.5, 0, 2 * tiny}, {tiny, 2.5, 0, 2 * tiny}, {tiny, tiny, 1, 1},
		{1 + 1.0/(1<<23), 1 + 1.0/(1<<23), -1, 1.0 / (1 << 22)},
	} {
		got := FMA(c.x, c.y, c.z)
		if math.Float32bits(got) != math.Float32bits(c.want) && !(got != got && c.want != c.want) {
			t.Errorf("FMA(%g, %g, %g) = %g, want %g", c.x, c.y, c.z, got, c.want)
		}
	}
}

func FuzzFMA(f *testing.F) {
	f.Add(uint32(0x3f800001), uint32(0x3f800001), uint32(0x33800000))
	f.Add(uint32(1), uint32(0x3f000000), uint32(0x80000001))
	f.Fuzz(func(t *testing.T, a, b, c uint32) {
		x, y, z := math.Float32frombits(a), math.Float32frombits(b), math.Float32frombits(c)
		for _, v := range []float32{x, y, z} {
			if v != v || math.IsInf(float64(v), 0) {
				t.Skip("big.Float holds finite values only")
			}
		}
		if got, want := FMA(x, y, z), exactFMA(x, y, z); math.Float32bits(got) != math.Float32bits(want) {
			t.Fatalf("FMA(%x, %x, %x) = %x, want %x", x, y, z, got, want)
		}
	})
}
