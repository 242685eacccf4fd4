package kernel

import "unsafe"

// This file says what the tile kernels fetch into the cache while they compute, beyond the rows of B and the lines of C: parts of
// the operands that are used next. Where those come from a far level of the cache, a core that waits for them computes at
// two thirds of its speed. Prefetching never changes the results.

// fetchAhead lets the kernel fetch what follows the blocks of q, of which row i is the first, among the rows [i0, i1) that the
// panels are used for. It may take some of the blocks away, which fetch something else.
func (t *strip) fetchAhead(q *panels, i, i0, i1 int) {
	here := uintptr(unsafe.Pointer(q.a))
	q.ahead, q.aheadLast, q.aheadBlock, q.aheadBy = here, here, 0, 0
	switch {
	case t.panelAhead != nil && q.loop == loopSingle: // groups fetch as much ahead in B
		q.ahead = uintptr(unsafe.Pointer(t.panelAhead))
		q.aheadLast, q.aheadBy = q.ahead, 4*panelWidth
	case t.panelAhead != nil || q.first == 0:
	case t.ldPacked == 0 && t.next > 0:
		t.fetchStrip(q, i)
	case t.ldPacked == 0 && !t.TransA: // packed rows have just been written
		t.fetchRows(q, i+q.rows*q.blocks < i1)
	case t.panelNext != nil && q.loop != loopSingle:
		t.fetchPanel(q, i-i0, i1-i0)
	}
}

// fetchPanel lets each block of the given number of rows fetch its share of the next panel.
func (t *strip) fetchPanel(q *panels, done, rows int) {
	share := 4 * t.shape.lanes * t.shape.vectors * q.k / rows // bytes for each row
	block := share * q.rows
	q.ahead = uintptr(unsafe.Pointer(t.panelNext)) + uintptr(share*done)
	q.aheadLast = q.ahead + uintptr(block*(q.blocks-1))
	q.aheadBlock, q.aheadBy = block, perStep(block, q.paces())
}

// fetchRows lets each block fetch the rows of A for the next: hardware follows one row at a time, not six that begin within a
// page. The last block has some to fetch if there are more.
func (t *strip) fetchRows(q *panels, more bool) {
	const gaps = 8 // rows with gaps of up to an eighth are fetched gaps and all
	if q.aRow > 4*(q.k+q.k/gaps) {
		return
	}
	block := q.rows * q.aRow
	q.ahead += uintptr(block)
	q.aheadLast += uintptr(block * (q.blocks - 1))
	if more {
		q.aheadLast += uintptr(block)
	}
	q.aheadBlock, q.aheadBy = block, perStep(block, q.paces())
}

// fetchStrip lets each block fetch a part of the next strip in the order of memory: rows of A that are read as columns are far
// apart, and no hardware follows them. The first rows have the strip of A to fetch, the others that of B.
func (t *strip) fetchStrip(q *panels, i int) {
	if t.LDA > 2*t.M || t.LDB > 2*t.N { // too much of it would be of no use
		return
	}
	x, ld, rows := t.A, t.LDA, t.M*t.LDA/(t.LDA+t.LDB)
	if i < rows {
		q.blocks = min(q.blocks, (rows-i+q.rows-1)/q.rows)
	} else {
		x, ld, rows, i = t.B, t.LDB, t.M-rows, i-rows
	}
	share := 4 * float64(t.next*ld) / float64(rows) // bytes for each row
	block := int(share * float64(q.rows))
	q.ahead = uintptr(unsafe.Pointer(&x[t.k1*ld])) + uintptr(share*float64(i))
	q.aheadLast = q.ahead + uintptr(block*(q.blocks-1))
	q.aheadBlock, q.aheadBy = block, perStep(block, q.paces())
}

// perStep is how many bytes each step must fetch so that all of them are fetched after the last step.
func perStep(bytes, steps int) int { return int(uint32(bytes+steps-1) / uint32(steps)) }
