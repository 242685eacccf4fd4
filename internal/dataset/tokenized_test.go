package dataset

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
	"ringmaster/internal/tokenizer"
)

// tokenizerOn trains a tokenizer on a text and returns its file.
func tokenizerOn(t *testing.T, text string, size int) string {
	t.Helper()
	trainer, err := tokenizer.NewTrainer(tokenizer.Training{Kind: "bpe", Size: size, MinCount: 2, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := trainer.Add(text); err != nil {
		t.Fatal(err)
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

const verses = "the cat sat on the mat\nand the dog sat on the cat\nélan ☃ is seen by the dog\n"

func TestTextIsReadAsATokenizersTokens(t *testing.T) {
	text := strings.Repeat(verses, 60)
	path := tokenizerOn(t, text, 280)
	c := config.Data{Kind: config.DataText, Dir: writeText(t, []byte(text)), Context: 8, Tokenizer: path}
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if d.Schema[0].Classes != 280 || !strings.Contains(d.Read, "tokens are the 280 of a BPE tokenizer") {
		t.Errorf("%+v; read %s", d.Schema, d.Read)
	}
	var b Batch
	if err := d.Train.Read(&b, []int32{0, 1}, rng.Key{}); err != nil {
		t.Fatal(err)
	}
	inputs, targets := b.Columns[0].Ints, b.Columns[1].Ints
	if got := d.Vocabulary.Decode(inputs); !strings.HasPrefix(text, got) || len(got) < 16 {
		t.Errorf("the first two windows are %q", got)
	}
	if !slices.Equal(inputs[1:], targets[:len(targets)-1]) {
		t.Errorf("%v are followed by %v", inputs, targets)
	}
	// What a checkpoint keeps is enough to read a prompt and to write an answer.
	again, err := Recall(c, d.Describe())
	if err != nil {
		t.Fatal(err)
	}
	prompt, err := again.Vocabulary.Encode("the dog ☃")
	if err != nil || again.Vocabulary.Decode(prompt) != "the dog ☃" || again.Vocabulary.Len() != 280 {
		t.Errorf("%v, %v", prompt, err)
	}
	// Other text is read with the tokens of the model's.
	other := c
	other.Dir, other.Tokenizer = writeText(t, []byte(strings.Repeat("a mat is seen\n", 60))), ""
	like, err := OpenLike(other, d.Describe())
	if err != nil || like.Schema[0].Classes != 280 {
		t.Errorf("%v, %v", like, err)
	}
}

func TestATokenizersDigestIsPartOfTheFingerprint(t *testing.T) {
	text := strings.Repeat(verses, 60)
	dir := writeText(t, []byte(text))
	path := tokenizerOn(t, text, 280)
	fingerprint := func(tokenizer string, mask float64) [32]byte {
		t.Helper()
		d, err := Open(config.Data{Kind: config.DataText, Dir: dir, Context: 8, Tokenizer: tokenizer, Mask: mask})
		if err != nil {
			t.Fatal(err)
		}
		return d.Fingerprint
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, longer := filepath.Join(t.TempDir(), "t.json"), filepath.Join(t.TempDir(), "u.json")
	if err := errors.Join(os.WriteFile(elsewhere, file, 0o600), os.WriteFile(longer, append(file, '\n'), 0o600)); err != nil {
		t.Fatal(err)
	}
	whole := fingerprint(path, 0)
	if fingerprint(elsewhere, 0) != whole || fingerprint(path, 0.15) != whole {
		t.Error("the same file at another place, or hidden tokens, give another fingerprint")
	}
	for what, tokenizer := range map[string]string{"no tokenizer": "", "another one": tokenizerOn(t, text, 270), "one whose file differs by a blank": longer} {
		if fingerprint(tokenizer, 0) == whole {
			t.Errorf("%s gives the same fingerprint", what)
		}
	}
}

func TestGPT2sTokenizerTravelsInCheckpoints(t *testing.T) {
	const shared = "../../../shared/data"
	if _, err := os.Stat(shared); err != nil {
		t.Skipf("the shared data are not here: %v", err)
	}
	c := config.Data{Kind: config.DataText, Dir: writeText(t, []byte(strings.Repeat(verses, 60))), Context: 8, Tokenizer: filepath.Join(shared, "tokenizers", "gpt2_encoder.json")}
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Recall(c, d.Describe())
	if err != nil || again.Vocabulary.Len() != 50257 {
		t.Fatal(err)
	}
	if ids, err := again.Vocabulary.Encode("Hello world"); err != nil || !slices.Equal(ids, []int32{15496, 995}) {
		t.Errorf("%v, %v", ids, err)
	}
}

func TestBadTokenizersOfTextAreRefused(t *testing.T) {
	text := strings.Repeat(verses, 60)
	c := config.Data{Kind: config.DataText, Dir: writeText(t, []byte(text)), Context: 8, Tokenizer: filepath.Join(t.TempDir(), "no.json")}
	_, err := Open(c)
	var key *config.KeyError
	if !errors.As(err, &key) || key.Key != "data.tokenizer" || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("%v", err)
	}
	c.Tokenizer = tokenizerOn(t, text, 280)
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	described := strings.Replace(string(d.Describe()), `"tokenizer":"`, `"tokenizer":"AAAA`, 1)
	if _, err := Recall(c, []byte(described)); err == nil || !strings.Contains(err.Error(), "packed tokenizer") {
		t.Errorf("%v", err)
	}
}

// TestTokenizedTextIsPacked packs a text that is read as a tokenizer's tokens: the set has its fingerprint, windows and vocabulary, without the tokenizer's file.
func TestTokenizedTextIsPacked(t *testing.T) {
	text := strings.Repeat(verses, 3000) // more than a leaf of tokens
	c := config.Data{Kind: config.DataText, Dir: writeText(t, []byte(text)), Context: 8, Encoding: config.EncodingUTF8, MemoryMiB: 1, Tokenizer: tokenizerOn(t, text, 280)}
	out := filepath.Join(t.TempDir(), "out")
	d, err := Pack(c, out)
	if err != nil {
		t.Fatal(err)
	}
	read := c
	read.Dir, read.Tokenizer, read.Path, read.MemoryMiB = "", "", out, 0
	again, err := Open(read)
	if err != nil || again.Fingerprint != d.Fingerprint || again.Vocabulary.Len() != 280 || len(again.Files) != len(d.Files) {
		t.Fatalf("%v, files %v, of the text %v", err, again.Files, d.Files)
	}
	named := read
	for tokenizer, want := range map[string]string{c.Tokenizer: "", tokenizerOn(t, text, 270): "data.tokenizer: the set in " + out + " was packed with another one"} {
		named.Tokenizer = tokenizer
		if _, err := Open(named); (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("with a tokenizer named: %v, want %q", err, want)
		}
	}
	if d.Train.Len() < leafTokens/8 {
		t.Errorf("only %d windows", d.Train.Len())
	}
	var want, got Batch
	for _, window := range []int32{0, 7, leafTokens/8 - 1, leafTokens / 8, int32(d.Train.Len() - 1)} {
		if err := d.Train.Read(&want, []int32{window}, rng.Key{}); err != nil {
			t.Fatal(err)
		}
		if err := again.Train.Read(&got, []int32{window}, rng.Key{}); err != nil || !slices.Equal(got.Columns[0].Ints, want.Columns[0].Ints) || !slices.Equal(got.Columns[1].Ints, want.Columns[1].Ints) {
			t.Errorf("window %d is another one, %v", window, err)
		}
	}
}
