package kernel

import "fmt"

// The kernels of this file work on matrices of rows rows, whose columns they combine with vectors that have an element for
// each column: biases, and what batch normalisation needs with the channels last. Sums take the rows in ascending order.

// columnsFit panics unless the matrices are (rows, cols) and the other slices have cols elements.
func columnsFit(name string, rows int, matrices, vectors [][]float32) {
	cols := len(vectors[0])
	for _, m := range matrices {
		fits(name, len(m), rows, cols)
	}
	for _, v := range vectors {
		sameLength(name, cols, len(v))
	}
}

// fetchAhead is how many elements before their turn assembly fetches those of matrices into the cache.
const fetchAhead = 256

// fetchable is how far ahead to fetch matrices of that many elements, whose slices have that capacity at least: not at all where they
// do not go on as far. It would do no harm, but a page that is not there is looked up each time, which takes longer than a row.
func fetchable(elements, capacity int) int {
	if capacity < elements+fetchAhead+4*lanes {
		return 0
	}
	return fetchAhead
}

// ColSum sums the columns of x, which is (rows, len(dst)): dst[c] = 0 + x[0,c] + x[1,c] + ...
func ColSum(dst, x []float32, rows int) { ColSumPart(dst, x, rows, 0, len(dst)) }

// ColSumPart is ColSum for the columns [begin, end) alone; the rest of dst stays.
func ColSumPart(dst, x []float32, rows, begin, end int) {
	checkColumns("ColSumPart", dst, x, rows, begin, end)
	clear(dst[begin:end])
	ColSumToPart(dst, x, rows, begin, end)
}

// ColSumTo adds the columns' sums to dst: dst[c] = dst[c] + x[0,c] + x[1,c] + ..., x being (rows, len(dst)).
func ColSumTo(dst, x []float32, rows int) { ColSumToPart(dst, x, rows, 0, len(dst)) }

// ColSumToPart is ColSumTo for the columns [begin, end) alone; the rest of dst stays.
func ColSumToPart(dst, x []float32, rows, begin, end int) {
	checkColumns("ColSumToPart", dst, x, rows, begin, end)
	if rows > 0 {
		colSumVec(dst[begin:end], x[begin:], rows, len(dst))
	}
}

func checkColumns(name string, dst, x []float32, rows, begin, end int) {
	fits(name, len(x), rows, len(dst))
	if begin < 0 || begin > end || end > len(dst) {
		panic(fmt.Sprintf("kernel: %s: columns [%d,%d) of %d", name, begin, end, len(dst)))
	}
}

func colSumGo(dst, x []float32, rows, stride int) {
	for r := range rows {
		addGo(dst, dst, x[r*stride:][:len(dst)])
	}
}

// ColSumCentered sets dst[c] to the sum over the rows of (x[r,c]-mean[c])^2, each step a fused multiply-add. x is
// (rows, len(dst)).
func ColSumCentered(dst, x, mean []float32, rows int) {
	columnsFit("ColSumCentered", rows, [][]float32{x}, [][]float32{dst, mean})
	clear(dst)
	colSumCenteredVec(dst, mean, x, rows, len(dst))
}

func colSumCenteredGo(dst, mean, x []float32, rows, stride int) {
	for r := range rows {
		for c, v := range x[r*stride:][:len(dst)] {
			d := v - mean[c]
			dst[c] = FMA(d, d, dst[c])
		}
	}
}

// ColSums sums the columns of dy, and those of dy[r,c]*(x[r,c]-mean[c]), each step of these a fused multiply-add: the sums that
// batch normalisation's gradient needs. dy and x are (rows, len(sum)).
func ColSums(sum, dot, dy, x, mean []float32, rows int) {
	columnsFit("ColSums", rows, [][]float32{dy, x}, [][]float32{sum, dot, mean})
	clear(sum)
	clear(dot)
	colSumsVec(sum, dot, mean, dy, x, rows, len(sum))
}

func colSumsGo(sum, dot, mean, dy, x []float32, rows, stride int) {
	for r := range rows {
		for c, v := range x[r*stride:][:len(sum)] {
			g := dy[r*stride+c]
			sum[c] += g
			dot[c] = FMA(g, v-mean[c], dot[c])
		}
	}
}

// ColSumsReLU is ReLUBackward of dy at y = ColScaleShift(x, a, b), and then ColSums, in one pass that leaves dy as it is: to
// compute y again takes less time than to read it.
func ColSumsReLU(sum, dot, dy, x, mean, a, b []float32, rows int) {
	columnsFit("ColSumsReLU", rows, [][]float32{dy, x}, [][]float32{sum, dot, mean, a, b})
	clear(sum)
	clear(dot)
	colSumsReLUVec(sum, dot, mean, a, b, dy, x, rows, len(sum))
}

func colSumsReLUGo(sum, dot, mean, a, b, dy, x []float32, rows, stride int) {
	for r := range rows {
		for c, v := range x[r*stride:][:len(sum)] {
			g := throughReLU(dy[r*stride+c], FMA(a[c], v, b[c]))
			sum[c] += g
			dot[c] = FMA(g, v-mean[c], dot[c])
		}
	}
}

