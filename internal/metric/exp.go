package metric

import "math"

// exp is e to the power of x within an ulp or two, with the same bits on every CPU, which math.Exp does not promise:
// x = k ln 2 + r with |r| at most ln(2)/2, then the series of e^r by Horner's rule.
func exp(x float64) float64 {
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
	return math.Ldexp(math.FMA(sum, r, 1), int(k))
}

func factorial(n float64) float64 {
	product := 1.0
	for ; n > 1; n-- {
		product *= n
	}
	return product
}
