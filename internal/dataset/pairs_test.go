package dataset

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

func pairsConfig(train string) config.Data {
	return config.Data{Kind: config.DataPairs, Train: train, Source: "en", Target: "de", Tokens: config.TokensWords, Vocabulary: 100, Context: 6, TargetContext: 5, MemoryMiB: 16}
}

const (
	english = "a dog runs\r\na cat, a dog and a bird run\n\ufeffno\n"
	german  = "ein Hund rennt\neine Katze\nnein\n"
)

func TestPairsOfTexts(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{"train.en": []byte(english), "train.de.gz": zipped(t, []byte(german)), "val.en": []byte("a wolf\n"), "val.de": []byte("ein Wolf\n"),
		"train.tsv": []byte("de\ten\nein Hund rennt\ta dog runs\neine Katze\ta cat, a dog and a bird run\nnein\t\ufeffno\n")})
	c := pairsConfig(filepath.Join(dir, "train"))
	c.Eval = filepath.Join(dir, "val")
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Schema.describe(); got != "source: int32 6, 19 classes; shifted: int32 5, 19 classes; target: int32 5, 19 classes" {
		t.Errorf("schema is %s", got)
	}
	var b Batch
	if err := d.Train.Read(&b, []int32{1, 0}, rng.Key{}); err != nil {
		t.Fatal(err)
	}
	// "a" occurs four times, "dog" twice; all others once, in the order of their bytes: , Hund Katze and bird cat ein eine nein no rennt run runs, and U+FEFF.
	if got := b.Columns[0].Ints; !slices.Equal(got, []int32{3, 10, 5, 3, 4, 1, 3, 4, 17, 1, 0, 0}) || !slices.Equal(b.Columns[0].Lengths, []int32{6, 4}) {
		t.Errorf("sources are %v of lengths %v", got, b.Columns[0].Lengths)
	}
	if got := b.Columns[1].Ints; !slices.Equal(got, []int32{0, 12, 7, 0, 0, 0, 11, 6, 15, 0}) {
		t.Errorf("shifted targets are %v", got)
	}
	if got := b.Columns[2].Ints; !slices.Equal(got, []int32{12, 7, 1, -1, -1, 11, 6, 15, 1, -1}) {
		t.Errorf("targets are %v", got)
	}
	if err := d.Eval.Read(&b, []int32{0}, rng.Key{}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(b.Columns[0].Ints, []int32{3, UnknownToken, 1, 0, 0, 0}) {
		t.Errorf("words of the evaluation part alone are %v", b.Columns[0].Ints)
	}
	if got := d.Lexicon.Decode([]int32{12, 7, 2, 1, 5}); got != "eine Katze \ufffd" {
		t.Errorf("decoded %q", got)
	}
	if len(d.Warnings) != 1 || !strings.HasPrefix(d.Warnings[0], "1 text longer than data.context or data.target_context were cut to 6 and 5 tokens") {
		t.Errorf("warnings are %q", d.Warnings)
	}
	again, err := Recall(c, d.Describe())
	if err != nil || again.Schema.describe() != d.Schema.describe() {
		t.Errorf("recalled %v", err)
	}
	like, err := OpenLike(c, d.Describe())
	if err != nil || like.Fingerprint != d.Fingerprint {
		t.Errorf("opened as described: %v", err)
	}
	c.Train = filepath.Join(dir, "train.tsv")
	columns, err := Open(c)
	if err != nil || columns.Fingerprint != d.Fingerprint {
		t.Errorf("two columns of a table differ from two files: %v", err)
	}
}

func TestPairsByCharacter(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{"x.csv": []byte("en,de\nab a,bb\nü,b\n")})
	c := pairsConfig(filepath.Join(dir, "x.csv"))
	c.Tokens, c.Vocabulary = config.TokensCharacters, 6
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	if err := d.Train.Read(&b, []int32{0, 1}, rng.Key{}); err != nil {
		t.Fatal(err)
	}
	if got := b.Columns[0].Ints; !slices.Equal(got, []int32{4, 3, 5, 4, 1, 0, 2, 1, 0, 0, 0, 0}) || d.Lexicon.Decode(got) != "ab a" {
		t.Errorf("sources are %v", got)
	}
}

