package rng

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
	"pgregory.net/rapid"
)

// TestKnownAnswers has the vectors that the authors publish with their implementation (Random123, philox4x32-10).
func TestKnownAnswers(t *testing.T) {
	for _, c := range []struct {
		key           Key
		counter, want [4]uint32
	}{
		{Key{}, [4]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{Key{0xffffffff, 0xffffffff}, [4]uint32{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
			[4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{Key{0xa4093822, 0x299f31d0}, [4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
			[4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := philox(c.key, c.counter); got != c.want {
			t.Errorf("philox(%08x, %08x) = %08x, want %08x", c.key, c.counter, got, c.want)
		}
	}
}

// TestGolden keeps every draw as it is: weights and samples of all jobs depend on them.
func TestGolden(t *testing.T) {
	const golden = "91a237946060609445354c77dd4028bd0bdb22c714e187b4201521897b8bb506"
	h := sha256.New()
	put := func(v any) {
		if err := binary.Write(h, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	for seed := range uint64(20) {
		key := SeatKey(seed, 7, seed%4, 0)
		uniform, gauss, order := make([]float32, 1001), make([]float32, 4001), make([]int32, 1000)
		key.FillUniform(uniform, seed, -0.3, 0.7)
		key.FillNormal(gauss, seed<<33, 0.1, 0.02)
		OrderKey(seed, 3).Shuffle(order)
		for _, v := range []any{key, uniform, gauss, order, InitKey(seed, 1), SetKey(seed, 1, 2), ShiftKey(seed, 5), key.Normal(9)} {
			put(v)
		}
	}
	if sum := fmt.Sprintf("%x", h.Sum(nil)); sum != golden {
		t.Errorf("the draws' sum is %s, not %s", sum, golden)
	}
}

// TestKeysDiffer looks for equal keys among many paths, also of different lengths.
func TestKeysDiffer(t *testing.T) {
	seen := map[Key]string{}
	add := func(k Key, name string) {
		if k.IsZero() {
			t.Errorf("%s has the zero key", name)
		}
		if other, ok := seen[k]; ok {
			t.Errorf("%s and %s share a key", name, other)
		}
		seen[k] = name
	}
	for seed := range uint64(4) {
		for a := range uint64(20) {
			add(OrderKey(seed, a), fmt.Sprint("order ", seed, a))
			add(ShiftKey(seed, a), fmt.Sprint("shift ", seed, a))
			add(InitKey(seed, a), fmt.Sprint("init ", seed, a))
			for b := range uint64(20) {
				add(SetKey(seed, a, b), fmt.Sprint("set ", seed, a, b))
				add(SeatKey(seed, a, b, 0), fmt.Sprint("seat ", seed, a, b))
				add(SeatKey(seed, a, b, 1), fmt.Sprint("seat ", seed, a, b, 1))
				add(SeatKey(seed, a, b, 0).Derive(1), fmt.Sprint("layer of ", seed, a, b))
			}
		}
	}
	if NewKey(5, 1, 2) != NewKey(5, 1).Derive(2) {
		t.Error("NewKey is not its path's derivations")
	}
	if NewKey(1<<32) == NewKey(0) || NewKey(0, 1<<32) == NewKey(0, 0) {
		t.Error("high words of seed or path do not count")
	}
}

// TestDerivedKeysAreNoDraws shows that no key is made of words that the stream hands out.
func TestDerivedKeysAreNoDraws(t *testing.T) {
	k := NewKey(1)
	for n := range uint64(100) {
		if block := k.Block(n); (Key{block[0], block[1]}) == k.Derive(n) {
			t.Errorf("key %d is block %d", n, n)
		}
	}
}

// TestFillsAreElements compares every Fill with its single draws, for all offsets within blocks, lengths, and offsets
// at which the low word of the counter overflows.
func TestFillsAreElements(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := Key{rapid.Uint32().Draw(t, "low"), rapid.Uint32().Draw(t, "high")}
		n := rapid.IntRange(0, 40).Draw(t, "length")
		offset := rapid.OneOf(rapid.Uint64Max(9), rapid.Just(uint64(1)<<34-6), rapid.Uint64Max(1<<63)).Draw(t, "offset")
		uniform, gauss := make([]float32, n), make([]float32, n)
		key.FillUniform(uniform, offset, -2, 3)
		key.FillNormal(gauss, offset, 1, 0.5)
		for j := range n {
			i := offset + uint64(j)
			if uniform[j] != key.Uniform(i, -2, 3) || gauss[j] != float32(1+key.Normal(i)*0.5) {
				t.Fatalf("element %d differs", i)
			}
		}
	})
}

func TestFillsAllocateNothing(t *testing.T) {
	dst, order := make([]float32, 100), make([]int32, 100)
	allocs := testing.AllocsPerRun(100, func() {
		key := SeatKey(1, 2, 3, 0)
		key.FillUniform(dst, 1, 0, 1)
		key.FillNormal(dst, 1, 0, 1)
		key.Shuffle(order)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestUniformRange(t *testing.T) {
	if unit(0) != 0 || unit(1<<32-1) != 1-0x1p-24 || unit(255) != 0 || unit(256) != 0x1p-24 {
		t.Errorf("ends are %v and %v", unit(0), unit(1<<32-1))
	}
	if between(0, -3, 5) != -3 || between(1<<31, -3, 5) != 1 {
		t.Error("between misses the low end or the middle")
	}
	for _, c := range [][2]float32{{-math.MaxFloat32, math.MaxFloat32}, {1, 1}, {0, 0x1p-149}} {
		for _, word := range []uint32{0, 1 << 31, 1<<32 - 1} {
			if v := between(word, c[0], c[1]); !(v >= c[0] && v <= c[1]) {
				t.Errorf("between %v and %v: %v", c[0], c[1], v)
			}
		}
	}
}

func TestDrawsStayBelowTheirBound(t *testing.T) {
	key := NewKey(3)
	for _, n := range []uint64{1, 2, 3, 10, 1 << 32, 1<<64 - 1} {
		for i := range uint64(200) {
			if v := key.Below(i, n); v >= n {
				t.Fatalf("Below(%d, %d) = %d", i, n, v)
			}
		}
	}
	// The definition, with words looked up one by one: the high 64 bits of a 64 by 64 product for n = 2^k are a shift.
	for i := range uint64(20) {
		u := uint64(key.Uint32(2*i+1))<<32 | uint64(key.Uint32(2*i))
		if key.Below(i, 1<<20) != u>>44 {
			t.Errorf("Below(%d, 2^20) is not the top of its element pair", i)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("an integer below 0 was drawn")
		}
	}()
	key.Below(0, 0)
}

// TestChiSquare counts draws in cells; the bounds hold for all but one in a million good generators.
func TestChiSquare(t *testing.T) {
	const cells, draws = 100, 100000
	limit := distuv.ChiSquared{K: cells - 1}.Quantile(1 - 1e-6)
	for name, cell := range map[string]func(i uint64) int{
		"Float32": func(i uint64) int { return int(NewKey(1).Float32(i) * cells) },
		"Below":   func(i uint64) int { return int(NewKey(2).Below(i, cells)) },
		"Normal":  func(i uint64) int { return int(distuv.UnitNormal.CDF(NewKey(3).Normal(i)) * cells) },
		"keys":    func(i uint64) int { return int(NewKey(4, i).Float32(0) * cells) },
	} {
		var observed, expected [cells]float64
		for i := range uint64(draws) {
			observed[cell(i)]++
		}
		for c := range expected {
			expected[c] = draws / cells
		}
		if x := stat.ChiSquare(observed[:], expected[:]); x > limit {
			t.Errorf("%s: chi-square of %d cells is %.0f, above %.0f", name, cells, x, limit)
		}
	}
}

func TestQuantilesAreNearGonums(t *testing.T) {
	for i := -320; i <= 320; i++ {
		for _, p := range []float64{0.5 + float64(i)/641, math.Pow(2, float64(i-321)/20)} {
			want := distuv.UnitNormal.Quantile(p)
			if got := quantile(p); math.Abs(got-want) > 1e-13*max(1, math.Abs(want)) {
				t.Errorf("quantile(%v) = %.17g, want %.17g", p, got, want)
			}
		}
	}
	for _, p := range []float64{0x1p-33, 0.01, 0.074999, 0.075001, 0.3, 0.499} {
		if quantile(p) != -quantile(1-p) && math.Abs(quantile(p)+quantile(1-p)) > 1e-7 {
			t.Errorf("quantiles of %v and %v do not mirror", p, 1-p)
		}
	}
	if low, high := normal(0), normal(1<<32-1); low != -high || !(low < -6.3 && low > -6.34) {
		t.Errorf("draws end at %v and %v", low, high)
	}
}

// It checks that orders are permutations, and by counting that every number reaches every place equally often.
func TestShufflesAreEvenAndRepeat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		order := make([]int32, rapid.IntRange(0, 300).Draw(t, "length"))
		OrderKey(rapid.Uint64().Draw(t, "seed"), rapid.Uint64Max(50).Draw(t, "epoch")).Shuffle(order)
		seen := make([]bool, len(order))
		for _, i := range order {
			if seen[i] {
				t.Fatalf("%d comes twice", i)
			}
			seen[i] = true
		}
	})
	for _, n := range []int{2, 5, 6} { // even and odd, since positions share blocks
		observed, expected := make([]float64, n*n), make([]float64, n*n)
		const shuffles = 20000
		order := make([]int32, n)
		for s := range uint64(shuffles) {
			OrderKey(s, 0).Shuffle(order)
			for place, i := range order {
				observed[place*n+int(i)]++
			}
		}
		for c := range expected {
			expected[c] = float64(shuffles) / float64(n)
		}
		if x, limit := stat.ChiSquare(observed, expected), (distuv.ChiSquared{K: float64((n - 1) * (n - 1))}).Quantile(1-1e-6); x > limit {
			t.Errorf("%d numbers: chi-square of places is %.1f, above %.1f", n, x, limit)
		}
	}
}

// TestShuffleIsFisherYates has the shuffle without the sharing of blocks.
func TestShuffleIsFisherYates(t *testing.T) {
	key := OrderKey(9, 9)
	for n := range 20 {
		want := make([]int32, n)
		for i := range want {
			want[i] = int32(i)
		}
		for i := n - 1; i > 0; i-- {
			j := key.Below(uint64(i), uint64(i)+1)
			want[i], want[j] = want[j], want[i]
		}
		got := make([]int32, n)
		key.Shuffle(got)
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%d numbers: %v, want %v", n, got, want)
			}
		}
	}
}

func BenchmarkBlock(b *testing.B) {
	key := NewKey(1)
	var sum uint32
	for i := range uint64(b.N) {
		sum += key.Block(i)[0]
	}
	if sum == 1 {
		b.Log(sum) // so that the sum is used
	}
}

func BenchmarkShuffle60000(b *testing.B) {
	order := make([]int32, 60000)
	for i := range uint64(b.N) {
		OrderKey(1, i).Shuffle(order)
	}
}

func BenchmarkFillNormal(b *testing.B) {
	dst := make([]float32, 10000)
	for b.Loop() {
		NewKey(1).FillNormal(dst, 0, 0, 1)
	}
}
