// Package blas offers the matrix product kernels to gonum: blas32.Use(blas.Engine{Team: team}) makes every product of
// gonum's float32 matrices run on them.
package blas

import (
	"sync"

	gonumblas "gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"ringmaster/internal/tensor/kernel"
)

// Engine implements gonum's blas.Float32: the matrix product with our kernels, everything else as gonum does it. The zero
// value works on the caller's thread.
type Engine struct {
	gonum.Implementation
	Team *kernel.Team // the threads of a product; nil is the caller's
}

var _ gonumblas.Float32 = Engine{}

// scaled keeps memory for copies of A.
var scaled = sync.Pool{New: func() any { return new([]float32) }}

// Sgemm computes C = alpha op(A) op(B) + beta C on row-major matrices, op(A) being (m, k) and op(B) (k, n). As in gonum,
// beta is multiplied into C first and alpha into A; each element is then one chain of fused multiply-adds along k.
// With beta 0, C is not read. It panics as gonum does where arguments are wrong.
func (e Engine) Sgemm(tA, tB gonumblas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int,
	beta float32, c []float32, ldc int) {
	if !fits(tA, m, k, lda, len(a)) || !fits(tB, k, n, ldb, len(b)) || !fits(gonumblas.NoTrans, m, n, ldc, len(c)) ||
		m == 0 || n == 0 || k == 0 || alpha == 0 {
		e.Implementation.Sgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
		return
	}
	p := kernel.MatMul{M: m, N: n, K: k, A: a, LDA: lda, TransA: tA != gonumblas.NoTrans, B: b, LDB: ldb,
		TransB: tB != gonumblas.NoTrans, C: c, LDC: ldc, Accumulate: beta != 0}
	if beta != 0 && beta != 1 {
		for i := range m {
			row := c[i*ldc:][:n]
			kernel.Scale(row, beta, row)
		}
	}
	if alpha != 1 {
		space := scaled.Get().(*[]float32)
		defer scaled.Put(space)
		scaleA(&p, alpha, space)
	}
	e.Team.MatMul(&p)
}

// scaleA replaces A by alpha A in memory of its own, without gaps.
func scaleA(p *kernel.MatMul, alpha float32, space *[]float32) {
	rows, cols := p.M, p.K
	if p.TransA {
		rows, cols = cols, rows
	}
	if cap(*space) < rows*cols {
		*space = make([]float32, rows*cols)
	}
	a := (*space)[:rows*cols]
	for i := range rows {
		kernel.Scale(a[i*cols:][:cols], alpha, p.A[i*p.LDA:][:cols])
	}
	p.A, p.LDA = a, cols
}

// fits reports whether a matrix op(X) of rows x cols with rows of X ld apart fits its slice.
func fits(t gonumblas.Transpose, rows, cols, ld, have int) bool {
	switch t {
	case gonumblas.NoTrans:
	case gonumblas.Trans, gonumblas.ConjTrans:
		rows, cols = cols, rows
	default:
		return false
	}
	return rows >= 0 && cols >= 0 && ld >= max(1, cols) && have >= (rows-1)*ld+cols
}
