package kernel

import (
	"math"
	"unsafe"
)

// EncodeBFloat16 sets dst[i] to x[i] rounded to bfloat16 (the upper half of a float32), to nearest with ties to even.
// Denormals stay, NaNs stay NaNs (made quiet), values too large become infinite.
func EncodeBFloat16(dst []uint16, x []float32) {
	sameLength("EncodeBFloat16", len(dst), len(x))
	encodeBFloat16Vec(dst, x)
}

func encodeBFloat16Go(dst []uint16, x []float32) {
	for i, v := range x {
		dst[i] = uint16(roundBFloat16(math.Float32bits(v)) >> 16)
	}
}

// roundBFloat16 rounds the bits of a float32 to bfloat16; the lower half of the result is zero.
func roundBFloat16(b uint32) uint32 {
	if b&0x7fffffff > 0x7f800000 {
		return (b | 0x400000) &^ 0xffff
	}
	return (b + 0x7fff + b>>16&1) &^ 0xffff
}

// DecodeBFloat16 sets dst[i] to the value of the bfloat16 src[i].
func DecodeBFloat16(dst []float32, src []uint16) {
	sameLength("DecodeBFloat16", len(dst), len(src))
	decodeBFloat16Vec(dst, src)
}

func decodeBFloat16Go(dst []float32, src []uint16) {
	for i, v := range src {
		dst[i] = math.Float32frombits(uint32(v) << 16)
	}
}

// RoundBFloat16 sets dst[i] to x[i] rounded to bfloat16 as EncodeBFloat16 does, kept as a float32.
func RoundBFloat16(dst, x []float32) {
	sameLength("RoundBFloat16", len(dst), len(x))
	roundBFloat16Vec(dst, x)
}

func roundBFloat16Go(dst, x []float32) {
	for i, v := range x {
		dst[i] = math.Float32frombits(roundBFloat16(math.Float32bits(v)))
	}
}

// EncodeFloat16 sets dst[i] to x[i] rounded to IEEE binary16, to nearest with ties to even. Denormals stay; NaNs stay
// NaNs (made quiet, the upper payload bits kept), values too large become infinite.
func EncodeFloat16(dst []uint16, x []float32) {
	sameLength("EncodeFloat16", len(dst), len(x))
	encodeFloat16Vec(dst, x)
}

func encodeFloat16Go(dst []uint16, x []float32) {
	for i, v := range x {
		dst[i] = toFloat16(math.Float32bits(v))
	}
}

func toFloat16(b uint32) uint16 {
	sign, a := uint16(b>>16&0x8000), b&0x7fffffff
	switch {
	case a > 0x7f800000: // NaN
		return sign | 0x7e00 | uint16(a>>13&0x3ff)
	case a >= 0x477ff000: // 65520 and more round to infinity
		return sign | 0x7c00
	case a >= 0x38800000: // normal: rebias the exponent and round the 13 bits that go; a carry runs into the exponent
		a -= 112 << 23
		return sign | uint16((a+0xfff+a>>13&1)>>13)
	case a <= 0x33000000: // 2^-25, half of the smallest denormal, ties to the even 0
		return sign
	}
	// Denormal: the value is m * 2^(e-150), wanted in units of 2^-24.
	shift := 126 - a>>23
	m := a&0x7fffff | 0x800000
	half := uint32(1) << (shift - 1)
	return sign | uint16((m+half-1+m>>shift&1)>>shift)
}

// DecodeFloat16 sets dst[i] to the value of the IEEE binary16 src[i]; NaNs are made quiet.
func DecodeFloat16(dst []float32, src []uint16) {
	sameLength("DecodeFloat16", len(dst), len(src))
	decodeFloat16Vec(dst, src)
}

func decodeFloat16Go(dst []float32, src []uint16) {
	for i, v := range src {
		dst[i] = fromFloat16(v)
	}
}

func fromFloat16(h uint16) float32 {
	sign, exponent, m := uint32(h&0x8000)<<16, uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch exponent {
	case 0: // zero or denormal: m * 2^-24 is exact
		return math.Float32frombits(sign | math.Float32bits(float32(m)*0x1p-24))
	case 0x1f:
		if m != 0 {
			m |= 0x200
		}
		return math.Float32frombits(sign | 0x7f800000 | m<<13)
	}
	return math.Float32frombits(sign | (exponent+112)<<23 | m<<13)
}

// RoundFloat16 sets dst[i] to x[i] rounded to binary16 as EncodeFloat16 does, kept as a float32.
func RoundFloat16(dst, x []float32) {
	sameLength("RoundFloat16", len(dst), len(x))
	roundFloat16Vec(dst, x)
}

func roundFloat16Go(dst, x []float32) {
	for i, v := range x {
		dst[i] = fromFloat16(toFloat16(math.Float32bits(v)))
	}
}

// Halves is the memory of x as twice as many numbers of two bytes each.
func Halves(x []float32) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(x))), 2*len(x))
}
