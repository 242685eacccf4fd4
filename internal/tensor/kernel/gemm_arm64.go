//go:build !purego

package kernel

import (
	"math/bits"
	"unsafe"

	"ringmaster/internal/caches"
)

// The tile kernels compute the row blocks and panels that p describes, of 16, 4 and 1 columns.
//
//go:noescape
func gemmNEONx16(p *panels)

//go:noescape
func gemmNEONx4(p *panels)

//go:noescape
func gemmNEONx1(p *panels)

var shapeNEON = (&shape{tier: NEON, lanes: 4, log: 2, vectors: 4, rows: [5]int{0, 6, 6, 6, 6}, halves: 2,
	copying: 10, turnWide: 192}).fit(caches.Here())

// tileShape returns the tiles of a tier, nil if it has none.
func tileShape(t Tier) *shape {
	if t == NEON {
		return shapeNEON
	}
	return nil
}

// run carries out the row blocks and panels with tiles of the given width. NEON has no masks: what is not a whole panel
// is done four columns at a time and the rest one by one.
func (s *shape) run(p *panels, vectors int) {
	if vectors == s.vectors && p.mask == 0 {
		gemmNEONx16(p)
		return
	}
	q := *p
	rest := bits.OnesCount(uint(p.mask))
	if q.panels = vectors; rest > 0 {
		q.panels--
	}
	moves := p.start != &zeroStart[0] && p.spread == 0
	width := 4 * s.lanes
	q.bPanel, q.startPanel = width, 0
	if moves {
		q.startPanel = width
	}
	if q.panels > 0 {
		gemmNEONx4(&q)
	}
	if rest == 0 {
		return
	}
	done := q.panels * width
	q.b = (*float32)(unsafe.Add(unsafe.Pointer(p.b), done))
	q.c = (*float32)(unsafe.Add(unsafe.Pointer(p.c), done))
	if moves {
		q.start, q.startPanel = (*float32)(unsafe.Add(unsafe.Pointer(p.start), done)), 4
	}
	q.bPanel, q.panels = 4, rest
	gemmNEONx1(&q)
}

// runListed and keepSteps are never called: NEON has no such kernels.
func (s *shape) runListed(*panels) { panic("kernel: no listed steps with NEON") }

func keepSteps([]float32, []uint32, []float32, int, int, int, int) int {
	panic("kernel: no listed steps with NEON")
}

// transposeStrip writes dst[c*dstLD+r] = src[r*srcLD+c] for r < rows and c < cols.
func (s *shape) transposeStrip(dst []float32, dstLD int, src []float32, srcLD, rows, cols int) {
	transposeGo(dst, dstLD, src, srcLD, rows, cols)
}

// copyPanel copies rows of the widest panel, srcLD apart, to rows without gaps.
func (s *shape) copyPanel(dst, src []float32, srcLD, rows, _ int) {
	wide := s.lanes * s.vectors
	for r := range rows {
		copy(dst[r*wide:][:wide], src[r*srcLD:])
	}
}
