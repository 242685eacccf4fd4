package tokenizer

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// words is a tokenizer.json that is right, with a part that is put in.
func jsonWith(part string) string {
	return `{"version": "1.0",` + part + `"model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 1}, "unk_token": "[UNK]"}}`
}

func modelOf(text string) string { return "{\n \"model\": " + text + "}" }

// What a file has wrong is said in one line, with the place.
func TestBadFilesAreRefusedWithTheirPlace(t *testing.T) {
	b64 := func(size uint32, rest string) string {
		return base64.StdEncoding.EncodeToString(append(binary.LittleEndian.AppendUint32(nil, size), rest...))
	}
	for _, c := range []struct{ name, text, want string }{
		{"t.json", "{\n \"a\": }", "t.json:2:7: not JSON: invalid character '}' looking for beginning of value"},
		{"t.json", strings.Repeat("[", 100000), "t.json:1:10001: not JSON: invalid character '[' exceeded max depth"},
		{"t.json", "{\"a\": \"\xff\"}", "t.json:1:8: byte 0xff is not UTF-8"},
		{"t.json", "[]", "t.json:1:1: an object is wanted here, not a list"},
		{"t.json", "{}", "t.json:1:1: model is missing here"},
		{"t.json", `{"model": {}, "model": {}}`, `t.json:1:15: key model is there twice`},
		{"t.json", jsonWith(`"normaliser": 1,`), `the file has a setting normaliser that is not implemented`},
		{"t.json", `{"version": "2.0", "model": {}}`, `t.json:1:13: version "2.0" of the format is not implemented`},
		{"t.json", modelOf(`{"type": "Magic", "vocab": {}}`), "t.json:2:11: model Magic is not implemented"},
		{"t.json", modelOf(`{"type": "WordLevel", "vocab": {"a": 0, "b": 0}, "unk_token": "a"}`), "t.json:2:51: id 0 belongs to two tokens, a and b"},
		{"t.json", modelOf(`{"type": "WordLevel", "vocab": {"a": 0, "a": 1}, "unk_token": "a"}`), "token a is there twice, with ids 0 and 1"},
		{"t.json", modelOf(`{"type": "WordLevel", "vocab": {"a": 4000000}, "unk_token": "a"}`), "a whole number from 0 to 65540 is wanted here, not 4000000"},
		{"t.json", modelOf(`{"type": "WordLevel", "vocab": {"a": -1}, "unk_token": "a"}`), "a whole number from 0 to 65540 is wanted here, not -1"},
		{"t.json", modelOf(`{"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "b"}`), "unk_token b is not in the vocabulary"},
		{"t.json", modelOf(`{"type": "WordLevel", "vocab": {"\ud800": 0}, "unk_token": "b"}`), `\ud800 is half of a character`},
		{"t.json", modelOf(`{"type": "WordPiece", "vocab": {"a": 0}}`), "model WordPiece has no unk_token"},
		{"t.json", modelOf(`{"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]}`), "merge 1 of a and b makes ab, which is not in the vocabulary"},
		{"t.json", modelOf(`{"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [["a", "c"]]}`), "merge 1 joins c, which is not in the vocabulary"},
		{"t.json", modelOf(`{"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b c"]}`), "a merge is two tokens with a space between them"},
		{"t.json", modelOf(`{"type": "BPE", "vocab": {"a": 0, "": 1}, "merges": [["a", ""]]}`), "merge 1 joins a and \"\", which adds nothing"},
		{"t.json", modelOf(`{"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.1}`), "dropout is not implemented: it would give other ids every time"},
		{"t.json", modelOf(`{"type": "BPE", "vocab": {"a": 0}, "merges": [], "unk_token": "x"}`), "unk_token x is not in the vocabulary"},
		{"t.json", modelOf(`{"type": "Unigram", "vocab": [["a", 0]], "unk_id": 1}`), "unk_id 1 is beyond the vocabulary of 1 tokens"},
		{"t.json", modelOf(`{"type": "Unigram", "vocab": [["a", 1e999]], "unk_id": 0}`), "a number is wanted here, not 1e999"},
		{"t.json", modelOf(`{"type": "Unigram", "vocab": [["a"]], "unk_id": 0}`), "a token of a Unigram model has a score"},
		{"t.json", jsonWith(`"normalizer": {"type": "Nmt"},`), "t.json:1:33: normalizer Nmt is not implemented"},
		{"t.json", jsonWith(`"normalizer": {"type": "NFC", "form": 1},`), "normalizer NFC has a setting form that is not implemented"},
		{"t.json", jsonWith(`"normalizer": {"type": "Replace", "pattern": {"Regex": "[a-z]"}, "content": ""},`), "the regular expression [a-z] is not implemented"},
		{"t.json", jsonWith(`"normalizer": ` + strings.Repeat(`{"type": "Sequence", "normalizers": [`, 10) + strings.Repeat("]}", 10) + ","), "sequences are nested more than 8 deep"},
		{"t.json", jsonWith(`"normalizer": {"type": "Precompiled", "precompiled_charsmap": "` + b64(400, "x") + `"},`), "a precompiled map of 5 bytes says that its array has 400"},
		{"t.json", jsonWith(`"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AA"},`), "the precompiled map is not base64"},
		{"t.json", jsonWith(`"pre_tokenizer": {"type": "UnicodeScripts"},`), "pre-tokenizer UnicodeScripts is not implemented"},
		{"t.json", jsonWith(`"pre_tokenizer": {"type": "Metaspace", "replacement": "ab"},`), "replacement is one character, not ab"},
		{"t.json", jsonWith(`"pre_tokenizer": {"type": "Split", "pattern": {"String": "x"}, "behavior": "Odd", "invert": false},`), "behavior Odd is not implemented"},
		{"t.json", jsonWith(`"post_processor": {"type": "Other"},`), "post-processor Other is not implemented"},
		{"t.json", jsonWith(`"post_processor": {"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {}},`), "a template for 1 leaves a text out"},
		{"t.json", jsonWith(`"post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x", "type_id": 0}}], "pair": [], "special_tokens": {}},`), "special token x is not among the special_tokens"},
		{"t.json", jsonWith(`"decoder": {"type": "CTC"},`), "decoder CTC is not implemented"},
		{"t.json", jsonWith(`"padding": {"strategy": {"Fixed": 99999999}, "pad_id": 0, "pad_token": "x"},`), "a whole number from 0 to 1048576 is wanted here, not 99999999"},
		{"t.json", jsonWith(`"truncation": {"max_length": 5, "strategy": "Other"},`), "the strategy is LongestFirst, OnlyFirst or OnlySecond"},
		{"t.json", jsonWith(`"added_tokens": [{"id": 7, "content": "x"}],`), "added token x has id 7, but the vocabulary gives it 2"},
		{"t.json", jsonWith(`"added_tokens": [{"id": 0, "content": "a"}],`), "added token a has id 0, but the vocabulary gives it 1"},
		{"t.json", jsonWith(`"added_tokens": [{"id": 1, "content": ""}],`), "an added token is empty"},
		{"vocab.txt", "a\nb\n", "vocab.txt: a vocabulary of word pieces needs a token [UNK]"},
		{"vocab.txt", "[UNK]\na\na\n", "vocab.txt:3: token a is there twice, with ids 1 and 2"},
		{"vocab.txt", "[UNK]\nb\xff\n", "vocab.txt:2:2: byte 0xff is not UTF-8"},
		{"m.model", "\x0a\x05", "offset 1: unexpected EOF"},
		{"m.model", "", "none of its 0 pieces is for what is unknown"},
		{"m.model", "\x0a\x05\x0a\x03abc", "none of its 1 pieces is for what is unknown"},
		{"m.model", "\x0a\x07\x0a\x03abc\x18\x09", "offset 9: a piece of type 9 is not implemented"},
		{"m.model", "\x12\x02\x18\x04", "offset 4: a model of type 4 CHAR is not implemented; UNIGRAM and BPE are"},
	} {
		path := filepath.Join(t.TempDir(), c.name)
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.80q:\n     %v\nwant %s", c.text, err, c.want)
		}
	}
}

