package tensor

import (
	"math"
	"math/rand/v2"
	"testing"

	"ringmaster/internal/tensor/kernel"
)

// TestTapRun compares both forms on every tier with plain loops: any number of taps and channels, special values, and
// nothing written outside.
func TestTapRun(t *testing.T) {
	for _, tier := range kernel.Tiers() {
		restore := kernel.Force(tier)
		r := rand.New(rand.NewPCG(3, 4))
		for range 400 {
			checkTapRun(t, r, tier)
		}
		restore()
	}
}

func checkTapRun(t *testing.T, r *rand.Rand, tier kernel.Tier) {
	t.Helper()
	channels, count, taps := 1+r.IntN(70), 1+r.IntN(6), 1+r.IntN(maxTaps)
	dstStep, srcStep := channels*(1+r.IntN(3)), channels*r.IntN(3)
	var run tapRun
	run.src, run.w = special(r, 12*channels+2*count*channels), special(r, maxTaps*channels)
	run.first = r.IntN(channels)
	run.channels = channels - run.first
	dst := special(r, count*dstStep+channels)
	run.begin(dst[:count*dstStep], count, dstStep, srcStep)
	if run.more = r.IntN(2); count*dstStep < (count-1)*dstStep+channels {
		t.Fatal("the test's run does not fit")
	}
	for k := range taps {
		run.add(r.IntN(12)*channels, k*channels)
	}
	wantDst, wantW := append([]float32(nil), dst...), append([]float32(nil), run.w...)
	gradient := r.IntN(2) == 1
	for p := range count {
		for c := run.first; c < channels; c++ {
			at := p*dstStep + c
			sum := wantDst[at]
			if run.more == 0 {
				sum = 0
			}
			for k := range taps {
				x := run.src[run.offsets[k]/4+p*srcStep+c]
				if gradient {
					wantW[k*channels+c] = kernel.FMA(dst[at], x, wantW[k*channels+c])
				}
				sum = kernel.FMA(x, run.w[k*channels+c], sum)
			}
			if !gradient {
				wantDst[at] = sum
			}
		}
	}
	if gradient {
		run.gradient()
	} else {
		run.forward()
	}
	for i, want := range wantDst {
		if !same(dst[i], want) {
			t.Fatalf("%v: gradient %v, %d taps, channels [%d, %d): dst[%d] = %g, want %g", tier, gradient, taps, run.first, channels, i, dst[i], want)
		}
	}
	for i, want := range wantW {
		if !same(run.w[i], want) {
			t.Fatalf("%v: gradient %v, %d taps, channels [%d, %d): w[%d] = %g, want %g", tier, gradient, taps, run.first, channels, i, run.w[i], want)
		}
	}
}

// special draws numbers, among them zeros, denormals and now and then infinities and NaN.
func special(r *rand.Rand, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		switch out[i] = float32(r.NormFloat64()); r.IntN(200) {
		case 0:
			out[i] = float32(math.Inf(1))
		case 1:
			out[i] = float32(math.NaN())
		case 2, 3, 4:
			out[i] = float32(math.Copysign(0, -1))
		case 5, 6, 7:
			out[i] *= 1e-40
		}
	}
	return out
}

// same compares bits; all NaN are equal.
func same(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

func TestTapRunRefusesToLeaveItsImage(t *testing.T) {
	run := tapRun{src: make([]float32, 16), w: make([]float32, 8), channels: 8}
	run.begin(make([]float32, 16), 2, 8, 8)
	run.add(1, 0)
	defer func() {
		if recover() == nil {
			t.Error("a run past the end of its source was carried out")
		}
	}()
	run.forward()
}

// TestAxisRuns checks the runs of both directions against the definition: output o reads input o*stride - padding + tap*dilation.
func TestAxisRuns(t *testing.T) {
	for size := 1; size < 9; size++ {
		for _, w := range []Window{squareWindow(3, 1, 1, 1), squareWindow(3, 2, 1, 1), squareWindow(2, 3, 0, 1), squareWindow(3, 1, 2, 2), squareWindow(5, 2, 2, 1), squareWindow(1, 2, 0, 1)} {
			out, _, err := w.Out(size, size)
			if err != nil {
				continue
			}
			type link struct{ out, in, tap int }
			want := map[link]bool{}
			for o := range out {
				for k := range w.Height {
					if i := o*w.Stride - w.Padding + k*w.Dilation; i >= 0 && i < size {
						want[link{o, i, k}] = true
					}
				}
			}
			for _, backward := range []bool{false, true} {
				runs, length := forwardRuns(size, out, w.Height, w), out
				if backward {
					runs, length = backwardRuns(size, out, w.Height, w), size
				}
				seen, found := make([]bool, length), 0
				for _, r := range runs {
					for k := range r.count {
						at := r.first + k*r.step
						if seen[at] {
							t.Fatalf("%+v on %d: position %d comes twice", w, size, at)
						}
						seen[at] = true
						for _, tap := range r.taps {
							l := link{at, tap.source + k*r.sourceStep, tap.tap}
							if backward {
								l.out, l.in = l.in, l.out
							}
							if !want[l] {
								t.Fatalf("%+v on %d: backward %v: no link %+v", w, size, backward, l)
							}
							found++
						}
					}
				}
				for at, ok := range seen {
					if !ok {
						t.Fatalf("%+v on %d: backward %v: position %d is missing", w, size, backward, at)
					}
				}
				if found != len(want) {
					t.Fatalf("%+v on %d: backward %v: %d links of %d", w, size, backward, found, len(want))
				}
			}
		}
	}
}
