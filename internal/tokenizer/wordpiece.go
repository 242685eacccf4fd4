package tokenizer

import "unicode/utf8"

// wordPiece takes the longest token that a word begins with, then the longest of the rest with the prefix, and so on. A word that
// cannot be taken apart is one unknown token.
type wordPiece struct {
	vocabulary
	unknown  int32 // negative: there is none, and a word that would need it is an error
	prefix   string
	maxRunes int // of a word; longer ones are unknown
	first    *trie
	rest     *trie // what follows the prefix in the tokens that have it
}

func (m *wordPiece) prepare() {
	m.first = newTrie(m.tokens, m.known, "")
	m.rest = newTrie(m.tokens, m.known, m.prefix)
}

func (m *wordPiece) tokenize(w *work, text []byte) error {
	if w.recall(text) {
		return nil
	}
	before := len(w.tokens)
	ok := len(text) <= m.maxRunes || utf8.RuneCount(text) <= m.maxRunes
	for at := 0; ok && at < len(text); {
		pieces := m.first
		if at > 0 {
			pieces = m.rest
		}
		id, n := pieces.longest(text[at:])
		if ok = n > 0; ok {
			w.tokens = append(w.tokens, token{id: id, from: int32(at), to: int32(at + n)})
			at += n
		}
	}
	if !ok {
		if m.unknown < 0 {
			return errNoUnknown
		}
		w.tokens = append(w.tokens[:before], token{id: m.unknown, to: int32(len(text))})
	}
	w.remember(text, w.tokens[before:])
	return nil
}

// wordLevel has a token for every word it knows.
type wordLevel struct {
	vocabulary
	unknown int32
}

func (m *wordLevel) tokenize(w *work, text []byte) error {
	id, ok := m.ids[string(text)]
	if !ok {
		id = m.unknown
	}
	if id < 0 {
		return errNoUnknown
	}
	w.tokens = append(w.tokens, token{id: id, to: int32(len(text))})
	return nil
}
