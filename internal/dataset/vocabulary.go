package dataset

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"ringmaster/internal/config"
	"ringmaster/internal/plural"
	"ringmaster/internal/tokenizer"
)

// maxCharacters is how many different characters a text may have to be read character by character.
const maxCharacters = 256

// Vocabulary says which token stands for which piece of text: each character that occurs, sorted by code point, or,
// where a text has more than 256 different ones or is not UTF-8, each byte.
type Vocabulary struct {
	characters []rune // nil: bytes
	tokens     map[rune]byte
	tokenizer  *tokenizer.Tokenizer // nil: characters or bytes
}

// NewVocabulary is the vocabulary of these characters, which must differ and ascend, as Characters gives them; of bytes
// where there are none.
func NewVocabulary(characters string) (*Vocabulary, error) {
	runes := []rune(characters)
	if len(runes) > maxCharacters {
		return nil, fmt.Errorf("vocabulary has %d characters, more than %d", len(runes), maxCharacters)
	}
	if !utf8.ValidString(characters) {
		return nil, fmt.Errorf("vocabulary %q is not UTF-8", characters)
	}
	for i := 1; i < len(runes); i++ {
		if runes[i] <= runes[i-1] {
			return nil, fmt.Errorf("vocabulary: character %q does not ascend after %q", runes[i], runes[i-1])
		}
	}
	if len(runes) == 0 {
		return &Vocabulary{}, nil
	}
	v := &Vocabulary{characters: runes, tokens: make(map[rune]byte, len(runes))}
	for i, r := range runes {
		v.tokens[r] = byte(i)
	}
	return v, nil
}

// vocabularyOf is the vocabulary of a text.
func vocabularyOf(text []byte) *Vocabulary {
	seen := map[rune]bool{}
	for i := 0; i < len(text); {
		r, size := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(text[i:])
		}
		if r == utf8.RuneError && size == 1 || len(seen) > maxCharacters {
			return &Vocabulary{}
		}
		seen[r] = true
		i += size
	}
	runes := make([]rune, 0, len(seen))
	for r := range seen {
		runes = append(runes, r)
	}
	slices.Sort(runes)
	v, err := NewVocabulary(string(runes))
	if err != nil {
		return &Vocabulary{}
	}
	return v
}

// tokenized is the vocabulary of a tokenizer.
func tokenized(t *tokenizer.Tokenizer) (*Vocabulary, error) {
	if n := t.Len(); n >= maxClasses {
		return nil, fmt.Errorf("the tokenizer has %d tokens, more than %d", n, maxClasses-1)
	}
	return &Vocabulary{tokenizer: t}, nil
}

// kind says what tokens are, of a text that was read by an encoding.
func (v *Vocabulary) kind(encoding string) string {
	switch {
	case v.tokenizer != nil:
		return fmt.Sprintf("the %d of a %s tokenizer", v.Len(), v.tokenizer.Kind())
	case v.characters != nil:
		return plural.Of(v.Len(), "character")
	case encoding == config.EncodingBytes:
		return "bytes"
	}
	return fmt.Sprintf("bytes, since there are more than %d different characters", maxCharacters)
}

// Len is the number of tokens.
func (v *Vocabulary) Len() int {
	if v.tokenizer != nil {
		return v.tokenizer.Len()
	}
	if v.characters == nil {
		return 256
	}
	return len(v.characters)
}

// Characters is the vocabulary's characters in the order of their tokens; "" where tokens are bytes.
func (v *Vocabulary) Characters() string { return string(v.characters) }

// Encode is the tokens of a text. It fails at a character that the vocabulary lacks.
func (v *Vocabulary) Encode(text string) ([]int32, error) {
	if v.tokenizer != nil {
		return v.tokenizer.AppendIDs(nil, text)
	}
	tokens := make([]int32, 0, len(text))
	if v.characters == nil {
		for i := range len(text) {
			tokens = append(tokens, int32(text[i]))
		}
		return tokens, nil
	}
	for i, r := range text {
		token, ok := v.tokens[r]
		if !ok {
			return nil, v.lacks(r, i)
		}
		tokens = append(tokens, int32(token))
	}
	return tokens, nil
}

func (v *Vocabulary) lacks(r rune, at int) error {
	return fmt.Errorf("character %q at byte %d does not occur in the text that the model was trained on, which has %s: leave it out", r, at, plural.Of(v.Len(), "other"))
}

// Decode is the text of tokens; tokens out of range become U+FFFD.
func (v *Vocabulary) Decode(tokens []int32) string {
	if v.tokenizer != nil {
		return v.decodeKnown(tokens, false)
	}
	var b strings.Builder
	for _, token := range tokens {
		switch {
		case token < 0 || int(token) >= v.Len():
			b.WriteRune(utf8.RuneError)
		case v.characters == nil:
			b.WriteByte(byte(token))
		default:
			b.WriteRune(v.characters[token])
		}
	}
	return b.String()
}

