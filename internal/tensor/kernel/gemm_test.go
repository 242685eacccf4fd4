package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
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
	for round := range 600 {
		m, n, k := 1+r.IntN(80), 1+r.IntN(80), r.IntN(80)
		p, whole := drawProduct(r, m, n, k, draws[round%3])
		checkProduct(t, p, whole, teams)
	}
}
