package kernel

import "math"

// foldLanes is the tree of the lane rule: lane i takes lane i+8, then i+4, i+2, i+1.
func foldLanes(l *[lanes]float32) float32 {
	a, b, c, d := l[0]+l[8], l[1]+l[9], l[2]+l[10], l[3]+l[11]
	e, f, g, h := l[4]+l[12], l[5]+l[13], l[6]+l[14], l[7]+l[15]
	a, b, c, d = a+e, b+f, c+g, d+h
	return (a + c) + (b + d)
}

// Sum is the sum of x by the lane rule, each lane beginning at +0.
func Sum(x []float32) float32 {
	var l [lanes]float32
	sumVec(&l, x)
	return foldLanes(&l)
}

func sumGo(l *[lanes]float32, x []float32) {
	for i, v := range x {
		l[i%lanes] += v
	}
}

// Dot is the sum of a[i]*b[i] by the lane rule, each step a fused multiply-add.
func Dot(a, b []float32) float32 {
	sameLength("Dot", len(a), len(b))
	var l [lanes]float32
	dotVec(&l, a, b)
	return foldLanes(&l)
}

func dotGo(l *[lanes]float32, a, b []float32) {
	for i, v := range a {
		l[i%lanes] = FMA(v, b[i], l[i%lanes])
	}
}

// SumCentered is the sum of (x[i]-mean)^2 by the lane rule, each step a fused multiply-add.
func SumCentered(x []float32, mean float32) float32 {
	var l [lanes]float32
	sumCenteredVec(&l, x, mean)
	return foldLanes(&l)
}

func sumCenteredGo(l *[lanes]float32, x []float32, mean float32) {
	for i, v := range x {
		d := v - mean
		l[i%lanes] = FMA(d, d, l[i%lanes])
	}
}

// DotCentered is the sum of a[i]*(x[i]-mean) by the lane rule, each step a fused multiply-add.
func DotCentered(a, x []float32, mean float32) float32 {
	sameLength("DotCentered", len(a), len(x))
	var l [lanes]float32
	dotCenteredVec(&l, a, x, mean)
	return foldLanes(&l)
}

func dotCenteredGo(l *[lanes]float32, a, x []float32, mean float32) {
	for i, v := range x {
		l[i%lanes] = FMA(a[i], v-mean, l[i%lanes])
	}
}

// SumSquares is the sum of x[i]^2 in float64 by the lane rule. The squares are exact in float64.
func SumSquares(x []float32) float64 {
	var l [lanes]float64
	sumSquaresVec(&l, x)
	for width := lanes / 2; width > 0; width /= 2 {
		for i := 0; i < width; i++ {
			l[i] += l[i+width]
		}
	}
	return l[0]
}

func sumSquaresGo(l *[lanes]float64, x []float32) {
	for i, v := range x {
		l[i%lanes] += float64(float64(v) * float64(v))
	}
}

// Max is the largest element of x, -Inf for none. NaNs are passed over. Of two zeros the lane rule decides: a lane and the
// tree change their value only for a larger one.
func Max(x []float32) float32 {
	var l [lanes]float32
	for i := range l {
		l[i] = float32(math.Inf(-1))
	}
	maxVec(&l, x)
	for width := lanes / 2; width > 0; width /= 2 {
		for i := 0; i < width; i++ {
			if l[i+width] > l[i] {
				l[i] = l[i+width]
			}
		}
	}
	return l[0]
}

func maxGo(l *[lanes]float32, x []float32) {
	for i, v := range x {
		if v > l[i%lanes] {
			l[i%lanes] = v
		}
	}
}

// ArgMax is the index of the largest element of x, the lowest of equals, -1 for none or only NaNs.
func ArgMax(x []float32) int {
	m := Max(x)
	for i, v := range x {
		if v == m {
			return i
		}
	}
	return -1
}

// ColSum sums the columns of x, which is (rows, len(dst)): dst[c] = 0 + x[0,c] + x[1,c] + ...
func ColSum(dst, x []float32, rows int) {
	ColSumPart(dst, x, rows, 0, len(dst))
}

