package dataset

import (
	"fmt"
	"strings"

	"ringmaster/internal/config"
	"ringmaster/internal/tokenizer"
)

// masking is the transform that makes of a stretch of tokens what BERT learns from: an input in which some tokens are hidden, and the
// target, the hidden ones at their places and -1, which counts for nothing, at all others. Each token is chosen with the chance
// share. Of the chosen 80 % become the mask, 10 % any token of the vocabulary, and 10 % stay (Devlin et al.: BERT, NAACL 2019, 3.1). A
// stretch of a tokenizer's tokens is framed by its template, whose own tokens are never chosen.
type masking struct {
	share      float64
	vocabulary int
	mask       int32
	frame      tokenizer.Frame // without slots: none
}

func newMasking(c config.Data, v *Vocabulary) masking {
	m := masking{share: c.Mask, vocabulary: v.Len()}
	m.mask, _ = v.mask()
	if v.tokenizer != nil {
		m.frame = v.tokenizer.Frame(false)
	}
	return m
}

// MaskSign is how a text writes a hidden token where its vocabulary has no token for that.
const MaskSign = "[MASK]"

// mask is the token that stands for a hidden one, and how texts write it: the tokenizer's, else one of its own behind the vocabulary.
func (v *Vocabulary) mask() (token int32, sign string) {
	if v.tokenizer != nil {
		for _, sign := range []string{MaskSign, "<mask>"} {
			if id, ok := v.tokenizer.ID(sign); ok {
				return id, sign
			}
		}
	}
	return int32(v.Len()), MaskSign
}

// HiddenTokens is the name of the target that masking makes.
const HiddenTokens = "hidden"

// Fields implements Transform.
func (h masking) Fields(schema Schema) ([]string, []Field, error) {
	text := schema[schema.Find(textField)]
	shape, classes := []int{text.Shape[0] - 1 + h.frame.Added}, max(text.Classes, int(h.mask)+1)
	return []string{textField}, []Field{
		{Name: "tokens", Type: Int32, Role: Input, Shape: shape, Classes: classes},
		{Name: HiddenTokens, Type: Int32, Role: Target, Shape: shape, Classes: classes},
	}, nil
}

// Apply implements Transform. An evaluation hides the same tokens of a record each time.
func (h masking) Apply(out, in []Value, draw Draw) {
	tokens, target := out[0].Ints, out[1].Ints
	begin, end := 0, len(tokens)
	if h.frame.Slots == nil {
		widen(tokens, in[0], 0)
	} else {
		text := in[0].Ints[:len(tokens)-h.frame.Added]
		h.frame.Fill(tokens, nil, text)
		for h.frame.Slots[begin].Text == tokenizer.NoText {
			begin++
		}
		end = begin + len(text)
	}
	key, chosen := draw.Always().Key(streamMask), uint32(h.share*(1<<32))
	for i := range tokens {
		words := key.Block(uint64(i))
		target[i] = -1
		if words[0] >= chosen || i < begin || i >= end {
			continue
		}
		target[i] = tokens[i]
		switch {
		case words[1] < 8*tenth:
			tokens[i] = h.mask
		case words[1] < 9*tenth:
			tokens[i] = int32(uint64(words[2]) * uint64(h.vocabulary) >> 32)
		}
	}
}

// tenth is a tenth of all words.
const tenth = (1 << 32) / 10

// Blanks is a text with hidden tokens, as a model that guesses them reads it.
type Blanks struct {
	Tokens []int32
	Places []int // of the hidden ones

	vocabulary *Vocabulary
}

// Hide makes tokens of a text in which the mask is written where a token is hidden: [MASK], or as the tokenizer writes it.
func (v *Vocabulary) Hide(text string) (*Blanks, error) {
	mask, sign := v.mask()
	b := &Blanks{vocabulary: v}
	if int(mask) < v.Len() { // the tokenizer knows it
		ids, err := v.tokenizer.AppendIDs(nil, text)
		if err != nil {
			return nil, err
		}
		b.Tokens = ids
	} else {
		for i, part := range strings.Split(text, sign) {
			if i > 0 {
				b.Tokens = append(b.Tokens, mask)
			}
			ids, err := v.Encode(part)
			if err != nil {
				return nil, err
			}
			b.Tokens = append(b.Tokens, ids...)
		}
	}
	if v.tokenizer != nil {
		frame := v.tokenizer.Frame(false)
		framed := make([]int32, len(b.Tokens)+frame.Added)
		frame.Fill(framed, nil, b.Tokens)
		b.Tokens = framed
	}
	for i, token := range b.Tokens {
		if token == mask {
			b.Places = append(b.Places, i)
		}
	}
	if len(b.Places) == 0 {
		return nil, fmt.Errorf("no token is hidden; write %s where one is to be guessed", sign)
	}
	return b, nil
}

// Token is how a token is written by itself, with a blank before it where that is part of it. ok is false for one that no text has: the mask of a
// vocabulary without one, and what a padded vocabulary holds beyond its tokens.
func (v *Vocabulary) Token(token int32) (text string, ok bool) {
	if int(token) >= v.Len() {
		return "", false
	}
	if v.tokenizer != nil {
		if _, ok := v.tokenizer.Token(token); !ok {
			return "", false
		}
	}
	return v.Decode([]int32{token}), true
}

// Filled is the text with tokens in the hidden places, without those of the tokenizer's template.
func (b *Blanks) Filled(tokens ...int32) string {
	all := append([]int32(nil), b.Tokens...)
	for i, place := range b.Places {
		all[place] = tokens[i]
	}
	v := b.vocabulary
	if v.tokenizer == nil {
		return v.Decode(all)
	}
	text, err := v.tokenizer.Decode(all, true)
	if err != nil {
		panic(fmt.Sprintf("dataset: known tokens are decoded: %v", err))
	}
	return text
}
