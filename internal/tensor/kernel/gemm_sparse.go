package kernel

import "math"

// This file leaves steps out of products one of whose operands has many zeros. A step k at which the elements of op(A) in all
// rows of a tile are zero adds zeros to the tile's chains and is left out: each block of rows has a list of the steps that
// remain, which all its panels use. An op(B) with zeros becomes op(A) of the transposed product.
//
// The bits are those of all steps. A zero times a finite number is a zero, and a zero added changes a chain only if that
// stands at -0: then +0 may make it +0. From +0, or from any number but zero, a chain reaches -0 only if a result is
// rounded to it, where all steps would have brought it to -0 as well; and if it leaves -0 afterwards by anything but a step
// left out, both agree again. So a result that is not -0 is right. The product is repeated with all steps if a result is -0,
// which takes a start at -0 or numbers near 2^-149, and if the other operand has an element that is not finite.

// listedRows is the number of elements of op(A) that are kept for a step. The assembly knows it.
const listedRows = 8

// The products worth searching for zeros, and how much of them at a time.
const (
	sparseLeast  = 24      // rows of an A with zeros, or of a B
	sparseWidest = 4096    // columns of the other operand, which a block of rows takes in one call
	sparseRows   = 1536    // whose steps are listed together
	sparseFloats = 1 << 17 // of a transposed result
)

// multiplySparse computes the product without the steps that it can leave out. It reports false, with C in any state, if
// there are too few of them or if the bits might not be those of all steps.
func (p *MatMul) multiplySparse(s *shape, m *scratch) bool {
	if !s.lists || !p.ZerosA && !p.ZerosB || p.Accumulate { // C would be needed to repeat it
		return false
	}
	wide := s.lanes * s.vectors
	rows, cols, ld, sparse, other := p.M, p.N&^(wide-1), p.LDB, p.M, p.N
	if !p.ZerosA {
		rows, cols, ld, sparse, other = p.M&^(wide-1), p.N, p.LDA, p.K, p.M
	}
	if sparse < sparseLeast || other < wide || other > sparseWidest || ld > math.MaxInt32/4/s.inPlace {
		return false
	}
	listed, rest := *p, *p
	listed.window(0, rows, 0, cols)
	if p.ZerosA && !listed.multiplyListed(s, m) || !p.ZerosA && !listed.multiplyListedFlipped(s, m) {
		return false
	}
	rest.ZerosA, rest.ZerosB = false, false
	switch {
	case rows < p.M:
		rest.window(rows, p.M, 0, p.N)
		rest.multiplyTiles(s, m)
	case cols < p.N:
		rest.window(0, p.M, cols, p.N)
		rest.multiplyTiles(s, m)
	}
	if p.ZerosA {
		return finite(p.B, p.K, p.N, p.LDB, p.TransB) && !listed.hasNegativeZero()
	}
	return finite(p.A, p.M, p.K, p.LDA, p.TransA) && !listed.hasNegativeZero()
}

// finite reports whether all elements of a matrix are finite. It may say no where their squares are not.
func finite(x []float32, rows, cols, ld int, trans bool) bool {
	if trans {
		rows, cols = cols, rows
	}
	if ld == cols {
		rows, cols = 1, rows*cols
	}
	for r := range rows {
		row := x[r*ld:][:cols]
		if d := float64(Dot(row, row)); math.IsNaN(d) || math.IsInf(d, 0) {
			return false
		}
	}
	return true
}

func (p *MatMul) hasNegativeZero() bool {
	rows, cols := p.M, p.N
	if p.LDC == cols {
		rows, cols = 1, rows*cols
	}
	for i := range rows {
		if HasNegativeZero(p.C[i*p.LDC:][:cols]) {
			return true
		}
	}
	return false
}

// multiplyListedFlipped computes a product whose B has zeros as C^T = op(B)^T op(A)^T, some columns of C at a time.
func (p *MatMul) multiplyListedFlipped(s *shape, m *scratch) bool {
	columns := max(s.lanes, min(sparseRows, sparseFloats/p.M))
	for j := 0; j < p.N; j += columns {
		w := *p
		w.window(0, p.M, j, min(j+columns, p.N))
		q := MatMul{M: w.N, N: w.M, K: w.K, A: w.B, LDA: w.LDB, TransA: !w.TransB, B: w.A, LDB: w.LDA, TransB: !w.TransA,
			LDC: w.M, Bias: w.RowBias, RowBias: w.Bias, Act: w.Act}
		q.C = grow(&m.c, q.M*q.LDC)
		if !q.multiplyListed(s, m) {
			return false
		}
		s.transpose(w.C, w.LDC, q.C, q.LDC, q.M, q.N)
	}
	return true
}

