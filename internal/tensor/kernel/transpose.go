package kernel

import "fmt"

// transposeColumns is how many columns Transpose works on together: the rows of dst that they become stay in the first level of
// the cache until their lines are full.
const transposeColumns = 64

// Transpose sets dst[c*dstLD+r] = src[r*srcLD+c] for all r < rows and c < cols. dst and src must not overlap.
func Transpose(dst []float32, dstLD int, src []float32, srcLD, rows, cols int) {
	if rows <= 0 || cols <= 0 {
		return
	}
	if dstLD < rows || srcLD < cols || len(dst) < (cols-1)*dstLD+rows || len(src) < (rows-1)*srcLD+cols {
		panic(fmt.Sprintf("kernel: Transpose of %d x %d: rows %d apart in %d elements, from %d apart in %d", rows, cols, dstLD, len(dst), srcLD, len(src)))
	}
	s, whole := tileShape(Current()), 0
	if s != nil {
		whole = rows &^ (s.lanes - 1) // stores of fewer rows than a vector's, as of three channels, are slower than plain ones
	}
	for c := 0; c < cols; c += transposeColumns {
		n := min(transposeColumns, cols-c)
		if whole > 0 {
			s.transpose(dst[c*dstLD:], dstLD, src[c:], srcLD, whole, n)
		}
		if whole < rows {
			transposeGo(dst[c*dstLD+whole:], dstLD, src[whole*srcLD+c:], srcLD, rows-whole, n)
		}
	}
}

func transposeGo(dst []float32, dstLD int, src []float32, srcLD, rows, cols int) {
	for r := range rows {
		for c, v := range src[r*srcLD:][:cols] {
			dst[c*dstLD+r] = v
		}
	}
}
