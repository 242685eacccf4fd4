package kernel

import "math"

// The elementary functions below are minimax polynomials (Remez exchange on the stated interval, coefficients rounded to
// float32), evaluated by Horner's rule in fused multiply-adds. The error bounds are in the tests.
const (
	log2E   = 1.44269502     // float32(1/ln 2)
	ln2High = 0.693147182    // float32(ln 2)
	ln2Low  = -0x1.05c61p-29 // float32(ln 2 - ln2High)

	// Adding roundMagic to |x| < 2^22 leaves the integer nearest to x in the low bits of the sum.
	roundMagic     = 12582912 // 1.5 * 2^23
	roundMagicBits = 0x4b400000

	// Below expLow every result rounds to 0, above expHigh to infinity; in between the exponent fits two normal factors.
	expLow  = -104
	expHigh = 89

	// Where the power of two of one factor is 0.
	expDownLow = -88
)

// Exp sets dst[i] = e^x[i], at most 1 ulp off.
func Exp(dst, x []float32) {
	sameLength("Exp", len(dst), len(x))
	expVec(dst, x)
}

func expGo(dst, x []float32) {
	for i, v := range x {
		dst[i] = exp1(v)
	}
}

// exp1 writes x = n ln2 + r with |r| <= ln2/2 and computes e^r * 2^n. The power of two is multiplied in two factors,
// because one would overflow for the largest results and be denormal for the smallest; only the second rounds.
func exp1(x float32) float32 {
	if expLow > x {
		x = expLow
	}
	if expHigh < x {
		x = expHigh
	}
	t := FMA(x, log2E, roundMagic)
	p := expPolynomial(x, t-roundMagic)
	k := int32(math.Float32bits(t) - roundMagicBits)
	half := k >> 1
	p = float32(p * math.Float32frombits(uint32(half+127)<<23))
	return float32(p * math.Float32frombits(uint32(k-half+127)<<23))
}

// expPolynomial is e^(x - n ln2) for |x - n ln2| <= ln2/2.
func expPolynomial(x, n float32) float32 {
	r := FMA(n, -ln2High, x)
	r = FMA(n, -ln2Low, r)
	// (e^r - 1 - r) / r^2 on [-ln2/2, ln2/2], relative error of e^r 2^-28.2.
	p := float32(0.0013814595)
	p = FMA(p, r, 0.008368717)
	p = FMA(p, r, 0.04166839)
	p = FMA(p, r, 0.16666521)
	p = FMA(p, r, 0.49999994)
	p = FMA(p, r, 1)
	return FMA(p, r, 1)
}

// expDown1 is e^x for x up to 88, and 0 where n is below -126: probabilities have no use for numbers that small, and a CPU may take long
// for them. One factor then does for the power of two.
func expDown1(x float32) float32 {
	if expDownLow > x {
		x = expDownLow
	}
	t := FMA(x, log2E, roundMagic)
	p := expPolynomial(x, t-roundMagic)
	return float32(p * math.Float32frombits((math.Float32bits(t)+127)<<23)) // the shift leaves nothing of roundMagic
}

// Log sets dst[i] = ln x[i], at most 1 ulp off: -Inf at 0, NaN below.
func Log(dst, x []float32) {
	sameLength("Log", len(dst), len(x))
	logVec(dst, x)
}

func logGo(dst, x []float32) {
	for i, v := range x {
		dst[i] = log1(v)
	}
}

const sqrtHalfBits = 0x3f3504f3 // sqrt(1/2)

// log1 writes x = m 2^e with m in [sqrt(1/2), sqrt(2)) and computes ln m + e ln2.
func log1(x float32) float32 {
	y, e := x, float32(0)
	if x < 0x1p-126 { // denormal: scale into the normal numbers
		y, e = float32(x*0x1p23), -23
	}
	b := math.Float32bits(y) - sqrtHalfBits
	e += float32(int32(b) >> 23)
	f := math.Float32frombits(b&0x7fffff+sqrtHalfBits) - 1
	// (ln(1+f) - f + f^2/2) / f^3, relative error of ln(1+f) 2^-30.
	p := float32(0.06746598)
	p = FMA(p, f, -0.11675614)
	p = FMA(p, f, 0.118881606)
	p = FMA(p, f, -0.12405595)
	p = FMA(p, f, 0.14219554)
	p = FMA(p, f, -0.16667995)
	p = FMA(p, f, 0.20002119)
	p = FMA(p, f, -0.2500001)
	p = FMA(p, f, 0.33333313)
	p = FMA(p, f, -0.5)
	r := FMA(p, float32(f*f), float32(e*ln2Low))
	r = FMA(e, ln2High, f+r)
	if x > math.MaxFloat32 { // infinity
		r = x
	}
	if !(x >= 0) {
		r = float32(math.NaN())
	}
	if x == 0 {
		r = float32(math.Inf(-1))
	}
	return r
}

