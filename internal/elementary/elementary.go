// Package elementary computes elementary functions with the same bits on every CPU, which those of package math do not promise: they have
// assembly on some. Each is a fixed sequence of operations that IEEE 754 defines, with an error of an ulp or two.
package elementary

import "math"

// Exp is e to the power of x: x = k ln 2 + r with |r| at most ln(2)/2, then the series of e^r by Horner's rule.
func Exp(x float64) float64 {
	const (
		ln2High = 6.93147180369123816490e-01 // the upper 33 bits of ln 2, so that k times it is exact
		ln2Low  = 1.90821492927058770002e-10
	)
	switch {
	case math.IsNaN(x):
		return x
	case x > 709.7:
		return math.Inf(1)
	case x < -745:
		return 0
	}
	k := math.Floor(x/math.Ln2 + 0.5)
	r := math.FMA(-k, ln2High, x)
	r = math.FMA(-k, ln2Low, r)
	sum := 0.0
	for n := 14.0; n >= 1; n-- {
		sum = math.FMA(sum, r, 1/factorial(n))
	}
	return timesPowerOfTwo(math.FMA(sum, r, 1), int(k))
}

func factorial(n float64) float64 {
	product := 1.0
	for ; n > 1; n-- {
		product *= n
	}
	return product
}

// timesPowerOfTwo is x 2^k for x around 1 and k from -1075 to 1024, rounded once.
func timesPowerOfTwo(x float64, k int) float64 {
	switch {
	case k < -1000:
		return float64(x*power(k+100)) * power(-100)
	case k > 1000:
		return float64(x*power(k-100)) * power(100)
	}
	return x * power(k)
}

// power is 2^k for k from -1022 to 1023.
func power(k int) float64 { return math.Float64frombits(uint64(k+1023) << 52) }

// The natural logarithm of 2, and the square root of 2.
const (
	ln2   = 0.693147180559945309417232121458176568
	root2 = 1.41421356237309504880168872420969808
)

// Log is the natural logarithm of a positive normal x. With x = m 2^e, m in [sqrt(1/2), sqrt(2)), and
// s = (m-1)/(m+1), it is e ln 2 + 2 artanh(s), and the series 2(s + s^3/3 + s^5/5 + ...) has |s| < 0.172: twelve terms
// leave a relative error below 2^-55 before rounding.
func Log(x float64) float64 {
	bits := math.Float64bits(x)
	exponent := int(bits>>52) - 1023
	m := math.Float64frombits(bits&(1<<52-1) | 1023<<52)
	if m >= root2 {
		m /= 2
		exponent++
	}
	s := (m - 1) / (m + 1)
	square := float64(s * s)
	sum := 1.0 / 23
	for odd := 21.0; odd >= 1; odd -= 2 {
		sum = float64(sum*square) + 1/odd
	}
	return float64(float64(exponent)*ln2) + float64(2*float64(s*sum))
}

// CosPi is cos(pi x) for x in [0, 1], as the Taylor series of sin y in y = pi (1/2 - x), |y| <= pi/2: its first term left
// out is below 2e-18.
func CosPi(x float64) float64 {
	y := math.Pi * (0.5 - x)
	z := -float64(y * y)
	sum := 1.0
	for n := 20; n >= 2; n -= 2 {
		sum = 1 + float64(sum*z)/float64(n*(n+1))
	}
	return float64(y * sum)
}

// SinCos is the sine and cosine of an angle x from 0 to pi: their series in what is left of it after whole quarters of the circle, at most
// pi/4.
func SinCos(x float64) (sin, cos float64) {
	const (
		quarterHigh = 1.5707963267948966 // pi/2
		quarterLow  = 6.123233995736766e-17
	)
	turned := math.Floor(x/quarterHigh + 0.5)
	y := math.FMA(-turned, quarterHigh, x)
	y = math.FMA(-turned, quarterLow, y)
	z := -float64(y * y)
	s, c := 1.0, 1.0
	for n := 18; n >= 2; n -= 2 {
		s = 1 + float64(s*z)/float64(n*(n+1))
		c = 1 + float64(c*z)/float64(n*(n-1))
	}
	s *= y
	switch turned {
	case 0:
		return s, c
	case 1:
		return c, -s
	}
	return -s, -c
}
