package kernel

// multiplyGo is the product in plain Go. It walks down the columns of B four at a time, packed to float64, since every
// element is used by all rows and its conversion is a third of the work.
func (p *MatMul) multiplyGo(s *scratch) {
	packed := grow64(&s.wide, 4*p.K)
	rs, cs := p.LDA, 1
	if p.TransA {
		rs, cs = 1, p.LDA
	}
	for j := 0; j < p.N; j += 4 {
		cols := min(4, p.N-j)
		p.widenB(packed, j, cols)
		for i := range p.M {
			var acc [4]float64
			c := p.C[i*p.LDC+j:][:cols]
			for u := range c {
				acc[u] = float64(p.start(i, j+u))
			}
			if p.K > 0 {
				chains(&acc, p.A[i*rs:], cs, packed)
			}
			for u := range c {
				v := float32(acc[u])
				if p.Act == ReLUActivation && 0 > v {
					v = 0
				}
				c[u] = v
			}
		}
	}
}

// start is the value that the chain of element (i, j) starts from.
func (p *MatMul) start(i, j int) float32 {
	switch {
	case p.Accumulate:
		return p.C[i*p.LDC+j]
	case p.Bias != nil:
		return p.Bias[j]
	case p.RowBias != nil:
		return p.RowBias[i]
	}
	return 0
}

// widenB packs the columns [j, j+cols) of B to rows of four float64. Missing columns are zero.
func (p *MatMul) widenB(packed []float64, j, cols int) {
	if cols < 4 {
		clear(packed)
	}
	for k := range p.K {
		row := packed[4*k : 4*k+4]
		for u := range cols {
			if p.Panels != nil {
				row[u] = float64(p.Panels.at(k, p.column+j+u))
			} else if p.TransB {
				row[u] = float64(p.B[(j+u)*p.LDB+k])
			} else {
				row[u] = float64(p.B[k*p.LDB+j+u])
			}
		}
	}
}

// chains continues four chains of multiply-adds: acc[u] = FMA(a[k*stride], b[4k+u], acc[u]) for ascending k. The
// accumulators hold float32 values. This is FMA with its conversions taken out of the loop.
func chains(acc *[4]float64, a []float32, stride int, b []float64) {
	c0, c1, c2, c3 := acc[0], acc[1], acc[2], acc[3]
	for k := 0; len(b) >= 4; k, b = k+stride, b[4:] {
		x := float64(a[k])
		s0, s1 := float64(x*b[0])+c0, float64(x*b[1])+c1
		s2, s3 := float64(x*b[2])+c2, float64(x*b[3])+c3
		if delicate(s0) {
			s0 = slowStep(x, b[0], c0)
		}
		if delicate(s1) {
			s1 = slowStep(x, b[1], c1)
		}
		if delicate(s2) {
			s2 = slowStep(x, b[2], c2)
		}
		if delicate(s3) {
			s3 = slowStep(x, b[3], c3)
		}
		c0, c1 = float64(float32(s0)), float64(float32(s1))
		c2, c3 = float64(float32(s2)), float64(float32(s3))
	}
	acc[0], acc[1], acc[2], acc[3] = c0, c1, c2, c3
}

// slowStep is fmaSlow on float32 values held in float64.
func slowStep(x, y, z float64) float64 {
	return float64(fmaSlow(float32(x), float32(y), float32(z)))
}

// grow64 makes a slice of n float64 out of s, with unspecified contents.
func grow64(s *[]float64, n int) []float64 {
	if cap(*s) < n {
		*s = make([]float64, n)
	}
	return (*s)[:n]
}
