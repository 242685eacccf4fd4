//go:build !purego

package kernel

import "ringmaster/internal/caches"

//go:generate go -C gen run ./gemm -tier avx512 -out ../gemm_avx512_amd64.s
//go:generate go -C gen run ./gemm -tier avx2 -out ../gemm_avx2_amd64.s

// The tile kernels compute the row blocks and panels that p describes. They follow the chains of multiply-adds of all
// elements of a tile side by side; the name says how many vectors a panel is wide.
//
//go:noescape
func gemmAVX512x1(p *panels)

//go:noescape
func gemmAVX512x2(p *panels)

//go:noescape
func gemmAVX512x3(p *panels)

//go:noescape
func gemmAVX512x4(p *panels)

//go:noescape
func gemmAVX2x1(p *panels)

//go:noescape
func gemmAVX2x2(p *panels)

// The listed kernels take only the steps that p lists for each row block. Panels have the largest width.
//
//go:noescape
func gemmAVX512Listed(p *panels)

//go:noescape
func gemmAVX2Listed(p *panels)

// gemmKeepAVX2 brings rows of op(A)^T together; see keepSteps.
//
//go:noescape
func gemmKeepAVX2(dst *float32, steps *uint32, src *float32, srcRow, rows, bStep int, mask uint64) int

// The transpositions write dst[c][r] = src[r][c] for r < rows and c < cols; dstRow and srcRow are the bytes between rows.
// rows is at most, and cols at least, the lanes of a vector. The mask has the lowest rows bits set.
//
//go:noescape
func gemmTransposeAVX512(dst *float32, dstRow int, src *float32, srcRow, rows, cols int, mask uint64)

//go:noescape
func gemmTransposeAVX2(dst *float32, dstRow int, src *float32, srcRow, rows, cols int, mask uint64)

// The copies bring rows of the widest panel together; srcRow is the bytes between them, ahead how far from each row another
// is fetched into the cache.
//
//go:noescape
func gemmCopyAVX512(dst, src *float32, srcRow, rows, ahead int)

//go:noescape
func gemmCopyAVX2(dst, src *float32, srcRow, rows, ahead int)

var (
	shapeAVX512 = (&shape{tier: AVX512, lanes: 16, log: 4, vectors: 4, rows: [5]int{0, 16, 14, 8, 6}, halves: 2, narrow: shapeAVX2,
		copying: 10, turnWide: 192, lists: true}).fit(caches.Here())
	shapeAVX2 = (&shape{tier: AVX2, lanes: 8, log: 3, vectors: 2, rows: [5]int{0, 12, 6}, halves: 1, masked: 24,
		copying: copyingAVX2, turnWide: 48, lists: true, groups: true}).fit(caches.Here())
)

// tileShape returns the tiles of a tier, nil if it has none.
func tileShape(t Tier) *shape {
	switch t {
	case AVX512:
		return shapeAVX512
	case AVX2:
		return shapeAVX2
	}
	return nil
}

// run carries out the row blocks and panels with tiles of the given width.
func (s *shape) run(p *panels, vectors int) {
	if s.tier == AVX512 {
		switch vectors {
		case 1:
			gemmAVX512x1(p)
		case 2:
			gemmAVX512x2(p)
		case 3:
			gemmAVX512x3(p)
		case 4:
			gemmAVX512x4(p)
		}
		return
	}
	if vectors == 1 {
		gemmAVX2x1(p)
	} else {
		gemmAVX2x2(p)
	}
}

// runListed carries out the row blocks and panels, of the largest width, with the steps that are listed.
func (s *shape) runListed(p *panels) {
	if s.tier == AVX512 {
		gemmAVX512Listed(p)
	} else {
		gemmAVX2Listed(p)
	}
}

// keepSteps copies those of depth rows of src, srcLD apart, whose first width elements are not all zero, to dst, listedRows
// each; it lists the multiples of bStep at which they stood and returns how many they are. It reads listedRows elements of each row.
func keepSteps(dst []float32, steps []uint32, src []float32, srcLD, depth, width, bStep int) int {
	_, _, _ = dst[depth*listedRows-1], steps[depth-1], src[(depth-1)*srcLD+listedRows-1]
	return gemmKeepAVX2(&dst[0], &steps[0], &src[0], 4*srcLD, depth, bStep, 1<<width-1)
}

// transposeStrip writes dst[c*dstLD+r] = src[r*srcLD+c] for r < rows, at most lanes, and c < cols, at least lanes.
func (s *shape) transposeStrip(dst []float32, dstLD int, src []float32, srcLD, rows, cols int) {
	_, _ = dst[(cols-1)*dstLD+rows-1], src[(rows-1)*srcLD+cols-1]
	if s.tier == AVX512 {
		gemmTransposeAVX512(&dst[0], 4*dstLD, &src[0], 4*srcLD, rows, cols, 1<<rows-1)
	} else {
		gemmTransposeAVX2(&dst[0], 4*dstLD, &src[0], 4*srcLD, rows, cols, 1<<rows-1)
	}
}

// copyPanel copies rows, at least one, of the widest panel, srcLD apart, to rows without gaps, and fetches those that lie ahead
// elements further into the cache.
func (s *shape) copyPanel(dst, src []float32, srcLD, rows, ahead int) {
	wide := s.lanes * s.vectors
	_, _ = dst[rows*wide-1], src[(rows-1)*srcLD+wide-1]
	if s.tier == AVX512 {
		gemmCopyAVX512(&dst[0], &src[0], 4*srcLD, rows, 4*ahead)
	} else {
		gemmCopyAVX2(&dst[0], &src[0], 4*srcLD, rows, 4*ahead)
	}
}
