package tokenizer

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ringmaster/internal/printable"
)

// settingsName is the file in which transformers says how texts are read by a vocabulary that is not a tokenizer.json.
const settingsName = "tokenizer_config.json"

// beside is what the files beside a vocabulary say and the ids depend on. It is kept with the vocabulary, as JSON.
type beside struct {
	Class   string `json:"tokenizer_class,omitempty"`
	Lower   *bool  `json:"do_lower_case,omitempty"`
	Accents *bool  `json:"strip_accents,omitempty"`
	Chinese *bool  `json:"tokenize_chinese_chars,omitempty"`
	Prefix  *bool  `json:"add_prefix_space,omitempty"`
	Extra   *int   `json:"extra_ids,omitempty"`     // sentinels behind the pieces of a T5
	Named   bool   `json:"names_special,omitempty"` // the special tokens without a part of their own are named; then a T5's pieces name none

	Added []besideToken `json:"added_tokens,omitempty"` // those with an id, by their ids, then the others
}

// besideToken is a token that is found in a text before the vocabulary's. Without an id it has that of the vocabulary, or the next one.
type besideToken struct {
	ID         *int32 `json:"id,omitempty"`
	Content    string `json:"content"`
	Special    bool   `json:"special,omitempty"`
	Left       bool   `json:"lstrip,omitempty"`
	Right      bool   `json:"rstrip,omitempty"`
	SingleWord bool   `json:"single_word,omitempty"`
	Normalized bool   `json:"normalized,omitempty"`
}

// sentinels is how many sentinels a T5 has that says nothing else (extra_ids), and maxSentinels bounds what one may say.
const (
	sentinels    = 100
	maxSentinels = 1 << 12
)

// folderNames are the files that a folder may hold, the first of which is read.
var folderNames = []string{"tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt"}

// openFolder opens the first of the files that a folder may hold, and takes what is said beside it.
func openFolder(dir string) (*Tokenizer, error) {
	for _, name := range folderNames {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("tokenizer: %w", err)
		}
		files, err := filesOf(path)
		if err != nil {
			return nil, err
		}
		if name == folderNames[0] {
			return fromFiles(files)
		}
		said, err := readBeside(dir, name)
		if err != nil {
			return nil, err
		}
		if text := said.written(); text != nil {
			files = append(files, file{filepath.Join(dir, settingsName), text})
		}
		return fromFiles(files)
	}
	return nil, fmt.Errorf("tokenizer folder %s has none of %s", dir, strings.Join(folderNames, ", "))
}

// written is the settings as they are kept; nil where nothing is said.
func (b *beside) written() []byte {
	text, err := json.Marshal(b)
	if err != nil {
		panic(err) // of texts, flags and numbers alone
	}
	if string(text) == "{}" {
		return nil
	}
	return text
}

// objectIn reads a JSON object of a folder; nil where the folder has no such file.
func objectIn(dir, name string) (*object, error) {
	path := filepath.Join(dir, name)
	text, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	root, err := parseDocument(path, text)
	if err != nil {
		return nil, err
	}
	return root.object()
}

// readBeside reads what is said beside the vocabulary of a folder.
func readBeside(dir, vocabulary string) (*beside, error) {
	b := &beside{}
	o, err := objectIn(dir, settingsName)
	if err != nil {
		return nil, err
	}
	if o != nil {
		s := &settings{object: o, what: settingsName}
		b.Class = s.text("tokenizer_class", "")
		b.settle(s, vocabulary)
		if s.err != nil {
			return nil, s.err
		}
	}
	if vocabulary == "spiece.model" && b.Class == "" {
		if b.Class, err = classIn(dir); err != nil {
			return nil, err
		}
	}
	if vocabulary == "tokenizer.model" || vocabulary == "spiece.model" && !b.t5() {
		return &beside{}, nil // SentencePiece's model says all itself
	}
	return b, b.readTokens(dir, o)
}

