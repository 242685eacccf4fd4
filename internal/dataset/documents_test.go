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
)

// TestDocumentsAreDivided divides a text in each way and reads the whole of it window by window.
func TestDocumentsAreDivided(t *testing.T) {
	for _, c := range []struct {
		by, text string
		files    bool
		want     []string // the documents
	}{
		{config.DocumentsBlankLines, "ab\nc\n\n \nd\n\nee\n", false, []string{"ab\nc\n\n \n", "d\n\n", "ee\n"}},
		{config.DocumentsLines, "ab\nc\n\nd", false, []string{"ab\n", "c\n", "\n", "d"}},
		{"|", "ab|c||d\ne", false, []string{"ab|", "c|", "|", "d\ne"}},
		{config.DocumentsFiles, "ab\n;c;d\n\nee\n", true, []string{"ab\n", "c", "d\n\nee\n"}},
	} {
		for _, tokenizer := range []string{"", tokenizerOn(t, "ab|c\nd e\n", 257)} {
			text, repeats := c.text, 40
			config := config.Data{Kind: config.DataText, Context: 4, Documents: c.by, Tokenizer: tokenizer}
			if c.files {
				config.Dir = t.TempDir()
				for i := range repeats {
					for k, part := range strings.Split(text, ";") {
						if err := os.WriteFile(filepath.Join(config.Dir, string(rune('a'+i/8))+string(rune('a'+i%8))+string(rune('0'+k))), []byte(part), 0o600); err != nil {
							t.Fatal(err)
						}
					}
				}
			} else {
				if c.by == "|" {
					text += "|"
				} else {
					text = strings.TrimRight(text, "\n") + "\n\n"
				}
				config.Dir = writeText(t, []byte(strings.Repeat(text, repeats)))
			}
			d, err := Open(config)
			if err != nil {
				t.Errorf("%s: %v", c.by, err)
				continue
			}
			checkDocuments(t, d)
			if again, err := Recall(config, d.Describe()); err != nil || len(again.Schema) != 3 {
				t.Errorf("%s: recalled %v", c.by, err)
			}
		}
	}
}

// checkDocuments reads windows of the training text in every shift, and compares their places with the borders that the text itself shows.
func checkDocuments(t *testing.T, d *Data) {
	t.Helper()
	w := windowsOf(d.Train)
	if s := d.Schema; len(s) != 3 || s[1].Name != WindowPlaces || s[0].Width() != 4 || len(w.starts) < 60 {
		t.Fatalf("schema %v, %d documents", s, len(w.starts))
	}
	begins := map[int]bool{}
	for _, at := range w.starts {
		begins[int(at)] = true
	}
	var b Batch
	for number := range w.count * w.shifts {
		if err := d.Train.Read(&b, []int32{int32(number)}, rng.Key{}); err != nil {
			t.Fatal(err)
		}
		begin, place := number/w.count+number%w.count*4, -1
		for i := range 5 {
			if place++; begins[begin+i] {
				place = 0
			}
			if i < 4 && int(b.Columns[1].Ints[i]) != place {
				t.Fatalf("window %d has places %v", number, b.Columns[1].Ints)
			}
			if next := b.Columns[2].Ints; i > 0 && (next[i-1] < 0) != begins[begin+i] {
				t.Fatalf("window %d, whose places are %v, has targets %v", number, b.Columns[1].Ints, next)
			}
		}
	}
}

// TestBordersOfDocuments finds the documents of a text.
func TestBordersOfDocuments(t *testing.T) {
	for _, c := range []struct {
		by, text string
		want     []string
	}{
		{config.DocumentsBlankLines, "\nab\nc\n\n \nd\n\nee", []string{"\n", "ab\nc\n\n \n", "d\n\n", "ee"}},
		{config.DocumentsLines, "ab\nc\n\nd", []string{"ab\n", "c\n", "\n", "d"}},
		{config.DocumentsFiles, "abc", []string{"a", "bc"}},
		{"|", "ab|c", []string{"ab|c"}},
	} {
		var parts []string
		from := 0
		for _, at := range append(borders(config.Data{Documents: c.by}, []byte(c.text), []int{1}), len(c.text)) {
			parts, from = append(parts, c.text[from:at]), at
		}
		if !slices.Equal(parts, c.want) {
			t.Errorf("%s: %q, want %q", c.by, parts, c.want)
		}
	}
}

func TestDocumentsCount(t *testing.T) {
	text := []byte(strings.Repeat("ab ab\n\n", 40))
	fingerprint := func(by string) [32]byte {
		d, err := Open(config.Data{Kind: config.DataText, Dir: writeText(t, text), Context: 4, Documents: by})
		if err != nil {
			t.Fatal(err)
		}
		return d.Fingerprint
	}
	if fingerprint(config.DocumentsLines) == fingerprint(config.DocumentsBlankLines) {
		t.Error("other documents have the same fingerprint")
	}
	for by, want := range map[string]string{
		"end":                 `data.documents: end is neither files, blank_lines nor lines, nor a token of the vocabulary`,
		config.DocumentsFiles: `data.documents: the text is a single document by files`,
	} {
		_, err := Open(config.Data{Kind: config.DataText, Dir: writeText(t, text), Context: 4, Documents: by})
		var key *config.KeyError
		if !errors.As(err, &key) || key.Key != "data.documents" || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", by, err)
		}
	}
}
