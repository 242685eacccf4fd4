package model

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"ringmaster/internal/rng"
)

// TestAnswersAreTransformers compares the likeliest answers to three sources with those of Hugging Face's generate.
func TestAnswersAreTransformers(t *testing.T) {
	raw, err := os.ReadFile("testdata/transformers.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Answers map[string][][]int32 }
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"t5", "t5 untied"} {
		c := goldenCases[name]
		m := mustBuild(t, c.cfg, c.spec)
		params, batch := filled(m), goldenBatch(c.spec, c.samples)
		if len(file.Answers[name]) != c.samples {
			t.Fatalf("%s: %d answers were recorded", name, len(file.Answers[name]))
		}
		for i, want := range file.Answers[name] {
			source := batch.Columns[0].Ints[i*12:][:batch.Columns[0].Lengths[i]]
			var got []int32
			err := m.NewReplica(nil).Answer(params, nil, source, 9, Sampling{}, rng.Key{}, func(token int32) bool {
				got = append(got, token)
				return true
			})
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: source %d is answered by %d (%v), by transformers %d", name, i, got, err, want)
			}
		}
	}
}
