package kernel

import (
	"fmt"
	"sync"
)

// Activation is a function applied to each element of a product. A fused activation gives the bits of the vector kernel
// of the same name.
type Activation uint8

// The activations that a product can be fused with.
const (
	None Activation = iota
	ReLUActivation
)

// MatMul describes a product of row-major matrices, or a batch of them:
//
//	for b := 0; b < max(Batch, 1); b++ {
//		for i := 0; i < M; i++ {
//			for j := 0; j < N; j++ {
//				c := +0, or C[i,j], or Bias[j], or RowBias[i]
//				for k := 0; k < K; k++ {
//					c = FMA(A[i,k], B[k,j], c)
//				}
//				C[i,j] = Act(c)
//			}
//		}
//	}
//
// A[i,k] is A[b*StrideA + i*LDA + k], or A[b*StrideA + k*LDA + i] if TransA; B[k,j] is B[b*StrideB + k*LDB + j], or
// B[b*StrideB + j*LDB + k] if TransB; C[i,j] is C[b*StrideC + i*LDC + j]. At most one of Accumulate, Bias and RowBias
// is given. C must not overlap the other slices, and the products of a batch must not overlap each other.
type MatMul struct {
	M, N, K    int
	A          []float32
	LDA        int
	TransA     bool
	B          []float32
	LDB        int
	TransB     bool
	C          []float32
	LDC        int
	Accumulate bool      // the chains start from C
	Bias       []float32 // of length N: the chains of column j start from Bias[j]
	RowBias    []float32 // of length M: the chains of row i start from RowBias[i]
	Act        Activation

	Batch                     int // 0 is 1
	StrideA, StrideB, StrideC int // elements between two products of the batch

	// ZerosA and ZerosB say that many elements of A, or of B, may be zero, as in pictures of writing or where one column of
	// many is set. The product then looks for steps to leave out; its bits are the same.
	ZerosA, ZerosB bool

	// Panels is B, arranged for products with few rows; B, LDB and TransB then have no meaning. There is no batch and no TransA.
	Panels *Panels
	column int // of the panels, at which a part of the product begins
}

// scratch is a thread's memory for packed operands, kept from call to call.
type scratch struct {
	a, b, c []float32
	wide    []float64
	steps   []uint32
	counts  []uint32
}

// grow makes s a slice of at least n elements, with unspecified contents, and returns n of them. New memory is touched page by
// page in its order, since the system gives out pages as they are touched: packing goes from panel to panel, and each panel
// would get pages that map to the same few places of a cache. A panel of 256 KiB was then as slow as
// if a second level of 2 MiB had room for 128 KiB.
func grow[T float32 | uint32](s *[]T, n int) []T {
	if len(*s) < n {
		*s = make([]T, n)
		const page = 4096 / 4
		for i := 0; i < n; i += page {
			(*s)[i] = 0
		}
	}
	return (*s)[:n]
}

// lone is the scratch memory of calls without a team.
var lone = sync.Pool{New: func() any { return new(scratch) }}

// MatMul carries the product out on the team's threads. Its bits depend on the operands alone, not on the tier or on the
// number of threads. It panics if a shape does not fit its slice, and does not allocate once its scratch memory has grown
// to the shapes in use.
func (t *Team) MatMul(p *MatMul) {
	p.check()
	if p.M == 0 || p.N == 0 {
		return
	}
	if t == nil || !t.busy.TryLock() {
		s := lone.Get().(*scratch)
		p.all(s)
		lone.Put(s)
		return
	}
	if g := p.split(len(t.scratch)); g.parts() == 1 {
		p.all(&t.scratch[0])
	} else {
		w := &t.product
		w.team, w.spec, w.grid = t, *p, g
		t.share(g.parts(), w.run, max(p.Batch, 1)*p.M*p.N*p.K/g.parts())
		w.spec = MatMul{} // does not keep the caller's memory alive
	}
	t.busy.Unlock()
}

// product is a MatMul being carried out by a team.
type product struct {
	team *Team
	spec MatMul
	grid grid
	run  func(part int) // the method part, bound once
}

// part computes one part of the grid. A part has the scratch memory of its number, since parts are at most as many as
// threads.
func (w *product) part(n int) {
	q := w.spec
	if w.grid.cut(&q, n) {
		q.all(&w.team.scratch[n])
	}
}

// grid says how a product is cut: the batch, the rows and the columns, each into a number of parts.
type grid struct{ batch, rows, cols int }

func (g grid) parts() int { return g.batch * g.rows * g.cols }

// evenly returns the n-th of parts pieces of [0, total), cut at multiples of unit; the longer pieces come first.
func evenly(total, unit, n, parts int) (begin, end int) {
	units := (total + unit - 1) / unit
	size, longer := units/parts, units%parts
	begin = n*size + min(n, longer)
	end = begin + size
	if n < longer {
		end++
	}
	return min(begin*unit, total), min(end*unit, total)
}

// cut narrows p to the n-th part of the grid; it reports whether anything is left of it.
func (g grid) cut(p *MatMul, n int) bool {
	n, col := n/g.cols, n%g.cols
	batch, row := n/g.rows, n%g.rows
	b0, b1 := evenly(max(p.Batch, 1), 1, batch, g.batch)
	i0, i1 := evenly(p.M, 1, row, g.rows)
	j0, j1 := evenly(p.N, columnUnit, col, g.cols)
	if b1 == b0 || i1 == i0 || j1 == j0 {
		return false
	}
	if p.K > 0 && p.Panels == nil {
		p.A, p.B = p.A[b0*p.StrideA:], p.B[b0*p.StrideB:]
	}
	p.C, p.Batch = p.C[b0*p.StrideC:], b1-b0
	p.window(i0, i1, j0, j1)
	return true
}

