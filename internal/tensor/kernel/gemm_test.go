package kernel

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"ringmaster/internal/caches"
)

// guard is a NaN with a payload of its own: it fills what a kernel must not touch.
const guard = 0x7fc0beef

// guarded is a matrix (rows, cols) with ld elements from row to row, between and around them guard elements.
func guarded(r *rand.Rand, rows, cols, ld int, draw func(*rand.Rand) float32) (whole, inner []float32) {
	const band = 40
	whole = make([]float32, band+rows*ld+band)
	for i := range whole {
		whole[i] = math.Float32frombits(guard)
	}
	inner = whole[band+r.IntN(8):]
	for i := range rows {
		for j := range cols {
			inner[i*ld+j] = draw(r)
		}
	}
	if rows == 0 {
		return whole, inner[:0]
	}
	return whole, inner[:(rows-1)*ld+cols]
}

func ordinary(r *rand.Rand) float32 { return float32(r.NormFloat64()) }

// special draws ordinary values, signed zeros, denormals and huge values.
func special(r *rand.Rand) float32 {
	switch r.IntN(12) {
	case 0:
		return 0
	case 1:
		return float32(math.Copysign(0, -1))
	case 2:
		return math.Float32frombits(r.Uint32()&1<<31 | r.Uint32()&(1<<23-1))
	case 3:
		return ordinary(r) * 1e38
	case 4:
		return ordinary(r) * 1e-38
	}
	return ordinary(r)
}

// wild also draws infinities and NaN.
func wild(r *rand.Rand) float32 {
	switch r.IntN(60) {
	case 0:
		return float32(math.Inf(1))
	case 1:
		return float32(math.Inf(-1))
	case 2:
		return float32(math.NaN())
	}
	return special(r)
}

// sameBits finds the first element in which two slices differ; NaN equal each other, unless they are guards.
func sameBits(a, b []float32) int {
	for i := range a {
		x, y := math.Float32bits(a[i]), math.Float32bits(b[i])
		if x != y && (a[i] == a[i] || b[i] == b[i] || x == guard || y == guard) {
			return i
		}
	}
	return -1
}

// drawProduct draws a product of every form, with its C and the whole slice around C.
func drawProduct(r *rand.Rand, m, n, k int, draw func(*rand.Rand) float32) (p MatMul, whole []float32) {
	p = MatMul{M: m, N: n, K: k, TransA: r.IntN(2) == 1, TransB: r.IntN(2) == 1, Act: Activation(r.IntN(2))}
	rowsA, colsA, rowsB, colsB := m, k, k, n
	if p.TransA {
		rowsA, colsA = k, m
	}
	if p.TransB {
		rowsB, colsB = n, k
	}
	p.Batch = max(1, r.IntN(6)-2)
	p.LDA, p.LDB, p.LDC = colsA+r.IntN(4), colsB+r.IntN(4), n+r.IntN(4)
	p.StrideA, p.StrideB, p.StrideC = p.LDA*rowsA, p.LDB*rowsB, p.LDC*m
	_, p.A = guarded(r, p.Batch*rowsA, colsA, p.LDA, draw)
	_, p.B = guarded(r, p.Batch*rowsB, colsB, p.LDB, draw)
	whole, p.C = guarded(r, p.Batch*m, n, p.LDC, draw)
	switch r.IntN(4) {
	case 0:
		p.Accumulate = true
	case 1:
		_, p.Bias = guarded(r, 1, n, n, draw)
	case 2:
		_, p.RowBias = guarded(r, 1, m, m, draw)
	}
	return p, whole
}

// definition is MatMul's doc comment.
func definition(p *MatMul) {
	for b := range max(p.Batch, 1) {
		for i := range p.M {
			for j := range p.N {
				at := b*p.StrideC + i*p.LDC + j
				var c float32
				switch {
				case p.Accumulate:
					c = p.C[at]
				case p.Bias != nil:
					c = p.Bias[j]
				case p.RowBias != nil:
					c = p.RowBias[i]
				}
				for k := range p.K {
					x, y := b*p.StrideA+i*p.LDA+k, b*p.StrideB+k*p.LDB+j
					if p.TransA {
						x = b*p.StrideA + k*p.LDA + i
					}
					if p.TransB {
						y = b*p.StrideB + j*p.LDB + k
					}
					c = FMA(p.A[x], p.B[y], c)
				}
				out := []float32{c}
				if p.Act == ReLUActivation {
					ReLU(out, out)
				}
				p.C[at] = out[0]
			}
		}
	}
}

