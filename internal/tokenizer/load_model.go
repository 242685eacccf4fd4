package tokenizer

import (
	"encoding/base64"
	"math"
	"strings"

	"ringmaster/internal/printable"
)

// readModel reads the model of a tokenizer.json. Old files do not name its type: it is told by what only that type has.
func (t *Tokenizer) readModel(n node) error {
	s, kind, err := settingsOf(n, "model")
	if err != nil {
		return err
	}
	if kind == "" {
		switch {
		case s.has("merges"):
			kind = "BPE"
		case s.has("unk_id") || s.has("vocab") && s.get("vocab").kind() == "a list":
			kind = "Unigram"
		case s.has("continuing_subword_prefix"):
			kind = "WordPiece"
		default:
			kind = "WordLevel"
		}
	}
	s.required("vocab")
	if s.err != nil {
		return s.err
	}
	t.kind = kind
	switch kind {
	case "BPE":
		t.model, err = readBPE(s)
	case "WordPiece":
		t.model, err = readWordPiece(s)
	case "WordLevel":
		t.model, err = readWordLevel(s)
	case "Unigram":
		t.model, err = readUnigram(s)
	default:
		return n.errorf("model %s is not implemented", printable.Typed(kind))
	}
	return err
}

// maxAffix is the most bytes of what is put before or after parts of words, and into a text by a normalizer: they are put there again and again.
const maxAffix = 64

// short refuses a text that is longer than most bytes.
func (s *settings) short(name string, most int) {
	if text := s.text(name, ""); len(text) > most {
		s.fail(name, "%s has %d bytes, and %d is the most", name, len(text), most)
	}
}

func readBPE(s *settings) (*bpe, error) {
	m := &bpe{merges: map[uint64]merge{}, fuseUnknown: s.bool("fuse_unk", false), byteFallback: s.bool("byte_fallback", false),
		ignoreMerges: s.bool("ignore_merges", false), prefix: s.text("continuing_subword_prefix", ""), suffix: s.text("end_of_word_suffix", "")}
	if n := s.get("dropout"); !n.isNull() {
		if v, err := n.number(); err != nil || v != 0 {
			return nil, n.errorf("dropout is not implemented: it would give other ids every time")
		}
	}
	s.required("merges")
	for _, name := range []string{"continuing_subword_prefix", "end_of_word_suffix"} {
		s.short(name, maxAffix)
	}
	if s.err != nil {
		return nil, s.err
	}
	if err := m.readVocabulary(s.get("vocab")); err != nil {
		return nil, err
	}
	m.unknown = s.token("unk_token", &m.vocabulary)
	rank := 0
	err := s.get("merges").items(func(n node) error {
		left, right, err := readMerge(n)
		if err != nil {
			return err
		}
		if err := m.addMerge(left, right, rank); err != nil {
			return n.errorf("%w", err)
		}
		rank++
		return nil
	})
	if err != nil {
		return nil, err
	}
	m.prepare()
	return m, s.done()
}

// token is the id of the token that a setting names; -1 where it names none.
func (s *settings) token(name string, v *vocabulary) int32 {
	token := setting(s, name, "", node.string)
	if s.err != nil || !s.has(name) {
		return -1
	}
	id, ok := v.id(token)
	if !ok {
		s.fail(name, "%s %s is not in the vocabulary", name, printable.Typed(token))
		return -1
	}
	return id
}

// readMerge reads a merge, which is a list of two tokens or, in old files, a text with a space between them.
func readMerge(n node) (left, right string, err error) {
	if n.kind() == "a string" {
		text, err := n.string()
		if err != nil {
			return "", "", err
		}
		left, right, found := strings.Cut(text, " ")
		if !found || strings.Contains(right, " ") {
			return "", "", n.errorf("a merge is two tokens with a space between them, not %s", printable.Typed(text))
		}
		return left, right, nil
	}
	var parts []string
	err = n.items(func(n node) error {
		if len(parts) == 2 {
			return n.errorf("a merge joins two tokens, and this is a third")
		}
		text, err := n.string()
		parts = append(parts, text)
		return err
	})
	if err == nil && len(parts) < 2 {
		err = n.errorf("a merge joins two tokens, not %d", len(parts))
	}
	if err != nil {
		return "", "", err
	}
	return parts[0], parts[1], nil
}

func readWordPiece(s *settings) (*wordPiece, error) {
	m := &wordPiece{prefix: s.text("continuing_subword_prefix", "##"), maxRunes: s.int("max_input_chars_per_word", 100, maxText)}
	if s.err != nil {
		return nil, s.err
	}
	if err := m.readVocabulary(s.get("vocab")); err != nil {
		return nil, err
	}
	s.required("unk_token")
	m.unknown = s.token("unk_token", &m.vocabulary)
	m.prepare()
	return m, s.done()
}

func readWordLevel(s *settings) (*wordLevel, error) {
	m := &wordLevel{}
	if err := m.readVocabulary(s.get("vocab")); err != nil {
		return nil, err
	}
	s.required("unk_token")
	m.unknown = s.token("unk_token", &m.vocabulary)
	return m, s.done()
}

// readUnigram reads a list of tokens and their scores; ids are the places.
func readUnigram(s *settings) (*unigram, error) {
	m := &unigram{unknown: -1, byteFallback: s.bool("byte_fallback", false)}
	err := s.get("vocab").items(func(n node) error {
		token, score, place := "", 0.0, 0
		err := n.items(func(n node) (err error) {
			switch place++; place {
			case 1:
				token, err = n.string()
			case 2:
				score, err = n.number()
			default:
				err = n.errorf("a token of a Unigram model has a score and nothing else")
			}
			return err
		})
		switch {
		case err != nil:
			return err
		case place < 2:
			return n.errorf("a token of a Unigram model has a score")
		case math.IsInf(score, 0):
			return n.errorf("score %v", score)
		}
		if err := m.add(token, int32(len(m.scores))); err != nil {
			return n.errorf("%w", err)
		}
		m.scores = append(m.scores, score)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if s.has("unk_id") {
		if m.unknown = int32(s.int("unk_id", 0, maxTokens)); s.err == nil && int(m.unknown) >= len(m.scores) {
			s.fail("unk_id", "unk_id %d is beyond the vocabulary of %d tokens", m.unknown, len(m.scores))
		}
	}
	if err := s.done(); err != nil {
		return nil, err
	}
	m.prepare()
	return m, nil
}

// readRule reads a precompiled map in base64.
func readRule(n node) (*charsMap, error) {
	text, err := n.string()
	if err != nil || text == "" {
		return nil, err
	}
	blob, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, n.errorf("the precompiled map is not base64: %w", err)
	}
	rule, err := readCharsMap(blob)
	if err != nil {
		return nil, n.errorf("%w", err)
	}
	return rule, nil
}