// Tanh sets dst[i] = tanh x[i], at most 2 ulp off.
func Tanh(dst, x []float32) {
	sameLength("Tanh", len(dst), len(x))
	tanhVec(dst, x)
}

func tanhGo(dst, x []float32) {
	for i, v := range x {
		dst[i] = tanh1(v)
	}
}

const (
	signBit   = 0x80000000
	tanhSmall = 0.625
	erfSmall  = 0.95
	erfLarge  = 4 // erf rounds to 1 from here
)

func tanh1(x float32) float32 {
	sign := math.Float32bits(x) & signBit
	a := math.Float32frombits(math.Float32bits(x) &^ signBit)
	// (tanh(a)/a - 1)/a^2 in u = a^2 for a < 0.625, relative error of tanh 2^-27.7.
	u := float32(a * a)
	p := float32(-0.005704988)
	p = FMA(p, u, 0.020639088)
	p = FMA(p, u, -0.053739715)
	p = FMA(p, u, 0.13331442)
	p = FMA(p, u, -0.3333328)
	r := FMA(float32(p*u), a, a)
	if !(a < tanhSmall) {
		r = 1 - 2/(exp1(a+a)+1)
	}
	return math.Float32frombits(math.Float32bits(r) | sign)
}

// Erf sets dst[i] = erf x[i], the error function, at most 2 ulp off.
func Erf(dst, x []float32) {
	sameLength("Erf", len(dst), len(x))
	erfVec(dst, x)
}

func erfGo(dst, x []float32) {
	for i, v := range x {
		dst[i] = erf1(v)
	}
}

func erf1(x float32) float32 {
	sign := math.Float32bits(x) & signBit
	a := math.Float32frombits(math.Float32bits(x) &^ signBit)
	// erf(a)/a - 1 in u = a^2 for a < 0.95, relative error of erf 2^-30.
	u := float32(a * a)
	p := float32(8.119054e-05)
	p = FMA(p, u, -0.00080809754)
	p = FMA(p, u, 0.0051953727)
	p = FMA(p, u, -0.026857022)
	p = FMA(p, u, 0.11283651)
	p = FMA(p, u, -0.37612632)
	p = FMA(p, u, 0.12837917)
	r := FMA(p, a, a)
	if !(a < erfSmall) {
		t := a
		if erfLarge < t {
			t = erfLarge
		}
		// ln(1 - erf(t)) on [0.95, 4], error of erf 2^-35.
		q := float32(-2.1445543e-05)
		q = FMA(q, t, 0.00043852968)
		q = FMA(q, t, -0.0041908547)
		q = FMA(q, t, 0.025171805)
		q = FMA(q, t, -0.10836155)
		q = FMA(q, t, -0.6332724)
		q = FMA(q, t, -1.129552)
		q = FMA(q, t, 0.00018245974)
		r = 1 - exp1(q)
	}
	return math.Float32frombits(math.Float32bits(r) | sign)
}

// Sigmoid sets dst[i] = 1 / (1 + e^-x[i]), which is 0 from -87.7 down.
func Sigmoid(dst, x []float32) {
	sameLength("Sigmoid", len(dst), len(x))
	sigmoidVec(dst, x)
}

func sigmoidGo(dst, x []float32) {
	for i, v := range x {
		dst[i] = sigmoid1(v)
	}
}

// sigmoid1 takes the exponential of -|x|, so that it never overflows and small results keep their precision.
func sigmoid1(x float32) float32 {
	e := expDown1(math.Float32frombits(math.Float32bits(x) | signBit))
	n := float32(1)
	if x < 0 {
		n = e
	}
	return n / (1 + e)
}
