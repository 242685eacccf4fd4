package tokenizer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the files that training is to give; then run testdata/record.py")

// trained trains on lines.
func trained(t testing.TB, o Training, lines []string) []byte {
	t.Helper()
	tr, err := NewTrainer(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if err := tr.Add(line + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	file, _, err := tr.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// loaded reads a tokenizer.json from memory.
func loaded(t testing.TB, file []byte) *Tokenizer {
	t.Helper()
	tok, err := readTokenizer("tokenizer.json", file)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestTrainedPairsAreThoseOfTheTokenizersLibrary(t *testing.T) {
	want := goldens(t, "golden.json.gz")["trained"].Fuzzed[0]
	tok := loaded(t, trained(t, Training{Kind: "bpe", Size: 1500, MinCount: 2, Special: []string{"<s>", "<pad>"}, Threads: 2}, fuzzed(2000, 9)))
	m := tok.model.(*bpe)
	learned := slices.Clone(m.tokens)
	merges := make([]string, len(m.merges))
	for key, merge := range m.merges {
		merges[merge.rank] = m.tokens[key>>32] + " " + m.tokens[uint32(key)]
	}
	sum := sha256.Sum256([]byte(strings.Join(append(learned, merges...), "\n")))
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("%d tokens and %d merges of digest %s, want %s", len(m.tokens), len(merges), got, want)
	}
}

// The files are those that testdata has, whatever the order of the lines and the number of threads; record.py gives what the tokenizers
// library makes of them.
func TestTrainingGivesTheSameFile(t *testing.T) {
	lines := fuzzed(600, 11)
	for range 3 { // so that there are words that are worth a token
		lines = append(lines, "the quick brown fox jumps over the lazy dog, and the dog does not mind", "Zwei Hunde spielen im Schnee. Ein Mann sieht ihnen zu.")
	}
	turned := slices.Clone(lines)
	slices.Reverse(turned)
	for name, o := range map[string]Training{
		"trained_bpe.json":     {Kind: "bpe", Size: 700, MinCount: 2, Special: []string{"<s>", "</s>"}, Normalize: "nfc"},
		"trained_unigram.json": {Kind: "unigram", Size: 1500, Special: []string{"<pad>", "</s>"}, Normalize: "nfkc"},
	} {
		path := filepath.Join("testdata", name)
		o.Threads = 1
		file := trained(t, o, lines)
		if *rewrite {
			if err := os.WriteFile(path, file, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want := content(t, path); !bytes.Equal(file, want) {
			t.Errorf("%s: the file differs", name)
		}
		for _, threads := range []int{2, 5} {
			o.Threads = threads
			if again := trained(t, o, turned); !bytes.Equal(file, again) {
				t.Errorf("%s: %d threads and another order of the lines give another file", name, threads)
			}
		}
	}
}

// What was trained writes every text, also one with characters that were never seen, and reads it again.
func TestTrainedTokenizersLoseNothing(t *testing.T) {
	lines := fuzzed(300, 12)
	for _, kind := range []string{"bpe", "unigram"} {
		tok := loaded(t, trained(t, Training{Kind: kind, Size: 1400, Threads: 2}, lines[:150]))
		for _, line := range lines {
			if kind == "unigram" && (strings.HasPrefix(line, " ") || strings.Contains(line, spaceMark) || strings.Contains(line, "<0x") || strings.Contains(line, "<unk>")) {
				continue // a space before the text is not kept, and marks and the names of tokens are not told from what they stand for
			}
			ids, err := tok.AppendIDs(nil, line)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := tok.Decode(ids, false); err != nil || got != line {
				t.Errorf("%s: %q comes back as %q, %v", kind, line, got, err)
			}
		}
	}
}

// Tokens of a Unigram model that was trained on real text are words and their parts.
func TestUnigramLearnsWords(t *testing.T) {
	lines := strings.Repeat("The dog sees the cat. The cats see the dogs. A dog and a cat play. Seeing is believing. ", 40)
	tok := loaded(t, trained(t, Training{Kind: "unigram", Size: 320, Threads: 2}, []string{lines}))
	ids, err := tok.AppendIDs(nil, "The cat sees the dog.")
	if err != nil {
		t.Fatal(err)
	}
	var tokens []string
	for _, id := range ids {
		token, _ := tok.Token(id)
		tokens = append(tokens, token)
	}
	if len(tokens) > 9 || !slices.Contains(tokens, "▁the") {
		t.Errorf("%q", tokens)
	}
}

// TestTrainedTemplates frames texts by the templates that training writes. The ids are those that the tokenizers library gives.
func TestTrainedTemplates(t *testing.T) {
	lines := []string{"abab abab", "abab"}
	bert := loaded(t, trained(t, Training{Kind: "bpe", Size: 270, Template: "bert", Special: []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}}, lines))
	t5 := loaded(t, trained(t, Training{Kind: "unigram", Size: 262, Template: "t5", Special: []string{"<pad>", "</s>"}}, lines))
	abab, ok := bert.ID("abab")
	pieces, err := t5.AppendIDs(nil, "abab")
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	check := func(e *Encoding, err error, ids, types []int32) {
		t.Helper()
		if err != nil || !slices.Equal(e.IDs, ids) || !slices.Equal(e.Types, types) {
			t.Errorf("%+v, %v; want %v of segments %v", e, err, ids, types)
		}
	}
	e, err := bert.Encode("abab [MASK]", Options{Special: true})
	check(e, err, []int32{2, abab, 4, 3}, []int32{0, 0, 0, 0})
	e, err = bert.EncodePair("abab", "abab", Options{Special: true})
	check(e, err, []int32{2, abab, 3, abab, 3}, []int32{0, 0, 0, 1, 1})
	e, err = t5.Encode("abab", Options{Special: true})
	check(e, err, append(slices.Clone(pieces), 1), make([]int32, len(pieces)+1))
}

func TestTrainingSaysWhatIsWrong(t *testing.T) {
	for want, o := range map[string]Training{
		"kind words is not implemented":                      {Kind: "words", Size: 1000},
		"a vocabulary of 200 tokens is out of bounds":        {Kind: "bpe", Size: 200},
		"a vocabulary of 2000000 tokens is out of bounds":    {Kind: "bpe", Size: 2000000},
		`special token <s> is empty, not UTF-8, or there`:    {Kind: "bpe", Size: 1000, Special: []string{"<s>", "<s>"}},
		"special token a is one character, which is a token": {Kind: "bpe", Size: 1000, Special: []string{"a"}},
		"there is no template gpt; there are bert and t5":    {Kind: "bpe", Size: 1000, Template: "gpt"},
		"the template t5 puts </s> beside a text, which is":  {Kind: "bpe", Size: 1000, Template: "t5", Special: []string{"<pad>"}},
		"normalizer nfx is not implemented":                  {Kind: "bpe", Size: 1000, Normalize: "nfx"},
	} {
		if _, err := NewTrainer(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
	tr, err := NewTrainer(Training{Kind: "unigram", Size: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Add("a\xff"); err == nil || err.Error() != "the text is not UTF-8: byte 0xff at offset 1" {
		t.Errorf("%v", err)
	}
	if _, _, err := tr.Finish(); err == nil || !strings.Contains(err.Error(), "the texts are empty") {
		t.Errorf("%v", err)
	}
}
