package blas

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	gonumblas "gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/gonum"
	"gonum.org/v1/gonum/blas/testblas"

	"ringmaster/internal/tensor/kernel"
)

// widened runs gonum's tests of the float64 product, whose numbers are all exact in float32. gonum has none of its own
// for the float32 product.
type widened struct{ sgemm gonumblas.Float32Level3 }

func (w widened) Dgemm(tA, tB gonumblas.Transpose, m, n, k int, alpha float64, a []float64, lda int, b []float64, ldb int,
	beta float64, c []float64, ldc int) {
	c32 := narrow(c)
	w.sgemm.Sgemm(tA, tB, m, n, k, float32(alpha), narrow(a), lda, narrow(b), ldb, float32(beta), c32, ldc)
	for i, v := range c32 {
		c[i] = float64(v)
	}
}

func narrow(s []float64) []float32 {
	n := make([]float32, len(s))
	for i, v := range s {
		n[i] = float32(v)
	}
	return n
}

func TestGonumsOwnCases(t *testing.T) {
	team := kernel.NewTeam(2)
	defer team.Close()
	for _, tier := range kernel.Tiers() {
		restore := kernel.Force(tier)
		testblas.TestDgemm(t, widened{Engine{}})
		testblas.TestDgemm(t, widened{Engine{Team: team}})
		restore()
	}
}

func numbers(r *rand.Rand, n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(r.NormFloat64())
	}
	return s
}

func TestSgemmAgreesWithGonum(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	scalars := []float32{0, 1, -1, 0.5, 3.25}
	forms := []gonumblas.Transpose{gonumblas.NoTrans, gonumblas.Trans, gonumblas.ConjTrans}
	for range 500 {
		m, n, k := r.IntN(40), r.IntN(40), r.IntN(40)
		tA, tB := forms[r.IntN(3)], forms[r.IntN(3)]
		alpha, beta := scalars[r.IntN(5)], scalars[r.IntN(5)]
		lda, ldb, ldc := max(m, k)+1+r.IntN(3), max(n, k)+1+r.IntN(3), n+1+r.IntN(3)
		a, b := numbers(r, lda*max(m, k)), numbers(r, ldb*max(n, k))
		c := numbers(r, ldc*m)
		if beta == 0 && m > 0 && n > 0 {
			c[0] = float32(math.NaN())
		}
		want := append([]float32(nil), c...)
		Engine{}.Sgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
		gonum.Implementation{}.Sgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, want, ldc)
		for i := range c {
			if !(math.Abs(float64(c[i]-want[i])) <= 1e-5*(1+math.Abs(float64(want[i])))) {
				t.Fatalf("%d x %d x %d, %c%c, alpha %g, beta %g: C[%d] = %g, gonum has %g", m, k, n, tA, tB, alpha, beta, i, c[i], want[i])
			}
		}
	}
}

func TestSgemmPanicsAsGonumDoes(t *testing.T) {
	s := make([]float32, 12)
	for name, call := range map[string]func(e gonumblas.Float32Level3){
		"transposition": func(e gonumblas.Float32Level3) { e.Sgemm('x', 'N', 3, 4, 3, 1, s, 3, s, 4, 0, s, 4) },
		"m":             func(e gonumblas.Float32Level3) { e.Sgemm('N', 'N', -3, 4, 3, 1, s, 3, s, 4, 0, s, 4) },
		"lda":           func(e gonumblas.Float32Level3) { e.Sgemm('N', 'N', 3, 4, 3, 1, s, 2, s, 4, 0, s, 4) },
		"short b":       func(e gonumblas.Float32Level3) { e.Sgemm('N', 'N', 3, 4, 3, 1, s, 3, s[:11], 4, 0, s, 4) },
		"short c":       func(e gonumblas.Float32Level3) { e.Sgemm('N', 'N', 3, 4, 3, 1, s, 3, s, 4, 0, s[:11], 4) },
	} {
		ours, gonums := recovered(call, Engine{}), recovered(call, gonum.Implementation{})
		if ours == nil || fmt.Sprint(ours) != fmt.Sprint(gonums) {
			t.Errorf("%s: panics with %v, gonum with %v", name, ours, gonums)
		}
	}
}

func recovered(call func(gonumblas.Float32Level3), e gonumblas.Float32Level3) (reason any) {
	defer func() { reason = recover() }()
	call(e)
	return nil
}

func TestGonumComputesWithTheEngine(t *testing.T) {
	defer blas32.Use(blas32.Implementation())
	blas32.Use(Engine{})
	a := blas32.General{Rows: 2, Cols: 2, Stride: 2, Data: []float32{1, 2, 3, 4}}
	c := blas32.General{Rows: 2, Cols: 2, Stride: 2, Data: make([]float32, 4)}
	blas32.Gemm(gonumblas.NoTrans, gonumblas.Trans, 1, a, a, 0, c)
	if fmt.Sprint(c.Data) != "[5 11 11 25]" {
		t.Errorf("A A^T = %v, want [5 11 11 25]", c.Data)
	}
	x := blas32.Vector{N: 2, Inc: 1, Data: []float32{3, 4}}
	if norm := blas32.Nrm2(x); norm != 5 {
		t.Errorf("the norm of (3, 4) is %g: the other routines must be gonum's", norm)
	}
}

func BenchmarkSgemm1024(b *testing.B) {
	const n = 1024
	r := rand.New(rand.NewPCG(3, 4))
	x, y, z := numbers(r, n*n), numbers(r, n*n), make([]float32, n*n)
	for _, c := range []struct {
		name   string
		engine gonumblas.Float32Level3
	}{{"ringmaster", Engine{}}, {"gonum", gonum.Implementation{}}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				c.engine.Sgemm(gonumblas.NoTrans, gonumblas.NoTrans, n, n, n, 1, x, n, y, n, 0, z, n)
			}
			b.ReportMetric(2*n*n*n*float64(b.N)/b.Elapsed().Seconds()/1e9, "GF/s")
		})
	}
}
