package dataset

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
	"ringmaster/internal/tokenizer"
)

// unigramOn trains a Unigram tokenizer with special tokens on a text and returns its file.
func unigramOn(t *testing.T, text string, size int, special ...string) string {
	t.Helper()
	trainer, err := tokenizer.NewTrainer(tokenizer.Training{Kind: "unigram", Size: size, MinCount: 2, Threads: 1, Special: special, Apart: true})
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if err := trainer.Add(strings.TrimSpace(line)); err != nil {
			t.Fatal(err)
		}
	}
	file, _, err := trainer.Finish()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tokenizer.json")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func tokenizedPairs(t *testing.T, special ...string) config.Data {
	t.Helper()
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{"train.en": []byte(english), "train.de": []byte(german), "val.en": []byte("a wolf runs.\n"), "val.de": []byte("☃ rennt\n")})
	c := pairsConfig(filepath.Join(dir, "train"))
	c.Eval, c.Context, c.TargetContext = filepath.Join(dir, "val"), 12, 24
	c.Tokenizer = unigramOn(t, strings.Repeat(english+german, 5), 300, special...)
	return c
}

func TestPairsAreReadAsATokenizersTokens(t *testing.T) {
	c := tokenizedPairs(t, "<unk>", "</s>", "<pad>")
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	size := d.Lexicon.Len()
	if !strings.Contains(d.Read, "tokens are") && !strings.Contains(d.Read, "of a Unigram tokenizer") || d.Schema[0].Classes != size || d.Lexicon.End() != 1 || d.Lexicon.Start() != 2 {
		t.Errorf("read %s; %d tokens, end %d, start %d", d.Read, size, d.Lexicon.End(), d.Lexicon.Start())
	}
	var b Batch
	if err := d.Train.Read(&b, []int32{0}, rng.Key{}); err != nil {
		t.Fatal(err)
	}
	source, shifted, target := b.Columns[0].Ints[:b.Columns[0].Lengths[0]], b.Columns[1].Ints, b.Columns[2].Ints
	if source[len(source)-1] != 1 || d.Lexicon.Decode(source) != "a dog runs" {
		t.Errorf("the source is %v, %q", source, d.Lexicon.Decode(source))
	}
	n := slices.Index(target, 1)
	if n < 1 || d.Lexicon.Decode(target) != "ein Hund rennt" || shifted[0] != 2 || !slices.Equal(shifted[1:n+1], target[:n]) {
		t.Errorf("targets are %v behind %v", target, shifted)
	}
	for i := n + 1; i < len(target); i++ {
		if target[i] != -1 || shifted[i] != 2 {
			t.Errorf("behind the end are %d and %d", target[i], shifted[i])
		}
	}
	if err := d.Eval.Read(&b, []int32{0}, rng.Key{}); err != nil {
		t.Fatal(err)
	}
	if got := d.Lexicon.Decode(b.Columns[2].Ints[:slices.Index(b.Columns[2].Ints, 1)]); got != "☃ rennt" {
		t.Errorf("a character that training has not is %q", got)
	}
	// What a checkpoint keeps needs no file.
	other := c
	other.Tokenizer = filepath.Join(t.TempDir(), "gone.json")
	again, err := Recall(other, d.Describe())
	if err != nil || again.Schema.describe() != d.Schema.describe() || again.Lexicon.End() != 1 {
		t.Fatalf("recalled: %v", err)
	}
	tokens, err := again.Lexicon.Encode("a bird.")
	if err != nil || again.Lexicon.Decode(tokens) != "a bird." {
		t.Errorf("%v, %v", tokens, err)
	}
	like, err := OpenLike(other, d.Describe())
	if err != nil || like.Fingerprint != d.Fingerprint {
		t.Errorf("opened as described: %v", err)
	}
	folder := filepath.Join(t.TempDir(), "packed")
	if _, err := Pack(c, folder); err != nil {
		t.Fatal(err)
	}
	job, err := config.Parse("packed.yaml", fmt.Appendf(nil, "model: {kind: t5}\ndata: {kind: shards, path: %q}\n", folder), nil)
	if err == nil {
		err = Settle(job)
	}
	if err != nil {
		t.Fatal(err)
	}
	shards, err := Open(job.Data)
	if err != nil || shards.Lexicon.End() != 1 || shards.Train.Len() != 3 {
		t.Errorf("packed: %v", err)
	}
}

