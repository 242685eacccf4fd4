package tokenizer

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"ringmaster/internal/test/cost"
)

// sample has what tokenizers treat in different ways.
const sample = "Hello  World's <s> ﬁé e\u0301 中文 \n\t123 ▁x <mask> [UNK] don't"

// use encodes and decodes with a tokenizer that was read from hostile bytes: that must not fail but with an error.
func use(t *testing.T, tok *Tokenizer) {
	t.Helper()
	for _, text := range []string{sample, "", "a", strings.Repeat("a b", 50)} {
		e, err := tok.Encode(text, Options{Special: true, Details: true})
		if err != nil {
			continue
		}
		runes := utf8.RuneCountInString(text)
		for i, o := range e.Offsets {
			if o[0] < 0 || o[0] > o[1] || o[1] > runes {
				t.Errorf("%q: token %d, %q, has offsets %v", text, i, e.Tokens[i], o)
			}
		}
		plain, err := tok.AppendIDs(nil, text)
		if err != nil {
			t.Errorf("%q: Encode takes it, and AppendIDs says %v", text, err)
		}
		text, err := tok.Decode(plain, false)
		if err != nil || !utf8.ValidString(text) {
			t.Errorf("decoded: %q, %v", text, err)
		}
	}
}

// fuzzFile fuzzes a reader of files.
func fuzzFile(f *testing.F, seeds []string, read func(text []byte) (*Tokenizer, error)) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	classes() // a table that is made once
	f.Fuzz(func(t *testing.T, text []byte) {
		var tok *Tokenizer
		var err error
		cost.Bound(t, len(text), 2048, func() { tok, err = read(text) })
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("an error of several lines: %v", err)
			}
			return
		}
		use(t, tok)
	})
}

// small makes a tokenizer.json short enough to be fuzzed well: of its vocabulary and merges nothing is left but what is named.
var smallFiles = []string{
	jsonWith(""),
	jsonWith(`"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "BertNormalizer", "lowercase": true}, {"type": "Strip", "strip_left": true, "strip_right": true}, {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},`),
	jsonWith(`"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"}, {"type": "Punctuation"}, {"type": "Digits", "individual_digits": true}, {"type": "ByteLevel", "add_prefix_space": true}]},`),
	jsonWith(`"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\s+"}, "behavior": "MergedWithNext", "invert": true}, "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 1}]},`),
	jsonWith(`"truncation": {"max_length": 5, "strategy": "LongestFirst", "direction": "Left", "stride": 0}, "padding": {"strategy": {"Fixed": 7}, "direction": "Left", "pad_id": 0, "pad_type_id": 0, "pad_token": "[UNK]", "pad_to_multiple_of": 4},`),
	jsonWith(`"added_tokens": [{"id": 2, "content": "<mask>", "lstrip": true, "rstrip": true, "single_word": true, "normalized": true, "special": true}],`),
	jsonWith(`"post_processor": {"type": "Sequence", "processors": [{"type": "ByteLevel"}, {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "a", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 1}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}], "special_tokens": {"a": {"id": "a", "ids": [1], "tokens": ["a"]}}}]},`),
	modelOf(`{"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "<unk>": 3, "<0x61>": 4}, "merges": ["a b"], "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true, "continuing_subword_prefix": "", "end_of_word_suffix": ""}`),
	modelOf(`{"type": "Unigram", "vocab": [["<unk>", 0], ["a", -1], ["ab", -1.5]], "unk_id": 0, "byte_fallback": false}`),
	modelOf(`{"type": "WordPiece", "vocab": {"[UNK]": 0, "a": 1, "##b": 2}, "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}`),
}

func FuzzTokenizerJSON(f *testing.F) {
	fuzzFile(f, smallFiles, func(text []byte) (*Tokenizer, error) { return readTokenizer("tokenizer.json", text) })
}

func FuzzSentencePiece(f *testing.F) {
	seeds := []string{"\x0a\x0c\x0a\x05<unk>\x15\x00\x00\x00\x00\x18\x02\x0a\x08\x0a\x01a\x15\x00\x00\x80\xbf",
		"\x0a\x0c\x0a\x05<unk>\x15\x00\x00\x00\x00\x18\x02\x0a\x08\x0a\x01a\x15\x00\x00\x80\xbf\x0a\x0a\x0a\x01b\x15\x00\x00\x80\xbf\x18\x04\x12\x02\x18\x02\x1a\x06\x18\x01\x20\x00\x28\x01"}
	for _, name := range []string{"suffix.model", "unigram.model"} {
		seeds = append(seeds, string(content(f, "testdata/"+name)))
	}
	fuzzFile(f, seeds, func(text []byte) (*Tokenizer, error) { return readSentencePiece("m.model", text) })
}

