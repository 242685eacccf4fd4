package dataset

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"ringmaster/internal/config"
	"ringmaster/internal/tokenizer"
)

// The first tokens of a Lexicon.
const (
	PaddingToken = 0 // behind a shorter text; also what a target begins with
	EndToken     = 1
	UnknownToken = 2
	firstWord    = 3
)

// Lexicon says which token stands for which word, or for which character: those of the training texts, the most frequent first. Or its
// tokens are a tokenizer's.
type Lexicon struct {
	byCharacter bool
	words       []string // of tokens firstWord, firstWord+1, ...
	tokens      map[string]int32
	pieces      *pieces // of a tokenizer; nil: words or characters
}

// NewLexicon is the lexicon of these words in the order of their tokens, or of characters. They must differ.
func NewLexicon(words []string, byCharacter bool) (*Lexicon, error) {
	l := &Lexicon{byCharacter: byCharacter, words: words, tokens: make(map[string]int32, len(words))}
	for i, word := range words {
		if word == "" || !utf8.ValidString(word) || byCharacter && utf8.RuneCountInString(word) != 1 {
			return nil, fmt.Errorf("vocabulary: %q cannot be a token", word)
		}
		l.tokens[word] = int32(firstWord + i)
	}
	if len(l.tokens) < len(words) {
		return nil, fmt.Errorf("vocabulary: two of its %d words are equal", len(words))
	}
	return l, nil
}

// lexiconOf is the lexicon of at most size tokens that texts have, by how often each word occurs. Words that occur as often are in the order of their bytes.
func lexiconOf(counts map[string]int, size int, byCharacter bool) (*Lexicon, error) {
	words := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b)) })
	return NewLexicon(slices.Clone(words[:min(len(words), size-firstWord)]), byCharacter)
}

// Len is the number of tokens.
func (l *Lexicon) Len() int {
	if l.pieces != nil {
		return l.pieces.vocabulary.Len()
	}
	return firstWord + len(l.words)
}

// kind says what tokens are, and how many there are.
func (l *Lexicon) kind() string {
	if l.pieces != nil {
		return l.pieces.vocabulary.kind("")
	}
	return fmt.Sprintf("%d tokens", l.Len())
}

// End is the token behind a text.
func (l *Lexicon) End() int32 {
	if l.pieces != nil {
		return l.pieces.end
	}
	return EndToken
}

// Start is the token that a target begins with where a decoder reads it: the padding.
func (l *Lexicon) Start() int32 {
	if l.pieces != nil {
		return l.pieces.padding
	}
	return PaddingToken
}

// Encode is the tokens of a text, with the end. What the lexicon lacks is UnknownToken, or what a tokenizer makes of it, which may be an error.
func (l *Lexicon) Encode(text string) ([]int32, error) {
	if l.pieces != nil {
		return l.pieces.encode(text)
	}
	var tokens []int32
	for word := range l.split(text) {
		tokens = append(tokens, l.token(word))
	}
	return append(tokens, EndToken), nil
}

func (l *Lexicon) token(word string) int32 {
	if token, known := l.tokens[word]; known {
		return token
	}
	return UnknownToken
}

// Decode is the text of tokens up to the end: words with spaces between them, or characters, or what a tokenizer writes.
func (l *Lexicon) Decode(tokens []int32) string {
	if l.pieces != nil {
		return l.pieces.decode(tokens)
	}
	var b strings.Builder
	for _, token := range tokens {
		if token == EndToken {
			break
		}
		if token == PaddingToken {
			continue
		}
		if b.Len() > 0 && !l.byCharacter {
			b.WriteByte(' ')
		}
		if at := int(token) - firstWord; at >= 0 && at < len(l.words) {
			b.WriteString(l.words[at])
		} else {
			b.WriteRune(utf8.RuneError)
		}
	}
	return b.String()
}

// split gives the words of a text: letters, marks and digits that stand together, and every other character that is no space by itself. By
// character it gives every character, spaces too.
func (l *Lexicon) split(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		begin := -1
		for i, r := range text {
			if !l.byCharacter && (unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r)) {
				if begin < 0 {
					begin = i
				}
				continue
			}
			if begin >= 0 && !yield(text[begin:i]) {
				return
			}
			begin = -1
			if (l.byCharacter || !unicode.IsSpace(r)) && !yield(text[i:i+utf8.RuneLen(r)]) {
				return
			}
		}
		if begin >= 0 {
			yield(text[begin:])
		}
	}
}

// described is what a description has of a lexicon.
func (l *Lexicon) described() *describedLexicon {
	if l.pieces != nil {
		return &describedLexicon{Tokenizer: l.pieces.vocabulary.tokenizer.Pack()}
	}
	return &describedLexicon{Words: l.words, Characters: l.byCharacter}
}

// describedLexicon is a lexicon in a description.
type describedLexicon struct {
	Words      []string `json:"words,omitempty"`
	Characters bool     `json:"characters,omitempty"`
	Tokenizer  []byte   `json:"tokenizer,omitempty"` // as it packs itself; instead of words
}

// lexicon is the lexicon that the description has.
func (in *description) lexicon(c config.Data) (*Lexicon, error) {
	if in.Lexicon == nil {
		return nil, errors.New("description of the data: no vocabulary, which pairs of texts have")
	}
	l, err := in.Lexicon.lexicon(c)
	if err != nil {
		return nil, fmt.Errorf("description of the data: %w", err)
	}
	return l, nil
}

func (in *describedLexicon) lexicon(c config.Data) (*Lexicon, error) {
	switch {
	case in.Tokenizer != nil && (in.Words != nil || in.Characters):
		return nil, errors.New("a vocabulary of words and a tokenizer")
	case in.Tokenizer != nil:
		t, err := tokenizer.Unpack(in.Tokenizer)
		if err != nil {
			return nil, err
		}
		return newPieces(t)
	case len(in.Words) > maxVocabulary:
		return nil, fmt.Errorf("%d words are more than %d", len(in.Words), maxVocabulary)
	case in.Characters != (c.Tokens == config.TokensCharacters):
		return nil, fmt.Errorf("a vocabulary that is not of data.tokens: %s", c.Tokens)
	}
	return NewLexicon(in.Words, in.Characters)
}

// maxVocabulary bounds the tokens of a lexicon.
const maxVocabulary = 1 << 20
