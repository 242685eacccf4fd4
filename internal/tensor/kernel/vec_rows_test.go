package kernel

import (
	"math/rand/v2"
	"testing"
)

// rowCase is a kernel applied to matrices of rows that are stride apart; of the slices the first two have an element for each row,
// the next two one for each column, the others are the matrices.
type rowCase struct {
	name     string
	matrices int
	gaps     bool // rows may be further apart than they are long
	run      func(rows, columns, matrices [][]float32, cols, stride int)
}

var rowCases = []rowCase{
	{"MaxRows", 1, true, func(r, _, m [][]float32, cols, stride int) { MaxRows(r[0], m[0], cols, stride) }},
	{"DotRows", 2, true, func(r, _, m [][]float32, cols, stride int) { DotRows(r[0], m[0], m[1], cols, stride) }},
	{"ScaleRows", 1, true, func(r, _, m [][]float32, cols, stride int) { ScaleRows(m[0], r[0], cols, stride) }},
	{"ExpScaleShiftRows", 1, true, func(r, _, m [][]float32, cols, stride int) { ExpScaleShiftRows(m[0], cols, stride, 0.3, r[0]) }},
	{"ExpScaleShiftSumRows", 1, true, func(r, _, m [][]float32, cols, stride int) {
		ExpScaleShiftSumRows(r[0], m[0], cols, stride, 0.3, r[1])
	}},
	{"ScaleShiftMulRows", 2, true, func(r, _, m [][]float32, cols, stride int) {
		ScaleShiftMulRows(m[0], m[1], cols, stride, 0.3, r[0])
	}},
	{"LayerNorm", 2, false, func(r, c, m [][]float32, cols, _ int) {
		LayerNorm(m[0], r[0], r[1], m[1], c[0], c[1], len(r[0]), cols, 1e-5)
	}},
	{"LayerNorm/scaled", 2, false, func(r, c, m [][]float32, cols, _ int) {
		LayerNorm(m[0], r[0], r[1], m[1], c[0], nil, len(r[0]), cols, 1e-5)
	}},
	{"LayerNorm/plain", 2, false, func(r, _, m [][]float32, cols, _ int) {
		LayerNorm(m[0], r[0], r[1], m[1], nil, nil, len(r[0]), cols, 1e-5)
	}},
	{"LayerNormBackward", 3, false, func(r, c, m [][]float32, cols, _ int) {
		LayerNormBackward(m[0], m[1], m[2], c[0], r[0], r[1], len(r[0]), cols, false)
	}},
	{"LayerNormBackward/plain", 3, false, func(r, _, m [][]float32, cols, _ int) {
		LayerNormBackward(m[0], m[1], m[2], nil, r[0], r[1], len(r[0]), cols, false)
	}},
	{"LayerNormBackward/add", 3, false, func(r, c, m [][]float32, cols, _ int) {
		LayerNormBackward(m[0], m[1], m[2], c[0], r[0], r[1], len(r[0]), cols, true)
	}},
	{"LayerNormBackward/plain/add", 3, false, func(r, _, m [][]float32, cols, _ int) {
		LayerNormBackward(m[0], m[1], m[2], nil, r[0], r[1], len(r[0]), cols, true)
	}},
	{"RMSNorm", 2, false, func(r, c, m [][]float32, cols, _ int) {
		RMSNorm(m[0], r[0], m[1], c[0], len(r[0]), cols, 1e-6)
	}},
	{"RMSNormBackward", 3, false, func(r, c, m [][]float32, cols, _ int) {
		RMSNormBackward(m[0], m[1], m[2], c[0], r[0], len(r[0]), cols, false)
	}},
	{"RMSNormBackward/plain", 3, false, func(r, _, m [][]float32, cols, _ int) {
		RMSNormBackward(m[0], m[1], m[2], nil, r[0], len(r[0]), cols, false)
	}},
	{"RMSNormBackward/add", 3, false, func(r, c, m [][]float32, cols, _ int) {
		RMSNormBackward(m[0], m[1], m[2], c[0], r[0], len(r[0]), cols, true)
	}},
	{"RMSNormBackward/plain/add", 3, false, func(r, _, m [][]float32, cols, _ int) {
		RMSNormBackward(m[0], m[1], m[2], nil, r[0], len(r[0]), cols, true)
	}},
}

