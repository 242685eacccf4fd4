package metric

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"
)

// bleuCase is one entry of testdata/bleu.json, which testdata/bleu.py records.
type bleuCase struct {
	Name                     string
	Translations, References []string
	Words                    [][]string
	Score, BP                float64
	Precisions               []float64
	Correct, Total           []int
	Length, Reference        int
	Text                     string
}

func TestBLEUIsSacrebleus(t *testing.T) {
	raw, err := os.ReadFile("testdata/bleu.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []bleuCase
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 20 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, c := range cases {
		var b BLEU
		for i, text := range c.Translations {
			if got := BLEUWords(text); !slices.Equal(got, c.Words[i]) {
				t.Errorf("%s: words of %q are %q, by sacrebleu %q", c.Name, text, got, c.Words[i])
			}
			b.Add(text, c.References[i])
		}
		p := b.Precisions()
		if !slices.Equal(b.Correct[:], c.Correct) || !slices.Equal(b.Total[:], c.Total) || b.Length != c.Length || b.Reference != c.Reference || !slices.Equal(p[:], c.Precisions) {
			t.Errorf("%s: %+v with precisions %v, by sacrebleu %+v", c.Name, b, p, c)
		}
		if math.Abs(b.Score()-c.Score) > 1e-10 || math.Abs(b.BrevityPenalty()-c.BP) > 1e-14 {
			t.Errorf("%s: score %v, penalty %v, by sacrebleu %v, %v", c.Name, b.Score(), b.BrevityPenalty(), c.Score, c.BP)
		}
		if c.Text != "" && b.String() != c.Text {
			t.Errorf("%s:\n%s, by sacrebleu\n%s", c.Name, b.String(), c.Text)
		}
	}
}

func FuzzBLEU(f *testing.F) {
	f.Add("A man, 3.5 - 4 &quot;", "a\u00a0man.")
	f.Fuzz(func(t *testing.T, translation, reference string) {
		var b BLEU
		b.Add(translation, reference)
		if s := b.Score(); !(s >= 0 && s <= 100.0000001) {
			t.Errorf("%q against %q scores %v", translation, reference, s)
		}
	})
}
