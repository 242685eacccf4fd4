package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

func normals(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// near checks x against float64 values, with an error relative to the largest of them.
func near(t *testing.T, what string, have []float32, want []float64) {
	t.Helper()
	largest := 1e-3
	for _, w := range want {
		largest = max(largest, math.Abs(w))
	}
	for i, w := range want {
		if !(math.Abs(float64(have[i])-w) <= 2e-6*largest) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, have[i], w)
		}
	}
}

func TestLaneRule(t *testing.T) {
	// 2^24 + 1 is no float32, so the order of additions shows: each lane is summed by itself, then the tree.
	x := make([]float32, 33)
	x[0], x[16], x[32] = 1<<24, 1, 1 // lane 0: both ones are lost
	x[1], x[8], x[9] = 1, 1, 1       // lane 8 is added to lane 0 and lost; lanes 1 and 9 make 2
	for _, tier := range Tiers() {
		restore := Force(tier)
		if have := Sum(x); have != 1<<24+2 {
			t.Errorf("%s: the sum is %v, want %v", tier, have, 1<<24+2)
		}
		restore()
	}
}

func TestSumsAgainstFloat64(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	a, x := normals(r, 1001), normals(r, 1001)
	var sum, dot, squares, centered float64
	top := math.Inf(-1)
	const mean = float32(0.25)
	for i, v := range x {
		u, w := float64(a[i]), float64(v)
		sum, dot, squares, top = sum+w, dot+u*w, squares+w*w, max(top, w)
		centered += (w - float64(mean)) * (w - float64(mean))
	}
	near(t, "sums", []float32{Sum(x), Dot(a, x), float32(SumSquares(x)), SumCentered(x, mean), Max(x)},
		[]float64{sum, dot, squares, centered, top})
	if math.Abs(SumSquares(x)-squares) > 1e-12*squares {
		t.Errorf("the sum of squares is %v, want %v", SumSquares(x), squares)
	}
}

func TestMaxAndArgMax(t *testing.T) {
	nan := float32(math.NaN())
	inf := float32(math.Inf(1))
	cases := []struct {
		x   []float32
		max float32
		at  int
	}{
		{nil, -inf, -1},
		{[]float32{nan, nan}, -inf, -1},
		{[]float32{-3}, -3, 0},
		{[]float32{1, 5, 2, 5}, 5, 1},
		{[]float32{nan, 2, nan, 7, 1}, 7, 3},
		{[]float32{-inf, -inf}, -inf, 0},
		{[]float32{1, inf, inf}, inf, 1},
	}
	for _, c := range cases {
		if have := Max(c.x); have != c.max {
			t.Errorf("Max(%v) = %v, want %v", c.x, have, c.max)
		}
		if have := ArgMax(c.x); have != c.at {
			t.Errorf("ArgMax(%v) = %d, want %d", c.x, have, c.at)
		}
	}
}

// Between lanes +0 is the larger zero, wherever it is; within a lane the first one stays.
func TestMaxOfZeros(t *testing.T) {
	negative := float32(math.Copysign(0, -1))
	cases := []struct {
		at       []int // of +0 among 32 zeros, else -0
		positive bool
	}{{nil, false}, {[]int{3}, true}, {[]int{0}, true}, {[]int{19}, false}}
	for _, c := range cases {
		x := make([]float32, 2*lanes)
		for i := range x {
			x[i] = negative
		}
		for _, i := range c.at {
			x[i] = 0
		}
		for _, tier := range Tiers() {
			restore := Force(tier)
			if have := Max(x); have != 0 || math.Signbit(float64(have)) == c.positive {
				t.Errorf("%s: with +0 at %v the largest is %v", tier, c.at, have)
			}
			restore()
		}
	}
}

func TestColumnSums(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	const rows, cols = 13, 37
	x, a, mean := normals(r, rows*cols), normals(r, rows*cols), normals(r, cols)
	sum, square, other, dot := make([]float64, cols), make([]float64, cols), make([]float64, cols), make([]float64, cols)
	for i, v := range x {
		c := i % cols
		d := float64(v) - float64(mean[c])
		sum[c] += float64(v)
		square[c] += d * d
		other[c] += float64(a[i])
		dot[c] += float64(a[i]) * d
	}
	have := normals(r, cols)
	ColSum(have, x, rows)
	near(t, "ColSum", have, sum)
	parts := normals(r, cols)
	for _, border := range [][2]int{{0, 5}, {5, 20}, {20, cols}} {
		ColSumPart(parts, x, rows, border[0], border[1])
	}
	for c := range parts {
		if parts[c] != have[c] {
			t.Errorf("column %d by parts is %v, want %v", c, parts[c], have[c])
		}
	}
	ColSumTo(have, x, rows)
	for c := range sum {
		sum[c] *= 2
	}
	near(t, "ColSumTo", have, sum)
	ColSumCentered(have, x, mean, rows)
	near(t, "ColSumCentered", have, square)
	haveDot := normals(r, cols)
	ColSums(have, haveDot, a, x, mean, rows)
	near(t, "ColSums", append(have, haveDot...), append(other, dot...))
}

