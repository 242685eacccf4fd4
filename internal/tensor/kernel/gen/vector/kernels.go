package main

import "math"

// The programs below repeat, operation by operation, the plain-Go definitions in vec_*.go of the kernel package.

const (
	log2E          = 1.44269502
	ln2High        = 0.693147182
	ln2Low         = -0x1.05c61p-29
	roundMagic     = 12582912
	roundMagicBits = 0x4b400000
	signBit        = 0x80000000
	sqrtHalfBits   = 0x3f3504f3
	invSqrtTwoPi   = 0.39894228
	geluC0         = 0.7978846
	geluC1         = 0.044715
)

// expReduced writes x = n ln2 + r: t is roundMagic + n.
func (b *builder) expReduced(x value) (t, n, r value) {
	t = b.fma(x, b.float(log2E), b.float(roundMagic))
	n = b.sub(t, b.float(roundMagic))
	r = b.fnma(n, b.float(ln2High), x)
	return t, n, b.fnma(n, b.float(ln2Low), r)
}

func (b *builder) expPolynomial(r value) value {
	return b.horner(r, 0.0013814595, 0.008368717, 0.04166839, 0.16666521, 0.49999994, 1, 1)
}

// expNormal has the bits of exp where |x| < 87: the result is a normal number, and so is its power of two.
func (b *builder) expNormal(x value) value {
	if b.set == avx512 {
		_, n, r := b.expReduced(x)
		return b.emit(opScaleExponent, 0, b.expPolynomial(r), n)
	}
	return b.expInRange(x)
}

// expDown is e^x for x up to 88, and 0 where that is below the normal numbers, give or take: probabilities need no more. Its
// power of two is one factor, whose exponent field is 0 from n = -127 on.
func (b *builder) expDown(x value) value { return b.expInRange(b.max(b.float(-88), x)) }

// expInRange is expDown for x from -88 on.
func (b *builder) expInRange(x value) value {
	t, _, r := b.expReduced(x)
	return b.mul(b.expPolynomial(r), b.shl(b.iadd(t, b.bits(127)), 23)) // the shift leaves nothing of roundMagic
}

// exp is e^x with |x| brought into the range where the result is neither 0 nor infinite before its last rounding.
func (b *builder) exp(x value) value {
	x = b.max(b.float(-104), x)
	x = b.min(b.float(89), x)
	t, n, r := b.expReduced(x)
	p := b.expPolynomial(r)
	if b.set == avx512 {
		return b.emit(opScaleExponent, 0, p, n)
	}
	k := b.isub(t, b.bits(roundMagicBits))
	half := b.sar(k, 1)
	rest := b.isub(k, half)
	p = b.mul(p, b.shl(b.iadd(half, b.bits(127)), 23))
	return b.mul(p, b.shl(b.iadd(rest, b.bits(127)), 23))
}

func (b *builder) log(x value) value {
	small := b.less(x, b.float(0x1p-126))
	y := b.sel(small, b.mul(x, b.float(0x1p23)), x)
	e := b.sel(small, b.float(-23), b.float(0))
	u := b.isub(y, b.bits(sqrtHalfBits))
	e = b.add(e, b.toFloat(b.sar(u, 23)))
	m := b.iadd(b.and(u, b.bits(0x7fffff)), b.bits(sqrtHalfBits))
	f := b.sub(m, b.float(1))
	p := b.horner(f, 0.06746598, -0.11675614, 0.118881606, -0.12405595, 0.14219554, -0.16667995, 0.20002119, -0.2500001, 0.33333313, -0.5)
	r := b.fma(p, b.mul(f, f), b.mul(e, b.float(ln2Low)))
	r = b.fma(e, b.float(ln2High), b.add(f, r))
	r = b.sel(b.less(b.float(math.MaxFloat32), x), x, r)
	r = b.sel(b.lessEqual(b.float(0), x), r, b.bits(0x7fc00000)) // NaN and negative numbers
	return b.sel(b.equal(x, b.float(0)), b.float(float32(math.Inf(-1))), r)
}

func (b *builder) abs(x value) value { return b.andNot(x, b.bits(signBit)) }

// signed gives magnitude the sign of x.
func (b *builder) signed(magnitude, x value) value {
	return b.or(magnitude, b.and(x, b.bits(signBit)))
}

