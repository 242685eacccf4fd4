package kernel

// Gradient says how the sum of the seats' gradients becomes the gradient of an update: g = (sum / Count) * Clip.
type Gradient struct {
	Count float32 // samples or tokens, at least 1; exact up to 2^24
	Clip  float32 // scale of clipping by global norm; 1 for none
}

// AdamConstants are the constants of one Adam update, each rounded once to float32. AdamStep gives their use; with them
// it is Keras's Adam, PyTorch's Adam and AdamW alike.
type AdamConstants struct {
	Gradient
	Decay     float32 // L2 decay added to the gradient, 0 for none
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
//	h = (g/Count) * Clip
//	h = fma(Decay, p, h)                       only where Decay is not 0
//	m = fma(Beta1C, h-m, m)
//	v = fma(Beta2C, fma(h, h, -v), v)
//	p = fma(-Alpha, m / fma(sqrt(v), RootScale, Epsilon), p*Shrink)
func AdamStep(p, m, v, g []float32, c *AdamConstants) {
	sameLength("AdamStep", len(p), len(m), len(v), len(g))
	adamGo(p, m, v, g, c)
}

func adamGo(p, m, v, g []float32, c *AdamConstants) {
	for i := range p {
		h := float32(g[i]/c.Count) * c.Clip
		if c.Decay != 0 {
			h = FMA(c.Decay, p[i], h)
		}
		m[i] = FMA(c.Beta1C, h-m[i], m[i])
		v[i] = FMA(c.Beta2C, FMA(h, h, -v[i]), v[i])
		root := FMA(sqrt32(v[i]), c.RootScale, c.Epsilon)
		p[i] = FMA(-c.Alpha, m[i]/root, float32(p[i]*c.Shrink))
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
//	h = (g/Count) * Clip
//	h = fma(Decay, p, h)                       only where Decay is not 0
//	p = fma(-Rate, h, p)
func SGDStep(p, g []float32, c *SGDConstants) {
	sameLength("SGDStep", len(p), len(g))
	sgdGo(p, g, c)
}

func sgdGo(p, g []float32, c *SGDConstants) {
	for i := range p {
		h := float32(g[i]/c.Count) * c.Clip
		if c.Decay != 0 {
			h = FMA(c.Decay, p[i], h)
		}
		p[i] = FMA(-c.Rate, h, p[i])
	}
}

// MomentumStep is SGDStep with a momentum buffer b, which begins as zeros (Keras's velocity with its sign turned):
//
//	h = (g/Count) * Clip
//	h = fma(Decay, p, h)                       only where Decay is not 0
//	h = h * Inner
//	b = fma(Momentum, b, h)
//	h = b, or fma(Momentum, b, h) with Nesterov
//	p = fma(-Rate, h, p)
func MomentumStep(p, b, g []float32, c *SGDConstants) {
	sameLength("MomentumStep", len(p), len(b), len(g))
	momentumGo(p, b, g, c)
}

func momentumGo(p, b, g []float32, c *SGDConstants) {
	for i := range p {
		h := float32(g[i]/c.Count) * c.Clip
		if c.Decay != 0 {
			h = FMA(c.Decay, p[i], h)
		}
		h *= c.Inner
		b[i] = FMA(c.Momentum, b[i], h)
		if c.Nesterov {
			h = FMA(c.Momentum, b[i], h)
		} else {
			h = b[i]
		}
		p[i] = FMA(-c.Rate, h, p[i])
	}
}
