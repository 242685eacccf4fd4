package kernel

import "math"

const (
	cdfEnd       = 13.266     // e^(-x^2/2) is 0 from here
	invSqrtTwoPi = 0.39894228 // 1/sqrt(2 pi)
	geluC0       = 0.7978846  // sqrt(2/pi)
	geluC1       = 0.044715
)

// SigmoidBackward sets dx[i] = dy[i] * y[i](1 - y[i]), y being Sigmoid's output.
func SigmoidBackward(dx, dy, y []float32) {
	sameLength("SigmoidBackward", len(dx), len(dy), len(y))
	sigmoidBackwardVec(dx, dy, y)
}

func sigmoidBackwardGo(dx, dy, y []float32) {
	for i, v := range y {
		dx[i] = dy[i] * FMA(-v, v, v)
	}
}

// TanhBackward sets dx[i] = dy[i] * (1 - y[i]^2), y being Tanh's output.
func TanhBackward(dx, dy, y []float32) {
	sameLength("TanhBackward", len(dx), len(dy), len(y))
	tanhBackwardVec(dx, dy, y)
}

func tanhBackwardGo(dx, dy, y []float32) {
	for i, v := range y {
		dx[i] = dy[i] * FMA(-v, v, 1)
	}
}

// SiLU sets dst[i] = x[i] * sigmoid(x[i]).
func SiLU(dst, x []float32) {
	sameLength("SiLU", len(dst), len(x))
	siluVec(dst, x)
}

func siluGo(dst, x []float32) {
	for i, v := range x {
		dst[i] = v * sigmoid1(v)
	}
}

// SiLUSlope sets dst to SiLU of x and slope to its derivative, s(1 + x[i](1 - s)) with s = sigmoid(x[i]): backward then has
// only to multiply.
func SiLUSlope(dst, slope, x []float32) {
	sameLength("SiLUSlope", len(dst), len(slope), len(x))
	siluSlopeVec(dst, slope, x)
}

func siluSlopeGo(dst, slope, x []float32) {
	for i, v := range x {
		s := sigmoid1(v)
		y := float32(v * s)
		slope[i] = FMA(y, 1-s, s)
		dst[i] = y
	}
}

// normalCDF is the distribution function of the normal distribution, Phi(x), and e^(-x^2/2), of which GELU and its derivative both
// have use: Phi(-a) is that times a function which falls slowly from 1/2.
func normalCDF(x float32) (cdf, e float32) {
	a := math.Float32frombits(math.Float32bits(x) &^ signBit)
	if cdfEnd < a {
		a = cdfEnd
	}
	e = expDown1(float32(float32(a*a) * -0.5))
	// Phi(-a) e^(a^2/2) on [0, 5.5], error of Phi 2^-27.8; beyond, Phi(-a) stays positive and below 2^-25.
	p := float32(5.56191e-08)
	p = FMA(p, a, -1.5367726e-06)
	p = FMA(p, a, 1.9231502e-05)
	p = FMA(p, a, -0.00014609068)
	p = FMA(p, a, 0.00076674996)
	p = FMA(p, a, -0.0030259974)
	p = FMA(p, a, 0.00961601)
	p = FMA(p, a, -0.026026819)
	p = FMA(p, a, 0.062236793)
	p = FMA(p, a, -0.1329079)
	p = FMA(p, a, 0.24998948)
	p = FMA(p, a, -0.3989417)
	p = FMA(p, a, 0.5)
	q := float32(e * p)
	if x < 0 {
		return q, e
	}
	return 1 - q, e
}

// GELU sets dst[i] = x[i] * Phi(x[i]), Phi(x) = (1 + erf(x/sqrt 2))/2.
func GELU(dst, x []float32) {
	sameLength("GELU", len(dst), len(x))
	geluVec(dst, x)
}

func geluGo(dst, x []float32) {
	for i, v := range x {
		cdf, _ := normalCDF(v)
		dst[i] = v * cdf
	}
}

// GELUSlope sets dst to GELU of x and slope to its derivative, Phi(x) + x phi(x), phi(x) = e^(-x^2/2)/sqrt(2 pi).
func GELUSlope(dst, slope, x []float32) {
	sameLength("GELUSlope", len(dst), len(slope), len(x))
	geluSlopeVec(dst, slope, x)
}

func geluSlopeGo(dst, slope, x []float32) {
	for i, v := range x {
		cdf, e := normalCDF(v)
		slope[i] = FMA(v, float32(e*invSqrtTwoPi), cdf)
		dst[i] = v * cdf
	}
}

// geluTanhCDF is (1 + tanh u)/2 = sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
func geluTanhCDF(x, square float32) float32 {
	return sigmoid1(float32(x * FMA(square, 2*geluC0*geluC1, 2*geluC0)))
}

// GELUTanh sets dst[i] = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), GPT-2's form of GELU.
func GELUTanh(dst, x []float32) {
	sameLength("GELUTanh", len(dst), len(x))
	geluTanhVec(dst, x)
}

func geluTanhGo(dst, x []float32) {
	for i, v := range x {
		dst[i] = v * geluTanhCDF(v, float32(v*v))
	}
}

// GELUTanhSlope sets dst to GELUTanh of x and slope to its derivative: with s = (1 + tanh u)/2 and u' = sqrt(2/pi)
// (1 + 3*0.044715 x^2), s + 2 x s (1 - s) u'.
func GELUTanhSlope(dst, slope, x []float32) {
	sameLength("GELUTanhSlope", len(dst), len(slope), len(x))
	geluTanhSlopeVec(dst, slope, x)
}

func geluTanhSlopeGo(dst, slope, x []float32) {
	for i, v := range x {
		square := float32(v * v)
		cdf := geluTanhCDF(v, square)
		y := float32(v * cdf)
		rise := FMA(square, 6*geluC0*geluC1, 2*geluC0)
		slope[i] = FMA(float32(y*(1-cdf)), rise, cdf)
		dst[i] = y
	}
}