// ColSumPart is ColSum for the columns [begin, end) alone; the rest of dst stays.
func ColSumPart(dst, x []float32, rows, begin, end int) {
	fits("ColSumPart", len(x), rows, len(dst))
	clear(dst[begin:end])
	for r, cols := 0, len(dst); r < rows; r++ {
		AddTo(dst[begin:end], x[r*cols+begin:r*cols+end])
	}
}

// ColSumTo adds the columns' sums to dst: dst[c] = dst[c] + x[0,c] + x[1,c] + ..., x being (rows, len(dst)).
func ColSumTo(dst, x []float32, rows int) {
	fits("ColSumTo", len(x), rows, len(dst))
	for r, cols := 0, len(dst); r < rows; r++ {
		AddTo(dst, x[r*cols:(r+1)*cols])
	}
}

// ColSumCentered sets dst[c] to the sum over the rows r, ascending, of (x[r,c]-mean[c])^2, each step a fused
// multiply-add. x is (rows, len(dst)).
func ColSumCentered(dst, x, mean []float32, rows int) {
	fits("ColSumCentered", len(x), rows, len(dst))
	sameLength("ColSumCentered", len(dst), len(mean))
	clear(dst)
	for r, cols := 0, len(dst); r < rows; r++ {
		colSumCenteredVec(dst, x[r*cols:(r+1)*cols], mean)
	}
}

func colSumCenteredGo(dst, x, mean []float32) {
	for i, v := range x {
		d := v - mean[i]
		dst[i] = FMA(d, d, dst[i])
	}
}

// ColDotCentered sets dst[c] to the sum over the rows r, ascending, of a[r,c]*(x[r,c]-mean[c]), each step a fused
// multiply-add. a and x are (rows, len(dst)).
func ColDotCentered(dst, a, x, mean []float32, rows int) {
	fits("ColDotCentered", len(x), rows, len(dst))
	sameLength("ColDotCentered", len(x), len(a))
	sameLength("ColDotCentered", len(dst), len(mean))
	clear(dst)
	for r, cols := 0, len(dst); r < rows; r++ {
		colDotCenteredVec(dst, a[r*cols:(r+1)*cols], x[r*cols:(r+1)*cols], mean)
	}
}

func colDotCenteredGo(dst, a, x, mean []float32) {
	for i, v := range x {
		dst[i] = FMA(a[i], v-mean[i], dst[i])
	}
}

// ColScaleShift sets dst[r,c] = a[c]*x[r,c] + b[c], rounded once: batch normalisation with channels last. dst and x are
// (rows, len(a)).
func ColScaleShift(dst, x, a, b []float32, rows int) {
	fits("ColScaleShift", len(x), rows, len(a))
	sameLength("ColScaleShift", len(x), len(dst))
	sameLength("ColScaleShift", len(a), len(b))
	for r, cols := 0, len(a); r < rows; r++ {
		colScaleShiftVec(dst[r*cols:(r+1)*cols], x[r*cols:(r+1)*cols], a, b)
	}
}

func colScaleShiftGo(dst, x, a, b []float32) {
	for i, v := range x {
		dst[i] = FMA(a[i], v, b[i])
	}
}

// ColCombine sets dst[r,c] = a[c]*x[r,c] + (b[c]*y[r,c] + k[c]), each sum rounded once: the backward form of batch
// normalisation with channels last. dst, x and y are (rows, len(a)).
func ColCombine(dst, x, y, a, b, k []float32, rows int) {
	fits("ColCombine", len(x), rows, len(a))
	sameLength("ColCombine", len(x), len(dst), len(y))
	sameLength("ColCombine", len(a), len(b), len(k))
	for r, cols := 0, len(a); r < rows; r++ {
		at, to := r*cols, (r+1)*cols
		colCombineVec(dst[at:to], x[at:to], y[at:to], a, b, k)
	}
}

func colCombineGo(dst, x, y, a, b, k []float32) {
	for i, v := range x {
		dst[i] = FMA(a[i], v, FMA(b[i], y[i], k[i]))
	}
}
