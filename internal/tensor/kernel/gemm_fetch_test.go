package kernel

import (
	"testing"
	"unsafe"
)

// TestFetchesStayWithinTheOperands follows the addresses that the kernels are told to fetch. One beyond an operand does no harm to
// a result, but a page that is not there is looked up at every step.
func TestFetchesStayWithinTheOperands(t *testing.T) {
	for _, c := range []struct {
		name                string
		m, n, k, lda        int
		trans               bool
		k0, k1, next, i, i1 int
		rows, blocks        int
		groups              bool // of steps
		wantB               bool // else A
		want                int  // bytes from which the fetches begin
	}{
		{name: "the next block's rows", m: 60, n: 64, k: 100, lda: 100, k1: 100, i1: 60, rows: 6, blocks: 9, want: 4 * 600},
		{name: "the next call's rows", m: 61, n: 64, k: 100, lda: 110, k1: 100, i: 7, i1: 61, rows: 6, blocks: 8, want: 4 * 13 * 110},
		{name: "the last rows", m: 60, n: 64, k: 100, lda: 100, k1: 100, i: 54, i1: 60, rows: 6, blocks: 1, want: 4 * 5400},
		{name: "the next block's rows, by groups", m: 60, n: 64, k: 99, lda: 99, k1: 99, i1: 60, rows: 6, blocks: 9, groups: true, want: 4 * 594},
		{name: "the next strip of A, by groups", m: 60, n: 20, k: 100, lda: 60, trans: true, k1: 50, next: 50, i1: 60, rows: 6, blocks: 10, groups: true, want: 4 * 3000},
		{name: "rows with wide gaps", m: 60, n: 64, k: 100, lda: 200, k1: 100, i1: 60, rows: 6, blocks: 10, want: 0},
		{name: "few steps", m: 60, n: 64, k: aheadRows, lda: aheadRows, k1: aheadRows, i1: 60, rows: 6, blocks: 10, want: 0},
		{name: "the next strip of A", m: 60, n: 20, k: 100, lda: 60, trans: true, k1: 50, next: 50, i1: 60, rows: 6, blocks: 10, want: 4 * 3000},
		{name: "the next strip of B", m: 60, n: 20, k: 100, lda: 60, trans: true, k1: 50, next: 50, i: 48, i1: 60, rows: 6, blocks: 2, wantB: true, want: 4 * 1200},
		{name: "a short strip", m: 60, n: 20, k: 90, lda: 60, trans: true, k1: 50, next: 40, i1: 60, rows: 6, blocks: 10, want: 4 * 3000},
		{name: "no next strip", m: 60, n: 20, k: 100, lda: 60, trans: true, k0: 50, k1: 100, i: 6, i1: 60, rows: 6, blocks: 9, want: 4 * (50*60 + 6)},
		{name: "a strip with wide gaps", m: 60, n: 20, k: 100, lda: 200, trans: true, k1: 50, next: 50, i1: 60, rows: 6, blocks: 10, want: 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := MatMul{M: c.m, N: c.n, K: c.k, LDA: c.lda, TransA: c.trans, LDB: c.n, A: make([]float32, max(c.m, c.k)*c.lda), B: make([]float32, c.k*c.n)}
			s := strip{MatMul: &p, shape: &shape{groups: c.groups}, k0: c.k0, k1: c.k1, next: c.next}
			row, step := p.stridesA()
			depth := c.k1 - c.k0
			q := panels{a: &p.A[c.i*row+c.k0*step], aRow: 4 * row, aStep: 4 * step, k: depth, rows: c.rows, blocks: c.blocks,
				first: max(0, depth-aheadRows)}
			s.chooseLoop(&q)
			s.fetchAhead(&q, c.i, 0, c.i1)
			x, used := p.A, (c.m-1)*row+(c.k-1)*step+1
			if c.wantB {
				x, used = p.B, len(p.B)
			}
			base := uintptr(unsafe.Pointer(&x[0]))
			begin := q.ahead
			if q.blocks == 1 {
				begin = q.aheadLast
			}
			if got := int(begin - base); got != c.want {
				t.Errorf("fetches begin %d bytes into the operand, want %d", got, c.want)
			}
			slack := q.paces() // less than a byte each time, since they are of whole bytes
			if c.next > 0 {
				slack += q.aheadBlock // blocks have whole shares
			}
			for b := range q.blocks {
				at := q.ahead + uintptr(b*q.aheadBlock)
				if b == q.blocks-1 {
					at = q.aheadLast
				}
				last := at + uintptr(q.aheadBy*max(0, q.paces()-1))
				if end := base + uintptr(4*used+slack); at < base || last >= end {
					t.Errorf("block %d of %d fetches bytes %d to %d of %d", b, q.blocks, int(at-base), int(last-base), int(end-base))
				}
			}
		})
	}
}