// endings are the special tokens that tokenizers put at the end of a text.
var endings = []string{"<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>", "[EOS]"}

// End is the tokens that end a text; none where the vocabulary has no such token.
func (v *Vocabulary) End() []int32 {
	var end []int32
	for _, name := range endings {
		if v.tokenizer == nil {
			break
		}
		if id, ok := v.tokenizer.ID(name); ok {
			end = append(end, id)
		}
	}
	return end
}

// encodeAll is the tokens of a whole text, a byte each. It fails at a character that the vocabulary lacks.
func (v *Vocabulary) encodeAll(text []byte) ([]byte, error) {
	if v.characters == nil {
		return text, nil
	}
	var ascii [utf8.RuneSelf]byte // most texts have nothing else
	var known [utf8.RuneSelf]bool
	for r, token := range v.tokens {
		if r < utf8.RuneSelf {
			ascii[r], known[r] = token, true
		}
	}
	tokens := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		if c := text[i]; c < utf8.RuneSelf && known[c] {
			tokens = append(tokens, ascii[c])
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		token, ok := v.tokens[r]
		if !ok {
			return nil, v.lacks(r, i)
		}
		tokens = append(tokens, token)
		i += size
	}
	return tokens, nil
}

// decodeKnown is the text of a tokenizer's tokens. Ids without a token, which a model may give where a vocabulary has gaps, stand for nothing,
// and nor do special tokens where they are to be skipped.
func (v *Vocabulary) decodeKnown(ids []int32, skipSpecial bool) string {
	known := make([]int32, 0, len(ids))
	for _, id := range ids {
		if _, ok := v.tokenizer.Token(id); ok {
			known = append(known, id)
		}
	}
	text, err := v.tokenizer.Decode(known, skipSpecial)
	if err != nil {
		panic(fmt.Sprintf("dataset: known tokens are decoded: %v", err))
	}
	return text
}

// passage is a part of a text as tokens, with where its documents begin, but the first.
type passage struct {
	text   tokens
	starts []int32
}

// TokenBytes is how many bytes of text each target below n stands for, where the targets are the text's next tokens and their tokens are characters,
// bytes or a byte-level tokenizer's; else nil.
func (d *Data) TokenBytes(n int) []int32 {
	k := d.Schema.Find(nextTokens)
	if d.Vocabulary == nil || k < 0 || d.Schema[k].Role != Target {
		return nil
	}
	if t := d.Vocabulary.tokenizer; t != nil && !t.ByteLevel() {
		return nil
	}
	sizes := make([]int32, n)
	for token := range sizes[:min(n, d.Vocabulary.Len())] {
		sizes[token] = d.Vocabulary.size(int32(token))
	}
	return sizes
}

// size is how many bytes of text a token stands for.
func (v *Vocabulary) size(token int32) int32 {
	switch {
	case v.tokenizer != nil:
		return int32(v.tokenizer.Bytes(token))
	case v.characters != nil:
		return int32(utf8.RuneLen(v.characters[token]))
	}
	return 1
}

// parts are the tokens of a text for training and for evaluation: its first nine tenths and the rest. borders are where its documents begin in bytes.
func (v *Vocabulary) parts(c config.Data, text []byte, borders []int) (parts [2]passage, total int, err error) {
	var all Value
	var at []int32 // of tokens before each border
	if v.tokenizer == nil {
		all.Bytes, err = v.encodeAll(text)
		total, at = len(all.Bytes), v.charactersBefore(text, borders)
	} else {
		all.Ints, at, err = v.encodeLines(text, borders)
		total = len(all.Ints)
	}
	if err != nil {
		return parts, 0, err
	}
	starts, err := v.divide(c, at, all, total)
	if err != nil {
		return parts, 0, err
	}
	cut := total/10*9 + total%10*9/10
	parts[0].starts, parts[1].starts = splitStarts(starts, cut)
	if v.tokenizer == nil {
		parts[0].text, parts[1].text = memoryTokens(all.Bytes[:cut]), memoryTokens(all.Bytes[cut:])
	} else {
		parts[0].text, parts[1].text = wideTokens(all.Ints[:cut]), wideTokens(all.Ints[cut:])
	}
	return parts, total, nil
}

// encodeLines is the tokens of a whole text, and how many there are before each of its borders. Each line is tokenized by itself, so that what that needs does
// not grow with the text.
func (v *Vocabulary) encodeLines(text []byte, borders []int) (all, at []int32, err error) {
	number, from := 0, 0
	for i := range len(borders) + 1 {
		to := len(text)
		if i < len(borders) {
			to = borders[i]
		}
		for line := range strings.Lines(string(text[from:to])) {
			number++
			if all, err = v.tokenizer.AppendIDs(all, line); err != nil {
				return nil, nil, fmt.Errorf("line %d: %w", number, err)
			}
		}
		if i < len(borders) {
			from, at = to, append(at, int32(len(all)))
		}
	}
	return all, at, nil
}
