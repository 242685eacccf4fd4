package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// vectorTiers are the tiers whose vector kernels this machine can run beside the plain-Go ones.
func vectorTiers() []Tier { return Tiers()[1:] }

// vectorCase is a kernel applied to slices of one length. What run returns is compared too.
type vectorCase struct {
	name   string
	slices int
	run    func(s [][]float32) []float32
}

func only(f func(s [][]float32)) func(s [][]float32) []float32 {
	return func(s [][]float32) []float32 {
		f(s)
		return nil
	}
}

func ofOne(name string, f func(dst, x []float32)) vectorCase {
	return vectorCase{name, 2, only(func(s [][]float32) { f(s[0], s[1]) })}
}

func ofTwo(name string, f func(dst, a, b []float32)) vectorCase {
	return vectorCase{name, 3, only(func(s [][]float32) { f(s[0], s[1], s[2]) })}
}

func split(x float64) []float32 {
	b := math.Float64bits(x)
	return []float32{math.Float32frombits(uint32(b)), math.Float32frombits(uint32(b >> 32))}
}

// adamCase is Adam's step with or without the factors that are usually 1.
func adamCase(count float32, plain bool) vectorCase {
	name := "AdamStep"
	c := AdamConstants{Gradient: Gradient{Count: count, Clip: 0.9}, Decay: 0.01, Shrink: 0.999, Beta1C: 0.1, Beta2C: 0.001, RootScale: 1.5, Epsilon: 1e-7, Alpha: 0.01}
	if plain {
		name, c.Clip, c.Shrink, c.RootScale, c.Decay = "AdamStepPlain", 1, 1, 1, 0
	}
	return vectorCase{fmt.Sprintf("%s/%v", name, count), 4, only(func(s [][]float32) {
		for i, v := range s[2] {
			s[2][i] = math.Float32frombits(math.Float32bits(v) &^ signBit) // second moments are not negative
		}
		AdamStep(s[0], s[1], s[2], s[3], &c)
	})}
}

