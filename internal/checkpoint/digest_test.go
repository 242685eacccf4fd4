package checkpoint

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// plainDigest is the digest's definition, word by word.
func plainDigest(values []float32) Hash {
	h := sha256.New()
	for _, x := range values {
		bits := math.Float32bits(x)
		if x != x {
			bits = 0x7fc00000
		}
		binary.Write(h, binary.LittleEndian, bits)
	}
	return Hash(h.Sum(nil))
}

// anyBits draws float32 values of all kinds: NaNs of any payload, denormals, zeros of both signs, infinities.
func anyBits(t *rapid.T, label string, n int) []float32 {
	values := make([]float32, n)
	special := []uint32{0, 0x80000000, 1, 0x807fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00001, 0x7f800001, 0x7fffffff, 0x3f800000}
	seed := rapid.Uint32().Draw(t, label)
	for i := range values {
		seed = seed*1664525 + 1013904223
		bits := seed
		if seed>>28 == 0 {
			bits = special[int(seed>>8)%len(special)]
		}
		values[i] = math.Float32frombits(bits)
	}
	return values
}

func TestDigestIsItsDefinition(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 4, 5, 7, 255, chunkFloats - 1, chunkFloats, chunkFloats + 1, 3*chunkFloats + 5} {
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(i) * 0.25
		}
		if got, want := Digest(values), plainDigest(values); got != want {
			t.Errorf("%d values: digest %v, want %v", n, got, want)
		}
		for _, at := range []int{0, n / 2, n - 1} {
			if n == 0 {
				continue
			}
			values[at] = math.Float32frombits(0xff800001 + uint32(at))
			if got, want := Digest(values), plainDigest(values); got != want {
				t.Errorf("%d values with a NaN at %d: digest %v, want %v", n, at, got, want)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		values := anyBits(t, "seed", rapid.IntRange(0, 300).Draw(t, "n"))
		if got, want := Digest(values), plainDigest(values); got != want {
			t.Fatalf("digest %v, want %v", got, want)
		}
	})
}

// The committed digests of a fixed vector and state guard the definitions themselves; they were computed apart from this
// code, with Python's hashlib and struct.
func TestDigestGolden(t *testing.T) {
	values := []float32{1, -2.5, 0, float32(math.Copysign(0, -1)), float32(math.NaN()), float32(math.Inf(1)), 1e-45}
	const want = "7619c5f71c7244e889e5745566306ab72714eeddd4041383a447b4ff3a2745c1"
	if got := Digest(values).String(); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
	const wantState = "d42940edbcb0c6b3d41db50fca99d24d3b422b5856cc5c4ffa983d41e43b9773"
	if got := StateDigest(smallState()).String(); got != wantState {
		t.Errorf("state digest %s, want %s", got, wantState)
	}
}

func smallState() *State {
	return &State{Step: 7, Params: []float32{1, 2, 3, 4}, Stats: []float32{0.5, 0.25},
		Optim: []Buffer{{"exp_avg", []float32{5, 6, 7, 8}}, {"exp_avg_sq", []float32{9, 10, 11, 12}}},
		Sums:  EpochSums{Loss: 1.5, Count: 32, Correct: 9}}
}

func TestAnyNaNAndBothByteOrders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := anyBits(t, "seed", rapid.IntRange(0, 70).Draw(t, "n"))
		if got, want := anyNaN(values), slices.ContainsFunc(values, func(x float32) bool { return x != x }); got != want {
			t.Fatalf("anyNaN(%v) = %v", values, got)
		}
		if anyNaN(values) {
			return
		}
		// The bytes that a little-endian machine takes from memory are those that a big-endian one writes value by value.
		raw := canonicalCopy(make([]byte, 4*len(values)), values)
		if nativeLittle && !bytes.Equal(raw, floatBytes(values)) {
			t.Fatalf("copy %x, memory %x", raw, floatBytes(values))
		}
		back := make([]float32, len(values))
		copy(floatBytes(back), raw)
		fromLittle(back)
		for i := range values {
			if math.Float32bits(back[i]) != math.Float32bits(values[i]) {
				t.Fatalf("value %d came back as %x, was %x", i, math.Float32bits(back[i]), math.Float32bits(values[i]))
			}
		}
	})
}