// window narrows p to the rows [i0, i1) and the columns [j0, j1) of C. Neither is empty.
func (p *MatMul) window(i0, i1, j0, j1 int) {
	a, b := i0*p.LDA, j0
	if p.TransA {
		a = i0
	}
	if p.TransB {
		b = j0 * p.LDB
	}
	switch {
	case p.Panels != nil:
		p.A, p.column = p.A[min(a, len(p.A)):], p.column+j0
	case p.K > 0:
		p.A, p.B = p.A[a:], p.B[b:]
	}
	p.M, p.N, p.C = i1-i0, j1-j0, p.C[i0*p.LDC+j0:]
	if p.Bias != nil {
		p.Bias = p.Bias[j0:j1]
	}
	if p.RowBias != nil {
		p.RowBias = p.RowBias[i0:i1]
	}
}

// columnUnit is the width that columns are cut at: a cache line of C, so that no two threads write to one.
const columnUnit = 16

// leastWork is the number of multiply-adds below which a product is not worth a hand-off to another thread.
const leastWork = 1 << 17

// split chooses how to cut the product for the given number of threads: the batch if there is enough of it, else the
// cut in rows and columns whose largest part takes least, reading its part of A and B included. Of equals it takes the one
// with more cuts in rows: the threads then write apart from each other, not side by side in every row of C.
func (p *MatMul) split(threads int) grid {
	batch := max(p.Batch, 1)
	work := batch * p.M * p.N * max(p.K, 1)
	if threads == 1 || work < 2*leastWork {
		return grid{1, 1, 1}
	}
	threads = min(threads, work/leastWork)
	if batch >= threads && batch%threads == 0 || batch >= 8*threads {
		return grid{threads, 1, 1}
	}
	const reading = 4 // an element of A or B costs about as much as this many multiply-adds
	best, least := grid{1, 1, 1}, p.M*p.N+reading*(p.M+p.N)
	for rows := threads; rows >= 1; rows-- {
		cols := threads / rows
		_, m := evenly(p.M, 1, 0, rows)
		_, n := evenly(p.N, columnUnit, 0, cols)
		if cost := m*n + reading*(m+n); cost < least {
			best, least = grid{1, rows, cols}, cost
		}
	}
	return best
}

// all carries the product, batch and all, out on the calling thread.
func (p *MatMul) all(s *scratch) {
	if p.Batch <= 1 {
		p.multiply(s)
		return
	}
	one := *p
	for b := range p.Batch {
		if p.K > 0 {
			one.A, one.B = p.A[b*p.StrideA:], p.B[b*p.StrideB:]
		}
		one.C = p.C[b*p.StrideC:]
		one.multiply(s)
	}
}

// multiply carries a single product out on the calling thread with the current tier.
func (p *MatMul) multiply(s *scratch) {
	if tiles := tileShape(Current()); tiles != nil && p.K > 0 {
		p.multiplyTiles(tiles, s)
		return
	}
	p.multiplyGo(s)
}

// check panics unless the product's shapes fit its slices.
func (p *MatMul) check() {
	if p.M < 0 || p.N < 0 || p.K < 0 || p.Batch < 0 {
		panic(fmt.Sprintf("kernel: MatMul of %d x %d x %d, batch %d", p.M, p.K, p.N, p.Batch))
	}
	if p.M == 0 || p.N == 0 {
		return
	}
	if p.Batch > 1 && (p.StrideA < 0 || p.StrideB < 0 || p.StrideC < 0) {
		panic(fmt.Sprintf("kernel: MatMul with strides %d, %d, %d", p.StrideA, p.StrideB, p.StrideC))
	}
	if p.K > 0 {
		checkOperand("A", len(p.A), p.M, p.K, p.LDA, p.TransA, p.Batch, p.StrideA)
	}
	if p.Panels != nil {
		p.checkPanels()
	} else if p.K > 0 {
		checkOperand("B", len(p.B), p.K, p.N, p.LDB, p.TransB, p.Batch, p.StrideB)
	}
	checkOperand("C", len(p.C), p.M, p.N, p.LDC, false, p.Batch, p.StrideC)
	starts := 0
	if p.Accumulate {
		starts++
	}
	if p.Bias != nil {
		starts++
		if len(p.Bias) != p.N {
			panic(fmt.Sprintf("kernel: MatMul with %d biases for %d columns", len(p.Bias), p.N))
		}
	}
	if p.RowBias != nil {
		starts++
		if len(p.RowBias) != p.M {
			panic(fmt.Sprintf("kernel: MatMul with %d biases for %d rows", len(p.RowBias), p.M))
		}
	}
	if starts > 1 {
		panic("kernel: MatMul with more than one of Accumulate, Bias and RowBias")
	}
	if p.Act > ReLUActivation {
		panic(fmt.Sprintf("kernel: MatMul with activation %d", p.Act))
	}
}

func checkOperand(name string, have, rows, cols, ld int, trans bool, batch, stride int) {
	if trans {
		rows, cols = cols, rows
	}
	if ld < cols && rows > 1 {
		panic(fmt.Sprintf("kernel: MatMul: %s has rows of %d elements, %d apart", name, cols, ld))
	}
	if need := max(batch-1, 0)*stride + (rows-1)*ld + cols; have < need {
		panic(fmt.Sprintf("kernel: MatMul: %s of %d x %d needs %d elements, has %d", name, rows, cols, need, have))
	}
}
