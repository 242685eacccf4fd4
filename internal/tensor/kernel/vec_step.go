package kernel

import "math"

// Gradient says how the sum of the seats' gradients becomes the gradient of an update: g = (sum / Count) * Clip.
type Gradient struct {
	Count float32 // samples or tokens, at least 1; exact up to 2^24
	Clip  float32 // scale of clipping by global norm; 1 for none
}

// AdamConstants are the constants of one Adam update, each rounded once to float32. AdamStep gives their use; with them
// it is Keras's Adam, PyTorch's Adam and AdamW alike.
type AdamConstants struct {
	Gradient
	Decay     float32 // L2 decay added to the gradient
	Shrink    float32 // factor on the parameter before the update: 1 - lr*decay for AdamW, else 1
	Beta1C    float32 // 1 - beta1
	Beta2C    float32 // 1 - beta2
	RootScale float32 // factor on sqrt(v): 1/sqrt(1-beta2^t) in PyTorch's form, 1 in Keras's
	Epsilon   float32 // added to the scaled root
	Alpha     float32 // lr/(1-beta1^t) in PyTorch's form, lr*sqrt(1-beta2^t)/(1-beta1^t) in Keras's
}

// AdamStep updates the parameters p and the moments m and v from the summed gradient g, element by element, every fma
// rounded once:
//
//	h = fma(Decay, p, (g/Count) * Clip)
//	m = fma(Beta1C, h-m, m)
//	v = fma(Beta2C, fma(h, h, -v), v)
//	p = fma(-Alpha, m / fma(sqrt(v), RootScale, Epsilon), p*Shrink)
//
// Factors of 1 and a Decay of 0 are left out where Count is a power of two and all of them are; that shows where p is not
// finite, and nowhere else.
func AdamStep(p, m, v, g []float32, c *AdamConstants) {
	sameLength("AdamStep", len(p), len(m), len(v), len(g))
	inverse, exact := exactInverse(c.Count)
	switch {
	case exact && c.Clip == 1 && c.Shrink == 1 && c.RootScale == 1 && c.Decay == 0:
		adamPlainVec(p, m, v, g, inverse, c.Beta1C, c.Beta2C, c.Epsilon, c.Alpha)
	case exact:
		adamScaledVec(p, m, v, g, inverse, c.Clip, c.Decay, c.Shrink, c.Beta1C, c.Beta2C, c.RootScale, c.Epsilon, c.Alpha)
	default:
		adamDividedVec(p, m, v, g, c.Count, c.Clip, c.Decay, c.Shrink, c.Beta1C, c.Beta2C, c.RootScale, c.Epsilon, c.Alpha)
	}
}

// exactInverse is 1/x where x is a power of two in [1, 2^64]: a product with it is then the same as a division, and faster.
func exactInverse(x float32) (inverse float32, exact bool) {
	if x >= 1 && x <= 1<<64 && math.Float32bits(x)&0x7fffff == 0 {
		return 1 / x, true
	}
	return 0, false
}

// adamPlainGo leaves out the factors that are 1, and a decay of 0: h could differ from that of adamScaledGo by the sign of a
// zero, which no result shows.
func adamPlainGo(p, m, v, g []float32, inverse, beta1C, beta2C, epsilon, alpha float32) {
	for i := range p {
		h := float32(g[i] * inverse)
		m[i] = FMA(beta1C, h-m[i], m[i])
		v[i] = FMA(beta2C, FMA(h, h, -v[i]), v[i])
		p[i] = FMA(-alpha, m[i]/(sqrt32(v[i])+epsilon), p[i])
	}
}

func adamScaledGo(p, m, v, g []float32, inverse, clip, decay, shrink, beta1C, beta2C, rootScale, epsilon, alpha float32) {
	adamDividedGo(p, m, v, g, 1/inverse, clip, decay, shrink, beta1C, beta2C, rootScale, epsilon, alpha)
}

func adamDividedGo(p, m, v, g []float32, count, clip, decay, shrink, beta1C, beta2C, rootScale, epsilon, alpha float32) {
	for i := range p {
		h := FMA(decay, p[i], float32(float32(g[i]/count)*clip))
		m[i] = FMA(beta1C, h-m[i], m[i])
		v[i] = FMA(beta2C, FMA(h, h, -v[i]), v[i])
		root := FMA(sqrt32(v[i]), rootScale, epsilon)
		p[i] = FMA(-alpha, m[i]/root, float32(p[i]*shrink))
	}
}

// SGDConstants are the constants of one update by stochastic gradient descent.
type SGDConstants struct {
	Gradient
	Decay    float32 // L2 decay added to the gradient, 0 for none
	Momentum float32
	Inner    float32 // factor on the gradient where it enters the buffer: the learning rate in Keras's form, 1 in PyTorch's
	Rate     float32 // factor on what leaves the parameters: 1 with momentum in Keras's form, else the learning rate
	Nesterov bool
}

// SGDStep updates the parameters p from the summed gradient g, element by element, without momentum:
//
//	h = fma(Decay, p, (g/Count) * Clip)
//	p = fma(-Rate, h, p)
func SGDStep(p, g []float32, c *SGDConstants) {
	sameLength("SGDStep", len(p), len(g))
	sgdVec(p, g, c.Count, c.Clip, c.Decay, c.Rate)
}

func sgdGo(p, g []float32, count, clip, decay, rate float32) {
	for i := range p {
		h := FMA(decay, p[i], float32(float32(g[i]/count)*clip))
		p[i] = FMA(-rate, h, p[i])
	}
}

// MomentumStep is SGDStep with a momentum buffer b, which begins as zeros (Keras's velocity with its sign turned):
//
//	h = fma(Decay, p, (g/Count) * Clip) * Inner
//	b = fma(Momentum, b, h)
//	h = b, or fma(Momentum, b, h) with Nesterov
//	p = fma(-Rate, h, p)
func MomentumStep(p, b, g []float32, c *SGDConstants) {
	sameLength("MomentumStep", len(p), len(b), len(g))
	if c.Nesterov {
		nesterovVec(p, b, g, c.Count, c.Clip, c.Decay, c.Momentum, c.Inner, c.Rate)
		return
	}
	momentumVec(p, b, g, c.Count, c.Clip, c.Decay, c.Momentum, c.Inner, c.Rate)
}

func momentumGo(p, b, g []float32, count, clip, decay, momentum, inner, rate float32) {
	for i := range p {
		h := float32(FMA(decay, p[i], float32(float32(g[i]/count)*clip)) * inner)
		b[i] = FMA(momentum, b[i], h)
		p[i] = FMA(-rate, b[i], p[i])
	}
}

func nesterovGo(p, b, g []float32, count, clip, decay, momentum, inner, rate float32) {
	for i := range p {
		h := float32(FMA(decay, p[i], float32(float32(g[i]/count)*clip)) * inner)
		b[i] = FMA(momentum, b[i], h)
		p[i] = FMA(-rate, FMA(momentum, b[i], h), p[i])
	}
}
