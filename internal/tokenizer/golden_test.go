package tokenizer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// recorded is what other libraries gave for one tokenizer (testdata/record.py): digests of the ids and offsets of chunks of lines, and
// a few lines whole.
type recorded struct {
	Texts, Fuzzed []string
	Whole         []struct {
		Text           string
		IDs            []int32
		Offsets        [][2]int
		Tokens         []string
		Decoded, Plain string
	}
	Pairs []struct {
		IDs           []int32
		Offsets       [][2]int
		Types         []int32
		Single        []int32
		SingleOffsets [][2]int
	}
}

func goldens(t testing.TB, name string) map[string]recorded {
	t.Helper()
	var all map[string]recorded
	if err := json.Unmarshal(content(t, filepath.Join("testdata", name)), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// opened opens a tokenizer of testdata, which may be compressed.
func opened(t testing.TB, name string) *Tokenizer {
	t.Helper()
	path := filepath.Join("testdata", name)
	if plain, compressed := strings.CutSuffix(name, ".gz"); compressed {
		text := content(t, path)
		path = filepath.Join(t.TempDir(), plain)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tok, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestIDsOffsetsAndTextAreThoseOfOtherLibraries(t *testing.T) {
	for name, want := range goldens(t, "golden.json.gz") {
		if name == "trained" {
			continue // see TestTrainedPairsAreThoseOfTheTokenizersLibrary
		}
		t.Run(name, func(t *testing.T) {
			tok := opened(t, name)
			checkWhole(t, tok, want)
			checkPairs(t, tok, want)
			checkDigests(t, tok, fuzzed(4000, 1), want.Fuzzed)
		})
	}
}

func TestSharedTokenizersAgreeOnTwentyThousandLines(t *testing.T) {
	lines := texts(t)
	for name, want := range goldens(t, "golden_shared.json.gz") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			tok, err := Open(filepath.Join(shared, name))
			if err != nil {
				t.Fatal(err)
			}
			checkWhole(t, tok, want)
			checkDigests(t, tok, lines, want.Texts)
			checkDigests(t, tok, fuzzed(4000, 1), want.Fuzzed)
		})
	}
}

func checkWhole(t *testing.T, tok *Tokenizer, want recorded) {
	t.Helper()
	if len(want.Whole) == 0 {
		t.Fatal("nothing is recorded")
	}
	plain, _ := tok.model.(*sentencePiece)
	for _, w := range want.Whole {
		e, err := tok.encode([]string{w.Text}, Options{Details: true})
		if err != nil {
			t.Fatalf("%q: %v", w.Text, err)
		}
		if !slices.Equal(e.IDs, w.IDs) || !slices.Equal(e.Offsets, w.Offsets) || plain == nil && !slices.Equal(e.Tokens, w.Tokens) {
			t.Errorf("%q:\nids     %v\nwant    %v\noffsets %v\nwant    %v\ntokens  %q\nwant    %q", w.Text, e.IDs, w.IDs, e.Offsets, w.Offsets, e.Tokens, w.Tokens)
			return
		}
		ids, err := tok.AppendIDs(nil, w.Text)
		if err != nil || tok.pad == nil && tok.truncate == nil && !slices.Equal(ids, w.IDs) {
			t.Errorf("%q: AppendIDs gives %v, %v; want %v", w.Text, ids, err, w.IDs)
		}
		for skip, want := range map[bool]string{false: w.Decoded, true: w.Plain} {
			if got, err := tok.Decode(w.IDs, skip); err != nil || got != want {
				t.Errorf("%q: decoded, skipping special ones %v: %q, %v; want %q", w.Text, skip, got, err, want)
			}
		}
	}
}

func checkPairs(t *testing.T, tok *Tokenizer, want recorded) {
	t.Helper()
	for i, w := range want.Pairs {
		e, err := tok.EncodePair(want.Whole[i].Text, want.Whole[i+1].Text, Options{Special: true, Details: true})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(e.IDs, w.IDs) || !slices.Equal(e.Offsets, w.Offsets) || !slices.Equal(e.Types, w.Types) {
			t.Errorf("%q and %q:\nids     %v\nwant    %v\noffsets %v\nwant    %v\ntypes   %v\nwant    %v",
				want.Whole[i].Text, want.Whole[i+1].Text, e.IDs, w.IDs, e.Offsets, w.Offsets, e.Types, w.Types)
		}
		e, err = tok.Encode(want.Whole[i].Text, Options{Special: true, Details: true})
		if err != nil || !slices.Equal(e.IDs, w.Single) || !slices.Equal(e.Offsets, w.SingleOffsets) {
			t.Errorf("%q: %v %v, %v; want %v %v", want.Whole[i].Text, e.IDs, e.Offsets, err, w.Single, w.SingleOffsets)
		}
	}
}

// checkDigests compares the ids and offsets of lines by the digests of chunks of them.
func checkDigests(t *testing.T, tok *Tokenizer, lines, want []string) {
	t.Helper()
	chunk := len(lines) / len(want)
	bad := 0
	for i, digest := range want {
		sum := sha256.New()
		for _, line := range lines[i*chunk : (i+1)*chunk] {
			fmt.Fprintln(sum, written(t, tok, line))
		}
		if got := hex.EncodeToString(sum.Sum(nil))[:16]; got != digest {
			if bad++; bad < 4 {
				t.Errorf("lines %d to %d: digest %s, want %s", i*chunk, (i+1)*chunk-1, got, digest)
			}
		}
	}
	if bad > 0 {
		t.Errorf("%d of %d chunks differ", bad, len(want))
	}
}

// written is the record of a line: "id,id;from-to,from-to".
func written(t *testing.T, tok *Tokenizer, line string) string {
	e, err := tok.Encode(line, Options{Details: true})
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	var out []byte
	for i, id := range e.IDs {
		if i > 0 {
			out = append(out, ',')
		}
		out = fmt.Appendf(out, "%d", id)
	}
	out = append(out, ';')
	for i, o := range e.Offsets {
		if i > 0 {
			out = append(out, ',')
		}
		out = fmt.Appendf(out, "%d-%d", o[0], o[1])
	}
	return string(out)
}