func TestAnotherTokenizerOfPairsIsAnotherFingerprint(t *testing.T) {
	c := tokenizedPairs(t, "<pad>", "</s>")
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	c.Tokenizer = unigramOn(t, strings.Repeat(english, 5), 290, "<pad>", "</s>")
	other, err := Open(c)
	if err != nil || other.Fingerprint == d.Fingerprint {
		t.Errorf("%v", err)
	}
}

func TestTokenizersWithoutWhatPairsNeedAreRefused(t *testing.T) {
	for want, special := range map[string][]string{
		"no token for an end of texts (</s>, <|endoftext|>, <eos>, [SEP]), which pairs need": {"<pad>"},
		"no token for padding (<pad>, [PAD], <|pad|>), which pairs need":                     {"</s>"},
	} {
		_, err := Open(tokenizedPairs(t, special...))
		var key *config.KeyError
		if !errors.As(err, &key) || key.Key != "data.tokenizer" || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", special, err)
		}
	}
	c := tokenizedPairs(t, "<pad>", "</s>")
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, described := range []string{
		strings.Replace(string(d.Describe()), `"tokenizer":"`, `"tokenizer":"AAAA`, 1),
		strings.Replace(string(d.Describe()), `"tokenizer":"`, `"words":["x"],"tokenizer":"`, 1),
	} {
		if _, err := Recall(c, []byte(described)); err == nil || !strings.Contains(err.Error(), "tokenizer") {
			t.Errorf("%v", err)
		}
	}
}

// TestBatchesAreSortedByLength keeps the samples of each global batch, and sorts them; equally long ones stay in their order.
func TestBatchesAreSortedByLength(t *testing.T) {
	c := tokenizedPairs(t, "<pad>", "</s>")
	c.ByLength = true
	text := strings.Repeat("a\na dog\na dog runs\ncat, a dog\nno\n", 5)
	writeFiles(t, filepath.Dir(c.Train), map[string][]byte{"train.en": []byte(text), "train.de": []byte(text)})
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range d.Schema {
		if !f.Trimmed {
			t.Errorf("%s is not trimmed", f.Name)
		}
	}
	plain, sorted := d.Sampler(1, 3), d.Sampler(1, 3)
	d.SortBatches(sorted, 4)
	if slices.Equal(plain.samples, sorted.samples) {
		t.Error("sorting changes nothing")
	}
	for begin := 0; begin < 25; begin += 4 {
		a, b := plain.samples[begin:min(begin+4, 25)], sorted.samples[begin:min(begin+4, 25)]
		if !slices.IsSortedFunc(b, func(x, y int32) int { return int(d.lengths[x] - d.lengths[y]) }) {
			t.Errorf("samples %v have lengths that do not ascend", b)
		}
		for i := 1; i < len(b); i++ {
			if d.lengths[b[i]] == d.lengths[b[i-1]] && slices.Index(a, b[i]) < slices.Index(a, b[i-1]) {
				t.Errorf("%v becomes %v", a, b)
			}
		}
		a, b = slices.Clone(a), slices.Clone(b)
		slices.Sort(a)
		slices.Sort(b)
		if !slices.Equal(a, b) {
			t.Errorf("a batch of %v becomes %v", a, b)
		}
	}
	if _, err := Pack(c, filepath.Join(t.TempDir(), "packed")); err == nil || !strings.Contains(err.Error(), "data.by_length") {
		t.Errorf("%v", err)
	}
}