// ColSumsReLU6 is ReLU6Backward of dy at y = ColScaleShift(x, a, b), and then ColSums, as ColSumsReLU is.
func ColSumsReLU6(sum, dot, dy, x, mean, a, b []float32, rows int) {
	columnsFit("ColSumsReLU6", rows, [][]float32{dy, x}, [][]float32{sum, dot, mean, a, b})
	clear(sum)
	clear(dot)
	colSumsReLU6Vec(sum, dot, mean, a, b, dy, x, rows, len(sum))
}

func colSumsReLU6Go(sum, dot, mean, a, b, dy, x []float32, rows, stride int) {
	for r := range rows {
		for c, v := range x[r*stride:][:len(sum)] {
			g := throughReLU6(dy[r*stride+c], FMA(a[c], v, b[c]))
			sum[c] += g
			dot[c] = FMA(g, v-mean[c], dot[c])
		}
	}
}

// ColScaleShift sets dst[r,c] = a[c]*x[r,c] + b[c], rounded once: batch normalisation. dst and x are (rows, len(a)).
func ColScaleShift(dst, x, a, b []float32, rows int) {
	columnsFit("ColScaleShift", rows, [][]float32{dst, x}, [][]float32{a, b})
	colScaleShiftVec(a, b, dst, x, rows, len(a))
}

func colScaleShiftGo(a, b, dst, x []float32, rows, stride int) {
	for r := range rows {
		row := dst[r*stride:][:len(a)]
		for c, v := range x[r*stride:][:len(a)] {
			row[c] = FMA(a[c], v, b[c])
		}
	}
}

// ColScaleShiftReLU is ColScaleShift and then ReLU, in one pass.
func ColScaleShiftReLU(dst, x, a, b []float32, rows int) {
	columnsFit("ColScaleShiftReLU", rows, [][]float32{dst, x}, [][]float32{a, b})
	colScaleShiftReLUVec(a, b, dst, x, rows, len(a))
}

func colScaleShiftReLUGo(a, b, dst, x []float32, rows, stride int) {
	colScaleShiftGo(a, b, dst, x, rows, stride)
	for r := range rows {
		row := dst[r*stride:][:len(a)]
		reluGo(row, row)
	}
}

// ColScaleShiftReLU6 is ColScaleShift and then ReLU6, in one pass.
func ColScaleShiftReLU6(dst, x, a, b []float32, rows int) {
	columnsFit("ColScaleShiftReLU6", rows, [][]float32{dst, x}, [][]float32{a, b})
	colScaleShiftReLU6Vec(a, b, dst, x, rows, len(a))
}

func colScaleShiftReLU6Go(a, b, dst, x []float32, rows, stride int) {
	colScaleShiftGo(a, b, dst, x, rows, stride)
	for r := range rows {
		row := dst[r*stride:][:len(a)]
		relu6Go(row, row)
	}
}

// ColCombine sets dst[r,c] = a[c]*dy[r,c] + (e[c]*x[r,c] + f[c]), each sum rounded once: the gradient of batch normalisation.
// dst, dy and x are (rows, len(a)).
func ColCombine(dst, dy, x, a, e, f []float32, rows int) {
	columnsFit("ColCombine", rows, [][]float32{dst, dy, x}, [][]float32{a, e, f})
	colCombineVec(a, e, f, dst, dy, x, rows, len(a))
}

func colCombineGo(a, e, f, dst, dy, x []float32, rows, stride int) {
	for r := range rows {
		row := dst[r*stride:][:len(a)]
		for c, v := range x[r*stride:][:len(a)] {
			row[c] = FMA(a[c], dy[r*stride+c], FMA(e[c], v, f[c]))
		}
	}
}

// ColCombineReLU is ReLUBackward of dy at y = ColScaleShift(x, a, b), and then ColCombine, in one pass.
func ColCombineReLU(dst, dy, x, a, b, e, f []float32, rows int) {
	columnsFit("ColCombineReLU", rows, [][]float32{dst, dy, x}, [][]float32{a, b, e, f})
	colCombineReLUVec(a, b, e, f, dst, dy, x, rows, len(a))
}

func colCombineReLUGo(a, b, e, f, dst, dy, x []float32, rows, stride int) {
	for r := range rows {
		row := dst[r*stride:][:len(a)]
		for c, v := range x[r*stride:][:len(a)] {
			g := throughReLU(dy[r*stride+c], FMA(a[c], v, b[c]))
			row[c] = FMA(a[c], g, FMA(e[c], v, f[c]))
		}
	}
}

// ColCombineReLU6 is ReLU6Backward of dy at y = ColScaleShift(x, a, b), and then ColCombine, in one pass.
func ColCombineReLU6(dst, dy, x, a, b, e, f []float32, rows int) {
	columnsFit("ColCombineReLU6", rows, [][]float32{dst, dy, x}, [][]float32{a, b, e, f})
	colCombineReLU6Vec(a, b, e, f, dst, dy, x, rows, len(a))
}

func colCombineReLU6Go(a, b, e, f, dst, dy, x []float32, rows, stride int) {
	for r := range rows {
		row := dst[r*stride:][:len(a)]
		for c, v := range x[r*stride:][:len(a)] {
			g := throughReLU6(dy[r*stride+c], FMA(a[c], v, b[c]))
			row[c] = FMA(a[c], g, FMA(e[c], v, f[c]))
		}
	}
}
