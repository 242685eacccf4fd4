package kernel

import "fmt"

// This file is kernels that do with each row of a matrix what another does with a vector, bit for bit. Where rows are short, as those
// of a block of attention, most of the time would go into calls. Row r of a matrix begins at r*stride.

// checkRows panics unless a matrix of rows with cols elements each, stride apart, has room in a slice.
func checkRows(name string, have, rows, cols, stride int) {
	if rows < 0 || cols < 0 || stride < cols || rows > 0 && have < (rows-1)*stride+cols {
		panic(fmt.Sprintf("kernel: %s: %d rows of %d elements, %d apart, in %d", name, rows, cols, stride, have))
	}
}

// MaxRows sets dst[r] = Max(x[r]), of which a zero comes as +0.
func MaxRows(dst, x []float32, cols, stride int) {
	checkRows("MaxRows", len(x), len(dst), cols, stride)
	maxRowsVec(dst, x, len(dst), cols, stride)
}

// DotRows sets dst[r] = Dot(a[r], b[r]).
func DotRows(dst, a, b []float32, cols, stride int) {
	checkRows("DotRows", min(len(a), len(b)), len(dst), cols, stride)
	dotRowsVec(dst, a, b, len(dst), cols, stride)
}

// ScaleRows multiplies row r of x by alpha[r].
func ScaleRows(x, alpha []float32, cols, stride int) {
	checkRows("ScaleRows", len(x), len(alpha), cols, stride)
	scaleRowsVec(x, x, len(alpha), cols, stride, alpha)
}

// ExpScaleShiftRows does with row r of x what ExpScaleShift does with a and b[r].
func ExpScaleShiftRows(x []float32, cols, stride int, a float32, b []float32) {
	checkRows("ExpScaleShiftRows", len(x), len(b), cols, stride)
	expScaleShiftRowsVec(x, x, len(b), cols, stride, a, b)
}

// ExpScaleShiftSumRows is ExpScaleShiftRows, and sums[r] = Sum(x[r]).
func ExpScaleShiftSumRows(sums, x []float32, cols, stride int, a float32, b []float32) {
	checkRows("ExpScaleShiftSumRows", len(x), len(b), cols, stride)
	sameLength("ExpScaleShiftSumRows", len(b), len(sums))
	expScaleShiftSumRowsVec(sums, x, x, len(b), cols, stride, a, b)
}

// ScaleShiftMulRows does with row r of x what ScaleShiftMul does with that of y, a and b[r].
func ScaleShiftMulRows(x, y []float32, cols, stride int, a float32, b []float32) {
	checkRows("ScaleShiftMulRows", min(len(x), len(y)), len(b), cols, stride)
	scaleShiftMulRowsVec(x, x, y, len(b), cols, stride, a, b)
}
