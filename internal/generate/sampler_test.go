package generate

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"ringmaster/internal/model"
	"ringmaster/internal/plan"
)

// kept is which tokens transformers' warpers leave of probabilities, by their definition: the k likeliest, of these the fewest that have p together.
func kept(logits []float32, temperature float64, k int, p float64) map[int32]float64 {
	type token struct {
		id     int32
		weight float64
	}
	var all []token
	for i, z := range logits {
		all = append(all, token{int32(i), math.Exp(float64(z) / temperature)})
	}
	slices.SortStableFunc(all, func(a, b token) int {
		switch {
		case a.weight > b.weight:
			return -1
		case a.weight < b.weight:
			return 1
		}
		return 0
	})
	if k > 0 {
		all = all[:min(k, len(all))]
	}
	sum := 0.0
	for _, t := range all {
		sum += t.weight
	}
	out, before := map[int32]float64{}, 0.0
	for _, t := range all {
		if p > 0 && p < 1 && before >= p*sum && len(out) > 0 {
			break
		}
		out[t.id] = t.weight
		before += t.weight
	}
	for id := range out {
		out[id] /= before
	}
	return out
}

// TestDrawsHaveTheProbabilities takes points evenly over [0, 1): each token comes as often as its probability says, and no other comes.
func TestDrawsHaveTheProbabilities(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	logits := make([]float32, 60)
	for i := range logits {
		logits[i] = float32(2 * r.NormFloat64())
	}
	logits[7] = logits[9] // equal ones
	for _, o := range []Options{
		{Temperature: 1}, {Temperature: 0.5}, {Temperature: 2, TopK: 5}, {Temperature: 1, TopP: 0.9}, {Temperature: 1.3, TopP: 0.1},
		{Temperature: 1, TopK: 12, TopP: 0.7}, {Temperature: 1, TopK: 1}, {Temperature: 1, TopK: 600, TopP: 0.99}, {Temperature: 1, TopP: 1},
	} {
		s := newSampler(len(logits), o)
		want := kept(logits, o.Temperature, o.TopK, o.TopP)
		const points = 20000
		got := map[int32]int{}
		for i := range points {
			got[s.choose(slices.Clone(logits), nil, (float32(i)+0.5)/points)]++
		}
		for id, n := range got {
			if math.Abs(float64(n)/points-want[id]) > 3.0/points+1e-5 {
				t.Errorf("%+v: token %d comes %d times of %d, want %.1f", o, id, n, points, want[id]*points)
			}
		}
		for id, p := range want {
			if got[id] == 0 && p > 2.0/points {
				t.Errorf("%+v: token %d never comes, probability %g", o, id, p)
			}
		}
	}
}

func TestPenaltyOfRepetition(t *testing.T) {
	s := newSampler(4, Options{RepetitionPenalty: 2})
	scores := []float32{4, -3, 5, -1}
	s.penalize(scores, []int32{0, 1, 0, 0})
	if !slices.Equal(scores, []float32{2, -6, 5, -1}) {
		t.Errorf("%v", scores)
	}
	if got := s.choose([]float32{4, -3, 3, -1}, []int32{0, 0}, 0); got != 2 {
		t.Errorf("token %d is chosen", got)
	}
}

// Only the tokens that are asked for are written, drawn or the likeliest.
func TestOnlyAmong(t *testing.T) {
	m := gpt(t, context)
	d, err := m.NewDecoder(nil, filled(m), nil, model.DecoderOptions{Slots: 4})
	if err != nil {
		t.Fatal(err)
	}
	for _, temperature := range []float64{0, 5} {
		o := Options{MaxTokens: 30, Temperature: temperature, Seed: 3, Batch: 4, Among: plan.Interval{Begin: 11, End: 15}}
		texts, err := Write(d, [][]int32{{3, 4}}, o, nil)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[int32]bool{}
		for _, token := range texts[0][0].Tokens {
			seen[token] = true
			if token < 11 || token >= 15 {
				t.Fatalf("temperature %g: token %d", temperature, token)
			}
		}
		if temperature > 0 && len(seen) != 4 {
			t.Errorf("of four tokens %d were drawn", len(seen))
		}
	}
	if _, err := Write(d, [][]int32{{3}}, Options{MaxTokens: 1, Beams: 2, Among: plan.Interval{Begin: 1, End: 2}}, nil); err == nil {
		t.Error("beams heed it?")
	}
}
