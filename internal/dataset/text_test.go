package dataset

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ringmaster/internal/config"
	"ringmaster/internal/printable"
	"ringmaster/internal/rng"
)

func writeText(t *testing.T, text []byte) string {
	t.Helper()
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{"input.txt": text})
	return filepath.Join(dir, "input.txt")
}

// TestShakespeare has the figures that nanoGPT's preparation of this file prints.
func TestShakespeare(t *testing.T) {
	const dir = "../../../shared/data/tinyshakespeare"
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the text is not at %s", dir)
	}
	d, err := Open(config.Data{Kind: config.DataText, Dir: dir, Context: 64})
	if err != nil {
		t.Fatal(err)
	}
	train, eval := windowsOf(d.Train), windowsOf(d.Eval)
	if train.text.len() != 1003854 || eval.text.len() != 111540 || d.Schema[1].Classes != 65 {
		t.Errorf("%d and %d tokens of %d", train.text.len(), eval.text.len(), d.Schema[1].Classes)
	}
	if got := d.Vocabulary.Characters(); !strings.HasPrefix(got, "\n !$&',-.3:;?ABC") || !strings.HasSuffix(got, "xyz") {
		t.Errorf("characters are %q", got)
	}
	var b Batch
	d.Train.Read(&b, []int32{0}, rng.Key{})
	if got := d.Vocabulary.Decode(b.tokens()[:14]); got != "First Citizen:" {
		t.Errorf("the text begins %q", got)
	}
	if train.count != (1003854-64)/64 || eval.count != (111540-1)/64 {
		t.Errorf("%d and %d windows", train.count, eval.count)
	}
	one, err := Open(config.Data{Kind: config.DataText, Dir: filepath.Join(dir, "input.txt"), Context: 64})
	if err != nil || one.Fingerprint != d.Fingerprint {
		t.Errorf("the file alone is other data than its folder: %v", err)
	}
}

// It shows for any epoch's shift that the windows of a pass are adjacent, that targets are the tokens
// after, and that the shift stays within a window.
func TestWindowsLieSideBySideWhateverTheShift(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		context := rapid.IntRange(1, 9).Draw(t, "context")
		tokens := make([]byte, rapid.IntRange(2*context, 100).Draw(t, "tokens"))
		for i := range tokens {
			tokens[i] = byte(i)
		}
		w := trainingWindows(textSchema(context, &Vocabulary{}), memoryTokens(tokens))
		d := textOf(t, w)
		seed, epoch := rapid.Uint64().Draw(t, "seed"), rapid.Uint64Max(5).Draw(t, "epoch")
		o := d.Sampler(seed, epoch)
		numbers := make([]int32, 0, o.Len())
		for i := range o.Len() {
			numbers = append(numbers, int32(o.At(i)))
		}
		slices.Sort(numbers)
		var b Batch
		d.Train.Read(&b, numbers, rng.Key{})
		first := int(b.tokens()[0])
		if first >= context {
			t.Fatalf("windows begin at %d", first)
		}
		for i, token := range b.tokens() {
			if int(token) != first+i || int(b.targets()[i]) != first+i+1 {
				t.Fatalf("token %d is %d, its target %d", i, token, b.targets()[i])
			}
		}
		if rest := len(tokens) - 1 - first - len(b.tokens()); rest >= 2*context {
			t.Fatalf("%d tokens are left out", rest)
		}
	})
}

func TestShiftsVary(t *testing.T) {
	w := &windows{schema: textSchema(8, &Vocabulary{}), text: memoryTokens(make([]byte, 100)), count: 11, shifts: 8}
	d, seen := textOf(t, w), map[int32]bool{}
	for epoch := range uint64(100) {
		seen[d.Sampler(7, epoch).shift/11] = true
	}
	if len(seen) != 8 {
		t.Errorf("%d of 8 shifts occur in 100 epochs", len(seen))
	}
	o := d.Sampler(7, 3)
	if o.Reset(7, 3); o.shift != 0 || !slices.Equal(o.samples, NewSampler(7, 3, 11).samples) {
		t.Error("Reset leaves a shift")
	}
}

