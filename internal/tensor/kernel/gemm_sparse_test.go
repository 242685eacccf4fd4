package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

var negativeZero = float32(math.Copysign(0, -1))

// withZeros makes most elements of p's A zero, or of its B: whole columns of A, or rows of B, and single elements.
func withZeros(r *rand.Rand, p *MatMul, ofB bool) {
	x, ld, stride, trans, m := p.A, p.LDA, p.StrideA, p.TransA, p.M
	if p.ZerosA, p.ZerosB = !ofB, ofB; ofB {
		x, ld, stride, trans, m = p.B, p.LDB, p.StrideB, !p.TransB, p.N
	}
	zeros := []float32{0, 0, negativeZero}
	for b := range max(p.Batch, 1) {
		for i := 0; i < m; i += 1 + r.IntN(20) {
			for k := range p.K {
				if r.IntN(4) > 0 {
					continue
				}
				for row := i; row < min(i+20, m); row++ {
					at := b*stride + row*ld + k
					if trans {
						at = b*stride + k*ld + row
					}
					x[at] = zeros[r.IntN(3)]
				}
			}
		}
	}
}

func TestMatMulWithZerosIsItsDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	teams := []*Team{nil, NewTeam(3)}
	defer teams[1].Close()
	draws := []func(*rand.Rand) float32{ordinary, ordinary, special, wild}
	rounds := 400
	if testing.Short() {
		rounds = 60
	}
	for round := range rounds {
		p, whole := drawProduct(r, 1+r.IntN(120), 1+r.IntN(120), 1+r.IntN(90), draws[round%4])
		withZeros(r, &p, round%8 < 4)
		checkProduct(t, p, whole, teams)
	}
}

// The shapes pass the limits at which such products are cut: the depth of strips, the rows whose steps are listed together, the
// size of a transposed result.
func TestMatMulWithZerosAcrossBlockLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second, on an emulated CPU a minute")
	}
	r := rand.New(rand.NewPCG(13, 14))
	for _, c := range []struct {
		m, n, k int
		ofB     bool
	}{{1600, 70, 60, false}, {40, 130, 1100, false}, {64, 1700, 70, true}, {64, 200, 1100, true}, {300, 700, 30, true}, {30, 4000, 50, false}} {
		p, whole := drawProduct(r, c.m, c.n, c.k, ordinary)
		p.Batch, p.Accumulate = 1, false
		withZeros(r, &p, c.ofB)
		checkProduct(t, p, whole, []*Team{nil})
	}
}

// Where a step that is left out would show, the product is the one with all steps.
func TestMatMulWithZerosThatShow(t *testing.T) {
	const m, n, k = 32, 128, 40
	tiny := float32(0x1p-100)
	inf := float32(math.Inf(1))
	for _, c := range []struct {
		name string
		set  func(a, b, bias []float32)
	}{
		{"infinity at a step left out", func(_, b, _ []float32) { b[9*n+3] = inf }},
		{"NaN at a step left out", func(_, b, _ []float32) { b[9*n+77] = float32(math.NaN()) }},
		{"huge at a step left out", func(_, b, _ []float32) { b[9*n+3] = math.MaxFloat32 }},
		{"start at -0", func(a, b, bias []float32) {
			clear(a[5*k : 6*k])
			for step := range 7 {
				b[step*n+8] = -1 // which leaves -0
			}
			b[9*n+8], bias[8] = 1, negativeZero
		}},
		{"underflow to -0", func(a, b, _ []float32) {
			clear(a)
			a[2*k] = tiny
			b[4], b[9*n+4] = -tiny, 1 // -0 at step 0, +0 again at step 9
		}},
		{"infinity at a step that remains", func(a, _, _ []float32) { a[0] = inf }},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, act := range []Activation{None, ReLUActivation} {
				a, b, bias := sequence(m*k, 1), sequence(k*n, 2), make([]float32, n)
				for i := range m {
					clear(a[i*k+7 : (i+1)*k]) // steps from 7 on add zeros
				}
				c.set(a, b, bias)
				out := make([]float32, m*n)
				checkProduct(t, MatMul{M: m, N: n, K: k, A: a, LDA: k, B: b, LDB: n, C: out, LDC: n, Bias: bias, Act: act, ZerosA: true}, out, []*Team{nil})
			}
		})
	}
}

// Steps are left out where there are zeros enough, and not looked for far where there are none.
func TestZerosAreMadeUseOf(t *testing.T) {
	tried := false
	for _, tier := range Tiers() {
		s := tileShape(tier)
		if s == nil || !s.lists {
			continue
		}
		tried = true
		const m, n, k = 64, 128, 90
		for _, ofB := range []bool{false, true} {
			for _, dense := range []bool{false, true} {
				a, b := sequence(m*k, 1), sequence(k*n, 2)
				p := MatMul{M: m, N: n, K: k, A: a, LDA: k, B: b, LDB: n, C: make([]float32, m*n), LDC: n, ZerosA: !ofB, ZerosB: ofB}
				for step := range k {
					if dense || step%3 == 0 {
						continue
					}
					if ofB {
						clear(b[step*n:][:n])
					}
					for i := 0; i < m && !ofB; i++ {
						a[i*k+step] = 0
					}
				}
				restore := Force(tier)
				used := p.multiplySparse(s, new(scratch))
				restore()
				if used == dense {
					t.Errorf("tier %s, zeros in B %v, dense %v: steps left out %v", tier, ofB, dense, used)
				}
			}
		}
	}
	if !tried {
		t.Skip("no tier of this machine leaves steps out")
	}
}

// BenchmarkMatMulWithZeros times a product whose A has as many zeros in its rows as pictures of writing have, with and without
// leaving steps out: what a first layer does, forward and for the gradient of its weights.
func BenchmarkMatMulWithZeros(b *testing.B) {
	for _, rows := range []int{32, 256} {
		const in, out = 784, 128
		x := sequence(rows*in, 1)
		r := rand.New(rand.NewPCG(1, 2))
		for i := range rows { // a border, and runs of about five pixels of writing among sixteen
			row := x[i*in:][:in]
			for at := 0; at < in; {
				blank := 2 + r.IntN(18)
				if at%28 < 6 || at < 120 || at > 660 {
					blank = 28
				}
				clear(row[at:min(at+blank, in)])
				at += blank + 1 + r.IntN(8)
			}
		}
		w, dy, y := sequence(out*in, 2), sequence(rows*out, 3), make([]float32, out*max(in, rows))
		for _, hint := range []bool{false, true} {
			b.Run(fmt.Sprintf("forward/%d/%v", rows, hint), func(b *testing.B) {
				for b.Loop() {
					(*Team)(nil).MatMul(&MatMul{M: rows, N: out, K: in, A: x, LDA: in, B: w, LDB: in, TransB: true, C: y, LDC: out, ZerosA: hint})
				}
			})
			b.Run(fmt.Sprintf("gradient/%d/%v", rows, hint), func(b *testing.B) {
				for b.Loop() {
					(*Team)(nil).MatMul(&MatMul{M: out, N: in, K: rows, A: dy, LDA: out, TransA: true, B: x, LDB: in, C: y, LDC: in, ZerosB: hint})
				}
			})
		}
	}
}
