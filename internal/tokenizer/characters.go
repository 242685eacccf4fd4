package tokenizer

import (
	"sync"
	"unicode"
	"unicode/utf8"
)

// class is a set of properties of a character, as Unicode 15 (Go's tables) has them. The tokenizers library knows more than one version of
// Unicode in its parts; for characters that one of the versions does not have, ids may differ.
type class uint8

const (
	letter      class = 1 << iota // \p{L}
	numeral                       // \p{N}
	blank                         // \s: White_Space
	wordPart                      // \w: letters, marks, digits, connectors
	punctuation                   // \p{P} and ASCII's
	nonspacing                    // \p{Mn}
	hidden                        // control, format and private characters: \p{Cc}, \p{Cf}, \p{Co}
	digit                         // \p{Nd}
)

var classes = sync.OnceValue(func() *[unicode.MaxRune + 1]class {
	table := new([unicode.MaxRune + 1]class)
	mark := func(c class, sets ...*unicode.RangeTable) {
		for _, set := range sets {
			for _, r := range set.R16 {
				for at := int(r.Lo); at <= int(r.Hi); at += int(r.Stride) {
					table[at] |= c
				}
			}
			for _, r := range set.R32 {
				for at := int(r.Lo); at <= int(r.Hi); at += int(r.Stride) {
					table[at] |= c
				}
			}
		}
	}
	mark(letter, unicode.L)
	mark(numeral, unicode.N)
	mark(blank, unicode.White_Space)
	mark(wordPart, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic, unicode.Join_Control)
	mark(punctuation, unicode.P)
	for r := '!'; r <= '~'; r++ {
		if table[r]&(letter|numeral) == 0 {
			table[r] |= punctuation
		}
	}
	mark(nonspacing, unicode.Mn)
	mark(hidden, unicode.Cc, unicode.Cf, unicode.Co)
	mark(digit, unicode.Nd)
	return table
})

// classAt is the class of the character at an offset of valid UTF-8, and its length; 0 and 0 at the end.
func classAt(table *[unicode.MaxRune + 1]class, text []byte, at int) (class, int) {
	if at >= len(text) {
		return 0, 0
	}
	if b := text[at]; b < utf8.RuneSelf {
		return table[b], 1
	}
	r, n := utf8.DecodeRune(text[at:])
	return table[r], n
}

// isIdeograph reports whether BERT puts blanks around a character.
func isIdeograph(r rune) bool {
	return r >= 0x4e00 && r <= 0x9fff || r >= 0x3400 && r <= 0x4dbf || r >= 0x20000 && r <= 0x2a6df || r >= 0x2a700 && r <= 0x2b73f ||
		r >= 0x2b740 && r <= 0x2b81f || r >= 0x2b920 && r <= 0x2ceaf || r >= 0xf900 && r <= 0xfaff || r >= 0x2f800 && r <= 0x2fa1f
}