// slices are operands for a case. Matrices have no more elements than their last row needs.
func (c rowCase) slices(rows, cols, stride int, number func() float32) [][]float32 {
	in := make([][]float32, 7)
	for k := range in {
		n := rows
		switch {
		case k >= 4 && rows > 0:
			n = (rows-1)*stride + cols
		case k == 2 || k == 3:
			n = cols
		}
		in[k] = make([]float32, n)
		for i := range in[k] {
			in[k][i] = number()
		}
	}
	return in
}

func (c rowCase) compare(t *testing.T, in [][]float32, cols, stride, shift int) {
	compareTiers(t, vectorCase{c.name, len(in), only(func(s [][]float32) { c.run(s[:2], s[2:4], s[4:], cols, stride) })}, in, shift)
	if t.Failed() {
		t.Fatalf("%s of %d rows, %d columns, %d apart", c.name, len(in[0]), cols, stride)
	}
}

func TestRowTiersGiveSameBits(t *testing.T) {
	for _, c := range rowCases {
		r := rand.New(rand.NewPCG(31, uint64(len(c.name))))
		for cols := 0; cols <= 150; cols++ {
			rows, stride := r.IntN(40), cols
			if c.gaps {
				stride += r.IntN(3) * r.IntN(20)
			}
			in := c.slices(rows, cols, stride, func() float32 { return sample(r, cols%3 == 1) })
			c.compare(t, in, cols, stride, cols%5)
		}
	}
}

// More rows than one call into assembly takes, and rows longer than that.
func TestManyRowsAndLongOnesGiveSameBits(t *testing.T) {
	r := rand.New(rand.NewPCG(33, 34))
	for _, c := range rowCases {
		for _, shape := range [][2]int{{2*65536/50 + 3, 50}, {2, 65536 + 19}} {
			in := c.slices(shape[0], shape[1], shape[1], func() float32 { return float32(r.Float64() - 0.5) })
			c.compare(t, in, shape[1], shape[1], 1)
		}
	}
}

// row is row r of a matrix.
func row(x []float32, r, cols, stride int) []float32 { return x[r*stride:][:cols] }

// What is done with all rows at once gives the bits of the kernel for a vector.
func TestRowsGiveTheBitsOfVectors(t *testing.T) {
	r := rand.New(rand.NewPCG(35, 36))
	const rows, cols, stride = 21, 45, 52
	for _, tier := range Tiers() {
		restore := Force(tier)
		x, y, b := normals(r, rows*stride), normals(r, rows*stride), normals(r, rows)
		largest, dots, sums := make([]float32, rows), make([]float32, rows), make([]float32, rows)
		MaxRows(largest, x, cols, stride)
		DotRows(dots, x, y, cols, stride)
		exps := append([]float32(nil), x...)
		ExpScaleShiftSumRows(sums, exps, cols, stride, 0.7, b)
		products := append([]float32(nil), x...)
		ScaleShiftMulRows(products, y, cols, stride, 0.7, b)
		want := make([]float32, cols)
		for i := range rows {
			x, y := row(x, i, cols, stride), row(y, i, cols, stride)
			sum := ExpScaleShiftSum(want, x, 0.7, b[i])
			same(t, "exponentials", row(exps, i, cols, stride), want)
			ScaleShiftMul(want, x, y, 0.7, b[i])
			same(t, "products", row(products, i, cols, stride), want)
			same(t, "largest, dot and sum", []float32{largest[i], dots[i], sums[i]}, []float32{Max(x), Dot(x, y), sum})
		}
		restore()
	}
}

func TestRowsRefuse(t *testing.T) {
	refuses := func(name string, run func()) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s took a slice that is too short", name)
			}
		}()
		run()
	}
	for _, c := range rowCases {
		for short := range c.matrices {
			in := c.slices(3, 8, 8, func() float32 { return 1 })
			in[4+short] = in[4+short][:len(in[4+short])-1]
			refuses(c.name, func() { c.run(in[:2], in[2:4], in[4:], 8, 8) })
		}
	}
	x, b := make([]float32, 24), make([]float32, 3)
	refuses("ExpScaleShiftSumRows", func() { ExpScaleShiftSumRows(b[:2], x, 8, 8, 1, b) })
	refuses("MaxRows", func() { MaxRows(b, x, 8, 7) })
}