// settle takes the settings on which a vocabulary of this name depends.
func (b *beside) settle(s *settings, vocabulary string) {
	flag := func(name string) *bool {
		if !s.has(name) {
			return nil
		}
		return new(s.bool(name, false))
	}
	switch vocabulary {
	case "vocab.txt":
		b.Lower, b.Accents, b.Chinese = flag("do_lower_case"), flag("strip_accents"), flag("tokenize_chinese_chars")
	case "vocab.json":
		b.Prefix = flag("add_prefix_space")
		for _, name := range []string{"add_bos_token", "add_eos_token"} {
			if s.bool(name, false) {
				s.fail(name, "%s is not implemented for a vocab.json; save the tokenizer as a tokenizer.json", name)
			}
		}
	case "spiece.model":
		if s.has("extra_ids") {
			b.Extra = new(s.int("extra_ids", 0, maxSentinels))
		}
		b.Named = slices.ContainsFunc(otherParts, s.has)
	}
	if vocabulary != "spiece.model" {
		b.Class = "" // the file's name says all of it
	}
}

// t5 reports whether pieces are those of a T5.
func (b *beside) t5() bool {
	return strings.HasSuffix(strings.TrimSuffix(b.Class, "Fast"), "T5Tokenizer")
}

// classIn is the class of tokenizers that a folder's model goes with, as far as the ids depend on it.
func classIn(dir string) (string, error) {
	o, err := objectIn(dir, "config.json")
	if o == nil || err != nil {
		return "", err
	}
	s := &settings{object: o, what: "config.json"}
	if kind := s.text("model_type", ""); kind == "t5" || kind == "mt5" || kind == "umt5" {
		return "T5Tokenizer", s.err
	}
	return "", s.err
}

// specialParts are what the special tokens are called that have a part of their own, in the order in which transformers adds them.
var specialParts = []string{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}

// otherParts hold lists of special tokens without a part of their own.
var otherParts = []string{"additional_special_tokens", "extra_special_tokens"}

// readTokens reads the added tokens: from tokenizer_config.json or, of older folders, from files of their own.
func (b *beside) readTokens(dir string, config *object) error {
	special, err := specialIn(config)
	if err != nil {
		return err
	}
	if config != nil && config.has("added_tokens_decoder") {
		err = b.readDecoder(config.get("added_tokens_decoder"))
	} else {
		special, err = b.readOld(dir, special)
	}
	if err != nil {
		return err
	}
	slices.SortStableFunc(b.Added, func(x, y besideToken) int { return int(*x.ID) - int(*y.ID) })
	for _, t := range special {
		if !slices.ContainsFunc(b.Added, func(a besideToken) bool { return a.Content == t.Content }) {
			b.Added = append(b.Added, t)
		}
	}
	return nil
}

// readDecoder reads tokens by their ids.
func (b *beside) readDecoder(n node) error {
	return n.each(func(key, value node) error {
		name, err := key.string()
		if err != nil {
			return err
		}
		id, err := strconv.ParseUint(name, 10, 31)
		if err != nil {
			return key.errorf("an id is wanted here, not %s", printable.Typed(name))
		}
		t, err := readAddedToken(value, false)
		t.ID = new(int32(id))
		b.Added = append(b.Added, t)
		return err
	})
}

// readOld reads special_tokens_map.json and added_tokens.json, and returns the special tokens with those of the first.
func (b *beside) readOld(dir string, special []besideToken) ([]besideToken, error) {
	o, err := objectIn(dir, "special_tokens_map.json")
	if err != nil {
		return nil, err
	}
	also, err := specialIn(o)
	if err != nil {
		return nil, err
	}
	special = append(also, special...)
	path := filepath.Join(dir, "added_tokens.json")
	text, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return special, nil
	}
	if err != nil {
		return nil, err
	}
	root, err := parseDocument(path, text)
	if err != nil {
		return nil, err
	}
	return special, root.each(func(key, value node) error {
		content, err := key.string()
		if err != nil {
			return err
		}
		id, err := value.integer(maxTokens - 1)
		if err != nil {
			return err
		}
		is := slices.ContainsFunc(special, func(t besideToken) bool { return t.Content == content })
		b.Added = append(b.Added, besideToken{ID: new(int32(id)), Content: content, Special: is, Normalized: !is})
		return nil
	})
}