var vectorCases = []vectorCase{
	ofTwo("Add", Add), ofTwo("Sub", Sub), ofTwo("Mul", Mul), ofTwo("MulAdd", MulAdd),
	ofOne("AddTo", AddTo),
	ofOne("FlushDenormals", FlushDenormals),
	ofOne("Scale", func(d, x []float32) { Scale(d, 1.7, x) }),
	ofOne("Axpy", func(d, x []float32) { Axpy(d, -0.3, x) }),
	ofOne("ScaleShift", func(d, x []float32) { ScaleShift(d, x, 1.1, -0.2) }),
	ofOne("ReLU", ReLU), ofOne("ReLU6", ReLU6), ofTwo("ReLUBackward", ReLUBackward), ofTwo("ReLU6Backward", ReLU6Backward),
	ofOne("Exp", Exp), ofOne("Log", Log), ofOne("Tanh", Tanh), ofOne("Erf", Erf), ofOne("Sigmoid", Sigmoid),
	ofOne("SiLU", SiLU), ofOne("GELU", GELU), ofOne("GELUTanh", GELUTanh),
	ofTwo("SigmoidBackward", SigmoidBackward), ofTwo("TanhBackward", TanhBackward), ofTwo("SiLUSlope", SiLUSlope),
	ofTwo("GELUSlope", GELUSlope), ofTwo("GELUTanhSlope", GELUTanhSlope),
	ofOne("RoundBFloat16", RoundBFloat16), ofOne("RoundFloat16", RoundFloat16),
	ofOne("Dropout", func(d, x []float32) { Dropout(d, x, [2]uint32{1, 2}, 7, 0.3) }),
	ofOne("Dropout/far", func(d, x []float32) { Dropout(d, x, [2]uint32{3, 4}, 1<<34-64, 0.5) }),
	{"Sum", 1, func(s [][]float32) []float32 { return []float32{Sum(s[0])} }},
	{"Max", 1, func(s [][]float32) []float32 { return []float32{Max(s[0])} }},
	{"HasNegativeZero", 1, func(s [][]float32) []float32 {
		if HasNegativeZero(s[0]) {
			return []float32{1}
		}
		return []float32{0}
	}},
	{"Dot", 2, func(s [][]float32) []float32 { return []float32{Dot(s[0], s[1])} }},
	{"SumCentered", 1, func(s [][]float32) []float32 { return []float32{SumCentered(s[0], 0.3)} }},
	{"SumSquares", 1, func(s [][]float32) []float32 { return split(SumSquares(s[0])) }},
	{"ExpScaleShiftSum", 2, func(s [][]float32) []float32 { return []float32{ExpScaleShiftSum(s[0], s[1], 1.3, -0.4)} }},
	ofOne("ExpScaleShift", func(d, x []float32) { ExpScaleShift(d, x, 1.3, -0.4) }),
	ofTwo("ScaleShiftMul", func(d, x, y []float32) { ScaleShiftMul(d, x, y, 1.3, -0.4) }),
	ofOne("Softmax", func(d, x []float32) { Softmax(d, x, 1, len(x)) }),
	ofTwo("SoftmaxBackward", func(d, dy, y []float32) { SoftmaxBackward(d, dy, y, 1, len(y)) }),
	{"CrossEntropy", 2, func(s [][]float32) []float32 {
		if len(s[0]) == 0 {
			return nil
		}
		target := []int32{int32(len(s[0]) / 2)}
		loss, _, right := CrossEntropy(s[0], s[1], target, 1, len(s[0]), -1, 0.1)
		alone, _, rightAlone := CrossEntropy(nil, s[1], target, 1, len(s[0]), -1, 0.1)
		return append(split(loss), append(split(alone), float32(right), float32(rightAlone))...)
	}},
	{"LayerNorm", 4, func(s [][]float32) []float32 {
		mean, rstd := []float32{0}, []float32{0}
		LayerNorm(s[0], mean, rstd, s[1], s[2], s[3], 1, len(s[0]), 1e-5)
		return append(mean, rstd...)
	}},
	{"LayerNormBackward", 4, only(func(s [][]float32) {
		LayerNormBackward(s[0], s[1], s[2], s[3], []float32{0.3}, []float32{1.2}, 1, len(s[0]), false)
	})},
	{"LayerNormBackwardPlain", 3, only(func(s [][]float32) {
		LayerNormBackward(s[0], s[1], s[2], nil, []float32{0.3}, []float32{1.2}, 1, len(s[0]), false)
	})},
	{"LayerNormBackwardParams", 4, only(func(s [][]float32) {
		LayerNormBackwardParams(s[0], s[1], s[2], s[3], []float32{0.3}, []float32{1.2}, 1, len(s[0]), 0, len(s[0]))
	})},
	{"RMSNorm", 3, func(s [][]float32) []float32 {
		rstd := []float32{0}
		RMSNorm(s[0], rstd, s[1], s[2], 1, len(s[0]), 1e-6)
		return rstd
	}},
	{"RMSNormPlain", 2, only(func(s [][]float32) { RMSNorm(s[0], []float32{0}, s[1], nil, 1, len(s[0]), 1e-6) })},
	{"RMSNormBackward", 4, only(func(s [][]float32) {
		RMSNormBackward(s[0], s[1], s[2], s[3], []float32{1.2}, 1, len(s[0]), false)
	})},
	{"ColSumCentered", 3, only(func(s [][]float32) { ColSumCentered(s[0], s[1], s[2], 1) })},
	{"ColSums", 5, only(func(s [][]float32) { ColSums(s[0], s[1], s[2], s[3], s[4], 1) })},
	{"ColSumsReLU", 7, only(func(s [][]float32) { ColSumsReLU(s[0], s[1], s[2], s[3], s[4], s[5], s[6], 1) })},
	{"ColSumsReLU6", 7, only(func(s [][]float32) { ColSumsReLU6(s[0], s[1], s[2], s[3], s[4], s[5], s[6], 1) })},
	{"ColScaleShift", 4, only(func(s [][]float32) { ColScaleShift(s[0], s[1], s[2], s[3], 1) })},
	{"ColScaleShiftReLU", 4, only(func(s [][]float32) { ColScaleShiftReLU(s[0], s[1], s[2], s[3], 1) })},
	{"ColScaleShiftReLU6", 4, only(func(s [][]float32) { ColScaleShiftReLU6(s[0], s[1], s[2], s[3], 1) })},
	{"ColCombine", 6, only(func(s [][]float32) { ColCombine(s[0], s[1], s[2], s[3], s[4], s[5], 1) })},
	{"ColCombineReLU", 7, only(func(s [][]float32) { ColCombineReLU(s[0], s[1], s[2], s[3], s[4], s[5], s[6], 1) })},
	{"ColCombineReLU6", 7, only(func(s [][]float32) { ColCombineReLU6(s[0], s[1], s[2], s[3], s[4], s[5], s[6], 1) })},
	adamCase(32, false), adamCase(31, false), adamCase(32, true),
	ofOne("SGDStep", func(p, g []float32) {
		SGDStep(p, g, &SGDConstants{Gradient: Gradient{Count: 3, Clip: 1}, Decay: 0.1, Rate: 0.01})
	}),
	ofTwo("MomentumStep", func(p, b, g []float32) {
		MomentumStep(p, b, g, &SGDConstants{Gradient: Gradient{Count: 3, Clip: 1}, Momentum: 0.9, Inner: 1, Rate: 0.01})
	}),
	ofTwo("MomentumStep/Nesterov", func(p, b, g []float32) {
		MomentumStep(p, b, g, &SGDConstants{Gradient: Gradient{Count: 3, Clip: 1}, Momentum: 0.9, Inner: 0.1, Rate: 1, Nesterov: true})
	}),
}