func TestAffineForms(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	const rows, cols = 3, 21
	x, y, a, b, k := normals(r, rows*cols), normals(r, rows*cols), normals(r, cols), normals(r, cols), normals(r, cols)
	shift, both := make([]float64, rows*cols), make([]float64, rows*cols)
	for i := range x {
		c := i % cols
		shift[i] = float64(a[c])*float64(x[i]) + float64(b[c])
		both[i] = float64(a[c])*float64(x[i]) + float64(b[c])*float64(y[i]) + float64(k[c])
	}
	have := make([]float32, rows*cols)
	ColScaleShift(have, x, a, b, rows)
	near(t, "ColScaleShift", have, shift)
	ColCombine(have, x, y, a, b, k, rows)
	near(t, "ColCombine", have, both)
}

// softmax64 is the softmax of a row and its log-sum-exp in float64.
func softmax64(x []float32) (p []float64, logSum float64) {
	for _, v := range x {
		e := math.Exp(float64(v))
		p = append(p, e)
		logSum += e
	}
	for i := range p {
		p[i] /= logSum
	}
	return p, math.Log(logSum)
}

func TestSoftmaxForwardAndBackward(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for _, cols := range []int{1, 2, 10, 16, 31, 100} {
		const rows = 4
		x, dy := normals(r, rows*cols), normals(r, rows*cols)
		y, dx := make([]float32, rows*cols), make([]float32, rows*cols)
		Softmax(y, x, rows, cols)
		SoftmaxBackward(dx, dy, y, rows, cols)
		for at := 0; at < rows*cols; at += cols {
			p, _ := softmax64(x[at : at+cols])
			near(t, "Softmax", y[at:at+cols], p)
			dot, want := 0.0, make([]float64, cols)
			for i := range p {
				dot += p[i] * float64(dy[at+i])
			}
			for i := range p {
				want[i] = p[i] * (float64(dy[at+i]) - dot)
			}
			near(t, "SoftmaxBackward", dx[at:at+cols], want)
		}
	}
}

func TestFusedSoftmaxStepsGiveTheBitsOfTheirParts(t *testing.T) {
	r := rand.New(rand.NewPCG(19, 20))
	const a, b = 0.17, -1.5
	for _, n := range []int{0, 1, 16, 64, 77} {
		x, y := normals(r, n), normals(r, n)
		have, want := make([]float32, n), make([]float32, n)
		ScaleShift(want, x, a, b)
		Mul(want, want, y)
		ScaleShiftMul(have, x, y, a, b)
		same(t, "ScaleShiftMul", have, want)
		ScaleShift(want, x, a, b)
		Exp(want, want)
		ExpScaleShift(have, x, a, b)
		same(t, "ExpScaleShift", have, want)
		clear(have)
		if sum := ExpScaleShiftSum(have, x, a, b); sum != Sum(want) {
			t.Errorf("the sum of %d is %v, want %v", n, sum, Sum(want))
		}
		same(t, "ExpScaleShiftSum", have, want)
	}
}

// Down to the smallest normal number a softmax's exponential is Exp; below, zero.
func TestExponentialOfSoftmax(t *testing.T) {
	var x []float32
	for v := float32(-110); v <= 88; v += 0.0173 {
		x = append(x, v)
	}
	x = append(x, 0, 88, float32(math.Inf(-1)), -math.MaxFloat32, float32(math.NaN()))
	have, want := make([]float32, len(x)), make([]float32, len(x))
	Exp(want, x)
	for _, tier := range Tiers() {
		restore := Force(tier)
		ExpScaleShift(have, x, 1, 0)
		restore()
		for i, v := range x {
			small := v < -87.68
			if small && have[i] != 0 || !small && !equalBits(have[i], want[i]) {
				t.Fatalf("%v: e^%v is %x, by Exp %x", tier, v, have[i], want[i])
			}
		}
	}
}