func FuzzWordPieces(f *testing.F) {
	fuzzFile(f, []string{"[UNK]\n[CLS]\n[SEP]\na\n##b\n", "[PAD]\r\n[UNK]\r\nA\r\n"}, func(text []byte) (*Tokenizer, error) { return readWordPieces("vocab.txt", text) })
}

func FuzzGPT2Files(f *testing.F) {
	f.Add([]byte(`{"a": 0, "b": 1, "ab": 2, "Ġ": 3}`), []byte("#version: 0.2\na b\n"))
	classes()
	f.Fuzz(func(t *testing.T, vocabulary, merges []byte) {
		var tok *Tokenizer
		var err error
		cost.Bound(t, len(vocabulary)+len(merges), 2048, func() { tok, err = readGPT2("vocab.json", vocabulary, "merges.txt", merges) })
		if err == nil {
			use(t, tok)
		}
	})
}

// A compiled rule of any bytes finds only what it has.
func FuzzCharsMap(f *testing.F) {
	f.Add([]byte("\x08\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00a\x00"), []byte("ab"))
	f.Fuzz(func(t *testing.T, blob, text []byte) {
		rule, err := readCharsMap(blob)
		if err != nil || !utf8.Valid(text) {
			return
		}
		m := &sentencePiece{rule: rule, dummyPrefix: true, removeExtra: true, escape: true}
		w := &work{}
		for _, n := range []normalizer{m, precompiled{rule}} {
			w.part.reset(string(text), 0)
			n.normalize(w, &w.part)
			if len(w.part.text) != len(w.part.at) || !utf8.Valid(w.part.text) {
				t.Errorf("%T: %q becomes %q with %d spans", n, text, w.part.text, len(w.part.at))
			}
		}
	})
}

// Whatever the text: byte-level BPE gives it back, offsets are within it, and the ids are the same with details and without.
func FuzzText(f *testing.F) {
	for _, line := range fuzzed(20, 3) {
		f.Add(line)
	}
	var toks []*Tokenizer
	for _, name := range []string{"llama3.json", "roberta.json", "qwen.json", "llama2.json", "suffix.json", "prefix.json", "pieces.json", "t5.json.gz", "unigram.model", "bpe.model", "bytes.model", "suffix.model"} {
		toks = append(toks, opened(f, name))
	}
	f.Fuzz(func(t *testing.T, text string) {
		for i, tok := range toks {
			ids, err := tok.AppendIDs(nil, text)
			if (err == nil) != utf8.ValidString(text) {
				t.Fatalf("%q: %v", text, err)
			}
			if err != nil {
				continue
			}
			e, err := tok.encode([]string{text}, Options{Details: true})
			if err != nil || tok.truncate == nil && !slices.Equal(e.IDs, ids) {
				t.Errorf("%q: %v with details, %v without, %v", text, e.IDs, ids, err)
			}
			for _, o := range e.Offsets {
				if o[0] < 0 || o[0] > o[1] || o[1] > utf8.RuneCountInString(text) {
					t.Errorf("%q: offsets %v", text, e.Offsets)
				}
			}
			if back, err := tok.Decode(ids, false); err != nil || i == 0 && back != text {
				t.Errorf("%q comes back as %q, %v", text, back, err)
			}
		}
	})
}

func FuzzTrain(f *testing.F) {
	f.Add("the cat and the dog", "a dog, a cat", true)
	f.Fuzz(func(t *testing.T, first, second string, pairs bool) {
		o := Training{Kind: "unigram", Size: 300, Special: []string{"<s>"}, Threads: 2}
		if pairs {
			o.Kind = "bpe"
		}
		tr, err := NewTrainer(o)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		if tr.Add(first) != nil || tr.Add(second) != nil {
			return
		}
		file, _, err := tr.Finish()
		if err != nil {
			return
		}
		use(t, loaded(t, file))
	})
}
