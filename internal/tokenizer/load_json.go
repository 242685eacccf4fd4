package tokenizer

import (
	"unicode/utf8"

	"ringmaster/internal/printable"
)

// maxNesting is how deep sequences may be within one another.
const maxNesting = 8

// readTokenizer reads a tokenizer.json.
func readTokenizer(name string, text []byte) (*Tokenizer, error) {
	root, err := parseDocument(name, text)
	if err != nil {
		return nil, err
	}
	o, err := root.object()
	if err != nil {
		return nil, err
	}
	if _, err := o.must("model"); err != nil {
		return nil, err
	}
	if n := o.get("version"); !n.isNull() {
		if v, err := n.string(); err != nil || v != "1.0" {
			return nil, n.errorf("version %s of the format is not implemented; 1.0 is", n.shown())
		}
	}
	t := &Tokenizer{}
	steps := []struct {
		name string
		read func(n node) error
	}{
		{"model", t.readModel},
		{"normalizer", func(n node) (err error) { t.normalize, err = readNormalizer(n, 0); return }},
		{"pre_tokenizer", func(n node) (err error) { t.split, err = readSplitter(n, 0); return }},
		{"post_processor", func(n node) (err error) { t.post, err = t.readPost(n, 0); return }},
		{"decoder", func(n node) (err error) { t.decoder, err = readDecoder(n, 0); return }},
		{"truncation", func(n node) (err error) { t.truncate, err = readTruncation(n); return }},
		{"padding", func(n node) (err error) { t.pad, err = readPadding(n); return }},
		{"added_tokens", t.readAdded},
	}
	for _, s := range steps {
		if o.has(s.name) {
			if err := s.read(o.get(s.name)); err != nil {
				return nil, err
			}
		}
	}
	t.added.prepare(t.normalize)
	return t, o.rest("the file")
}

func (t *Tokenizer) readAdded(n node) error {
	return n.items(func(n node) error {
		s, _, err := settingsOf(n, "an added token")
		if err != nil {
			return err
		}
		s.required("id", "content")
		a := addedToken{
			id: int32(s.int("id", 0, maxTokens-1)), content: s.text("content", ""), special: s.bool("special", false),
			left: s.bool("lstrip", false), right: s.bool("rstrip", false), singleWord: s.bool("single_word", false),
			normalized: s.bool("normalized", false),
		}
		if err := s.done(); err != nil {
			return err
		}
		if err := t.added.add(a, t.model); err != nil {
			return n.errorf("%w", err)
		}
		return nil
	})
}

