package kernel

import (
	"math/rand/v2"
	"testing"
)

// columnCases are the kernels that run down columns, with how many they take of the five vectors and three matrices that
// they are given.
var columnCases = []struct {
	name              string
	vectors, matrices int
	run               func(v, m [][]float32, rows int)
}{
	{"ColSum", 1, 1, func(v, m [][]float32, rows int) { ColSum(v[0], m[0], rows) }},
	{"ColSumTo", 1, 1, func(v, m [][]float32, rows int) { ColSumTo(v[0], m[0], rows) }},
	{"ColSumPart", 1, 1, func(v, m [][]float32, rows int) { ColSumPart(v[0], m[0], rows, len(v[0])/3, len(v[0])-len(v[0])/4) }},
	{"ColSumCentered", 2, 1, func(v, m [][]float32, rows int) { ColSumCentered(v[0], m[0], v[1], rows) }},
	{"ColSums", 3, 2, func(v, m [][]float32, rows int) { ColSums(v[0], v[1], m[0], m[1], v[2], rows) }},
	{"ColSumsReLU", 5, 2, func(v, m [][]float32, rows int) { ColSumsReLU(v[0], v[1], m[0], m[1], v[2], v[3], v[4], rows) }},
	{"ColSumsReLU6", 5, 2, func(v, m [][]float32, rows int) { ColSumsReLU6(v[0], v[1], m[0], m[1], v[2], v[3], v[4], rows) }},
	{"ColScaleShift", 2, 2, func(v, m [][]float32, rows int) { ColScaleShift(m[0], m[1], v[0], v[1], rows) }},
	{"ColScaleShiftReLU", 2, 2, func(v, m [][]float32, rows int) { ColScaleShiftReLU(m[0], m[1], v[0], v[1], rows) }},
	{"ColScaleShiftReLU6", 2, 2, func(v, m [][]float32, rows int) { ColScaleShiftReLU6(m[0], m[1], v[0], v[1], rows) }},
	{"ColCombine", 3, 3, func(v, m [][]float32, rows int) { ColCombine(m[0], m[1], m[2], v[0], v[1], v[2], rows) }},
	{"ColCombineReLU", 4, 3, func(v, m [][]float32, rows int) { ColCombineReLU(m[0], m[1], m[2], v[0], v[1], v[2], v[3], rows) }},
	{"ColCombineReLU6", 4, 3, func(v, m [][]float32, rows int) { ColCombineReLU6(m[0], m[1], m[2], v[0], v[1], v[2], v[3], rows) }},
}

func TestColumnTiersGiveSameBits(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	for _, c := range columnCases {
		for cols := 0; cols <= 150; cols += 1 + cols/40 {
			rows := cols % 7
			in := make([][]float32, 8)
			for k := range in {
				in[k] = make([]float32, cols)
				if k >= 5 {
					in[k] = make([]float32, rows*cols)
				}
				for i := range in[k] {
					in[k][i] = sample(r, cols%3 == 1)
				}
			}
			compareTiers(t, vectorCase{c.name, 8, only(func(s [][]float32) { c.run(s[:5], s[5:], rows) })}, in, cols%5)
			if t.Failed() {
				t.Fatalf("%s of %d rows, %d columns", c.name, rows, cols)
			}
		}
	}
}

// More rows than one call into assembly takes.
func TestManyRowsGiveSameBits(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 24))
	const rows, cols = 2*65536/50 + 3, 50
	for _, c := range columnCases {
		var in [][]float32
		for k := range 8 {
			if k < 5 {
				in = append(in, normals(r, cols))
			} else {
				in = append(in, normals(r, rows*cols))
			}
		}
		compareTiers(t, vectorCase{c.name, 8, only(func(s [][]float32) { c.run(s[:5], s[5:], rows) })}, in, 1)
	}
}

func TestFusedColumnKernelsGiveTheBitsOfTheirParts(t *testing.T) {
	r := rand.New(rand.NewPCG(25, 26))
	const rows, cols = 11, 45
	x, y, dy := normals(r, rows*cols), make([]float32, rows*cols), normals(r, rows*cols)
	a, b, mean, e, f := normals(r, cols), normals(r, cols), normals(r, cols), normals(r, cols), normals(r, cols)
	forms := []struct {
		name    string
		fused   func(dst, x, a, b []float32, rows int)
		apart   func(dst, x []float32)
		sums    func(sum, dot, dy, x, mean, a, b []float32, rows int)
		combine func(dst, dy, x, a, b, e, f []float32, rows int)
		through func(dx, dy, y []float32)
	}{
		{"ReLU", ColScaleShiftReLU, ReLU, ColSumsReLU, ColCombineReLU, ReLUBackward},
		{"ReLU6", ColScaleShiftReLU6, ReLU6, ColSumsReLU6, ColCombineReLU6, ReLU6Backward},
	}
	for _, form := range forms {
		want := make([]float32, rows*cols)
		ColScaleShift(want, x, a, b, rows)
		form.apart(want, want)
		form.fused(y, x, a, b, rows)
		same(t, form.name, y, want)
		through := make([]float32, rows*cols)
		form.through(through, dy, y)
		wantSum, wantDot, sum, dot := normals(r, cols), normals(r, cols), normals(r, cols), normals(r, cols)
		ColSums(wantSum, wantDot, through, x, mean, rows)
		form.sums(sum, dot, dy, x, mean, a, b, rows)
		same(t, form.name+" sums", sum, wantSum)
		same(t, form.name+" dots", dot, wantDot)
		ColCombine(want, through, x, a, e, f, rows)
		form.combine(y, dy, x, a, b, e, f, rows)
		same(t, form.name+" gradient", y, want)
	}
}

func same(t *testing.T, what string, have, want []float32) {
	t.Helper()
	for i := range want {
		if !equalBits(have[i], want[i]) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, have[i], want[i])
		}
	}
}

func TestColumnsRefuse(t *testing.T) {
	for _, c := range columnCases {
		for short := range c.vectors + c.matrices {
			v := [][]float32{make([]float32, 8), make([]float32, 8), make([]float32, 8), make([]float32, 8), make([]float32, 8)}
			m := [][]float32{make([]float32, 16), make([]float32, 16), make([]float32, 16)}
			if short < c.vectors {
				v[short] = v[short][:7]
			} else {
				m[short-c.vectors] = m[short-c.vectors][:15]
			}
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s took a slice %d that is too short", c.name, short)
					}
				}()
				c.run(v, m, 2)
			}()
		}
	}
}
