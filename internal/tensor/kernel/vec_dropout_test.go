package kernel

import (
	"math"
	"testing"

	"ringmaster/internal/rng"
)

// Known answers of Philox4x32-10, from the reference implementation's test vectors (Random123, kat_vectors), for the
// counters whose high words are 0.
func TestPhiloxKnownAnswer(t *testing.T) {
	want := [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}
	if have := Philox([2]uint32{}, 0); have != want {
		t.Errorf("block 0 of key 0 is %#x, want %#x", have, want)
	}
}

func TestPhiloxIsTheGeneratorOfSamples(t *testing.T) {
	for i := range uint64(100) {
		key := [2]uint32{uint32(i * 0x9e3779b9), uint32(i * i)}
		counter := i * 0x123456789abcdef
		if have, want := Philox(key, counter), rng.Key(key).Block(counter); have != want {
			t.Fatalf("block %#x of key %#x is %#x, in package rng %#x", counter, key, have, want)
		}
	}
}

func TestDropoutKeepsItsShareAndScalesIt(t *testing.T) {
	const n, p = 100003, float32(0.3)
	key := [2]uint32{11, 12}
	x, y := make([]float32, n), make([]float32, n)
	for i := range x {
		x[i] = float32(i + 1)
	}
	Dropout(y, x, key, 5, p)
	kept := 0
	for i, v := range y {
		drop := rng.Key(key).Uint32(5+uint64(i)) < uint32(float64(p)*0x1p32)
		if want := x[i] * (1 / (1 - p)); drop && v != 0 || !drop && v != want {
			t.Fatalf("element %d is %v, dropped %v, want %v otherwise", i, v, drop, want)
		}
		if !drop {
			kept++
		}
	}
	if share := float64(kept) / n; math.Abs(share-0.7) > 0.01 {
		t.Errorf("%v of the elements are kept, want 0.7", share)
	}
	parts := make([]float32, n)
	for at := 0; at < n; at += 777 {
		to := min(at+777, n)
		Dropout(parts[at:to], x[at:to], key, 5+uint64(at), p)
	}
	for i := range y {
		if parts[i] != y[i] {
			t.Fatalf("element %d by parts is %v, want %v", i, parts[i], y[i])
		}
	}
	Dropout(y, x, key, 0, 0)
	for i := range y {
		if y[i] != x[i] {
			t.Fatalf("with probability 0 element %d becomes %v, want %v", i, y[i], x[i])
		}
	}
}

func TestDropoutRefusesProbabilities(t *testing.T) {
	for _, p := range []float32{-0.1, 1, 1.5, float32(math.NaN())} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("probability %v was taken", p)
				}
			}()
			Dropout(nil, nil, [2]uint32{}, 0, p)
		}()
	}
}