// specialIn reads the special tokens of an object: those of a part of their own, then the others.
func specialIn(o *object) ([]besideToken, error) {
	if o == nil {
		return nil, nil
	}
	var tokens []besideToken
	take := func(n node) error {
		t, err := readAddedToken(n, true)
		tokens = append(tokens, t)
		return err
	}
	for _, part := range specialParts {
		if !o.has(part) {
			continue
		}
		if err := take(o.get(part)); err != nil {
			return nil, err
		}
	}
	for _, part := range otherParts {
		if n := o.get(part); !n.isNull() && n.kind() == "a list" {
			if err := n.items(take); err != nil {
				return nil, err
			}
		}
	}
	return tokens, nil
}

// readAddedToken reads a token that is a text, or an object that says how it is found.
func readAddedToken(n node, special bool) (besideToken, error) {
	if n.kind() == "a string" {
		content, err := n.string()
		return besideToken{Content: content, Special: special}, err
	}
	o, err := n.object()
	if err != nil {
		return besideToken{}, err
	}
	s := &settings{object: o, what: "an added token"}
	s.required("content")
	t := besideToken{Content: s.text("content", ""), Special: s.bool("special", special), Left: s.bool("lstrip", false), Right: s.bool("rstrip", false),
		SingleWord: s.bool("single_word", false), Normalized: s.bool("normalized", !special)}
	return t, s.err
}

// apply makes a tokenizer read texts as the files beside its vocabulary say.
func (b *beside) apply(t *Tokenizer) error {
	if n, is := t.normalize.(bertNormalizer); is {
		if b.Lower != nil {
			n.lower, n.accents = *b.Lower, *b.Lower
		}
		if b.Accents != nil {
			n.accents = *b.Accents
		}
		if b.Chinese != nil {
			n.ideographs = *b.Chinese
		}
		t.normalize = n
	}
	if level, is := t.split.(byteLevel); is && b.Prefix != nil {
		level.prefixSpace = *b.Prefix
		t.split = level
	}
	own := t.added
	t.added = addedTokens{}
	for _, a := range b.Added {
		token := addedToken{content: a.Content, special: a.Special, left: a.Left, right: a.Right, singleWord: a.SingleWord, normalized: a.Normalized}
		if a.ID != nil {
			token.id = *a.ID
			if err := t.added.add(token, t.model); err != nil {
				return err
			}
		} else if err := t.addOnce(token); err != nil {
			return err
		}
	}
	for _, a := range own.list {
		if err := t.addOnce(a); err != nil {
			return err
		}
	}
	t.added.prepare(t.normalize)
	return nil
}

// Settings are the entries of a tokenizer_config.json by which transformers reads texts as this tokenizer does from its Files.
func (t *Tokenizer) Settings() map[string]any {
	all := map[string]any{}
	if strings.HasPrefix(t.kind, "SentencePiece") {
		all["extra_ids"] = 0 // its sentinels, if there are some, are among its pieces
	}
	if n, is := t.normalize.(bertNormalizer); is && strings.HasSuffix(t.files[0].name, ".txt") {
		all["do_lower_case"], all["strip_accents"], all["tokenize_chinese_chars"] = n.lower, n.accents, n.ideographs
	}
	if t.said == nil {
		return all
	}
	said := *t.said
	said.Added = nil
	if err := json.Unmarshal(said.written(), &all); err != nil && said.written() != nil {
		panic(err) // it was written just now
	}
	delete(all, "names_special")
	if said.Named {
		all["additional_special_tokens"] = []string{}
	}
	if len(t.said.Added) > 0 {
		tokens := map[string]any{}
		for _, a := range t.added.list {
			tokens[strconv.Itoa(int(a.id))] = map[string]any{"content": a.content, "special": a.special, "lstrip": a.left, "rstrip": a.right,
				"single_word": a.singleWord, "normalized": a.normalized}
		}
		all["added_tokens_decoder"] = tokens
	}
	return all
}