func (b *builder) tanh(x value) value {
	a := b.abs(x)
	u := b.mul(a, a)
	p := b.horner(u, -0.005704988, 0.020639088, -0.053739715, 0.13331442, -0.3333328)
	small := b.fma(b.mul(p, u), a, a)
	e := b.expNormal(b.min(b.float(40), b.add(a, a))) // tanh rounds to 1 long before
	large := b.sub(b.float(1), b.div(b.float(2), b.add(e, b.float(1))))
	return b.signed(b.sel(b.less(a, b.float(0.625)), small, large), x)
}

func (b *builder) erf(x value) value {
	a := b.abs(x)
	u := b.mul(a, a)
	p := b.horner(u, 8.119054e-05, -0.00080809754, 0.0051953727, -0.026857022, 0.11283651, -0.37612632, 0.12837917)
	small := b.fma(p, a, a)
	t := b.min(b.float(4), a)
	q := b.horner(t, -2.1445543e-05, 0.00043852968, -0.0041908547, 0.025171805, -0.10836155, -0.6332724, -1.129552, 0.00018245974)
	large := b.sub(b.float(1), b.expNormal(q))
	return b.signed(b.sel(b.less(a, b.float(0.95)), small, large), x)
}

func (b *builder) sigmoid(x value) value {
	e := b.expDown(b.or(x, b.bits(signBit)))
	n := b.sel(b.less(x, b.float(0)), e, b.float(1))
	return b.div(n, b.add(b.float(1), e))
}

// normalCDF is the distribution function of the normal distribution, Phi(x), and e^(-x^2/2).
func (b *builder) normalCDF(x value) (cdf, e value) {
	a := b.min(b.float(13.266), b.abs(x))
	e = b.expInRange(b.mul(b.mul(a, a), b.float(-0.5)))
	q := b.mul(e, b.horner(a, 5.56191e-08, -1.5367726e-06, 1.9231502e-05, -0.00014609068, 0.00076674996, -0.0030259974, 0.00961601,
		-0.026026819, 0.062236793, -0.1329079, 0.24998948, -0.3989417, 0.5))
	return b.sel(b.less(x, b.float(0)), q, b.sub(b.float(1), q)), e
}

// geluTanhCDF is GELUTanh's (1 + tanh u)/2 = sigmoid(2u).
func (b *builder) geluTanhCDF(x, square value) value {
	return b.sigmoid(b.mul(x, b.fma(square, b.float(2*geluC0*geluC1), b.float(2*geluC0))))
}

func (b *builder) relu(x value) value { return b.max(b.float(0), x) }

func (b *builder) relu6(x value) value { return b.min(b.float(6), b.relu(x)) }

func (b *builder) reluGradient(dy, y value) value {
	return b.sel(b.less(b.float(0), y), dy, b.float(0))
}

func (b *builder) relu6Gradient(dy, y value) value {
	return b.sel(b.less(y, b.float(6)), b.reluGradient(dy, y), b.float(0))
}

func (b *builder) colScaleShift() value {
	return b.fma(b.column("a"), b.load("x"), b.column("b"))
}

// colSums adds dy and dy*(x-mean) to the sums.
func (b *builder) colSums(dy value) {
	b.accAdd("sum", dy)
	b.accFMA("dot", dy, b.sub(b.load("x"), b.column("mean")))
}

// colCombine is batch normalisation's gradient.
func (b *builder) colCombine(dy value) {
	b.store("dst", b.fma(b.column("a"), dy, b.fma(b.column("e"), b.load("x"), b.column("f"))))
}

func (b *builder) centered() value { return b.sub(b.load("x"), b.scalar("mean")) }

func (b *builder) normalized() value { return b.mul(b.centered(), b.scalar("rstd")) }

func (b *builder) normBackward(e value) value {
	d := b.fnma(b.normalized(), b.scalar("meanEH"), b.sub(e, b.scalar("meanE")))
	return b.mul(d, b.scalar("rstd"))
}

// meanGradient is the gradient of an update from the sum: divided by the count, or multiplied by its exact inverse, and clipped.
func (b *builder) meanGradient(divide bool) value {
	g := b.load("grad")
	if divide {
		g = b.div(g, b.scalar("count"))
	} else {
		g = b.mul(g, b.scalar("inverse"))
	}
	return b.mul(g, b.scalar("clip"))
}

