package kernel

//go:generate go -C gen run ./vector -out ../vec_amd64.s -dispatch ..

import (
	"fmt"
	"math"
)

// This file and its neighbours vec_*.go hold the vector kernels. Three rules make their results the same bits everywhere:
//
//   - An elementwise kernel computes each element from the operands at its own index only, with a fixed sequence of
//     correctly rounded operations, so a caller may split a vector between threads at any border.
//   - A sum along a vector uses the lane rule: element i goes to lane i mod 16 in ascending order, and the sixteen lanes
//     are folded by one fixed tree (see foldLanes). Such a sum is never split between threads.
//   - A sum down the columns of a matrix takes the rows in ascending order, so columns may be split between threads.
//
// The plain-Go form of each kernel (the function with the suffix Go) is its definition; assembly reproduces its bits, and
// the generated function with the suffix Vec chooses between them by the current tier. gen/vector writes both.
// Slices of one call must have equal lengths where nothing else is said, anything else panics. The destination may be
// one of the sources (the very same interval); partial overlap is not allowed.

// lanes is the number of partial sums of the lane rule. It is part of the numerics contract.
const lanes = 16

func sameLength(name string, n int, others ...int) {
	for _, m := range others {
		if m != n {
			panic(fmt.Sprintf("kernel: %s: slices of %d and %d elements", name, n, m))
		}
	}
}

func fits(name string, have, rows, cols int) {
	if rows < 0 || cols < 0 || have != rows*cols {
		panic(fmt.Sprintf("kernel: %s: %d elements are not %d rows of %d", name, have, rows, cols))
	}
}

// Add sets dst[i] = a[i] + b[i].
func Add(dst, a, b []float32) {
	sameLength("Add", len(dst), len(a), len(b))
	addVec(dst, a, b)
}

func addGo(dst, a, b []float32) {
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}

// AddTo sets dst[i] = dst[i] + src[i].
func AddTo(dst, src []float32) { Add(dst, dst, src) }

// Sub sets dst[i] = a[i] - b[i].
func Sub(dst, a, b []float32) {
	sameLength("Sub", len(dst), len(a), len(b))
	subVec(dst, a, b)
}

func subGo(dst, a, b []float32) {
	for i := range dst {
		dst[i] = a[i] - b[i]
	}
}

// Mul sets dst[i] = a[i] * b[i].
func Mul(dst, a, b []float32) {
	sameLength("Mul", len(dst), len(a), len(b))
	mulVec(dst, a, b)
}

func mulGo(dst, a, b []float32) {
	for i := range dst {
		dst[i] = a[i] * b[i]
	}
}

// MulAdd sets dst[i] = a[i]*b[i] + dst[i], rounded once.
func MulAdd(dst, a, b []float32) {
	sameLength("MulAdd", len(dst), len(a), len(b))
	mulAddVec(dst, a, b)
}

func mulAddGo(dst, a, b []float32) {
	for i := range dst {
		dst[i] = FMA(a[i], b[i], dst[i])
	}
}

// Scale sets dst[i] = alpha * x[i].
func Scale(dst []float32, alpha float32, x []float32) {
	sameLength("Scale", len(dst), len(x))
	scaleVec(dst, x, alpha)
}

func scaleGo(dst, x []float32, alpha float32) {
	for i := range dst {
		dst[i] = alpha * x[i]
	}
}

// FlushDenormals sets dst[i] to x[i], or to +0 where |x[i]| is smaller than the smallest normal number, 2^-126.
func FlushDenormals(dst, x []float32) {
	sameLength("FlushDenormals", len(dst), len(x))
	flushDenormalsVec(dst, x)
}

func flushDenormalsGo(dst, x []float32) {
	for i, v := range x {
		if math.Float32bits(v)&^signBit < 1<<23 {
			v = 0
		}
		dst[i] = v
	}
}

// Axpy sets dst[i] = alpha*x[i] + dst[i], rounded once.
func Axpy(dst []float32, alpha float32, x []float32) {
	sameLength("Axpy", len(dst), len(x))
	axpyVec(dst, x, alpha)
}

func axpyGo(dst, x []float32, alpha float32) {
	for i := range dst {
		dst[i] = FMA(alpha, x[i], dst[i])
	}
}

// ScaleShift sets dst[i] = a*x[i] + b, rounded once: batch normalisation of one channel of one image.
func ScaleShift(dst, x []float32, a, b float32) {
	sameLength("ScaleShift", len(dst), len(x))
	scaleShiftVec(dst, x, a, b)
}

func scaleShiftGo(dst, x []float32, a, b float32) {
	for i := range dst {
		dst[i] = FMA(a, x[i], b)
	}
}