// checkProduct carries p out in every tier and with the teams given, and compares with its definition.
func checkProduct(t *testing.T, p MatMul, whole []float32, teams []*Team) {
	t.Helper()
	before := append([]float32(nil), whole...)
	definition(&p)
	want := append([]float32(nil), whole...)
	for _, tier := range Tiers() {
		for _, team := range teams {
			copy(whole, before)
			restore := Force(tier)
			team.MatMul(&p)
			restore()
			if i := sameBits(whole, want); i >= 0 {
				t.Fatalf("tier %s, %d threads, %d x %d x %d, batch %d, TransA %v, TransB %v, Accumulate %v, Bias %v, RowBias %v, "+
					"Act %d: element %d of C and its surroundings is %x, want %x", tier, team.Threads(), p.M, p.K, p.N, p.Batch, p.TransA,
					p.TransB, p.Accumulate, p.Bias != nil, p.RowBias != nil, p.Act, i, whole[i], want[i])
			}
		}
	}
}

func TestMatMulIsItsDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	teams := []*Team{nil, NewTeam(3)}
	defer teams[1].Close()
	draws := []func(*rand.Rand) float32{ordinary, special, wild}
	rounds := 600
	if testing.Short() {
		rounds = 120 // emulated CPUs are slow
	}
	for round := range rounds {
		m, n, k := 1+r.IntN(80), 1+r.IntN(80), r.IntN(80)
		p, whole := drawProduct(r, m, n, k, draws[round%3])
		checkProduct(t, p, whole, teams)
	}
}

// The shapes are chosen to pass the limits at which products are cut: the depth of strips, the width and the depth of
// packed blocks, the work of one call, the size of a transposed result, and the least work that is shared by threads.
func TestMatMulAcrossBlockLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second, on an emulated CPU a minute")
	}
	r := rand.New(rand.NewPCG(5, 6))
	teams := []*Team{nil, NewTeam(2), NewTeam(3), NewTeam(8)}
	for _, team := range teams {
		defer team.Close()
	}
	for _, c := range []struct {
		m, n, k        int
		transA, transB bool
	}{
		{170, 520, 1030, false, false}, {170, 700, 790, true, false}, {169, 2060, 300, false, false},
		{170, 500, 1000, false, false}, {170, 600, 800, true, false}, {300, 1100, 250, false, false},
		{90, 300, 1500, false, true}, {45, 900, 1100, false, true}, {45, 2100, 300, true, true},
		{1500, 70, 520, false, false}, {7, 11000, 513, false, false}, {784, 128, 32, true, false}, {33, 10, 128, false, true}, {40, 30, 512, false, true},
		{50, 20, 1024, false, false}, {8, 100, 512, false, true},
		{100, 1, 2000, true, true}, {1, 1000, 200, false, true},
	} {
		p, whole := drawProduct(r, c.m, c.n, c.k, ordinary)
		p.Batch, p.TransA, p.TransB = 1, c.transA, c.transB
		p.LDA, p.LDB = c.k, c.n
		if c.transA {
			p.LDA = c.m
		}
		if c.transB {
			p.LDB = c.k
		}
		_, p.A = guarded(r, 1, c.m*c.k, c.m*c.k, ordinary)
		_, p.B = guarded(r, 1, c.n*c.k, c.n*c.k, ordinary)
		before := append([]float32(nil), whole...)
		restore := Force(PlainGo)
		teams[0].MatMul(&p)
		restore()
		want := append([]float32(nil), whole...)
		for _, tier := range Tiers()[1:] {
			for _, team := range teams {
				for _, cpu := range []string{"Zen 3", "Sapphire Rapids", "tiny"} { // whatever this machine's is
					copy(whole, before)
					restore, leave := Force(tier), asOn(tier, cpus[cpu])
					team.MatMul(&p)
					leave()
					restore()
					if i := sameBits(whole, want); i >= 0 {
						t.Errorf("tier %s, %d threads, as on %s, %+v: element %d is %x, want %x", tier, team.Threads(), cpu, c, i, whole[i], want[i])
					}
				}
			}
		}
	}
}

// asOn has the tier's products cut as on another CPU, until leave is called.
func asOn(tier Tier, c caches.CPU) (leave func()) {
	s := tileShape(tier)
	if s == nil {
		return func() {}
	}
	before := s.blocking
	s.fit(c.Bounded())
	return func() { s.blocking = before }
}