func TestSoftmaxOfMaskedRow(t *testing.T) {
	inf := float32(math.Inf(1))
	x := []float32{-inf, 1000, -inf, 1000}
	Softmax(x, x, 1, 4)
	for i, want := range []float32{0, 0.5, 0, 0.5} {
		if x[i] != want {
			t.Errorf("element %d is %v, want %v", i, x[i], want)
		}
	}
}

func TestCrossEntropy(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	const rows, cols, ignore = 9, 23, -100
	for _, smoothing := range []float32{0, 0.1} {
		logits := normals(r, rows*cols)
		targets := make([]int32, rows)
		var want float64
		wantCount, wantCorrect := 0, 0
		gradient := make([]float64, rows*cols)
		for row := range rows {
			targets[row] = int32(r.IntN(cols))
			x := logits[row*cols : (row+1)*cols]
			if row%4 == 1 {
				targets[row] = ignore
				continue
			}
			if row%4 == 2 {
				targets[row] = int32(ArgMax(x))
				wantCorrect++
			} else if int(targets[row]) == ArgMax(x) {
				wantCorrect++
			}
			wantCount++
			p, logSum := softmax64(x)
			for c, v := range x {
				q := float64(smoothing) / cols
				if c == int(targets[row]) {
					q += 1 - float64(smoothing)
				}
				want += q * (logSum - float64(v))
				gradient[row*cols+c] = p[c] - q
			}
		}
		d := make([]float32, rows*cols)
		loss, count, correct := CrossEntropy(d, logits, targets, rows, cols, ignore, smoothing)
		if count != wantCount || correct != wantCorrect || math.Abs(loss-want) > 1e-5 {
			t.Errorf("smoothing %v: loss %v, %d counted, %d correct; want %v, %d, %d", smoothing, loss, count, correct, want, wantCount, wantCorrect)
		}
		near(t, "gradient", d, gradient)
		checkCrossEntropyForms(t, d, logits, targets, rows, cols, ignore, smoothing, loss)
	}
}

// checkCrossEntropyForms checks that the other forms of the call give the same bits.
func checkCrossEntropyForms(t *testing.T, d, logits []float32, targets []int32, rows, cols int, ignore int32, smoothing float32, loss float64) {
	t.Helper()
	if only, _, _ := CrossEntropy(nil, logits, targets, rows, cols, ignore, smoothing); only != loss {
		t.Errorf("without gradient the loss is %v, want %v", only, loss)
	}
	losses, apart := make([]float64, rows), make([]float32, rows*cols)
	for _, part := range [][2]int{{0, 4}, {4, rows}} {
		at, to := part[0], part[1]
		CrossEntropyRows(losses[at:to], apart[at*cols:to*cols], logits[at*cols:to*cols], targets[at:to], to-at, cols, ignore, smoothing)
	}
	folded := 0.0
	for _, l := range losses {
		folded += l
	}
	if folded != loss {
		t.Errorf("by rows the loss is %v, want %v", folded, loss)
	}
	over := append([]float32(nil), logits...)
	CrossEntropy(over, over, targets, rows, cols, ignore, smoothing)
	for i := range d {
		if apart[i] != d[i] || over[i] != d[i] {
			t.Fatalf("gradient %d is %v, by rows %v, in place %v", i, d[i], apart[i], over[i])
		}
	}
}