// sequence reads the members of a sequence.
func sequence[T any](s *settings, key string, depth int, read func(n node, depth int) (T, error)) ([]T, error) {
	s.required(key)
	if s.err != nil {
		return nil, s.err
	}
	if depth == maxNesting {
		return nil, s.errorf("sequences are nested more than %d deep", maxNesting)
	}
	var all []T
	err := s.get(key).items(func(n node) error {
		if len(all) == 64 {
			return n.errorf("a sequence has more than 64 members")
		}
		one, err := read(n, depth+1)
		all = append(all, one)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, s.done()
}

func readNormalizer(n node, depth int) (normalizer, error) {
	s, kind, err := settingsOf(n, "normalizer")
	if err != nil {
		return nil, err
	}
	var out normalizer
	switch kind {
	case "Sequence":
		all, err := sequence(s, "normalizers", depth, readNormalizer)
		return normalizers(all), err
	case "BertNormalizer":
		lower := s.bool("lowercase", true)
		out = bertNormalizer{s.bool("clean_text", true), s.bool("handle_chinese_chars", true), s.bool("strip_accents", lower), lower}
	case "NFC":
		out = compose{}
	case "NFD":
		out = decompose{}
	case "NFKC":
		out = compose{compatible: true}
	case "NFKD":
		out = decompose{compatible: true}
	case "Lowercase":
		out = lowercase{}
	case "StripAccents":
		out = stripAccents{}
	case "Strip":
		s.required("strip_left", "strip_right")
		out = strip{s.bool("strip_left", true), s.bool("strip_right", true)}
	case "Replace":
		out = s.replace()
	case "Prepend":
		s.required("prepend")
		s.short("prepend", maxAffix)
		out = prepend{s.text("prepend", "")}
	case "ByteLevel":
		out = byteAlphabet{}
	case "Precompiled":
		s.required("precompiled_charsmap")
		rule := setting(s, "precompiled_charsmap", nil, readRule)
		if rule == nil {
			return nil, s.done()
		}
		out = precompiled{rule}
	default:
		return nil, n.errorf("normalizer %s is not implemented", printable.Typed(kind))
	}
	return out, s.done()
}

// replace reads a pattern and what is put in the place of what it finds.
func (s *settings) replace() replace {
	s.required("pattern", "content")
	s.short("content", maxAffix)
	return replace{setting(s, "pattern", nil, readPattern), s.text("content", "")}
}

// readPattern reads {"String": text} or {"Regex": expression}.
func readPattern(n node) (pattern, error) {
	o, err := n.object()
	if err != nil {
		return nil, err
	}
	if text := o.get("String"); !text.isNull() {
		t, err := text.string()
		if err != nil {
			return nil, err
		}
		return literal(t), o.rest("a pattern")
	}
	expression, err := o.must("Regex")
	if err != nil {
		return nil, n.errorf("a pattern is a String or a Regex")
	}
	text, err := expression.string()
	if err != nil {
		return nil, err
	}
	make, known := patterns[text]
	if !known {
		return nil, expression.errorf("the regular expression %s is not implemented", printable.Line(text, 200))
	}
	return make(), o.rest("a pattern")
}

func readSplitter(n node, depth int) (splitter, error) {
	s, kind, err := settingsOf(n, "pre-tokenizer")
	if err != nil {
		return nil, err
	}
	var out splitter
	switch kind {
	case "Sequence":
		all, err := sequence(s, "pretokenizers", depth, readSplitter)
		return splitters(all), err
	case "ByteLevel":
		s.bool("trim_offsets", true) // it is the post-processor's
		out = byteLevel{s.bool("add_prefix_space", true), s.bool("use_regex", true)}
	case "BertPreTokenizer":
		out = bertSplitter{}
	case "Whitespace":
		out = wordSplitter{}
	case "WhitespaceSplit":
		out = splitAt{one(blank), removed, false}
	case "Metaspace":
		out = s.metaspace()
	case "Punctuation":
		out = splitAt{one(punctuation), setting(s, "behavior", isolated, readBehavior), false}
	case "Digits":
		s.required("individual_digits")
		out = digits(s.bool("individual_digits", false))
	case "Split":
		s.required("pattern", "behavior", "invert")
		out = splitAt{setting(s, "pattern", nil, readPattern), setting(s, "behavior", isolated, readBehavior), s.bool("invert", false)}
	case "CharDelimiterSplit":
		s.required("delimiter")
		out = splitAt{literal(s.text("delimiter", "")), removed, false}
	default:
		return nil, n.errorf("pre-tokenizer %s is not implemented", printable.Typed(kind))
	}
	return out, s.done()
}

func readBehavior(n node) (behavior, error) {
	name, err := n.string()
	if err != nil {
		return 0, err
	}
	b, known := behaviors[name]
	if !known {
		return 0, n.errorf("behavior %s is not implemented", printable.Typed(name))
	}
	return b, nil
}

// metaspace reads a Metaspace, of old files too, which have add_prefix_space instead of prepend_scheme.
func (s *settings) metaspace() metaspace {
	s.required("replacement")
	m := metaspace{s.text("replacement", ""), prependAlways, s.bool("split", true)}
	s.text("str_rep", "")
	switch scheme := s.text("prepend_scheme", "always"); scheme {
	case "always":
	case "first":
		m.prepend = prependFirst
	case "never":
		m.prepend = prependNever
	default:
		s.fail("prepend_scheme", "prepend_scheme %s is not implemented", printable.Typed(scheme))
	}
	if !s.bool("add_prefix_space", true) {
		if s.has("prepend_scheme") && m.prepend != prependNever {
			s.fail("add_prefix_space", "add_prefix_space is false and prepend_scheme is not never")
		}
		m.prepend = prependNever
	}
	if utf8.RuneCountInString(m.mark) != 1 {
		s.fail("replacement", "replacement is one character, not %s", printable.Typed(m.mark))
	}
	return m
}

// fail notes what is wrong with a setting, unless something was wrong before.
func (s *settings) fail(name, format string, values ...any) {
	if s.err == nil {
		s.err = s.get(name).errorf(format, values...)
	}
}

func readDecoder(n node, depth int) (decoder, error) {
	s, kind, err := settingsOf(n, "decoder")
	if err != nil {
		return nil, err
	}
	var out decoder
	switch kind {
	case "Sequence":
		all, err := sequence(s, "decoders", depth, readDecoder)
		return decoders(all), err
	case "ByteLevel":
		s.bool("add_prefix_space", true) // the three are the pre-tokenizer's
		s.bool("trim_offsets", true)
		s.bool("use_regex", true)
		out = byteDecoder{}
	case "WordPiece":
		out = wordDecoder{s.text("prefix", "##"), s.bool("cleanup", true)}
	case "Metaspace":
		out = s.metaspace()
	case "BPEDecoder":
		if out = (suffixDecoder{s.text("suffix", "</w>")}); out.(suffixDecoder).suffix == "" {
			s.fail("suffix", "the suffix is empty")
		}
	case "ByteFallback":
		out = byteFallbackDecoder{}
	case "Fuse":
		out = fuse{}
	case "Replace":
		out = s.replace()
	case "Strip":
		s.required("content", "start", "stop")
		d := stripDecoder{s.text("content", ""), s.int("start", 0, 1<<16), s.int("stop", 0, 1<<16)}
		if utf8.RuneCountInString(d.content) != 1 {
			s.fail("content", "content is one character, not %s", printable.Typed(d.content))
		}
		out = d
	default:
		return nil, n.errorf("decoder %s is not implemented", printable.Typed(kind))
	}
	return out, s.done()
}

func readTruncation(n node) (*truncation, error) {
	s, _, err := settingsOf(n, "truncation")
	if err != nil {
		return nil, err
	}
	s.required("max_length", "strategy")
	t := &truncation{length: s.int("max_length", 0, maxText), left: s.side("direction")}
	s.int("stride", 0, maxText) // how much the parts that were cut off would overlap; they are not kept
	switch t.strategy = map[string]string{"LongestFirst": "longest_first", "OnlyFirst": "only_first", "OnlySecond": "only_second"}[s.text("strategy", "")]; t.strategy {
	case "":
		s.fail("strategy", "the strategy is LongestFirst, OnlyFirst or OnlySecond")
	}
	return t, s.done()
}

// side reads Left or Right.
func (s *settings) side(name string) (left bool) {
	switch side := s.text(name, "Right"); side {
	case "Left":
		return true
	case "Right":
	default:
		s.fail(name, "%s is Left or Right, not %s", name, printable.Typed(side))
	}
	return false
}

// maxPadding is the most tokens to which an encoding is padded.
const maxPadding = 1 << 20

func readPadding(n node) (*padding, error) {
	s, _, err := settingsOf(n, "padding")
	if err != nil {
		return nil, err
	}
	s.required("strategy", "pad_id", "pad_token")
	p := &padding{left: s.side("direction"), multiple: s.int("pad_to_multiple_of", 0, maxPadding), id: int32(s.int("pad_id", 0, maxTokens-1)),
		kind: int32(s.int("pad_type_id", 0, 1<<16)), token: s.text("pad_token", "")}
	if s.err != nil {
		return nil, s.err
	}
	strategy := s.get("strategy")
	if strategy.kind() == "an object" {
		o, err := strategy.object()
		if err != nil {
			return nil, err
		}
		fixed, err := o.must("Fixed")
		if err != nil {
			return nil, err
		}
		if p.length, err = fixed.integer(maxPadding); err != nil {
			return nil, err
		}
	} else if name, err := strategy.string(); err != nil || name != "BatchLongest" {
		return nil, strategy.errorf("the strategy is BatchLongest or {Fixed: length}, not %s", strategy.shown())
	}
	return p, s.done()
}
