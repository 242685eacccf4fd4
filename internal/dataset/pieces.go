package dataset

import (
	"fmt"
	"slices"
	"strings"

	"ringmaster/internal/config"
	"ringmaster/internal/tokenizer"
)

// pieces is a tokenizer as the lexicon of pairs of texts.
type pieces struct {
	vocabulary    *Vocabulary
	before, after []int32 // what the tokenizer's template puts around a text; the last one behind it is the end
	end, padding  int32
	shown         bool // special tokens are a part of texts, as sentinels of hidden spans are
}

// The names that tokenizers give to the end of a text and to padding, the usual ones first.
var (
	endNames     = []string{"</s>", "<|endoftext|>", "<eos>", "[SEP]"}
	paddingNames = []string{"<pad>", "[PAD]", "<|pad|>"}
)

// newPieces is the lexicon of a tokenizer. The error names the token that it lacks.
func newPieces(t *tokenizer.Tokenizer) (*Lexicon, error) {
	v, err := tokenized(t)
	if err != nil {
		return nil, err
	}
	p := &pieces{vocabulary: v}
	p.frame(t)
	if n := len(p.after); n > 0 {
		p.end = p.after[n-1]
	} else if p.end, err = special(t, "an end of texts", endNames); err != nil {
		return nil, err
	} else {
		p.after = []int32{p.end}
	}
	if id, ok := t.Padding(); ok {
		p.padding = id
	} else if p.padding, err = special(t, "padding", paddingNames); err != nil {
		return nil, err
	}
	return &Lexicon{pieces: p}, nil
}

// frame settles what the tokenizer's template puts around a text.
func (p *pieces) frame(t *tokenizer.Tokenizer) {
	behind := false
	for _, slot := range t.Frame(false).Slots {
		switch {
		case slot.Text != tokenizer.NoText:
			behind = true
		case behind:
			p.after = append(p.after, slot.ID)
		default:
			p.before = append(p.before, slot.ID)
		}
	}
}

// special is the id of the first of some tokens that a tokenizer has.
func special(t *tokenizer.Tokenizer, what string, names []string) (int32, error) {
	for _, name := range names {
		if id, ok := t.ID(name); ok {
			return id, nil
		}
	}
	return 0, fmt.Errorf("the tokenizer has no token for %s (%s), which pairs need; ringmaster tokenizer train adds one by --special %s", what, strings.Join(names, ", "), names[0])
}

// openPieces is the lexicon of the tokenizer that the configuration names.
func openPieces(c config.Data) (*Lexicon, error) {
	v, err := openTokenizer(c)
	if err != nil {
		return nil, err
	}
	l, err := newPieces(v.tokenizer)
	if err != nil {
		return nil, config.KeyErrorf("data.tokenizer", "%w", err)
	}
	return l, nil
}

func (p *pieces) encode(text string) ([]int32, error) {
	ids, err := p.vocabulary.tokenizer.AppendIDs(slices.Clone(p.before), text)
	return append(ids, p.after...), err
}

// decode leaves out special tokens where they are not shown.
func (p *pieces) decode(tokens []int32) string {
	if end := slices.Index(tokens, p.end); end >= 0 {
		tokens = tokens[:end]
	}
	return p.vocabulary.decodeKnown(tokens, !p.shown)
}

// tokenizer is the one that the data are read by; nil where there is none.
func (d *Data) tokenizer() *tokenizer.Tokenizer {
	switch {
	case d.Vocabulary != nil:
		return d.Vocabulary.tokenizer
	case d.Lexicon != nil && d.Lexicon.pieces != nil:
		return d.Lexicon.pieces.vocabulary.tokenizer
	}
	return nil
}