var specials = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, 6, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
	math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, 0x1p-126, 0x1p-127, -0x1p-130, math.MaxFloat32, -math.MaxFloat32,
	88.7, 88.8, 89.1, -87.4, -103.9, -104.1, 0.625, 0.95, 4, 0.70710677, 65504, 65520, 0x1p-24, 0x1p-25, 1.5,
}

// sample is a random number: mostly of ordinary size, sometimes any bit pattern or a special value.
func sample(r *rand.Rand, strange bool) float32 {
	if strange {
		switch r.IntN(12) {
		case 0:
			return specials[r.IntN(len(specials))]
		case 1:
			return math.Float32frombits(r.Uint32())
		}
	}
	return float32(r.NormFloat64() * 2)
}

// equalBits compares bit by bit, any NaN being equal to any other.
func equalBits(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

const margin = 24 // elements before and after each slice that must not change

// fenced makes copies of the slices inside guard bands, shifted by some elements so that alignments vary.
func fenced(in [][]float32, shift int) (whole, inner [][]float32) {
	for k, x := range in {
		w := make([]float32, margin+shift+k+len(x)+margin)
		for i := range w {
			w[i] = -777
		}
		at := margin + shift + k
		copy(w[at:], x)
		whole, inner = append(whole, w), append(inner, w[at:at+len(x):at+len(x)])
	}
	return whole, inner
}

func TestVectorTiersGiveSameBits(t *testing.T) {
	if len(vectorTiers()) == 0 {
		t.Skip("this machine runs the plain-Go tier only")
	}
	for _, c := range vectorCases {
		t.Run(c.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(len(c.name))))
			for n := 0; n <= 300; n++ {
				in := make([][]float32, c.slices)
				for k := range in {
					in[k] = make([]float32, n)
					for i := range in[k] {
						in[k][i] = sample(r, n%3 != 0)
					}
				}
				compareTiers(t, c, in, n%17)
				if t.Failed() {
					return
				}
			}
		})
	}
}

// Assembly takes long slices a block at a time; the borders of the blocks must not show.
func TestLongVectorsGiveSameBits(t *testing.T) {
	long := map[string]bool{"Add": true, "Sum": true, "SumSquares": true, "RoundBFloat16": true, "RoundFloat16": true, "Dropout": true, "Softmax": true}
	r := rand.New(rand.NewPCG(4, 5))
	for _, c := range vectorCases {
		if !long[c.name] {
			continue
		}
		in := make([][]float32, c.slices)
		for k := range in {
			in[k] = normals(r, 2<<16+37)
		}
		compareTiers(t, c, in, 3)
	}
}

// Very long results go past the caches.
func TestVeryLongVectorsGiveSameBits(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 7))
	x, y := normals(r, 1<<22+133), normals(r, 1<<22+133)
	for _, run := range []struct {
		name string
		f    func(dst, a, b []float32)
	}{{"Add", Add}, {"ReLUBackward", ReLUBackward}, {"ReLU", func(dst, a, _ []float32) { ReLU(dst, a) }}} {
		restore := Force(PlainGo)
		want := make([]float32, len(x))
		run.f(want, x, y)
		restore()
		for _, tier := range vectorTiers() {
			restore := Force(tier)
			whole := make([]float32, len(x)+2)
			have := whole[1 : 1+len(x)]
			run.f(have, x, y)
			restore()
			for i := range want {
				if have[i] != want[i] {
					t.Fatalf("%s, %s: element %d is %v, want %v", run.name, tier, i, have[i], want[i])
				}
			}
			if whole[0] != 0 || whole[len(whole)-1] != 0 {
				t.Errorf("%s, %s: wrote beyond the destination", run.name, tier)
			}
		}
	}
}

