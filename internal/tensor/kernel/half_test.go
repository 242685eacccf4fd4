package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// nearest16 rounds x to the nearest of two neighbouring 16-bit codes by comparing distances, ties to the even code.
func nearest16(x float32, decode func(uint16) float64, infinity uint16) uint16 {
	sign := uint16(math.Float32bits(x) >> 16 & 0x8000)
	a := math.Abs(float64(x))
	low, high := uint16(0), infinity // decode(low) <= a, and high is beyond a or infinite
	for high-low > 1 {
		if mid := low + (high-low)/2; decode(mid) <= a {
			low = mid
		} else {
			high = mid
		}
	}
	// Infinity takes the place of the format's next number.
	below, above := a-decode(low), decode(high)-a
	if high == infinity {
		above = 2*decode(infinity-1) - decode(infinity-2) - a
	}
	if above < below || above == below && low%2 == 1 {
		return sign | high
	}
	return sign | low
}

func bfloat64(c uint16) float64 { return float64(math.Float32frombits(uint32(c) << 16)) }

func float16As64(c uint16) float64 {
	exponent, m := int(c>>10&0x1f), float64(c&0x3ff)
	if exponent == 0 {
		return math.Ldexp(m, -24)
	}
	return math.Ldexp(m+1024, exponent-25)
}

func TestHalfFormats(t *testing.T) {
	formats := []struct {
		name     string
		encode   func(dst []uint16, x []float32)
		decode   func(dst []float32, src []uint16)
		round    func(dst, x []float32)
		value    func(uint16) float64
		infinity uint16
	}{
		{"bfloat16", EncodeBFloat16, DecodeBFloat16, RoundBFloat16, bfloat64, 0x7f80},
		{"float16", EncodeFloat16, DecodeFloat16, RoundFloat16, float16As64, 0x7c00},
	}
	r := rand.New(rand.NewPCG(17, 18))
	var x []float32
	for range 20000 {
		x = append(x, math.Float32frombits(r.Uint32()), float32(r.NormFloat64()*math.Ldexp(1, r.IntN(50)-30)))
	}
	for e := -27; e < 17; e++ { // exact values and ties
		for m := range 64 {
			x = append(x, float32(math.Ldexp(1+float64(m)/64, e)), float32(math.Ldexp(1+float64(2*m+1)/2048, e)), float32(math.Ldexp(1+float64(2*m+1)/256, e)))
		}
	}
	x = append(x, specials...)
	codes, decoded, rounded := make([]uint16, len(x)), make([]float32, len(x)), make([]float32, len(x))
	for _, f := range formats {
		for _, tier := range Tiers() {
			restore := Force(tier)
			checkCodesAcrossTiers(t, f.name, tier, x, f.encode, f.decode)
			restore()
		}
		f.encode(codes, x)
		f.decode(decoded, codes)
		f.round(rounded, x)
		for i, v := range x {
			if !equalBits(decoded[i], rounded[i]) {
				t.Fatalf("%s: %v decodes to %v but rounds to %v", f.name, v, decoded[i], rounded[i])
			}
			if v != v {
				if codes[i]&0x7fff <= f.infinity || math.Signbit(float64(v)) != (codes[i]>>15 == 1) {
					t.Fatalf("%s: NaN %x becomes %x", f.name, math.Float32bits(v), codes[i])
				}
				continue
			}
			want := uint16(math.Float32bits(v)>>16&0x8000) | f.infinity
			if !math.IsInf(float64(v), 0) {
				want = nearest16(v, f.value, f.infinity)
			}
			if codes[i] != want {
				t.Fatalf("%s: %x (%v) becomes %#x, want %#x", f.name, math.Float32bits(v), v, codes[i], want)
			}
		}
	}
}

// checkCodesAcrossTiers compares the current tier with plain Go, at lengths that leave every remainder.
func checkCodesAcrossTiers(t *testing.T, name string, tier Tier, x []float32, encode func([]uint16, []float32), decode func([]float32, []uint16)) {
	t.Helper()
	for n := range 67 {
		in := x[n*100 : n*101]
		codes, values := make([]uint16, n+1), make([]float32, n+1)
		codes[n], values[n] = 0x7777, -777
		encode(codes[:n], in)
		decode(values[:n], codes[:n])
		want, wantValues := make([]uint16, n), make([]float32, n)
		restore := Force(PlainGo)
		encode(want, in)
		decode(wantValues, codes[:n])
		restore()
		for i := range want {
			if codes[i] != want[i] || math.Float32bits(values[i]) != math.Float32bits(wantValues[i]) {
				t.Fatalf("%s, %s: %x becomes %#x and %v, want %#x and %v", name, tier, math.Float32bits(in[i]), codes[i], values[i], want[i], wantValues[i])
			}
		}
		if codes[n] != 0x7777 || values[n] != -777 {
			t.Fatalf("%s, %s: wrote beyond %d elements", name, tier, n)
		}
	}
}

func TestHalfCodesSurvive(t *testing.T) {
	codes, again, x := make([]uint16, 1<<16), make([]uint16, 1<<16), make([]float32, 1<<16)
	for i := range codes {
		codes[i] = uint16(i)
	}
	DecodeBFloat16(x, codes)
	EncodeBFloat16(again, x)
	for i := range codes {
		if again[i] != codes[i] && (x[i] == x[i] || again[i] != codes[i]|0x40) {
			t.Fatalf("bfloat16 %#x comes back as %#x", i, again[i])
		}
	}
	DecodeFloat16(x, codes)
	EncodeFloat16(again, x)
	for i := range codes {
		if again[i] != codes[i] && (x[i] == x[i] || again[i] != codes[i]|0x200) {
			t.Fatalf("float16 %#x comes back as %#x", i, again[i])
		}
	}
}