func TestStateDigestCoversEverything(t *testing.T) {
	base := StateDigest(smallState())
	changes := map[string]func(*State){
		"step":            func(s *State) { s.Step++ },
		"parameter":       func(s *State) { s.Params[3] = math.Nextafter32(s.Params[3], 9) },
		"sign of zero":    func(s *State) { s.Params[0] = 0; s.Params[0] = float32(math.Copysign(0, -1)) },
		"optimizer":       func(s *State) { s.Optim[1].Data[0]++ },
		"optimizer name":  func(s *State) { s.Optim[1].Name = "exp_avg_sr" },
		"optimizer order": func(s *State) { s.Optim[0], s.Optim[1] = s.Optim[1], s.Optim[0] },
		"no optimizer":    func(s *State) { s.Optim = nil },
		"statistics":      func(s *State) { s.Stats[1]++ },
		"moved border":    func(s *State) { s.Params, s.Stats = s.Params[:3], append([]float32{4}, s.Stats...) },
		"loss sum":        func(s *State) { s.Sums.Loss = math.Nextafter(s.Sums.Loss, 9) },
		"count":           func(s *State) { s.Sums.Count++ },
		"correct":         func(s *State) { s.Sums.Correct++ },
	}
	seen := map[Hash]string{base: "nothing"}
	for name, change := range changes {
		s := smallState()
		change(s)
		sum := StateDigest(s)
		if other, ok := seen[sum]; ok {
			t.Errorf("change of %s gives the digest of a change of %s", name, other)
		}
		seen[sum] = name
	}
	s := smallState()
	s.Epochs = append(s.Epochs, EpochMetrics{Epoch: 1})
	if StateDigest(s) != base {
		t.Error("the history of epochs shows in the state digest")
	}
	a, b := smallState(), smallState()
	a.Params[1], b.Params[1] = math.Float32frombits(0x7fc00000), math.Float32frombits(0xffffffff)
	a.Sums.Loss, b.Sums.Loss = math.NaN(), math.Float64frombits(0xfff8000000000099)
	if StateDigest(a) != StateDigest(b) {
		t.Error("NaNs of different payloads give different state digests")
	}
}

func TestStateHasherDoesNotAllocate(t *testing.T) {
	h, s := NewStateHasher(), smallState()
	s.Params = make([]float32, 3*chunkFloats)
	s.Params[5] = float32(math.NaN())
	if n := testing.AllocsPerRun(20, func() { h.Sum(s); h.Digest(s.Params) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDigest(b *testing.B) {
	h, values := NewStateHasher(), make([]float32, 25<<20)
	b.SetBytes(4 * int64(len(values)))
	for b.Loop() {
		h.Digest(values)
	}
}

// ending is a context that ends when it is looked at for the last time.
type ending struct {
	context.Context
	looks int
}

func (e *ending) Err() error {
	if e.looks--; e.looks <= 0 {
		return context.Canceled
	}
	return nil
}

// TestSumWithin gives a digest up in each of its parts.
func TestSumWithin(t *testing.T) {
	values := make([]float32, 2*chunkFloats)
	state := &State{Params: values, Optim: []Buffer{{Name: "exp_avg", Data: values}}, Stats: values}
	h, whole := NewStateHasher(), 6
	for looks := 1; looks <= whole; looks++ {
		if _, err := h.SumWithin(&ending{t.Context(), looks}, state); err == nil {
			t.Errorf("a digest of %d chunks was computed in spite of an end at look %d", whole, looks)
		}
	}
	got, err := h.SumWithin(&ending{t.Context(), whole + 1}, state)
	if want := StateDigest(state); err != nil || got != want {
		t.Errorf("after digests that were given up: %v, %v; want %v", got, err, want)
	}
}
