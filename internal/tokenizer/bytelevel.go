package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// The byte alphabet of GPT-2 writes every byte as a visible character: those of ASCII and Latin-1 that are visible as themselves, the
// others as the characters from U+0100 on.
var (
	runeOfByte [256]rune
	byteOfRune [0x144]int16 // -1 where a character stands for no byte
	utf8OfByte [256][2]byte // runeOfByte in UTF-8
)

func init() {
	for i := range byteOfRune {
		byteOfRune[i] = -1
	}
	next := rune(0x100)
	for b := range 256 {
		r := rune(b)
		if b < '!' || b > '~' && b < 0xa1 || b == 0xad {
			r = next
			next++
		}
		runeOfByte[b], byteOfRune[r] = r, int16(b)
		utf8.EncodeRune(utf8OfByte[b][:], r)
	}
}

// byteLevel splits a text into words by GPT-2's rule, where useRule is set, and writes them in the byte alphabet.
type byteLevel struct{ prefixSpace, useRule bool }

func (b byteLevel) split(w *work) {
	if b.prefixSpace {
		w.rewrite(func(a *aligned, _ piece) {
			if a.text[0] != ' ' {
				a.prepend(" ")
			}
		})
	}
	if !b.useRule {
		w.spell(nil)
		return
	}
	w.spell(classes())
}

// spell writes the pieces in the byte alphabet. With a table it splits them by GPT-2's rule on the way.
func (w *work) spell(table *[unicode.MaxRune + 1]class) {
	w.beginText()
	for _, p := range w.pieces {
		if p.id >= 0 {
			from := len(w.nextText)
			w.keep(p.from, p.to)
			w.nextPieces = append(w.nextPieces, piece{from, len(w.nextText), p.id})
			continue
		}
		text := w.text[p.from:p.to]
		for at := 0; at < len(text); {
			end := len(text)
			if table != nil {
				end = gpt2Word(table, text, at)
			}
			from := len(w.nextText)
			for i, b := range text[at:end] {
				s := w.at[p.from+at+i]
				if c := utf8OfByte[b]; c[1] == 0 {
					w.nextText = append(w.nextText, c[0])
					w.nextAt = append(w.nextAt, s)
				} else {
					w.nextText = append(w.nextText, c[0], c[1])
					w.nextAt = append(w.nextAt, s, s)
				}
			}
			w.nextPieces = append(w.nextPieces, piece{from, len(w.nextText), -1})
			at = end
		}
	}
	w.commitText()
}

// ByteLevel reports whether tokens stand for the bytes of a text in GPT-2's alphabet, none of them changed, added or lost.
func (t *Tokenizer) ByteLevel() bool {
	if _, is := t.decoder.(byteDecoder); !is || t.normalize != nil {
		return false
	}
	bytes := 0
	ids, err := t.AppendIDs(nil, "a") // some put a space before it
	for _, id := range ids {
		bytes += t.Bytes(id)
	}
	return err == nil && bytes == 1
}

// Bytes is how many bytes of text a token of a byte-level tokenizer stands for; 0 where there is no such token.
func (t *Tokenizer) Bytes(id int32) int {
	if i, ok := t.added.byID[id]; ok {
		return len(t.added.list[i].content)
	}
	token, _ := t.model.token(id)
	return len(unspell(nil, token))
}

// unspell appends the bytes that a token in the byte alphabet stands for. Tokens with other characters stand for themselves.
func unspell(to []byte, token string) []byte {
	before := len(to)
	for _, r := range token {
		if int(r) >= len(byteOfRune) || byteOfRune[r] < 0 {
			return append(to[:before], token...)
		}
		to = append(to, byte(byteOfRune[r]))
	}
	return to
}
