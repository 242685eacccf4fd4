package tokenizer

import (
	"path/filepath"
	"slices"
	"testing"
)

// TestFrameIsTheTemplate frames tokens, and compares them with what Encode, which is compared with the tokenizers library, makes of the texts.
func TestFrameIsTheTemplate(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	framed := 0
	for _, path := range files {
		k, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		k.truncate, k.pad = nil, nil
		for _, texts := range [][]string{{"the cat sat"}, {"the cat", "on a mat"}} {
			want, err := k.encode(texts, Options{Special: true})
			if err != nil {
				t.Fatal(err)
			}
			var tokens [][]int32
			total := 0
			for _, text := range texts {
				ids, err := k.AppendIDs(nil, text)
				if err != nil {
					t.Fatal(err)
				}
				tokens, total = append(tokens, ids), total+len(ids)
			}
			f := k.Frame(len(texts) == 2)
			ids, types := make([]int32, total+f.Added+3), make([]int32, total+f.Added+3)
			n := f.Fill(ids, types, tokens...)
			if !slices.Equal(ids[:n], want.IDs) || !slices.Equal(types[:n], want.Types) {
				t.Errorf("%s: %v of segments %v, want %v of %v", path, ids[:n], types[:n], want.IDs, want.Types)
			}
			if f.Added > 0 {
				framed++
			}
		}
	}
	if framed < 4 {
		t.Errorf("%d of the templates add a token", framed)
	}
}

// TestFrameCutsTheLonger cuts as the library's longest_first does.
func TestFrameCutsTheLonger(t *testing.T) {
	k, err := Open("testdata/bert.json")
	if err != nil {
		t.Fatal(err)
	}
	one, pair := k.Frame(false), k.Frame(true)
	long, short := []int32{11, 12, 13, 14, 15, 16}, []int32{21, 22}
	cls, sep := one.Slots[0].ID, one.Slots[2].ID
	for _, c := range []struct {
		frame Frame
		size  int
		texts [][]int32
		want  []int32
	}{
		{one, 8, [][]int32{long}, []int32{cls, 11, 12, 13, 14, 15, 16, sep}},
		{one, 5, [][]int32{long}, []int32{cls, 11, 12, 13, sep}},
		{pair, 9, [][]int32{long, short}, []int32{cls, 11, 12, 13, 14, sep, 21, 22, sep}},
		{pair, 9, [][]int32{short, long}, []int32{cls, 21, 22, sep, 11, 12, 13, 14, sep}},
		{pair, 8, [][]int32{long, long}, []int32{cls, 11, 12, sep, 11, 12, 13, sep}},
	} {
		ids := make([]int32, c.size)
		if n := c.frame.Fill(ids, nil, c.texts...); !slices.Equal(ids[:n], c.want) {
			t.Errorf("%v in %d: %v, want %v", c.texts, c.size, ids[:n], c.want)
		}
	}
}