// multiplyListed computes a product whose A has zeros and whose columns are whole panels, some rows at a time. It reports false
// if too few steps can be left out.
func (p *MatMul) multiplyListed(s *shape, m *scratch) bool {
	wide, length := s.lanes*s.vectors, depth(p.K, s.inPlace)
	for k := 0; k < p.K; k += length {
		t := strip{MatMul: p, shape: s, scratch: m, k0: k, k1: min(k+length, p.K)}
		var b []float32
		ld, panel := p.LDB, wide
		if p.TransB {
			b, ld, panel = grow(&m.b, (t.k1-k)*p.N), wide, (t.k1-k)*wide
		} else {
			b = p.B[k*p.LDB:]
		}
		for i := 0; i < p.M; i += sparseRows {
			i1 := min(i+sparseRows, p.M)
			if !t.listSteps(i, i1, ld) {
				return false
			}
			if i == 0 && p.TransB {
				t.packB(b, 0, p.N, wide)
			}
			t.listed(i, i1, b, panel)
		}
	}
	return true
}

// listSteps lists the steps that each block of the rows [i0, i1) of the strip needs, at least one, in scratch.steps, as places
// in a B whose rows are ld apart, and packs the elements of op(A) at these steps in scratch.a. It reports false if more than
// three quarters are needed.
func (t *strip) listSteps(i0, i1, ld int) bool {
	tall, depth := t.shape.rows[t.shape.vectors], t.k1-t.k0
	blocks := (i1 - i0 + tall - 1) / tall
	a, counts := grow(&t.scratch.a, depth*blocks*listedRows), grow(&t.scratch.counts, blocks)
	steps := grow(&t.scratch.steps, depth*blocks+aheadRows)
	done := 0
	for block := range blocks {
		i := i0 + block*tall
		n := t.keep(a[done*listedRows:], steps[done:], i, min(i+tall, i1), ld)
		if n == 0 { // the kernel takes one step at least
			clear(a[done*listedRows:][:listedRows])
			steps[done], n = 0, 1
		}
		counts[block] = uint32(n)
		done += n
		if 16*block >= blocks && 4*done > 3*(block+1)*depth {
			return false
		}
	}
	clear(steps[done:][:aheadRows]) // which the last steps fetch
	return true
}

// keep lists those steps of the strip that the rows [i, i1) need, and packs their elements of op(A).
func (t *strip) keep(to []float32, list []uint32, i, i1, ld int) int {
	from, fromLD, depth := to, listedRows, t.k1-t.k0
	switch moved := min(listedRows, t.M-i); { // rows of the next block too: whole vectors move faster
	case !t.TransA:
		t.shape.transpose(to, listedRows, t.A[i*t.LDA+t.k0:], t.LDA, moved, depth)
	case moved < listedRows:
		for r := range depth {
			copy(to[r*listedRows:][:moved], t.A[(t.k0+r)*t.LDA+i:])
		}
	default:
		from, fromLD = t.A[t.k0*t.LDA+i:], t.LDA
	}
	return keepSteps(to, list, from, fromLD, depth, i1-i, 4*ld)
}

// listed computes the rows [i0, i1) of the strip with the steps in scratch.steps; panels of B are so much apart.
func (t *strip) listed(i0, i1 int, b []float32, panel int) {
	wide, tall := t.shape.lanes*t.shape.vectors, t.shape.rows[t.shape.vectors]
	done, block := 0, 0
	for i := i0; i < i1; {
		var q panels
		t.describe(&q, i, 0, wide)
		q.a, q.aRow, q.b, q.bPanel, q.panels = &t.scratch.a[done*listedRows], 4, &b[0], 4*panel, t.N/wide
		q.steps, q.counts = &t.scratch.steps[done], &t.scratch.counts[block]
		q.rows = min(tall, i1-i)
		for work := 0; i+q.rows <= i1 && work < callWork; i += q.rows {
			n := int(t.scratch.counts[block])
			done, block, q.blocks = done+n, block+1, q.blocks+1
			work += n * q.rows * t.N
		}
		t.shape.runListed(&q)
	}
}
