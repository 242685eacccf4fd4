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

// row is row r of a matrix.
func row(x []float32, r, cols, stride int) []float32 { return x[r*stride:][:cols] }

// MaxRows sets dst[r] = Max(x[r]), of which a zero comes as +0.
func MaxRows(dst, x []float32, cols, stride int) {
	checkRows("MaxRows", len(x), len(dst), cols, stride)
	if maxRowsVec(dst, x, len(dst), cols, stride) {
		return
	}
	for r := range dst {
		dst[r] = Max(row(x, r, cols, stride)) + 0
	}
}

// DotRows sets dst[r] = Dot(a[r], b[r]).
func DotRows(dst, a, b []float32, cols, stride int) {
	checkRows("DotRows", min(len(a), len(b)), len(dst), cols, stride)
	if dotRowsVec(dst, a, b, len(dst), cols, stride) {
		return
	}
	for r := range dst {
		dst[r] = Dot(row(a, r, cols, stride), row(b, r, cols, stride))
	}
}

// ScaleRows multiplies row r of x by alpha[r].
func ScaleRows(x, alpha []float32, cols, stride int) {
	checkRows("ScaleRows", len(x), len(alpha), cols, stride)
	if scaleRowsVec(x, x, len(alpha), cols, stride, alpha) {
		return
	}
	for r, a := range alpha {
		Scale(row(x, r, cols, stride), a, row(x, r, cols, stride))
	}
}

// ExpScaleShiftRows does with row r of x what ExpScaleShift does with a and b[r].
func ExpScaleShiftRows(x []float32, cols, stride int, a float32, b []float32) {
	checkRows("ExpScaleShiftRows", len(x), len(b), cols, stride)
	if expScaleShiftRowsVec(x, x, len(b), cols, stride, a, b) {
		return
	}
	for r := range b {
		ExpScaleShift(row(x, r, cols, stride), row(x, r, cols, stride), a, b[r])
	}
}

// ExpScaleShiftSumRows is ExpScaleShiftRows, and sums[r] = Sum(x[r]).
func ExpScaleShiftSumRows(sums, x []float32, cols, stride int, a float32, b []float32) {
	checkRows("ExpScaleShiftSumRows", len(x), len(b), cols, stride)
	sameLength("ExpScaleShiftSumRows", len(b), len(sums))
	if expScaleShiftSumRowsVec(sums, x, x, len(b), cols, stride, a, b) {
		return
	}
	for r := range b {
		sums[r] = ExpScaleShiftSum(row(x, r, cols, stride), row(x, r, cols, stride), a, b[r])
	}
}

// ScaleShiftMulRows does with row r of x what ScaleShiftMul does with that of y, a and b[r].
func ScaleShiftMulRows(x, y []float32, cols, stride int, a float32, b []float32) {
	checkRows("ScaleShiftMulRows", min(len(x), len(y)), len(b), cols, stride)
	if scaleShiftMulRowsVec(x, x, y, len(b), cols, stride, a, b) {
		return
	}
	for r := range b {
		ScaleShiftMul(row(x, r, cols, stride), row(x, r, cols, stride), row(y, r, cols, stride), a, b[r])
	}
}
