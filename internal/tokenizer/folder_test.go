package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/test/cost"
)

// recordedFolders are folders without tokenizer.json, and the ids that transformers gives by them (testdata/folders.py).
type recordedFolders struct {
	Lines   []string
	Folders map[string]struct {
		Files             map[string][]byte
		Tokens            int
		IDs, Plain, Pairs [][]int32
	}
}

func foldersOfOthers(t testing.TB) *recordedFolders {
	t.Helper()
	recorded := &recordedFolders{}
	if err := json.Unmarshal(content(t, filepath.Join("testdata", "folders.json.gz")), recorded); err != nil {
		t.Fatal(err)
	}
	return recorded
}

func folderOf(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A folder without tokenizer.json gives transformers' ids, and so does what a checkpoint keeps of it.
func TestFoldersWithoutTokenizerJSON(t *testing.T) {
	recorded := foldersOfOthers(t)
	if len(recorded.Folders) < 6 || len(recorded.Lines) < 100 {
		t.Fatalf("%d folders and %d lines are few", len(recorded.Folders), len(recorded.Lines))
	}
	for name, want := range recorded.Folders {
		t.Run(name, func(t *testing.T) {
			first, err := Open(folderOf(t, want.Files))
			if err != nil {
				t.Fatal(err)
			}
			again, err := Unpack(first.Pack())
			if err != nil || again.Digest() != first.Digest() {
				t.Fatal(err)
			}
			for _, tok := range []*Tokenizer{first, again} {
				if tok.Len() != want.Tokens {
					t.Errorf("%d tokens, want %d", tok.Len(), want.Tokens)
				}
				for i, line := range recorded.Lines {
					e, err := tok.Encode(line, Options{Special: true})
					if err != nil || !slices.Equal(e.IDs, want.IDs[i]) {
						t.Fatalf("%q: %v, %v\nwant %v", line, e.IDs, err, want.IDs[i])
					}
					if ids, err := tok.AppendIDs(nil, line); err != nil || !slices.Equal(ids, want.Plain[i]) {
						t.Fatalf("%q: %v, %v\nwant %v", line, ids, err, want.Plain[i])
					}
				}
				for i, ids := range want.Pairs {
					if ids == nil {
						continue // transformers takes a pair with nothing in it as one text
					}
					if e, err := tok.EncodePair(recorded.Lines[i], recorded.Lines[i+1], Options{Special: true}); err != nil || !slices.Equal(e.IDs, ids) {
						t.Fatalf("pair %d: %v, %v\nwant %v", i, e.IDs, err, ids)
					}
				}
			}
		})
	}
}

// What an export writes of a tokenizer, its files and settings, gives the same ids again.
func TestSettingsSayHowTextsAreRead(t *testing.T) {
	recorded := foldersOfOthers(t)
	for name, of := range recorded.Folders {
		tok, err := Open(folderOf(t, of.Files))
		if err != nil {
			t.Fatal(err)
		}
		settings, err := json.Marshal(tok.Settings())
		if err != nil {
			t.Fatal(err)
		}
		files := map[string][]byte{settingsName: settings}
		for _, f := range tok.Files() {
			files[f.Name] = f.Text
		}
		again, err := Open(folderOf(t, files))
		if err != nil {
			t.Fatalf("%s: %v in\n%s", name, err, settings)
		}
		for _, line := range recorded.Lines {
			a, errA := tok.Encode(line, Options{Special: true})
			b, errB := again.Encode(line, Options{Special: true})
			if errA != nil || errB != nil || !slices.Equal(a.IDs, b.IDs) || again.Len() != tok.Len() {
				t.Fatalf("%s: %q: %v, then %v\n%s", name, line, a.IDs, b.IDs, settings)
			}
		}
	}
	// A vocabulary with capitals is read as it is, which transformers does where it is told.
	cased, err := Open(filepath.Join(folderOf(t, map[string][]byte{"vocab.txt": []byte("[UNK]\nA\n")}), "vocab.txt"))
	if err != nil || cased.Settings()["do_lower_case"] != false {
		t.Errorf("%v, %v", cased.Settings(), err)
	}
}

// What a vocabulary's file alone says stays as it was: SentencePiece's ids, and the digest of a folder that says nothing beside it.
func TestFilesOfFoldersBySelf(t *testing.T) {
	recorded := foldersOfOthers(t)
	for _, test := range []struct {
		folder, file string
		same         bool
	}{{"t5", "spiece.model", false}, {"gpt2", "vocab.json", true}, {"bert, cased by its settings", "vocab.txt", false}} {
		dir := folderOf(t, recorded.Folders[test.folder].Files)
		whole, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		alone, err := Open(filepath.Join(dir, test.file))
		if err != nil || (alone.Digest() == whole.Digest()) != test.same {
			t.Errorf("%s: %v, one digest: %v", test.file, err, alone.Digest() == whole.Digest())
		}
	}
}

func TestBadFilesBesideVocabularies(t *testing.T) {
	recorded := foldersOfOthers(t)
	t5, gpt2, bert := recorded.Folders["t5"].Files, recorded.Folders["gpt2"].Files, recorded.Folders["bert, cased by its settings"].Files
	for _, test := range []struct {
		of         map[string][]byte
		name, text string
		want       string
	}{
		{bert, settingsName, `{"do_lower_case": 3}`, "tokenizer_config.json:1:19: true or false is wanted here, not 3"},
		{bert, settingsName, `{"do_lower_case": `, "tokenizer_config.json:1:18: not JSON"},
		{bert, settingsName, `[]`, "tokenizer_config.json:1:1: an object is wanted here, not a list"},
		{bert, settingsName, `{"a": 1, "a": 2}`, "key a is there twice"},
		{bert, settingsName, strings.Repeat("[", 100000), "exceeded max depth"},
		{bert, settingsName, `{"added_tokens_decoder": {"x": "a"}}`, "tokenizer_config.json:1:27: an id is wanted here, not x"},
		{bert, settingsName, `{"added_tokens_decoder": {"4000000000": "a"}}`, "an id is wanted here"},
		{bert, settingsName, `{"added_tokens_decoder": {"900": "a"}}`, "with what is said beside it: added token a has id 900, but the vocabulary gives it 30"},
		{bert, settingsName, `{"added_tokens_decoder": {"400": {"lstrip": true}}}`, "an added token has no content"},
		{bert, settingsName, `{"pad_token": ""}`, "an added token is empty"},
		{bert, "added_tokens.json", `{"a b": -1}`, "added_tokens.json:1:9: a whole number from 0 to 4194303 is wanted here, not -1"},
		{bert, "special_tokens_map.json", `{"pad_token": 1}`, "special_tokens_map.json:1:15: an object is wanted here, not a number"},
		{gpt2, settingsName, `{"add_bos_token": true}`, "add_bos_token is not implemented for a vocab.json; save the tokenizer as a tokenizer.json"},
		{t5, settingsName, `{"tokenizer_class": "T5Tokenizer", "extra_ids": 5000}`, "a whole number from 0 to 4096 is wanted here, not 5000"},
		{t5, "config.json", `{"model_type": 5}`, "config.json:1:16: a string is wanted here, not a number"},
		{t5, "spiece.model", string(content(t, "testdata/unigram.model")), "its piece for what is unknown has id 0, and a T5's has 2; save the tokenizer as a tokenizer.json"},
		{t5, "spiece.model", string(content(t, "testdata/bpe.model")), "it is a BPE, and a T5's is a Unigram"},
	} {
		files := map[string][]byte{test.name: []byte(test.text)}
		for name, text := range test.of {
			if files[name] == nil && (name != settingsName) {
				files[name] = text
			}
		}
		if _, err := Open(folderOf(t, files)); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.60s: %v\nwant %s", test.text, err, test.want)
		}
	}
}

// Whatever the files beside a vocabulary say, the answer is a tokenizer or one line.
func FuzzBeside(f *testing.F) {
	f.Add([]byte(`{"do_lower_case": false, "added_tokens_decoder": {"5": {"content": "x", "lstrip": true, "special": true}}}`), []byte(`{"a": 5}`))
	f.Add([]byte(`{"pad_token": "<pad>", "additional_special_tokens": ["x", {"content": "y", "single_word": true}]}`), []byte(`{"<pad>": 5, "z": 6}`))
	classes()
	f.Fuzz(func(t *testing.T, said, added []byte) {
		dir := folderOf(t, map[string][]byte{"vocab.txt": []byte("[UNK]\n[CLS]\n[SEP]\na\n##b\n"), settingsName: said, "added_tokens.json": added})
		var tok *Tokenizer
		var err error
		cost.Bound(t, len(said)+len(added), 2048, func() { tok, err = Open(dir) })
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("an error of several lines: %v", err)
			}
			return
		}
		use(t, tok)
		if again, err := Unpack(tok.Pack()); err != nil || again.Digest() != tok.Digest() {
			t.Errorf("packed: %v", err)
		}
	})
}
