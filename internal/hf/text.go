package hf

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"ringmaster/internal/config"
	"ringmaster/internal/tokenizer"
)

// special are the tokens that have a part of their own in transformers, by the part: "eos_token".
type special map[string]token

type token struct {
	text string
	id   int32
}

// parts are the names that the special tokens of tokenizers have.
var parts = []struct {
	part  string
	names []string
}{
	{"bos_token", []string{"<|endoftext|>", "<|begin_of_text|>", "<s>", "<bos>"}},
	{"eos_token", []string{"<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"}},
	{"pad_token", []string{"<pad>", "[PAD]"}},
	{"unk_token", []string{"<unk>", "[UNK]", "<|endoftext|>"}},
	{"mask_token", []string{"<mask>", "[MASK]"}},
	{"cls_token", []string{"[CLS]"}},
	{"sep_token", []string{"[SEP]"}},
}

// specialOf finds a tokenizer's special tokens.
func specialOf(t *tokenizer.Tokenizer) special {
	found := special{}
	for _, p := range parts {
		for _, name := range p.names {
			if id, is := t.ID(name); is {
				found[p.part] = token{name, id}
				break
			}
		}
	}
	return found
}

// ids are the entries of config.json. What begins and ends texts is null where no token does: transformers would take another model's.
func (s special) ids() map[string]any {
	ids := map[string]any{"bos_token_id": nil, "eos_token_id": nil, "pad_token_id": nil}
	for key := range ids {
		if t, is := s[strings.TrimSuffix(key, "_id")]; is {
			ids[key] = t.id
		}
	}
	return ids
}

// texts are the tokenizer's files, and which of its tokens are special. f is told them.
func (x *Export) texts(f *facts) ([]named, error) {
	t := x.Data.Tokenizer()
	limit := cmp.Or(f.positions, x.Job.Data.Context)
	about := map[string]any{"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": limit, "clean_up_tokenization_spaces": false}
	var files []named
	switch {
	case t != nil:
		f.special = specialOf(t)
		maps.Copy(about, t.Settings())
		for _, file := range t.Files() {
			class := classOf(file.Name, x.Job.Model.Kind)
			if class != "" {
				about["tokenizer_class"] = class
			}
			name := canonicalName(file.Name)
			if class == "LlamaTokenizer" {
				name = "tokenizer.model"
			}
			files = append(files, bytesFile(name, file.Text))
		}
	case x.Data.Vocabulary != nil && x.Job.Data.Kind == config.DataText:
		f.special = special{}
		if x.Job.Data.Mask > 0 { // the token behind the text's own
			f.special["mask_token"] = token{"[MASK]", int32(x.Data.Vocabulary.Len())}
		}
		file, err := jsonFile("tokenizer.json", charactersJSON(x.Data.Vocabulary.Characters(), f.special))
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	default:
		return nil, nil
	}
	texts := map[string]any{}
	for part, t := range f.special {
		about[part], texts[part] = t.text, t.text
	}
	config, err := jsonFile("tokenizer_config.json", about)
	if err != nil {
		return nil, err
	}
	specials, err := jsonFile("special_tokens_map.json", texts)
	return append(files, config, specials), err
}

// canonicalName is the name by which transformers finds a tokenizer's file.
func canonicalName(name string) string {
	switch {
	case strings.HasSuffix(name, ".json") && !slices.Contains([]string{"vocab.json", "gpt2_encoder.json"}, name):
		return "tokenizer.json"
	case name == "gpt2_encoder.json":
		return "vocab.json"
	case strings.HasSuffix(name, ".bpe") || strings.HasSuffix(name, "merges.txt"):
		return "merges.txt"
	case strings.HasSuffix(name, ".txt"):
		return "vocab.txt"
	case strings.HasSuffix(name, ".model"):
		return "spiece.model"
	}
	return name
}

// classOf is the class that reads a file that is no tokenizer.json; "" of others.
func classOf(name, kind string) string {
	switch canonicalName(name) {
	case "vocab.json":
		return "GPT2Tokenizer"
	case "vocab.txt":
		return "BertTokenizer"
	case "spiece.model":
		if kind == config.ModelT5 {
			return "T5Tokenizer"
		}
		return "LlamaTokenizer"
	}
	return ""
}

// Caveat says what transformers, reading the folder, does otherwise than the training did; "" where nothing is known.
func (x *Export) Caveat() string {
	if t := x.Data.Tokenizer(); t != nil {
		return caveat(t.Kind(), x.Job.Model.Kind)
	}
	return ""
}

// caveat is Caveat for a kind of tokenizer beside a kind of model. Only T5's class reads unigrams of a .model.
func caveat(tokens, kind string) string {
	if tokens == "SentencePiece Unigram" && kind != config.ModelT5 {
		return "transformers reads this tokenizer's unigrams (tokenizer.model) as byte pairs and gives other ids: give the model ids of SentencePiece or of ringmaster tokenizer encode"
	}
	return ""
}

// charactersJSON is a tokenizer.json whose tokens are these characters in their order, or bytes where there are none: byte pairs without merges.
func charactersJSON(characters string, also special) map[string]any {
	vocabulary := map[string]int{}
	for i, r := range []rune(characters) {
		vocabulary[string(r)] = i
	}
	decoder, before := map[string]any{"type": "Fuse"}, any(nil)
	if characters == "" {
		for b := range 256 {
			vocabulary[string(byteRune(byte(b)))] = b
		}
		decoder = map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}
		before = decoder
	}
	added := []any{}
	for _, t := range also {
		added = append(added, map[string]any{"id": t.id, "content": t.text, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})
	}
	return map[string]any{"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added, "normalizer": nil, "pre_tokenizer": before,
		"post_processor": nil, "decoder": decoder,
		"model": map[string]any{"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
			"fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocabulary, "merges": []string{}}}
}

// byteRune is the character by which byte-level tokenizers write a byte: itself where it is printable, else one of those from 256 on.
func byteRune(b byte) rune {
	printable := func(b int) bool { return b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE }
	if printable(int(b)) {
		return rune(b)
	}
	n := 0
	for k := range int(b) {
		if !printable(k) {
			n++
		}
	}
	return rune(256 + n)
}

// named are the names of the classes by their numbers, as config.json has them.
func (f *facts) named() map[string]string {
	names := map[string]string{}
	for k := range f.classes {
		names[strconv.Itoa(k)] = f.label(k)
	}
	return names
}

// numbered are the numbers of the classes by their names.
func (f *facts) numbered() map[string]int {
	numbers := map[string]int{}
	for k := range f.classes {
		numbers[f.label(k)] = k
	}
	return numbers
}

func (f *facts) label(k int) string {
	if k < len(f.labels) {
		return f.labels[k]
	}
	return "LABEL_" + strconv.Itoa(k)
}
