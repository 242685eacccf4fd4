package checkpoint

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"ringmaster/internal/checkpoint/disk"
)

// record makes the history of n steps whose figures are functions of the step.
func record(n uint64) History {
	h := NewHistory(false)
	for step := uint64(1); step <= n; step++ {
		x := float64(step)
		h.Note(step, 1/x, 1-1/x, x*1e-6, func() float64 { return math.Sqrt(x) })
	}
	return h
}

func TestHistoryOfAnyLengthKeepsItsBounds(t *testing.T) {
	for _, n := range []uint64{0, 1, 2, 1023, 1024, 1025, 1026, 2048, 2049, 4097, 5000, 100_003} {
		points := record(n).Curve(n)
		stride := HistoryStride(n)
		if uint64(len(points)) != n/stride || len(points) > HistoryPoints || n > HistoryPoints && len(points) < HistoryPoints/2 {
			t.Errorf("%d steps: %d points of %d steps", n, len(points), stride)
		}
		for k, p := range points {
			mean := 0.0
			for step := p.Step - stride + 1; step <= p.Step; step++ {
				mean += 1 / float64(step) / float64(stride)
			}
			if p.Step != uint64(k+1)*stride || math.Abs(float64(p.Loss)-mean) > 2e-6*mean || math.Abs(float64(p.Accuracy)-(1-mean)) > 2e-6 {
				t.Fatalf("%d steps, point %d: %+v, mean loss %v", n, k, p, mean)
			}
			if p.LearningRate != float32(float64(p.Step)*1e-6) || p.GradNorm != float32(math.Sqrt(float64(p.Step))) {
				t.Fatalf("%d steps, point %d: %+v is not of step %d", n, k, p, p.Step)
			}
		}
	}
}

func TestHistoryGoesOnFromWhereverItWasSaved(t *testing.T) {
	const end = 3000
	want := record(end)
	for _, cut := range []uint64{1, 1000, 1024, 1025, 1499, 2048, 2050, 2999} {
		h := slices.Clone(record(cut)) // what a checkpoint holds
		for step := cut + 1; step <= end; step++ {
			x := float64(step)
			h.Note(step, 1/x, 1-1/x, x*1e-6, func() float64 { return math.Sqrt(x) })
		}
		if h.Digest(end) != want.Digest(end) || !slices.Equal(h, want) {
			t.Errorf("resumed at step %d the curve is another", cut)
		}
	}
	if record(end).Digest(end) == record(end-4).Digest(end-4) {
		t.Error("curves of different lengths have one digest")
	}
}

func TestHistoryAllocatesNothing(t *testing.T) {
	h, step := NewHistory(false), uint64(0)
	norm := func() float64 { return 1 }
	if n := testing.AllocsPerRun(5000, func() { step++; h.Note(step, 1, 1, 1, norm) }); n != 0 {
		t.Errorf("a step allocates %v times", n)
	}
}

// A history with the noise of gradients has means of it, over steps as far as they reach, and its other columns are those of one without.
func TestHistoryOfNoise(t *testing.T) {
	for _, n := range []uint64{1, 1024, 1025, 3000} {
		h := NewHistory(true)
		for step := uint64(1); step <= n; step++ {
			x := float64(step)
			h.NoteNoise(step, 1/x, x)
			h.Note(step, 1/x, 1-1/x, x*1e-6, func() float64 { return math.Sqrt(x) })
		}
		plain, stride := record(n), HistoryStride(n)
		if !slices.Equal(h[:HistoryLength], plain) || h.Digest(n) == plain.Digest(n) || plain.Noisy() || len(h) != HistoryLen(true) {
			t.Errorf("%d steps: the noise changes another column, or is not in the digest", n)
		}
		for k, p := range h.Curve(n) {
			variance := float64(p.Step) - float64(stride-1)/2
			if math.Abs(float64(p.GradVariance)-variance) > 1e-5*variance || math.Abs(float64(p.GradSquare-p.Loss)) > 1e-6*float64(p.Loss) {
				t.Fatalf("%d steps, point %d: %+v", n, k, p)
			}
			if got := p.NoiseScale(); got != float64(p.GradVariance)/float64(p.GradSquare) {
				t.Fatalf("%d steps, point %d: a noise scale of %v", n, k, got)
			}
		}
	}
	for _, p := range []Point{{}, {GradSquare: -1, GradVariance: 2}, {GradSquare: float32(math.NaN())}} {
		if got := p.NoiseScale(); got == got {
			t.Errorf("%+v has a noise scale of %v", p, got)
		}
	}
}

// A checkpoint's history is read with the noise or without, as its file has it.
func TestHistoryOfACheckpoint(t *testing.T) {
	for _, noise := range []bool{false, true} {
		l := mustLayout(t, 2, tensorsOf("p", []int{2, 3}, []int{4}), nil, "exp_avg").WithHistory(noise)
		state := fill(l.NewState(), 1)
		for i := range state.History {
			state.History[i] = float32(i)
		}
		s := mustOpen(t, disk.NewMemFS(), "/s")
		must(t, saveOf(t, l, state, 1).put(s, true))
		e, _, err := newestOf(s)
		must(t, err)
		got, err := e.History()
		if err != nil || !slices.Equal(got, state.History) || got.Noisy() != noise {
			t.Errorf("noise %v: %d values, want %d: %v", noise, len(got), len(state.History), err)
		}
	}
}

func TestLayoutWithHistoryRestoresIt(t *testing.T) {
	l := mustLayout(t, 2, tensorsOf("p", []int{2, 3}, []int{4}), nil, "exp_avg").WithHistory(false)
	names := []string{}
	for _, s := range l.Shares() {
		names = append(names, s.Name)
	}
	if !slices.Contains(names, "history-00001-of-00001.safetensors") {
		t.Fatalf("the files are %v", names)
	}
	s := fill(l.NewState(), 1)
	s.History = record(2345)
	without := StateDigest(&State{Step: s.Step, Params: s.Params, Optim: s.Optim, Sums: s.Sums})
	if StateDigest(s) == without {
		t.Error("the history does not show in the state digest")
	}
	back := l.NewState()
	for k := range l.Shares() {
		var b bytes.Buffer
		f, err := l.EncodeShare(&b, k, s)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.DecodeShare(&b, k, f, back); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(back.History, s.History) {
		t.Error("the history was not restored")
	}
}

// Curves of runs of different lengths can be compared: thinned, the finer one is what the coarser one kept.
func TestThinnedCurvesAreTheLongerOnes(t *testing.T) {
	for _, lengths := range [][2]uint64{{1000, 1500}, {1024, 5000}, {1999, 3000}} {
		short, long := record(lengths[0]).Curve(lengths[0]), record(lengths[1]).Curve(lengths[1])
		for short[0].Step < long[0].Step {
			short = Thin(short)
		}
		if n := len(short); n < 100 || !slices.Equal(short, long[:n]) {
			t.Errorf("%d steps thinned are not %d steps", lengths[0], lengths[1])
		}
	}
}