func TestCrossEntropyTies(t *testing.T) {
	logits := []float32{1, 3, 3, 0}
	for target, want := range []int{0, 1, 0, 0} {
		if _, _, correct := CrossEntropy(nil, logits, []int32{int32(target)}, 1, 4, -1, 0); correct != want {
			t.Errorf("target %d: %d correct, want %d", target, correct, want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a target outside the classes was taken")
		}
	}()
	CrossEntropy(nil, logits, []int32{4}, 1, 4, -1, 0)
}

// norm64 is one row of layer norm (rms false) or RMS norm in float64, with the backward form.
func norm64(x, dy, gamma, beta []float32, eps float64, rms bool) (y, dx, xhat []float64) {
	n := float64(len(x))
	mean, square := 0.0, 0.0
	if !rms {
		for _, v := range x {
			mean += float64(v) / n
		}
	}
	for _, v := range x {
		square += (float64(v) - mean) * (float64(v) - mean) / n
	}
	rstd := 1 / math.Sqrt(square+eps)
	sum, dot := 0.0, 0.0
	for i, v := range x {
		h := (float64(v) - mean) * rstd
		xhat = append(xhat, h)
		e := float64(dy[i]) * float64(gamma[i])
		sum, dot = sum+e/n, dot+e*h/n
		y = append(y, h*float64(gamma[i])+float64(beta[i]))
	}
	if rms {
		sum = 0
	}
	for i := range x {
		dx = append(dx, rstd*(float64(dy[i])*float64(gamma[i])-sum-xhat[i]*dot))
	}
	return y, dx, xhat
}

func TestNormsForwardAndBackward(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	for _, cols := range []int{5, 15, 64, 129} {
		const rows = 5
		x, dy, gamma, beta := normals(r, rows*cols), normals(r, rows*cols), normals(r, cols), normals(r, cols)
		zero := make([]float32, cols)
		mean, rstd, rms := make([]float32, rows), make([]float32, rows), make([]float32, rows)
		y, dx, z, dz := make([]float32, rows*cols), make([]float32, rows*cols), make([]float32, rows*cols), make([]float32, rows*cols)
		LayerNorm(y, mean, rstd, x, gamma, beta, rows, cols, 1e-5)
		LayerNormBackward(dx, dy, x, gamma, mean, rstd, rows, cols, false)
		RMSNorm(z, rms, x, gamma, rows, cols, 1e-6)
		RMSNormBackward(dz, dy, x, gamma, rms, rows, cols, false)
		dgamma, dbeta, drms := make([]float32, cols), make([]float32, cols), make([]float32, cols)
		for _, part := range [][2]int{{0, cols / 2}, {cols / 2, cols}} {
			LayerNormBackwardParams(dgamma, dbeta, dy, x, mean, rstd, rows, cols, part[0], part[1])
			RMSNormBackwardParams(drms, dy, x, rms, rows, cols, part[0], part[1])
		}
		wantGamma, wantBeta, wantRMS := make([]float64, cols), make([]float64, cols), make([]float64, cols)
		for at := 0; at < rows*cols; at += cols {
			to := at + cols
			wantY, wantDX, xhat := norm64(x[at:to], dy[at:to], gamma, beta, 1e-5, false)
			wantZ, wantDZ, zhat := norm64(x[at:to], dy[at:to], gamma, zero, 1e-6, true)
			near(t, "LayerNorm", y[at:to], wantY)
			near(t, "LayerNormBackward", dx[at:to], wantDX)
			near(t, "RMSNorm", z[at:to], wantZ)
			near(t, "RMSNormBackward", dz[at:to], wantDZ)
			for c := range cols {
				d := float64(dy[at+c])
				wantGamma[c] += d * xhat[c]
				wantRMS[c] += d * zhat[c]
				wantBeta[c] += d
			}
		}
		near(t, "gamma", dgamma, wantGamma)
		near(t, "beta", dbeta, wantBeta)
		near(t, "RMS gamma", drms, wantRMS)
	}
}

func TestReLUs(t *testing.T) {
	nan, inf, negative := float32(math.NaN()), float32(math.Inf(1)), float32(math.Copysign(0, -1))
	x := []float32{-2, negative, 0, 1, 6, 7, inf, -inf, nan}
	dy := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9}
	cases := []struct {
		name     string
		run      func(dst, x []float32)
		back     func(dx, dy, y []float32)
		want, dx []float32
	}{
		{"ReLU", ReLU, ReLUBackward, []float32{0, negative, 0, 1, 6, 7, inf, 0, nan}, []float32{0, 0, 0, 4, 5, 6, 7, 0, 0}},
		{"ReLU6", ReLU6, ReLU6Backward, []float32{0, negative, 0, 1, 6, 6, 6, 0, nan}, []float32{0, 0, 0, 4, 0, 0, 0, 0, 0}},
	}
	for _, c := range cases {
		y, fromOutput, fromInput := make([]float32, len(x)), make([]float32, len(x)), make([]float32, len(x))
		c.run(y, x)
		c.back(fromOutput, dy, y)
		c.back(fromInput, dy, x)
		for i := range x {
			if !equalBits(y[i], c.want[i]) {
				t.Errorf("%s(%v) = %v, want %v", c.name, x[i], y[i], c.want[i])
			}
			if fromOutput[i] != c.dx[i] || fromInput[i] != c.dx[i] {
				t.Errorf("%s: gradient at %v is %v by the output, %v by the input, want %v", c.name, x[i], fromOutput[i], fromInput[i], c.dx[i])
			}
		}
	}
}