// addOnce adds a token, unless it is there, with the vocabulary's id or, where that has none, the next one.
func (t *Tokenizer) addOnce(token addedToken) error {
	if t.added.contents[token.content] {
		return nil
	}
	id, known := t.model.id(token.content)
	if !known {
		id = max(int32(t.model.size()), t.added.next)
	}
	token.id = id
	return t.added.add(token, t.model)
}

// readT5 reads the SentencePiece model of a T5.
func readT5(name string, text []byte, said *beside) (*Tokenizer, error) {
	f, err := readModelFile(name, text)
	if err != nil {
		return nil, err
	}
	n := *cmp.Or(said.Extra, new(sentinels))
	if n < 0 || n > maxSentinels {
		return nil, fmt.Errorf("SentencePiece model %s: extra_ids is %d; it must be from 0 to %d", name, n, maxSentinels)
	}
	t, err := f.t5Tokenizer(n, !said.Named)
	if err != nil {
		return nil, fmt.Errorf("SentencePiece model %s: %w", name, err)
	}
	return t, nil
}

// t5Tokenizer is the tokenizer that transformers makes of the SentencePiece model of a T5: other ids than SentencePiece's own only where a
// text holds special tokens, and sentinels behind the pieces. marked is whether the pieces for control and of users, and the sentinels, are found
// in a text before all others.
func (f *modelFile) t5Tokenizer(sentinels int, marked bool) (*Tokenizer, error) {
	const end, theirs = "</s>", 2
	m := f.model
	switch _, is := m.id(end); {
	case m.pairs != nil:
		return nil, errors.New("it is a BPE, and a T5's is a Unigram")
	case !is:
		return nil, errors.New("it has no piece </s>, which ends the texts of a T5")
	case m.unknown != theirs:
		return nil, fmt.Errorf("its piece for what is unknown has id %d, and a T5's has %d; save the tokenizer as a tokenizer.json", m.unknown, theirs)
	}
	u := &unigram{vocabulary: m.vocabulary, scores: slices.Clone(f.scores), unknown: m.unknown}
	marks := []string{end, m.tokens[m.unknown], "<pad>"}
	for id, kind := range m.types {
		if marked && (kind == controlPiece || kind == userDefinedPiece) {
			marks = append(marks, m.tokens[id])
		}
	}
	for i := sentinels - 1; i >= 0; i-- {
		name := fmt.Sprintf("<extra_id_%d>", i)
		if err := u.add(name, int32(len(u.scores))); err != nil {
			return nil, err
		}
		if u.scores = append(u.scores, 0); marked {
			marks = append(marks, name)
		}
	}
	u.prepare()
	space := metaspace{spaceMark, prependAlways, true}
	t := &Tokenizer{kind: "Unigram", model: u, split: splitters{splitAt{one(blank), removed, false}, space}, decoder: space}
	if m.rule != nil {
		t.normalize = precompiled{m.rule}
	}
	for _, mark := range marks {
		id, known := u.id(mark)
		special := !known || int(id) >= len(m.types) || m.types[id] != userDefinedPiece
		if err := t.addOnce(addedToken{content: mark, special: special}); err != nil {
			return nil, err
		}
	}
	t.added.prepare(t.normalize)
	id, _ := u.id(end)
	tail, first, second := slot{-1, 0, []int32{id}, []string{end}}, slot{text: 0}, slot{text: 1}
	t.post = &template{[]slot{first, tail}, []slot{first, tail, second, tail}, false}
	return t, nil
}