func TestPairsRefused(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{"train.en": []byte(english), "train.de": []byte(german + "zu viel\nund mehr\n"), "empty.en": []byte("a\n\nb\n"), "empty.de": []byte("x\ny\nz\n"),
		"bytes.en": []byte("a\n\xff\n"), "bytes.de": []byte("x\ny\n"), "none.en": nil, "none.de": nil, "half.en": []byte("x\n"), "t.csv": []byte("en,fr\na,b\n"), "missing.csv": []byte("en,de\na,b\nc,\n"),
		"number.jsonl": []byte(`{"en":"a","de":1}`)})
	for name, want := range map[string]string{
		"train": "train.en has 3 lines and " + filepath.Join(dir, "train.de") + " has 5: line k of one", "empty": "empty.en:2: the text is missing", "bytes": "bytes.en:2: is not UTF-8",
		"none": "none has no pairs", "half": "half.de nor ", "t.csv": `data.target: t.csv has no column "de"; it has en, fr`, "missing.csv": `missing.csv:3:3: row 2, column "de": the text is missing`,
		"number.jsonl": "a number is no text", "nothing": "pairs are two such files, or two columns",
	} {
		c := pairsConfig(filepath.Join(dir, name))
		if _, err := Open(c); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error is %v, want ... %s", name, err, want)
		}
	}
	writeFiles(t, dir, map[string][]byte{"bomb.en.gz": zipped(t, make([]byte, 100<<20)), "bomb.de": []byte("x\n")})
	if _, err := Open(pairsConfig(filepath.Join(dir, "bomb"))); err == nil || !strings.Contains(err.Error(), "bomb.en.gz:1: a line is longer than 16777216 bytes") {
		t.Errorf("a bomb of gzip gives %v", err)
	}
	c := pairsConfig(filepath.Join(dir, "empty"))
	c.SkipBad = 0.34
	if d, err := Open(c); err != nil || d.Train.Len() != 2 || !strings.Contains(d.LeftOut, "1 bad record by data.skip_bad: empty.en:2") {
		t.Errorf("with one of three skipped: %v", err)
	}
}

// The English and German sentences of Multi30k.
func TestPairsOfMulti30k(t *testing.T) {
	const dir = "../../../shared/data/multi30k"
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("Multi30k is not at %s", dir)
	}
	c := pairsConfig(dir + "/train")
	c.Eval, c.Context, c.TargetContext, c.Vocabulary = dir+"/val", 64, 64, 8000
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if d.Train.Len() != 29000 || d.Eval.Len() != 1014 || d.Lexicon.Len() != 8000 || len(d.Warnings) != 0 {
		t.Errorf("%d and %d pairs, %d tokens, %v", d.Train.Len(), d.Eval.Len(), d.Lexicon.Len(), d.Warnings)
	}
	var b Batch
	if err := d.Train.Read(&b, []int32{0}, rng.Key{}); err != nil {
		t.Fatal(err)
	}
	if got := d.Lexicon.Decode(b.Columns[0].Ints); got != "Two young , White males are outside near many bushes ." {
		t.Errorf("the first source is %q", got)
	}
	if got := d.Lexicon.Decode(b.Columns[1].Ints); !strings.HasPrefix(got, "Zwei junge weiße Männer sind im") {
		t.Errorf("the first target is %q", got)
	}
}

// A packed set of pairs is of one vocabulary, and no other model's.
func TestPackedPairsAreOfTheirVocabulary(t *testing.T) {
	one := description{Lexicon: &describedLexicon{Words: []string{"a", "b"}}}
	same, other := description{Lexicon: &describedLexicon{Words: []string{"a", "b"}}}, description{Lexicon: &describedLexicon{Words: []string{"b", "a"}}}
	if !one.likeModel(&same) || one.likeModel(&other) || one.likeModel(&description{}) {
		t.Error("vocabularies are not compared")
	}
}

func FuzzLexicon(f *testing.F) {
	f.Add("two words, 3 ü\u0301\u2028 x", true)
	f.Fuzz(func(t *testing.T, text string, byCharacter bool) {
		l := &Lexicon{byCharacter: byCharacter}
		counts := map[string]int{}
		for word := range l.split(strings.ToValidUTF8(text, "")) {
			counts[word]++
		}
		l, err := lexiconOf(counts, 1000, byCharacter)
		if err != nil {
			t.Fatal(err)
		}
		if byCharacter && len(counts) < 900 {
			tokens, err := l.Encode(strings.ToValidUTF8(text, ""))
			if got := l.Decode(tokens); err != nil || got != strings.ToValidUTF8(text, "") {
				t.Errorf("%q becomes %q: %v", text, got, err)
			}
		}
	})
}