func TestGPT2sFilesAreRefusedWithTheirPlace(t *testing.T) {
	const vocabulary = `{"a": 0, "b": 1, "ab": 2}`
	for merges, want := range map[string]string{
		"#version: 0.2\na b\na c\n": "merges.txt:3: merge 2 joins c, which is not in the vocabulary",
		"a  b\n":                    "merges.txt:1: a merge is two tokens with a space between them",
		"a b</w>\n":                 "merges.txt:1: merges with </w>, an end of words, are not GPT-2's",
	} {
		if _, err := readGPT2("vocab.json", []byte(vocabulary), "merges.txt", []byte(merges)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", merges, err, want)
		}
	}
	path := filepath.Join(t.TempDir(), "vocab.json")
	if err := os.WriteFile(path, []byte(vocabulary), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "needs its merges in merges.txt beside it") {
		t.Errorf("%v", err)
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "has none of tokenizer.json, tokenizer.model") {
		t.Errorf("%v", err)
	}
}

func TestIDsWithoutATokenAreRefused(t *testing.T) {
	for _, name := range []string{"llama3.json", "unigram.model"} {
		tok := opened(t, name)
		for _, id := range []int32{-1, int32(tok.Len()), 1 << 30} {
			_, err := tok.Decode([]int32{3, id}, false)
			if want := fmt.Sprintf("id %d (number 2 of the list) has no token: ids go from 0 to %d", id, tok.Len()-1); err == nil || err.Error() != want {
				t.Errorf("%s: %v, want %s", name, err, want)
			}
		}
	}
}

// A tokenizer that makes texts longer and longer is stopped.
func TestATextDoesNotGrowWithoutEnd(t *testing.T) {
	double := `{"type": "Replace", "pattern": {"String": "a"}, "content": "aaaaaaaaaaaaaaaa"}`
	tok, err := readTokenizer("t.json", []byte(jsonWith(`"normalizer": {"type": "Sequence", "normalizers": [`+double+strings.Repeat(","+double, 40)+`]},`)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tok.AppendIDs(nil, strings.Repeat("a", 1000)); err == nil || !strings.Contains(err.Error(), "more than 64 times as long") {
		t.Errorf("%v", err)
	}
	if _, err := tok.AppendIDs(nil, "b"); err != nil {
		t.Errorf("after it: %v", err)
	}
}

func TestTextsThatAreNotUTF8AreRefused(t *testing.T) {
	if _, err := opened(t, "llama3.json").AppendIDs(nil, "ab\xffc"); err == nil || err.Error() != "the text is not UTF-8: byte 0xff at offset 2" {
		t.Errorf("%v", err)
	}
}
