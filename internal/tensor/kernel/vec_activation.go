package kernel

const (
	sqrtHalf     = 0.70710677 // 1/sqrt(2)
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

// GELU sets dst[i] = x[i] * Phi(x[i]), Phi(x) = (1 + erf(x/sqrt 2))/2.
func GELU(dst, x []float32) {
	sameLength("GELU", len(dst), len(x))
	geluVec(dst, x)
}

func geluGo(dst, x []float32) {
	for i, v := range x {
		dst[i] = v * FMA(0.5, erf1(float32(v*sqrtHalf)), 0.5)
	}
}

// GELUSlope sets dst to GELU of x and slope to its derivative, Phi(x) + x phi(x), phi(x) = e^(-x^2/2)/sqrt(2 pi).
func GELUSlope(dst, slope, x []float32) {
	sameLength("GELUSlope", len(dst), len(slope), len(x))
	geluSlopeVec(dst, slope, x)
}

func geluSlopeGo(dst, slope, x []float32) {
	for i, v := range x {
		cdf := FMA(0.5, erf1(float32(v*sqrtHalf)), 0.5)
		density := float32(exp1(float32(float32(v*v)*-0.5)) * invSqrtTwoPi)
		slope[i] = FMA(v, density, cdf)
		dst[i] = v * cdf
	}
}

// GELUTanh sets dst[i] = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), GPT-2's form of GELU.
func GELUTanh(dst, x []float32) {
	sameLength("GELUTanh", len(dst), len(x))
	geluTanhVec(dst, x)
}

func geluTanhGo(dst, x []float32) {
	for i, v := range x {
		square := float32(v * v)
		inner := float32(v * FMA(square, geluC0*geluC1, geluC0))
		dst[i] = v * FMA(0.5, tanh1(inner), 0.5)
	}
}

// GELUTanhSlope sets dst to GELUTanh of x and slope to its derivative: with t the tanh and u' = sqrt(2/pi) (1 + 3*0.044715 x^2),
// (1 + t)/2 + x/2 (1 - t^2) u'.
func GELUTanhSlope(dst, slope, x []float32) {
	sameLength("GELUTanhSlope", len(dst), len(slope), len(x))
	geluTanhSlopeVec(dst, slope, x)
}

func geluTanhSlopeGo(dst, slope, x []float32) {
	for i, v := range x {
		square := float32(v * v)
		t := tanh1(float32(v * FMA(square, geluC0*geluC1, geluC0)))
		cdf := FMA(0.5, t, 0.5)
		rise := float32(float32(v*0.5) * FMA(square, 3*geluC0*geluC1, geluC0))
		slope[i] = FMA(rise, FMA(-t, t, 1), cdf)
		dst[i] = v * cdf
	}
}
