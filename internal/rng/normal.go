package rng

import (
	"math"

	"ringmaster/internal/elementary"
)

// Normal is element i as a draw from the standard normal distribution: the distribution's inverse at (element+1/2)/2^32,
// so each element is an independent draw, and |draw| stays below 6.34.
func (k Key) Normal(i uint64) float64 { return normal(k.Uint32(i)) }

func normal(word uint32) float64 { return quantile((float64(word) + 0.5) * 0x1p-32) }

// quantile is the inverse of the standard normal distribution function at p in (0, 1), by the rational approximations
// of Wichura (Algorithm AS 241, routine PPND16, Applied Statistics 37, 1988), relative error about 1e-16. Only
// operations that all CPUs round alike are used, and no product is fused with a sum.
func quantile(p float64) float64 {
	q := p - 0.5
	if math.Abs(q) <= 0.425 {
		r := 0.180625 - float64(q*q)
		return q * horner(r, &centre[0]) / horner(r, &centre[1])
	}
	r := p
	if q > 0 {
		r = 1 - p
	}
	r = math.Sqrt(-elementary.Log(r))
	var z float64
	if r <= 5 {
		z = horner(r-1.6, &middle[0]) / horner(r-1.6, &middle[1])
	} else {
		z = horner(r-5, &tail[0]) / horner(r-5, &tail[1])
	}
	return math.Copysign(z, q)
}

// horner evaluates the polynomial with the given coefficients, that of the highest power last.
func horner(x float64, coefficients *[8]float64) float64 {
	y := coefficients[7]
	for i := 6; i >= 0; i-- {
		y = float64(y*x) + coefficients[i]
	}
	return y
}

// The coefficients of PPND16: numerator and denominator for |p-1/2| <= 0.425, for sqrt(-ln r) up to 5, and beyond.
var (
	centre = [2][8]float64{
		{3.3871328727963666080, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125,
			45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727},
		{1, 42.313330701600911252, 687.18700749205790830, 5394.1960214247511077,
			21213.794301586595867, 39307.895800092710610, 28729.085735721942674, 5226.4952788528545610},
	}
	middle = [2][8]float64{
		{1.42343711074968357734, 4.63033784615654529590, 5.76949722146069140550, 3.64784832476320460504,
			1.27045825245236838258, 0.241780725177450611770, 0.0227238449892691845833, 7.74545014278341407640e-4},
		{1, 2.05319162663775882187, 1.67638483018380384940, 0.689767334985100004550,
			0.148103976427480074590, 0.0151986665636164571966, 5.47593808499534494600e-4, 1.05075007164441684324e-9},
	}
	tail = [2][8]float64{
		{6.65790464350110377720, 5.46378491116411436990, 1.78482653991729133580, 0.296560571828504891230,
			0.0265321895265761230930, 0.00124266094738807843860, 2.71155556874348757815e-5, 2.01033439929228813265e-7},
		{1, 0.599832206555887937690, 0.136929880922735805310, 0.0148753612908506148525,
			7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15},
	}
)