// adamMoments updates the moments by the gradient h.
func (b *builder) adamMoments(h value) (m, v value) {
	m = b.load("m")
	m = b.fma(b.scalar("beta1C"), b.sub(h, m), m)
	b.store("m", m)
	v = b.load("v")
	v = b.fma(b.scalar("beta2C"), b.fms(h, h, v), v)
	b.store("v", v)
	b.nextStage()
	return m, v
}

func adam(divide bool) func(b *builder) {
	return func(b *builder) {
		p := b.load("p")
		m, v := b.adamMoments(b.fma(b.scalar("decay"), p, b.meanGradient(divide)))
		root := b.fma(b.sqrt(v), b.scalar("rootScale"), b.scalar("epsilon"))
		b.store("p", b.fnma(b.scalar("alpha"), b.div(m, root), b.mul(p, b.scalar("shrink"))))
	}
}

func sgd(momentum, nesterov bool) func(b *builder) {
	return func(b *builder) {
		p := b.load("p")
		h := b.fma(b.scalar("decay"), p, b.meanGradient(true))
		if momentum {
			h = b.mul(h, b.scalar("inner"))
			buffer := b.fma(b.scalar("momentum"), b.load("b"), h)
			b.store("b", buffer)
			if nesterov {
				h = b.fma(b.scalar("momentum"), buffer, h)
			} else {
				h = buffer
			}
		}
		b.store("p", b.fnma(b.scalar("rate"), h, p))
	}
}

func list(names ...string) []string { return names }