func TestVocabulary(t *testing.T) {
	for name, c := range map[string]struct {
		text       string
		characters string
	}{
		"letters": {"banana!", "!abn"},
		"accents": {"über häßlich", " bcehilrßäü"},
		"latin 1": {"\xfcber", ""},
		"many":    {string(manyRunes(257)), ""},
		"most":    {string(manyRunes(256)), string(manyRunes(256))},
	} {
		v := vocabularyOf([]byte(c.text))
		if v.Characters() != c.characters {
			t.Errorf("%s: characters are %q", name, v.Characters())
		}
		tokens, err := v.Encode(c.text)
		if err != nil || v.Decode(tokens) != c.text {
			t.Errorf("%s: %v decodes to %q (%v)", name, tokens, v.Decode(tokens), err)
		}
		all, err := v.encodeAll([]byte(c.text))
		if err != nil {
			t.Fatal(err)
		}
		for i, token := range tokens {
			if int32(all[i]) != token || int(token) >= v.Len() {
				t.Fatalf("%s: token %d is %d by one way and %d by the other", name, i, token, all[i])
			}
		}
		if len(all) != len(tokens) {
			t.Errorf("%s: %d tokens and %d", name, len(all), len(tokens))
		}
		if again, err := NewVocabulary(v.Characters()); err != nil || again.Len() != v.Len() {
			t.Errorf("%s: made again from its characters it has %d tokens (%v)", name, again.Len(), err)
		}
	}
	v := vocabularyOf([]byte("abc"))
	if _, err := v.Encode("cab driver"); err == nil || !strings.Contains(err.Error(), `' ' at byte 3`) {
		t.Errorf("error is %v", err)
	}
	if got := v.Decode([]int32{0, -1, 3, 2}); got != "a\uFFFD\uFFFDc" {
		t.Errorf("decoded %q", got)
	}
	for _, wrong := range []string{"ba", "aa", "a\xff", string(manyRunes(257))} {
		if _, err := NewVocabulary(wrong); err == nil {
			t.Errorf("a vocabulary was made of %q", printable.Short(wrong, maxList))
		}
	}
}

// manyRunes is n ascending characters.
func manyRunes(n int) []rune {
	runes := make([]rune, n)
	for i := range runes {
		runes[i] = rune(' ' + i)
	}
	return runes
}

func TestTextFolder(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{
		"b.txt": bytes.Repeat([]byte("2"), 50), "a/z.go": bytes.Repeat([]byte("1"), 50), "c/empty": nil, "c/binary": []byte("9\x009"),
		".hidden": []byte("9"), ".git/x": []byte("9"), "c/last": bytes.Repeat([]byte("3"), 50),
	})
	if err := os.Symlink(filepath.Join(dir, "b.txt"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	d, err := Open(config.Data{Kind: config.DataText, Dir: dir, Context: 3, LeftOut: 0.25})
	if err != nil {
		t.Fatal(err)
	}
	train, eval := windowsOf(d.Train).text.(memoryTokens), windowsOf(d.Eval).text.(memoryTokens)
	all := append(slices.Clone(train), eval...)
	want := append(append(make([]byte, 50), bytes.Repeat([]byte{1}, 50)...), bytes.Repeat([]byte{2}, 50)...)
	if !bytes.Equal(all, want) || len(train) != 135 || d.Vocabulary.Characters() != "123" {
		t.Errorf("%d tokens, characters %q", len(all), d.Vocabulary.Characters())
	}
	var names []string
	for _, f := range d.Files {
		names = append(names, f.Path)
	}
	if !slices.Equal(names, []string{"a/z.go", "b.txt", "c/last"}) {
		t.Errorf("files are %v", names)
	}
}

func TestTextRefused(t *testing.T) {
	empty := t.TempDir()
	for at, want := range map[string]string{
		filepath.Join(empty, "absent"): "does not exist: set data.dir",
		empty:                          "has no text files",
		writeText(t, []byte(strings.Repeat("x", 160))): "has 160 tokens, too few for windows of 16: it takes 161",
		writeText(t, nil): "has 0 tokens, too few",
		writeText(t, []byte(strings.Repeat("x", 200)+"\x00")): "is binary: it has a zero byte at offset 200; set data.dir",
		filepath.Dir(writeText(t, make([]byte, 500))):         "has no text files (left out: 1 that are binary (",
	} {
		if _, err := Open(config.Data{Kind: config.DataText, Dir: at, Context: 16, LeftOut: 1}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want ... %s", at, err, want)
		}
	}
	if _, err := Open(config.Data{Kind: config.DataText, Dir: writeText(t, []byte(strings.Repeat("x", 161))), Context: 16}); err != nil {
		t.Errorf("161 tokens are refused: %v", err)
	}
	if _, err := Open(config.Data{Kind: "poetry"}); err == nil || !strings.Contains(err.Error(), `"poetry"`) {
		t.Errorf("an unknown kind: %v", err)
	}
}

func TestWindowsReadAllocatesNothing(t *testing.T) {
	w := textOf(t, &windows{schema: textSchema(8, &Vocabulary{}), text: memoryTokens(make([]byte, 100)), count: 11, shifts: 8}).Train
	var b Batch
	w.Read(&b, []int32{0, 1, 2}, rng.Key{})
	indices := []int32{87, 5}
	if n := testing.AllocsPerRun(100, func() { w.Read(&b, indices, rng.Key{}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	defer func() {
		if recover() == nil {
			t.Error("window 88 of 88 was read")
		}
	}()
	w.Read(&b, []int32{88}, rng.Key{})
}
