package tokenizer

import (
	"errors"
	"fmt"

	"ringmaster/internal/printable"
)

// Bounds on vocabularies.
const (
	maxTokens   = 1 << 22 // tokens; the largest vocabularies in use have some 260,000
	maxTokenLen = 1 << 10 // bytes of one
)

// vocabulary gives tokens their ids. Ids may have gaps.
type vocabulary struct {
	ids    map[string]int32
	tokens []string // by id
	known  []bool   // by id: whether there is such a token
}

// add gives a token its id.
func (v *vocabulary) add(token string, id int32) error {
	switch {
	case len(token) > maxTokenLen:
		return fmt.Errorf("token %s has %d bytes, and %d is the most", printable.Typed(token), len(token), maxTokenLen)
	case int(id) >= maxTokens:
		return fmt.Errorf("token %s has id %d, and %d is the greatest", printable.Typed(token), id, maxTokens-1)
	}
	if v.ids == nil {
		v.ids = map[string]int32{}
	}
	if other, twice := v.ids[token]; twice {
		return fmt.Errorf("token %s is there twice, with ids %d and %d", printable.Typed(token), other, id)
	}
	if int(id) < len(v.known) && v.known[id] {
		return fmt.Errorf("id %d belongs to two tokens, %s and %s", id, printable.Typed(v.tokens[id]), printable.Typed(token))
	}
	for len(v.tokens) <= int(id) {
		v.tokens, v.known = append(v.tokens, ""), append(v.known, false)
	}
	v.tokens[id], v.known[id], v.ids[token] = token, true, id
	return nil
}

// ID is the id of a token.
func (v *vocabulary) id(token string) (int32, bool) {
	id, ok := v.ids[token]
	return id, ok
}

func (v *vocabulary) token(id int32) (string, bool) {
	if id < 0 || int(id) >= len(v.tokens) || !v.known[id] {
		return "", false
	}
	return v.tokens[id], true
}

func (v *vocabulary) size() int { return len(v.ids) }

// model tokenizes pieces.
type model interface {
	// tokenize appends the tokens of a piece, which is not empty, to w.tokens.
	tokenize(w *work, text []byte) error
	id(token string) (int32, bool)
	token(id int32) (string, bool)
	size() int
}

// errNoUnknown is what a model says of a text that it has no token for.
var errNoUnknown = errors.New("the vocabulary has no token for a part of the text, and none for what is unknown (unk)")