var kernels = []kernel{
	{name: "add", past: true, streams: list("dst", "a", "b"), unroll: 4, body: func(b *builder) {
		b.store("dst", b.add(b.load("a"), b.load("b")))
	}},
	{name: "sub", streams: list("dst", "a", "b"), unroll: 4, body: func(b *builder) {
		b.store("dst", b.sub(b.load("a"), b.load("b")))
	}},
	{name: "mul", past: true, streams: list("dst", "a", "b"), unroll: 4, body: func(b *builder) {
		b.store("dst", b.mul(b.load("a"), b.load("b")))
	}},
	{name: "mulAdd", streams: list("dst", "a", "b"), unroll: 4, body: func(b *builder) {
		b.store("dst", b.fma(b.load("a"), b.load("b"), b.load("dst")))
	}},
	{name: "scale", past: true, streams: list("dst", "x"), scalars: list("alpha"), unroll: 4, rows: &rowwise{}, body: func(b *builder) {
		b.store("dst", b.mul(b.scalar("alpha"), b.load("x")))
	}},
	{name: "flushDenormals", streams: list("dst", "x"), unroll: 2, body: func(b *builder) {
		// The bits of a denormal number's magnitude less those of the smallest normal one are negative.
		x := b.load("x")
		b.store("dst", b.andNot(x, b.sar(b.isub(b.abs(x), b.bits(1<<23)), 31)))
	}},
	{name: "axpy", streams: list("dst", "x"), scalars: list("alpha"), unroll: 4, body: func(b *builder) {
		b.store("dst", b.fma(b.scalar("alpha"), b.load("x"), b.load("dst")))
	}},
	{name: "scaleShift", past: true, streams: list("dst", "x"), scalars: list("a", "b"), unroll: 4, body: func(b *builder) {
		b.store("dst", b.fma(b.scalar("a"), b.load("x"), b.scalar("b")))
	}},
	{name: "colSum", sums: list("dst"), streams: list("x"), body: func(b *builder) {
		b.accAdd("dst", b.load("x"))
	}},
	{name: "colSumCentered", sums: list("dst"), columns: list("mean"), streams: list("x"), body: func(b *builder) {
		d := b.sub(b.load("x"), b.column("mean"))
		b.accFMA("dst", d, d)
	}},
	{name: "colSums", sums: list("sum", "dot"), columns: list("mean"), streams: list("dy", "x"), body: func(b *builder) {
		b.colSums(b.load("dy"))
	}},
	{name: "colSumsReLU", sums: list("sum", "dot"), columns: list("mean", "a", "b"), streams: list("dy", "x"), body: func(b *builder) {
		b.colSums(b.reluGradient(b.load("dy"), b.colScaleShift()))
	}},
	{name: "colSumsReLU6", sums: list("sum", "dot"), columns: list("mean", "a", "b"), streams: list("dy", "x"), body: func(b *builder) {
		b.colSums(b.relu6Gradient(b.load("dy"), b.colScaleShift()))
	}},
	{name: "colScaleShift", columns: list("a", "b"), streams: list("dst", "x"), body: func(b *builder) {
		b.store("dst", b.colScaleShift())
	}},
	{name: "colScaleShiftReLU", columns: list("a", "b"), streams: list("dst", "x"), body: func(b *builder) {
		b.store("dst", b.relu(b.colScaleShift()))
	}},
	{name: "colScaleShiftReLU6", columns: list("a", "b"), streams: list("dst", "x"), body: func(b *builder) {
		b.store("dst", b.relu6(b.colScaleShift()))
	}},
	{name: "colCombine", columns: list("a", "e", "f"), streams: list("dst", "dy", "x"), body: func(b *builder) {
		b.colCombine(b.load("dy"))
	}},
	{name: "colCombineReLU", columns: list("a", "b", "e", "f"), streams: list("dst", "dy", "x"), body: func(b *builder) {
		b.colCombine(b.reluGradient(b.load("dy"), b.colScaleShift()))
	}},
	{name: "colCombineReLU6", columns: list("a", "b", "e", "f"), streams: list("dst", "dy", "x"), body: func(b *builder) {
		b.colCombine(b.relu6Gradient(b.load("dy"), b.colScaleShift()))
	}},
	{name: "relu", past: true, streams: list("dst", "x"), unroll: 4, body: func(b *builder) {
		b.store("dst", b.relu(b.load("x")))
	}},
	{name: "reluBackward", past: true, streams: list("dx", "dy", "y"), unroll: 2, body: func(b *builder) {
		b.store("dx", b.reluGradient(b.load("dy"), b.load("y")))
	}},
	{name: "relu6", past: true, streams: list("dst", "x"), unroll: 4, body: func(b *builder) {
		b.store("dst", b.relu6(b.load("x")))
	}},
	{name: "relu6Backward", past: true, streams: list("dx", "dy", "y"), unroll: 2, body: func(b *builder) {
		b.store("dx", b.relu6Gradient(b.load("dy"), b.load("y")))
	}},
	{name: "exp", past: true, streams: list("dst", "x"), abreast: 2, body: func(b *builder) {
		b.store("dst", b.exp(b.load("x")))
	}},
	{name: "log", streams: list("dst", "x"), abreast: 2, body: func(b *builder) {
		b.store("dst", b.log(b.load("x")))
	}},
	{name: "tanh", streams: list("dst", "x"), abreast: 2, body: func(b *builder) {
		b.store("dst", b.tanh(b.load("x")))
	}},
	{name: "erf", streams: list("dst", "x"), abreast: 2, body: func(b *builder) {
		b.store("dst", b.erf(b.load("x")))
	}},
	{name: "sigmoid", streams: list("dst", "x"), abreast: 2, body: func(b *builder) {
		b.store("dst", b.sigmoid(b.load("x")))
	}},
	{name: "silu", past: true, streams: list("dst", "x"), abreast: 2, body: func(b *builder) {
		x := b.load("x")
		b.store("dst", b.mul(x, b.sigmoid(x)))
	}},
	{name: "gelu", past: true, streams: list("dst", "x"), abreast: 2, body: func(b *builder) {
		x := b.load("x")
		cdf, _ := b.normalCDF(x)
		b.store("dst", b.mul(x, cdf))
	}},
	{name: "geluTanh", past: true, streams: list("dst", "x"), abreast: 2, body: func(b *builder) {
		x := b.load("x")
		b.store("dst", b.mul(x, b.geluTanhCDF(x, b.mul(x, x))))
	}},
	{name: "sigmoidBackward", streams: list("dx", "dy", "y"), unroll: 2, body: func(b *builder) {
		y := b.load("y")
		b.store("dx", b.mul(b.load("dy"), b.fnma(y, y, y)))
	}},
	{name: "tanhBackward", streams: list("dx", "dy", "y"), unroll: 2, body: func(b *builder) {
		y := b.load("y")
		b.store("dx", b.mul(b.load("dy"), b.fnma(y, y, b.float(1))))
	}},
	{name: "siluSlope", streams: list("dst", "slope", "x"), abreast: 2, body: func(b *builder) {
		x := b.load("x")
		s := b.sigmoid(x)
		y := b.mul(x, s)
		b.store("slope", b.fma(y, b.sub(b.float(1), s), s))
		b.store("dst", y)
	}},
	{name: "geluSlope", streams: list("dst", "slope", "x"), abreast: 2, body: func(b *builder) {
		x := b.load("x")
		cdf, e := b.normalCDF(x)
		b.store("dst", b.mul(x, cdf))
		b.store("slope", b.fma(x, b.mul(e, b.float(invSqrtTwoPi)), cdf))
	}},
	{name: "geluTanhSlope", streams: list("dst", "slope", "x"), abreast: 2, body: func(b *builder) {
		x := b.load("x")
		square := b.mul(x, x)
		cdf := b.geluTanhCDF(x, square)
		y := b.mul(x, cdf)
		rise := b.fma(square, b.float(6*geluC0*geluC1), b.float(2*geluC0))
		b.store("slope", b.fma(b.mul(y, b.sub(b.float(1), cdf)), rise, cdf))
		b.store("dst", y)
	}},
	{name: "sum", lanes: list("l"), streams: list("x"), rows: &rowwise{}, body: func(b *builder) {
		b.accAdd("l", b.load("x"))
	}},
	{name: "dot", lanes: list("l"), streams: list("a", "b"), rows: &rowwise{}, body: func(b *builder) {
		b.accFMA("l", b.load("a"), b.load("b"))
	}},
	{name: "sumCentered", lanes: list("l"), streams: list("x"), scalars: list("mean"), rows: &rowwise{}, body: func(b *builder) {
		d := b.centered()
		b.accFMA("l", d, d)
	}},
	{name: "max", lanes: list("l"), streams: list("x"), rows: &rowwise{}, body: func(b *builder) {
		b.accMax("l", b.load("x"))
	}},
	{name: "countNegativeZeros", lanes: list("l"), streams: list("x"), body: func(b *builder) {
		x := b.load("x")
		oneIfSigned := b.and(b.sar(x, 31), b.float(1))
		b.accAdd("l", b.sel(b.equal(x, b.float(0)), oneIfSigned, b.float(0)))
	}},
	{name: "expSum", lanes: list("l"), streams: list("dst", "x"), scalars: list("m"), abreast: 2, body: func(b *builder) {
		e := b.expDown(b.sub(b.load("x"), b.scalar("m")))
		b.store("dst", e)
		b.accAdd("l", e)
	}},
	{name: "expSumOnly", lanes: list("l"), streams: list("x"), scalars: list("m"), abreast: 2, body: func(b *builder) {
		b.accAdd("l", b.expDown(b.sub(b.load("x"), b.scalar("m"))))
	}},
	{name: "expScaleShiftSum", lanes: list("l"), streams: list("dst", "x"), scalars: list("a", "b"), abreast: 2, rows: &rowwise{common: list("a")}, body: func(b *builder) {
		e := b.expDown(b.fma(b.scalar("a"), b.load("x"), b.scalar("b")))
		b.store("dst", e)
		b.accAdd("l", e)
	}},
	{name: "expScaleShift", streams: list("dst", "x"), scalars: list("a", "b"), abreast: 2, rows: &rowwise{common: list("a")}, body: func(b *builder) {
		b.store("dst", b.expDown(b.fma(b.scalar("a"), b.load("x"), b.scalar("b"))))
	}},
	{name: "scaleShiftMul", streams: list("dst", "x", "y"), scalars: list("a", "b"), unroll: 2, rows: &rowwise{common: list("a")}, body: func(b *builder) {
		b.store("dst", b.mul(b.fma(b.scalar("a"), b.load("x"), b.scalar("b")), b.load("y")))
	}},
	{name: "softmaxBackward", streams: list("dx", "dy", "y"), scalars: list("dot"), unroll: 2, body: func(b *builder) {
		b.store("dx", b.mul(b.load("y"), b.sub(b.load("dy"), b.scalar("dot"))))
	}},
	{name: "normalize", streams: list("y", "x"), scalars: list("mean", "rstd"), unroll: 2, rows: &rowwise{}, body: func(b *builder) {
		b.store("y", b.normalized())
	}},
	{name: "normalizeScale", streams: list("y", "x", "gamma"), scalars: list("mean", "rstd"), unroll: 2, rows: &rowwise{shared: list("gamma")}, body: func(b *builder) {
		b.store("y", b.mul(b.normalized(), b.load("gamma")))
	}},
	{name: "normalizeAffine", streams: list("y", "x", "gamma", "beta"), scalars: list("mean", "rstd"), unroll: 2, rows: &rowwise{shared: list("gamma", "beta")}, body: func(b *builder) {
		b.store("y", b.fma(b.normalized(), b.load("gamma"), b.load("beta")))
	}},
	{name: "normSumsPlain", lanes: list("sum", "dot"), streams: list("dy", "x"), scalars: list("mean", "rstd"), rows: &rowwise{}, body: func(b *builder) {
		e := b.load("dy")
		b.accAdd("sum", e)
		b.accFMA("dot", e, b.normalized())
	}},
	{name: "normSums", lanes: list("sum", "dot"), streams: list("dy", "x", "gamma"), scalars: list("mean", "rstd"), rows: &rowwise{shared: list("gamma")}, body: func(b *builder) {
		e := b.mul(b.load("dy"), b.load("gamma"))
		b.accAdd("sum", e)
		b.accFMA("dot", e, b.normalized())
	}},
	{name: "normBackwardPlain", streams: list("dx", "dy", "x"), scalars: list("mean", "rstd", "meanE", "meanEH"), rows: &rowwise{}, body: func(b *builder) {
		b.store("dx", b.normBackward(b.load("dy")))
	}},
	{name: "normBackward", streams: list("dx", "dy", "x", "gamma"), scalars: list("mean", "rstd", "meanE", "meanEH"), rows: &rowwise{shared: list("gamma")}, body: func(b *builder) {
		b.store("dx", b.normBackward(b.mul(b.load("dy"), b.load("gamma"))))
	}},
	{name: "normBackwardPlainAdd", streams: list("dx", "dy", "x"), scalars: list("mean", "rstd", "meanE", "meanEH"), rows: &rowwise{}, body: func(b *builder) {
		b.store("dx", b.add(b.load("dx"), b.normBackward(b.load("dy"))))
	}},
	{name: "normBackwardAdd", streams: list("dx", "dy", "x", "gamma"), scalars: list("mean", "rstd", "meanE", "meanEH"), rows: &rowwise{shared: list("gamma")}, body: func(b *builder) {
		b.store("dx", b.add(b.load("dx"), b.normBackward(b.mul(b.load("dy"), b.load("gamma")))))
	}},
	{name: "normParams", streams: list("dgamma", "dy", "x"), scalars: list("mean", "rstd"), body: func(b *builder) {
		b.store("dgamma", b.fma(b.load("dy"), b.normalized(), b.load("dgamma")))
	}},
	{name: "adamPlain", streams: list("p", "m", "v", "grad"), unroll: 2,
		scalars: list("inverse", "beta1C", "beta2C", "epsilon", "alpha"), body: func(b *builder) {
			m, v := b.adamMoments(b.mul(b.load("grad"), b.scalar("inverse")))
			root := b.add(b.sqrt(v), b.scalar("epsilon"))
			b.store("p", b.fnma(b.scalar("alpha"), b.div(m, root), b.load("p")))
		}},
	{name: "adamScaled", streams: list("p", "m", "v", "grad"), unroll: 2,
		scalars: list("inverse", "clip", "decay", "shrink", "beta1C", "beta2C", "rootScale", "epsilon", "alpha"), body: adam(false)},
	{name: "adamDivided", streams: list("p", "m", "v", "grad"), unroll: 2,
		scalars: list("count", "clip", "decay", "shrink", "beta1C", "beta2C", "rootScale", "epsilon", "alpha"), body: adam(true)},
	{name: "sgd", streams: list("p", "grad"), scalars: list("count", "clip", "decay", "rate"), body: sgd(false, false)},
	{name: "momentum", streams: list("p", "b", "grad"),
		scalars: list("count", "clip", "decay", "momentum", "inner", "rate"), body: sgd(true, false)},
	{name: "nesterov", streams: list("p", "b", "grad"),
		scalars: list("count", "clip", "decay", "momentum", "inner", "rate"), body: sgd(true, true)},
	{name: "roundBFloat16", streams: list("dst", "x"), unroll: 2, body: func(b *builder) {
		x := b.load("x")
		rounded := b.iadd(b.iadd(x, b.bits(0x7fff)), b.and(b.shr(x, 16), b.bits(1)))
		nan := b.or(x, b.bits(0x400000))
		b.store("dst", b.andNot(b.sel(b.equal(x, x), rounded, nan), b.bits(0xffff)))
	}},
}
