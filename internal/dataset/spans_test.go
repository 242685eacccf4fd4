package dataset

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

// TestSpansAreT5s compares what is not drawn with T5's code: lengths, and what becomes of a text whose spans are given.
func TestSpansAreT5s(t *testing.T) {
	raw, err := os.ReadFile("testdata/spans.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Lengths [][5]float64
		Cases   []struct{ Tokens, Kept, Hidden, Sentinels, Inputs, Targets []int32 }
	}
	if err := json.Unmarshal(raw, &golden); err != nil || len(golden.Lengths) < 100 || len(golden.Cases) < 5 {
		t.Fatalf("%d lengths, %d cases: %v", len(golden.Lengths), len(golden.Cases), err)
	}
	for _, l := range golden.Lengths {
		if tokens, targets := spanLengths(int(l[0]), l[1], l[2]); tokens != int(l[3]) || targets != int(l[4]) {
			t.Errorf("inputs of %v with %v in spans of %v: %d tokens and targets of %d, by T5 %v and %v", l[0], l[1], l[2], tokens, targets, l[3], l[4])
		}
	}
	for _, c := range golden.Cases {
		each := func(lengths []int32) func() int {
			return func() int {
				n := lengths[0]
				lengths = lengths[1:]
				return int(n)
			}
		}
		s := &spans{sentinels: c.Sentinels, end: 1}
		source, target := make([]int32, len(c.Inputs)), make([]int32, len(c.Targets))
		s.divide(source, target, c.Tokens, each(c.Kept), each(c.Hidden))
		if !slices.Equal(source, c.Inputs) || !slices.Equal(target, c.Targets) {
			t.Errorf("%d becomes %d and %d, by T5 %d and %d", c.Tokens, source, target, c.Inputs, c.Targets)
		}
	}
}

func corrupted(t *testing.T, context int, sentinels int) config.Data {
	t.Helper()
	special := []string{"<pad>", "</s>", "<unk>"}
	for k := range sentinels {
		special = append(special, fmt.Sprintf("<extra_id_%d>", k))
	}
	text := strings.Repeat(verses, 60)
	return config.Data{Kind: config.DataText, Dir: writeText(t, []byte(text)), Context: context, Corrupt: 0.15, Span: 3, Tokenizer: unigramOn(t, text, 330, special...)}
}

// TestInputsAndTargetsGiveTheText puts the spans of the target in the places of the sentinels.
func TestInputsAndTargetsGiveTheText(t *testing.T) {
	d, err := Open(corrupted(t, 64, 20))
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Schema.describe(); got != "source: int32 64, 310 classes; shifted: int32 14, 310 classes; target: int32 14, 310 classes" {
		t.Fatalf("schema is %s", got)
	}
	reader := d.Train.(*records).Reader
	sentinel := func(token int32) bool { return token >= 3 && token < 23 }
	seen := map[string]bool{}
	var first [2]int // spans by length, to see that they are drawn
	for key := range uint64(20) {
		batch := readAll(t, d.Train, rng.SeatKey(1, key, 0, 0), 0, 8)
		for i := range 8 {
			source, target := batch.Columns[0].Ints[64*i:64*i+64], batch.Columns[2].Ints[14*i:14*i+14]
			shifted := batch.Columns[1].Ints[14*i : 14*i+14]
			if shifted[0] != 0 || !slices.Equal(shifted[1:], target[:13]) || source[63] != 1 || target[13] != 1 {
				t.Fatalf("%d, %d behind %d", source, target, shifted)
			}
			var text []int32
			for _, token := range source[:63] {
				if !sentinel(token) {
					text = append(text, token)
					continue
				}
				at := slices.Index(target, token) + 1
				n := at
				for !sentinel(target[n]) && target[n] != 1 {
					n++
				}
				if n == at {
					t.Fatalf("an empty span in %d", target)
				}
				first[min(n-at, 4)/3]++
				text = append(text, target[at:n]...)
			}
			record := make(Record, 1)
			if err := reader.Read(record, i); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(text, record[0].Ints[:len(text)]) || len(text) != len(record[0].Ints)-1 {
				t.Fatalf("%d and %d give\n%d, not\n%d", source, target, text, record[0].Ints)
			}
			seen[fmt.Sprint(source)] = true
		}
	}
	if len(seen) < 150 || first[0] < 100 || first[1] < 100 {
		t.Errorf("of 160 draws %d differ; %v short and long spans", len(seen), first)
	}
	if a, b := readAll(t, d.Eval, rng.SeatKey(1, 1, 0, 0), 0, 1), readAll(t, d.Eval, rng.SeatKey(1, 2, 0, 0), 0, 1); !slices.Equal(a.Columns[0].Ints, b.Columns[0].Ints) {
		t.Error("evaluations hide other spans each time")
	}
	again, err := Recall(corrupted(t, 64, 20), d.Describe())
	if err != nil || again.Schema.describe() != d.Schema.describe() {
		t.Fatalf("recalled: %v", err)
	}
	tokens, err := again.Lexicon.Encode("the <extra_id_0> sat")
	if err != nil || again.Lexicon.Decode(tokens) != "the<extra_id_0> sat" && again.Lexicon.Decode(tokens) != "the <extra_id_0> sat" {
		t.Errorf("%q, %v", again.Lexicon.Decode(tokens), err)
	}
}

// TestSegmentsAreDividedEvenly draws all divisions of 5 into 3 about equally often.
func TestSegmentsAreDividedEvenly(t *testing.T) {
	counts := map[[3]int]int{}
	for k := range 6000 {
		s := segments{key: rng.NewKey(9, uint64(k)), left: 4, starts: 2}
		counts[[3]int{s.next(), s.next(), s.next()}]++
	}
	if len(counts) != 6 {
		t.Fatalf("%v", counts)
	}
	for division, n := range counts {
		if division[0]+division[1]+division[2] != 5 || n < 880 || n > 1120 {
			t.Errorf("%v is drawn %d of 6000 times, not about 1000", division, n)
		}
	}
}

func TestSpansThatCannotBeHiddenAreRefused(t *testing.T) {
	for _, c := range []struct {
		want    string
		change  func(*config.Data)
		context int
		there   int
	}{
		{"the tokenizer has no <extra_id_2>, and inputs of 64 tokens take 3 such sentinels", func(*config.Data) {}, 64, 2},
		{"inputs of 4 tokens have no span of 3 to hide", func(*config.Data) {}, 4, 2},
		{"name one by data.tokenizer", func(d *config.Data) { d.Tokenizer = "" }, 64, 2},
	} {
		d := corrupted(t, c.context, c.there)
		c.change(&d)
		_, err := Open(d)
		var key *config.KeyError
		if !errors.As(err, &key) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}