func compareTiers(t *testing.T, c vectorCase, in [][]float32, shift int) {
	t.Helper()
	carryOut := func(tier Tier) (whole [][]float32, extra []float32) {
		defer Force(tier)()
		whole, inner := fenced(in, shift)
		return whole, c.run(inner)
	}
	want, wantExtra := carryOut(PlainGo)
	for _, tier := range vectorTiers() {
		have, haveExtra := carryOut(tier)
		for k := range want {
			for i := range want[k] {
				if !equalBits(have[k][i], want[k][i]) {
					at := i - margin - shift - k
					t.Errorf("%s, %d elements: slice %d differs at %d: %x (%v), want %x (%v)", tier, len(in[0]), k, at,
						math.Float32bits(have[k][i]), have[k][i], math.Float32bits(want[k][i]), want[k][i])
					return
				}
			}
		}
		for i := range wantExtra {
			if !equalBits(haveExtra[i], wantExtra[i]) {
				t.Errorf("%s, %d elements: result %d is %v, want %v", tier, len(in[0]), i, haveExtra[i], wantExtra[i])
			}
		}
	}
}

var sink float32

func TestVectorKernelsAllocateNothing(t *testing.T) {
	in := make([][]float32, 7)
	for k := range in {
		in[k] = make([]float32, 100)
	}
	check := func(name string, run func()) {
		for _, tier := range Tiers() {
			restore := Force(tier)
			if allocs := testing.AllocsPerRun(3, run); allocs != 0 {
				t.Errorf("%s, %s: %v allocations", name, tier, allocs)
			}
			restore()
		}
	}
	for _, c := range columnCases {
		v, m := in[:5], [][]float32{make([]float32, 500), make([]float32, 500), make([]float32, 500)}
		check(c.name, func() { c.run(v, m, 5) })
	}
	targets := make([]int32, 10)
	check("CrossEntropy", func() { CrossEntropy(in[0], in[1], targets, 10, 10, -1, 0.1) })
	check("LayerNorm", func() { LayerNorm(in[0], in[1][:1], in[2][:1], in[3], in[4], in[5], 1, 100, 1e-5) })
	check("sums", func() {
		sink = Sum(in[0]) + Max(in[0]) + Dot(in[0], in[1]) + SumCentered(in[0], 1)
	})
	check("SumSquares", func() { sink = float32(SumSquares(in[0])) })
	for _, c := range vectorCases {
		if c.run(in) == nil && c.name != "RMSNormPlain" { // else the case itself makes a slice
			check(c.name, func() { c.run(in) })
		}
	}
}

func TestVectorsInPlace(t *testing.T) {
	for _, c := range vectorCases {
		if c.slices != 2 || c.name == "Dot" || c.name == "CrossEntropy" {
			continue
		}
		r := rand.New(rand.NewPCG(2, 3))
		x := make([]float32, 133)
		for i := range x {
			x[i] = sample(r, false)
		}
		apart := [][]float32{append([]float32(nil), x...), x}
		c.run(apart)
		same := append([]float32(nil), x...)
		c.run([][]float32{same, same})
		for i := range same {
			if !equalBits(same[i], apart[0][i]) {
				t.Errorf("%s in place differs at %d: %v, want %v", c.name, i, same[i], apart[0][i])
				break
			}
		}
	}
}

func TestVectorsRefuseUnequalLengths(t *testing.T) {
	for _, c := range vectorCases {
		if c.slices < 2 || c.name == "CrossEntropy" {
			continue
		}
		for short := range c.slices {
			in := make([][]float32, c.slices)
			for k := range in {
				in[k] = make([]float32, 8)
			}
			in[short] = in[short][:7]
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s took a slice %d that is too short", c.name, short)
					}
				}()
				c.run(in)
			}()
		}
	}
}

// Where p is finite, Adam without factors of 1 and a decay of 0 gives the bits of Adam with them, zeros' signs included.
func TestAdamPlainGivesAdamsBits(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 9))
	values := append([]float32{0x1p-140, -0x1p-149}, specials...)
	draw := func() float32 {
		if r.IntN(2) == 0 {
			return values[r.IntN(len(values))]
		}
		return float32(r.NormFloat64())
	}
	for range 20000 {
		in := [4]float32{draw(), draw(), float32(math.Abs(float64(draw()))), draw()}
		if p := float64(in[0]); math.IsNaN(p) || math.IsInf(p, 0) {
			continue
		}
		plain, full := in, in
		adamPlainGo(plain[0:1], plain[1:2], plain[2:3], plain[3:4], 0.125, 0.1, 0.001, 1e-7, 0.01)
		adamScaledGo(full[0:1], full[1:2], full[2:3], full[3:4], 0.125, 1, 0, 1, 0.1, 0.001, 1, 1e-7, 0.01)
		for i := range plain {
			if !equalBits(plain[i], full[i]) {
				t.Fatalf("from p, m, v, g = %v: %v without the factors, %v with them", in, plain, full)
			}
		}
	}
}