func TestMatMulAgreesWithGonum(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 40 {
		m, n, k := 1+r.IntN(60), 1+r.IntN(60), 1+r.IntN(300)
		p, _ := drawProduct(r, m, n, k, ordinary)
		p.Batch, p.Act, p.Accumulate, p.Bias, p.RowBias = 1, None, false, nil, nil
		var team *Team
		team.MatMul(&p)
		want := make([]float64, m*n)
		a, b := wide(p.A), wide(p.B)
		gonum.Implementation{}.Dgemm(transposition(p.TransA), transposition(p.TransB), m, n, k, 1, a, p.LDA, b, p.LDB, 0, want, n)
		for i := range m {
			for j := range n {
				// The error of a sum of k products of normal variates grows as the root of k.
				if got, want := float64(p.C[i*p.LDC+j]), want[i*n+j]; math.Abs(got-want) > 1e-6*float64(k) {
					t.Fatalf("%d x %d x %d: C[%d,%d] = %g, gonum has %g", m, k, n, i, j, got, want)
				}
			}
		}
	}
}

func wide(s []float32) []float64 {
	w := make([]float64, len(s))
	for i, v := range s {
		if v == v { // the guards between the rows are not read
			w[i] = float64(v)
		}
	}
	return w
}

func transposition(trans bool) blas.Transpose {
	if trans {
		return blas.Trans
	}
	return blas.NoTrans
}

func TestMatMulDoesNotAllocate(t *testing.T) {
	team := NewTeam(2)
	defer team.Close()
	for _, tier := range Tiers() {
		for _, transB := range []bool{false, true} {
			for _, team := range []*Team{nil, team} {
				p := &MatMul{M: 32, N: 96, K: 96, A: sequence(32*96, 1), LDA: 96, B: sequence(96*96, 2), LDB: 96, TransB: transB,
					C: make([]float32, 32*96), LDC: 96, Bias: sequence(96, 3), Act: ReLUActivation}
				restore := Force(tier)
				team.MatMul(p)
				if allocs := testing.AllocsPerRun(50, func() { team.MatMul(p) }); allocs != 0 {
					t.Errorf("tier %s, %d threads, TransB %v: MatMul allocates %v times", tier, team.Threads(), transB, allocs)
				}
				restore()
			}
		}
	}
}

func TestMatMulRefusesShapesThatDoNotFit(t *testing.T) {
	good := MatMul{M: 3, N: 4, K: 5, A: make([]float32, 15), LDA: 5, B: make([]float32, 20), LDB: 4, C: make([]float32, 12), LDC: 4}
	for name, spoil := range map[string]func(p *MatMul){
		"short A":           func(p *MatMul) { p.A = p.A[:14] },
		"short B":           func(p *MatMul) { p.B = p.B[:19] },
		"short C":           func(p *MatMul) { p.C = p.C[:11] },
		"narrow A":          func(p *MatMul) { p.LDA = 4 },
		"narrow B":          func(p *MatMul) { p.LDB = 3 },
		"narrow C":          func(p *MatMul) { p.LDC = 3 },
		"transposed A":      func(p *MatMul) { p.TransA = true; p.LDA = 2 },
		"transposed B":      func(p *MatMul) { p.TransB = true },
		"negative M":        func(p *MatMul) { p.M = -1 },
		"batch":             func(p *MatMul) { p.Batch, p.StrideC = 2, 1 },
		"negative stride":   func(p *MatMul) { p.Batch, p.StrideA = 2, -15 },
		"short bias":        func(p *MatMul) { p.Bias = make([]float32, 3) },
		"long row bias":     func(p *MatMul) { p.RowBias = make([]float32, 4) },
		"two starts":        func(p *MatMul) { p.Bias, p.Accumulate = make([]float32, 4), true },
		"foreign operation": func(p *MatMul) { p.Act = 77 },
	} {
		p := good
		spoil(&p)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: MatMul accepts %+v", name, p)
				}
			}()
			var team *Team
			team.MatMul(&p)
		}()
	}
}

func TestMatMulWithoutDepthGivesTheStart(t *testing.T) {
	c := []float32{7, 7, 7, 7}
	var team *Team
	team.MatMul(&MatMul{M: 2, N: 2, C: c, LDC: 2, Bias: []float32{-1, 2}, Act: ReLUActivation})
	if c[0] != 0 || c[1] != 2 || c[2] != 0 || c[3] != 2 {
		t.Errorf("C is %v, want the biases after ReLU", c)
	}
	team.MatMul(&MatMul{M: 0, N: 2, K: 3, LDA: 3, LDB: 2, LDC: 2})
}
