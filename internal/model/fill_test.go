package model

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/tensor/kernel"
)

// TestFillingsAreTransformers compares the guesses for a hidden token of a text that is shorter than the context with those of Hugging Face's
// pipeline fill-mask.
func TestFillingsAreTransformers(t *testing.T) {
	raw, err := os.ReadFile("testdata/transformers.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Fillings struct {
			IDs     []int32
			Guesses []struct {
				ID    int32
				Score float64
			}
		}
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	c := goldenCases["bert"]
	m := mustBuild(t, c.cfg, c.spec)
	want := file.Fillings
	if len(want.IDs) >= c.spec.Context || len(want.Guesses) != 5 {
		t.Fatalf("%v were recorded", want)
	}
	logits, classes, err := m.NewReplica(nil).Fill(filled(m), nil, want.IDs)
	if err != nil {
		t.Fatal(err)
	}
	place := slices.Index(want.IDs, 4)
	chances := make([]float32, classes)
	kernel.Softmax(chances, logits[place*classes:(place+1)*classes], 1, classes)
	for k, g := range want.Guesses {
		likelier := 0
		for _, p := range chances {
			if p > chances[g.ID] {
				likelier++
			}
		}
		if likelier != k || math.Abs(float64(chances[g.ID])-g.Score) > 1e-6 {
			t.Errorf("guess %d: token %d with %.8f, by transformers with %.8f", k+1, g.ID, chances[g.ID], g.Score)
		}
	}
}

func TestFillRefuses(t *testing.T) {
	c := goldenCases["bert"]
	m := mustBuild(t, c.cfg, c.spec)
	gpt := mustBuild(t, goldenCases["gpt"].cfg, goldenCases["gpt"].spec)
	for _, bad := range []struct {
		model  *Model
		tokens []int32
		want   string
	}{
		{m, nil, "the text has 0 tokens"},
		{m, make([]int32, 10), "the text has 10 tokens, where the model reads 1 to 9"},
		{m, []int32{13}, "token 0 of the text is 13, outside the vocabulary of 13"},
		{gpt, []int32{1}, "the model guesses no hidden tokens"},
	} {
		if _, _, err := bad.model.NewReplica(nil).Fill(make([]float32, bad.model.Len()), nil, bad.tokens); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%v, want %s", err, bad.want)
		}
	}
}
