package model

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

// counter is a model that has learnt that token t is followed by t+1, around 7.
func counter(t *testing.T) (*Replica, []float32) {
	spec := Spec{Tokens: true, Classes: 7, Context: 5}
	m := mustBuild(t, config.Model{Kind: config.ModelGPT, Depth: 1, Heads: 2, Width: 16}, spec)
	params, _ := initial(m, 1)
	batch := emptyBatch(spec, 7)
	for start := range 7 {
		for k := range 5 {
			batch.Columns[0].Ints[5*start+k] = int32((start + k) % 7)
			targetsOf(batch)[5*start+k] = int32((start + k + 1) % 7)
		}
	}
	r := m.NewReplica(nil)
	grad := make([]float32, m.Len())
	descend(params, 200, func(uint64) []float32 {
		r.Gradient(params, nil, grad, batch, rng.Key{}, nil, nil)
		return grad
	})
	return r, params
}

func generate(t *testing.T, r *Replica, params []float32, prompt []int32, count int, how Sampling, key rng.Key) []int32 {
	t.Helper()
	var out []int32
	err := r.Generate(params, nil, prompt, count, how, key, func(token int32) bool {
		out = append(out, token)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestGenerationIsAFunctionOfTheKey(t *testing.T) {
	r, params := counter(t)
	for _, prompt := range [][]int32{{2}, {0, 1, 2}, {5, 6, 0, 1, 2, 3, 4, 5, 6, 0, 1, 2}} {
		if got, want := generate(t, r, params, prompt, 9, Sampling{}, rng.Key{}), []int32{3, 4, 5, 6, 0, 1, 2, 3, 4}; !slices.Equal(got, want) {
			t.Errorf("%v goes on with %v, want %v", prompt, got, want)
		}
	}
	key := rng.NewKey(1, 2)
	hot := Sampling{Temperature: 50}
	a, b := generate(t, r, params, []int32{2}, 60, hot, key), generate(t, r, params, []int32{2}, 60, hot, key)
	other := generate(t, r, params, []int32{2}, 60, hot, rng.NewKey(1, 3))
	if !slices.Equal(a, b) || slices.Equal(a, other) {
		t.Error("what is drawn is no function of the key")
	}
	seen := map[int32]bool{}
	for _, token := range a {
		seen[token] = true
	}
	if len(seen) != 7 {
		t.Errorf("60 draws at a high temperature gave only %d of 7 tokens", len(seen))
	}
	if got := generate(t, r, params, []int32{2}, 3, Sampling{Temperature: 50, Top: 1}, key); !slices.Equal(got, []int32{3, 4, 5}) {
		t.Errorf("the likeliest alone gives %v", got)
	}
}

func TestGenerateStops(t *testing.T) {
	r, params := counter(t)
	n := 0
	if err := r.Generate(params, nil, []int32{1}, 10, Sampling{}, rng.Key{}, func(int32) bool { n++; return n < 4 }); err != nil || n != 4 {
		t.Errorf("%d tokens, %v", n, err)
	}
	for _, c := range []struct {
		prompt []int32
		how    Sampling
		want   string
	}{
		{nil, Sampling{}, "prompt is empty"}, {[]int32{7}, Sampling{}, "outside the vocabulary of 7"},
		{[]int32{1}, Sampling{Temperature: -1}, "must not be negative"},
	} {
		err := r.Generate(params, nil, c.prompt, 1, c.how, rng.Key{}, func(int32) bool { return true })
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %s", c.prompt, err, c.want)
		}
	}
	images := classifier(t)
	params, _ = initial(images, 1)
	if err := images.NewReplica(nil).Generate(params, nil, []int32{1}, 1, Sampling{}, rng.Key{}, nil); err == nil {
		t.Error("a classifier of images continued a text")
	}
}

func TestGenerateWantsFiniteLogits(t *testing.T) {
	r, params := counter(t)
	params[0] = float32(math.NaN())
	for _, temperature := range []float32{0, 1} {
		err := r.Generate(params, nil, []int32{0, 1}, 3, Sampling{Temperature: temperature}, rng.Key{}, func(int32) bool { return true })
		if !errors.Is(err, ErrNotFinite) {
			t.Errorf("temperature %v: %v", temperature, err)
		}
	}
}
