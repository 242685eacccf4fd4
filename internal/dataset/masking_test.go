package dataset

import (
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

func openMasked(t *testing.T, share float64) *Data {
	t.Helper()
	file := writeText(t, []byte(strings.Repeat("to be, or not to be: that is the question\n", 400)))
	d, err := Open(config.Data{Kind: config.DataText, Dir: file, Context: 50, Mask: share})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func readAll(t *testing.T, s Set, key rng.Key, from, to int) *Batch {
	t.Helper()
	var numbers []int32
	for n := from; n < to; n++ {
		numbers = append(numbers, int32(n))
	}
	b := &Batch{}
	if err := s.Read(b, numbers, key); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestMaskingHidesAShare counts what becomes of the tokens.
func TestMaskingHidesAShare(t *testing.T) {
	d := openMasked(t, 0.15)
	mask := int32(d.Vocabulary.Len())
	if d.Schema[0].Classes != int(mask)+1 || d.Schema[1].Classes != int(mask)+1 || d.Schema[1].Name != HiddenTokens {
		t.Fatalf("schema %v, with %d characters", d.Schema, mask)
	}
	plain, err := newRecords(d.Train.(*records).Reader, successors{})
	if err != nil {
		t.Fatal(err)
	}
	masked, open := readAll(t, d.Train, rng.SeatKey(1, 2, 3, 0), 0, 250), readAll(t, plain, rng.Key{}, 0, 250)
	var chosen, hidden, other, kept, all float64
	for i, token := range masked.Columns[0].Ints {
		was, target := open.Columns[0].Ints[i], masked.Columns[1].Ints[i]
		all++
		switch {
		case target < 0:
			if token != was {
				t.Fatalf("token %d became %d but is not to be guessed", was, token)
			}
			continue
		case target != was:
			t.Fatalf("token %d is to be guessed as %d", was, target)
		case token == mask:
			hidden++
		case token != was:
			other++
		default:
			kept++
		}
		chosen++
	}
	for _, c := range []struct {
		name      string
		got, want float64
	}{{"chosen", chosen / all, 0.15}, {"masked", hidden / chosen, 0.8}, {"replaced", other / chosen, 0.1}, {"kept", kept / chosen, 0.1}} {
		if c.got < c.want-0.03 || c.got > c.want+0.03 {
			t.Errorf("%s: %.3f of the tokens, want about %.2f", c.name, c.got, c.want)
		}
	}
}

// TestEvaluationHidesTheSameTokens whatever the batch that a sample is in.
func TestEvaluationHidesTheSameTokens(t *testing.T) {
	d := openMasked(t, 0.3)
	all, last := readAll(t, d.Eval, rng.Key{}, 0, 9), readAll(t, d.Eval, rng.SeatKey(9, 9, 9, 9), 8, 9)
	for k, c := range all.Columns {
		if !slices.Equal(c.Ints[8*50:], last.Columns[k].Ints) {
			t.Errorf("sample 8 has other %s alone", d.Schema[k].Name)
		}
	}
	if slices.Equal(all.Columns[1].Ints[:50], all.Columns[1].Ints[50:100]) {
		t.Error("all samples have the same places hidden")
	}
	first, second := readAll(t, d.Train, rng.SeatKey(1, 0, 0, 0), 0, 9), readAll(t, d.Train, rng.SeatKey(1, 1, 0, 0), 0, 9)
	if slices.Equal(first.Columns[1].Ints, second.Columns[1].Ints) {
		t.Error("two steps hide the same tokens of a sample")
	}
}

// TestMaskingFramesATokenizersTokens hides tokens of the text alone, by the tokenizer's own mask.
func TestMaskingFramesATokenizersTokens(t *testing.T) {
	file := writeText(t, []byte(strings.Repeat("a b c d a a b\n", 200)))
	c := config.Data{Kind: config.DataText, Dir: file, Context: 12, Mask: 0.5, Tokenizer: letters(t)}
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if d.Schema[0].Classes != 9 || d.Schema[0].Width() != 12 || d.Train.Len() != (1260-10)/10 {
		t.Fatalf("schema %v of %d samples", d.Schema, d.Train.Len())
	}
	b, masks := readAll(t, d.Train, testKey, 0, 20), 0
	for i, token := range b.Columns[0].Ints {
		target := b.Columns[1].Ints[i]
		switch special := map[int]int32{0: 2, 11: 3}[i%12]; {
		case special > 0 && (token != special || target >= 0):
			t.Fatalf("token %d at place %d of the template, to be guessed as %d", token, i%12, target)
		case special == 0 && target >= 0 && (target < 5 || target > 8):
			t.Fatalf("%d is to be guessed", target)
		case token == 4:
			masks++
		}
	}
	if masks < 60 {
		t.Errorf("%d of 200 tokens are the mask", masks)
	}
	again, err := Recall(c, d.Describe())
	if err != nil || again.Schema[0].Width() != 12 || again.Schema[0].Classes != 9 {
		t.Errorf("recalled %v, %v", again, err)
	}
	c.Context = 2
	if _, err := Open(c); err == nil || !strings.Contains(err.Error(), "2 tokens leave no room for a text beside those that the tokenizer adds") {
		t.Error(err)
	}
}

func TestHiddenTokensOfAText(t *testing.T) {
	words, err := openTokenizer(config.Data{Tokenizer: letters(t)})
	if err != nil {
		t.Fatal(err)
	}
	characters, err := NewVocabulary(" abc")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		v      *Vocabulary
		text   string
		tokens []int32
		places []int
		filled string // by the token 1, or 5
		fill   int32
	}{
		{words, "b [MASK] c", []int32{2, 6, 4, 7, 3}, []int{2}, "b a c", 5},
		{words, "[MASK][MASK]", []int32{2, 4, 4, 3}, []int{1, 2}, "a a", 5},
		{characters, "b [MASK]a", []int32{2, 0, 4, 1}, []int{2}, "b aa", 1},
	} {
		b, err := c.v.Hide(c.text)
		if err != nil || !slices.Equal(b.Tokens, c.tokens) || !slices.Equal(b.Places, c.places) {
			t.Errorf("%s: %+v, %v", c.text, b, err)
			continue
		}
		if got := b.Filled(slices.Repeat([]int32{c.fill}, len(c.places))...); got != c.filled {
			t.Errorf("%s is filled as %q", c.text, got)
		}
	}
	if _, err := characters.Hide("abc"); err == nil || !strings.Contains(err.Error(), "no token is hidden; write [MASK] where one is to be guessed") {
		t.Error(err)
	}
	if _, ok := characters.Token(4); ok {
		t.Error("the mask is a character")
	}
}
