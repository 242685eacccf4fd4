package dataset

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
	"ringmaster/internal/table"
)

// letters is a tokenizer of single letters with BERT's template: [CLS] is 2, [SEP] 3, a 5, b 6.
func letters(t *testing.T) string {
	t.Helper()
	return write(t, "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd\n")
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func textTable(t *testing.T, rows string) config.Data {
	return config.Data{Kind: config.DataCSV, Train: write(t, "train.csv", rows), Texts: []string{"first", "second"}, Tokenizer: letters(t), Context: 9,
		Target: "kind", Categories: []string{"kind"}, Delimiter: ",", Header: true, Missing: config.MissingError, MemoryMiB: 1}
}

const pairRows = "first,second,kind\na b,c,yes\na a a a a a a,b b,no\nd,d d d d d,no\na b c d,a b c d,yes\n"

// TestTextsBecomeTokens frames, cuts and pads the texts of a table, in memory and spilled to a file.
func TestTextsBecomeTokens(t *testing.T) {
	var prints [][32]byte
	for _, memory := range []int{1, 0} {
		c := textTable(t, pairRows)
		c.MemoryMiB = memory
		c.Cache = t.TempDir()
		d, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		prints = append(prints, d.Fingerprint)
		if got := d.Account(); len(got) != 2 || !strings.Contains(got[0], "texts of the 9 tokens of a WordPiece tokenizer") || !strings.HasPrefix(got[1], "2 pairs with more tokens than data.context: cut to 9, 3 of them the tokenizer's own") {
			t.Errorf("said %q", got)
		}
		if s := d.Schema; len(s) != 3 || s[0].Name != TextTokens || !s[0].Ragged || s[0].Classes != 9 || s[1].Name != TextSegments || s[2].Name != "kind" || s[2].Classes != 2 {
			t.Errorf("schema %v", s)
		}
		var b Batch
		if err := d.Train.Read(&b, []int32{0, 1, 2, 3}, rng.Key{}); err != nil {
			t.Fatal(err)
		}
		want := []int32{
			2, 5, 6, 3, 7, 3, 0, 0, 0,
			2, 5, 5, 5, 5, 3, 6, 6, 3,
			2, 8, 3, 8, 8, 8, 8, 8, 3,
			2, 5, 6, 7, 3, 5, 6, 7, 3,
		}
		segments := []int32{
			0, 0, 0, 0, 1, 1, 0, 0, 0,
			0, 0, 0, 0, 0, 0, 1, 1, 1,
			0, 0, 0, 1, 1, 1, 1, 1, 1,
			0, 0, 0, 0, 0, 1, 1, 1, 1,
		}
		if !slices.Equal(b.Columns[0].Ints, want) || !slices.Equal(b.Columns[1].Ints, segments) || !slices.Equal(b.Columns[0].Lengths, []int32{6, 9, 9, 9}) || !slices.Equal(b.Columns[2].Ints, []int32{1, 0, 0, 1}) {
			t.Errorf("with %d MiB: %v of segments %v, %v long, of classes %v", memory, b.Columns[0].Ints, b.Columns[1].Ints, b.Columns[0].Lengths, b.Columns[2].Ints)
		}
	}
	if prints[0] != prints[1] {
		t.Error("in memory and spilled the fingerprints differ")
	}
}

// TestSplitOfTexts splits a table of texts in each way and finds every row once.
func TestSplitOfTexts(t *testing.T) {
	for _, by := range []string{config.SplitRandom, config.SplitStratified, config.SplitHash} {
		for _, memory := range []int{1, 0} {
			c := textTable(t, "first,second,kind\n"+strings.Repeat("a b,c,yes\nd,a b c,no\nc c,d,yes\nb,b,no\na,a,no\nd d d,a,yes\n", 4))
			c.MemoryMiB, c.Cache, c.Split = memory, t.TempDir(), config.Split{Eval: 0.4, By: by, Seed: 3}
			d, err := Open(c)
			if err != nil {
				t.Fatal(err)
			}
			if d.Train.Len()+d.Eval.Len() != 24 {
				t.Errorf("%s: %d and %d rows", by, d.Train.Len(), d.Eval.Len())
			}
			seen := map[string]int{}
			for _, set := range []Set{d.Train, d.Eval} {
				for i := range set.Len() {
					var b Batch
					if err := set.Read(&b, []int32{int32(i)}, rng.Key{}); err != nil {
						t.Fatal(err)
					}
					seen[d.Vocabulary.Decode(b.Columns[0].Ints[:b.Columns[0].Lengths[0]])+d.Labels[b.Columns[2].Ints[0]]]++
				}
			}
			for _, want := range []string{"[CLS] a b [SEP] c [SEP]yes", "[CLS] d [SEP] a b c [SEP]no", "[CLS] d d d [SEP] a [SEP]yes"} {
				if seen[want] != 4 {
					t.Errorf("%s, %d MiB: %q %d times among %v", by, memory, want, seen[want], seen)
				}
			}
		}
	}
}

// TestTextsAreRecalled asks by the description alone: the tokenizer is gone.
func TestTextsAreRecalled(t *testing.T) {
	c := textTable(t, pairRows)
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(c.Tokenizer); err != nil {
		t.Fatal(err)
	}
	again, err := Recall(c, d.Describe())
	if err != nil {
		t.Fatal(err)
	}
	q, err := again.Ask(c, "questions", strings.NewReader(`{"second": "c d d d d d d", "first": "b"}`+"\n"+`{"first": "a", "second": "b"}`), table.JSONL, []string{"first"})
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	if err := q.Next(&b, 8); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(b.Columns[0].Ints, []int32{2, 6, 3, 7, 8, 8, 8, 8, 3, 2, 5, 3, 6, 3, 0, 0, 0, 0}) || !slices.Equal(b.Columns[0].Lengths, []int32{9, 5}) {
		t.Errorf("asked %v, %v long", b.Columns[0].Ints, b.Columns[0].Lengths)
	}
	if err := q.Next(&b, 8); err != io.EOF {
		t.Error(err)
	}
	if w := q.Warnings(); len(w) != 1 || !strings.HasPrefix(w[0], "1 pair with more tokens") {
		t.Errorf("said %q", w)
	}
	if like, err := OpenLike(c, d.Describe()); err != nil || like.Fingerprint != d.Fingerprint {
		t.Errorf("opened like it: %v", err)
	}
	other := c
	other.Context = 10
	if _, err := Recall(other, d.Describe()); err == nil || !strings.Contains(err.Error(), "has texts of [6] of 9 tokens, not of [7] of 9") {
		t.Errorf("another context: %v", err)
	}
}

func TestTextsThatCannotBeRead(t *testing.T) {
	for _, c := range []struct {
		change func(c *config.Data)
		want   string
	}{
		{func(c *config.Data) { c.Context = 3 }, "3 tokens leave no room for a text beside the 3 that the tokenizer adds"},
		{func(c *config.Data) { c.Texts = []string{"third"} }, `has no column "third"`},
		{func(c *config.Data) { c.Tokenizer = "nowhere.json" }, "nowhere.json"},
		{func(c *config.Data) { c.Train = write(t, "a.csv", "first,second,kind\na,,yes\n") }, "the value is missing"},
		{func(c *config.Data) {
			c.Kind, c.Train = config.DataJSONL, write(t, "a.jsonl", `{"first": "a", "second": 7, "kind": "x"}`)
		}, "number is no text"},
	} {
		data := textTable(t, pairRows)
		c.change(&data)
		if _, err := Open(data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}
