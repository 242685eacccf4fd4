package tokenizer

import (
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// decompose is NFD, or NFKD. The decompositions are those of golang.org/x/text's version of Unicode (15); the tokenizers library's are
// older (9), so a few characters that have come since are decomposed here and not there.
type decompose struct{ compatible bool }

// compose is NFC, or NFKC.
type compose struct{ compatible bool }

func (d decompose) normalize(w *work, a *aligned) {
	if ascii(a.text) {
		return
	}
	w.decomposed(a.text, d.compatible)
	a.apply(w.changes, 0)
}

// decomposed sets w.changes to the decomposed text: the first character of a decomposition replaces, the others are added. Marks are in
// canonical order, each with its kind of change.
func (w *work) decomposed(text []byte, compatible bool) {
	form := norm.NFD
	if compatible {
		form = norm.NFKD
	}
	w.changes = w.changes[:0]
	pending := 0 // from here on, marks may have to be sorted
	add := func(r rune, by int) {
		w.changes = append(w.changes, change{r, by})
		if combining(r) == 0 {
			pending = len(w.changes)
			return
		}
		for i := len(w.changes) - 1; i > pending && combining(w.changes[i-1].r) > combining(r); i-- {
			w.changes[i], w.changes[i-1] = w.changes[i-1], w.changes[i]
		}
	}
	for i := 0; i < len(text); {
		n := runeLen(text[i])
		r, _ := utf8.DecodeRune(text[i:])
		switch parts := form.Properties(text[i:]).Decomposition(); {
		case isHangul(r):
			by := 0
			for _, part := range hangul(r) {
				if part != 0 {
					add(part, by)
				}
				by = 1
			}
		case len(parts) == 0:
			add(r, 0)
		default:
			by := 0
			for len(parts) > 0 {
				part, size := utf8.DecodeRune(parts)
				add(part, by)
				parts, by = parts[size:], 1
			}
		}
		i += n
	}
}

// Hangul syllables are decomposed by arithmetic (Unicode, section 3.12).
const (
	syllables, leads, vowels, trails = 0xac00, 0x1100, 0x1161, 0x11a7
	vowelCount, trailCount           = 21, 28
	syllableCount                    = 19 * vowelCount * trailCount
)

func isHangul(r rune) bool { return r >= syllables && r < syllables+syllableCount }

// hangul is the letters of a syllable; the last is 0 where there are two.
func hangul(r rune) [3]rune {
	s := r - syllables
	parts := [3]rune{leads + s/(vowelCount*trailCount), vowels + s/trailCount%vowelCount, 0}
	if t := s % trailCount; t != 0 {
		parts[2] = trails + t
	}
	return parts
}

// combining is a character's canonical combining class.
func combining(r rune) uint8 {
	if r < 0x300 {
		return 0
	}
	var b [utf8.UTFMax]byte
	return norm.NFD.Properties(b[:utf8.EncodeRune(b[:], r)]).CCC()
}

func (c compose) normalize(w *work, a *aligned) {
	if ascii(a.text) {
		return
	}
	w.decomposed(a.text, c.compatible)
	in, out := w.changes, w.changes[:0]
	starter, last := -1, uint8(0) // where in out the last starter is; the class of what follows it
	for _, ch := range in {
		class := combining(ch.r)
		if starter >= 0 && (last == 0 && starter == len(out)-1 || last != 0 && last < class) {
			if both, ok := pair(out[starter].r, ch.r); ok {
				out[starter] = change{both, out[starter].by + ch.by - 1}
				continue
			}
		}
		if out = append(out, ch); class == 0 {
			starter, last = len(out)-1, 0
		} else if starter >= 0 {
			last = class
		}
	}
	w.changes = out
	a.apply(w.changes, 0)
}

// pair composes two characters where Unicode has one for them.
func pair(first, second rune) (rune, bool) {
	var b [2 * utf8.UTFMax]byte
	n := utf8.EncodeRune(b[:], first)
	m := utf8.EncodeRune(b[n:], second)
	if norm.NFC.Properties(b[n : n+m]).BoundaryBefore() {
		return 0, false // it never composes with what is before it
	}
	both := norm.NFC.Append(nil, b[:n+m]...)
	r, size := utf8.DecodeRune(both)
	return r, size == len(both)
}
