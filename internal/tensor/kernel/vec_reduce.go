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

// Max is the largest element of x, -Inf for none. NaNs are passed over. Of two zeros the first counts in a lane, +0 between
// lanes.
func Max(x []float32) float32 {
	l := lowest
	maxVec(&l, x)
	return foldLargest(&l)
}

// lowest is what the lanes of a largest element begin with.
var lowest = func() (l [lanes]float32) {
	for i := range l {
		l[i] = float32(math.Inf(-1))
	}
	return l
}()

// foldLargest is the largest lane. Integers of the same order are compared without a branch; nobody could foresee which lane it is.
func foldLargest(l *[lanes]float32) float32 {
	most := ordered(l[0])
	for _, v := range l[1:] {
		most = max(most, ordered(v))
	}
	return math.Float32frombits(uint32(most ^ most>>31&math.MaxInt32))
}

// HasNegativeZero reports whether an element of x is -0.
func HasNegativeZero(x []float32) bool {
	var l [lanes]float32
	countNegativeZerosVec(&l, x)
	return foldLanes(&l) > 0
}

func countNegativeZerosGo(l *[lanes]float32, x []float32) {
	for i, v := range x {
		if math.Float32bits(v) == signBit {
			l[i%lanes]++
		}
	}
}

// ordered is an integer for a number, larger for a larger one. The mapping is its own inverse.
func ordered(x float32) int32 {
	bits := int32(math.Float32bits(x))
	return bits ^ bits>>31&math.MaxInt32
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
