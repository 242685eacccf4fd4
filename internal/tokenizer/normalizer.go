package tokenizer

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// normalizer changes a text before it is split.
type normalizer interface {
	normalize(w *work, a *aligned)
}

type normalizers []normalizer

func (all normalizers) normalize(w *work, a *aligned) {
	for _, n := range all {
		n.normalize(w, a)
	}
}

// ascii reports whether a text has only ASCII characters.
func ascii(text []byte) bool {
	for _, b := range text {
		if b >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

type lowercase struct{}

func (lowercase) normalize(w *work, a *aligned) {
	if ascii(a.text) {
		for i, b := range a.text {
			if b >= 'A' && b <= 'Z' {
				a.text[i] = b + 'a' - 'A'
			}
		}
		return
	}
	w.changes = w.changes[:0]
	for _, r := range string(a.text) {
		if r == 'İ' { // the one character whose lower case is two
			w.changes = append(w.changes, change{'i', 0}, change{'\u0307', 1})
			continue
		}
		w.changes = append(w.changes, change{unicode.ToLower(r), 0})
	}
	a.apply(w.changes, 0)
}

// filter keeps the characters that keep accepts.
func (a *aligned) filter(w *work, keep func(r rune) bool) {
	w.changes = w.changes[:0]
	dropped, gone := 0, false
	for _, r := range string(a.text) {
		switch {
		case keep(r):
			w.changes = append(w.changes, change{r, 0})
			continue
		case len(w.changes) == 0:
			dropped++
		default:
			w.changes[len(w.changes)-1].by--
		}
		gone = true
	}
	if gone {
		a.apply(w.changes, dropped)
	}
}

// stripAccents drops all combining marks.
type stripAccents struct{}

func (stripAccents) normalize(w *work, a *aligned) {
	if !ascii(a.text) {
		a.filter(w, func(r rune) bool { return r < utf8.RuneSelf || !unicode.Is(unicode.M, r) })
	}
}

// strip drops the blanks at the ends.
type strip struct{ left, right bool }

func (s strip) normalize(_ *work, a *aligned) {
	from, to := 0, len(a.text)
	if s.left {
		from = to - len(bytes.TrimLeftFunc(a.text, unicode.IsSpace))
	}
	if s.right {
		to = max(from, len(bytes.TrimRightFunc(a.text, unicode.IsSpace)))
	}
	if from > 0 || to < len(a.text) {
		a.begin()
		a.copy(from, to)
		a.commit()
	}
}

// replace puts content in the place of what a pattern finds.
type replace struct {
	find    pattern
	content string
}

func (r replace) normalize(_ *work, a *aligned) { a.replace(r.find, r.content) }

// prepend puts a text before every text that is not empty.
type prepend struct{ text string }

func (p prepend) normalize(_ *work, a *aligned) { a.prepend(p.text) }

// byteAlphabet writes every byte as a character.
type byteAlphabet struct{}

func (byteAlphabet) normalize(_ *work, a *aligned) {
	a.begin()
	for i, b := range a.text {
		a.put(runeOfByte[b], a.at[i])
	}
	a.commit()
}

// bertNormalizer is what BERT does to a text: it drops control characters and makes all blanks spaces (clean), puts spaces around Chinese
// characters (ideographs), decomposes and drops accents, and writes in lower case.
type bertNormalizer struct{ clean, ideographs, accents, lower bool }

func (n bertNormalizer) normalize(w *work, a *aligned) {
	if ascii(a.text) {
		n.normalizeASCII(w, a)
		return
	}
	if n.clean {
		n.cleanText(w, a)
	}
	if n.ideographs {
		w.changes = w.changes[:0]
		for _, r := range string(a.text) {
			if isIdeograph(r) {
				w.changes = append(w.changes, change{' ', 0}, change{r, 1}, change{' ', 1})
			} else {
				w.changes = append(w.changes, change{r, 0})
			}
		}
		a.apply(w.changes, 0)
	}
	if n.accents {
		decompose{}.normalize(w, a)
		table := classes()
		a.filter(w, func(r rune) bool { return table[r]&nonspacing == 0 })
	}
	if n.lower {
		lowercase{}.normalize(w, a)
	}
}

func (n bertNormalizer) normalizeASCII(w *work, a *aligned) {
	if n.clean {
		for i, b := range a.text {
			if b < ' ' || b == 0x7f {
				if b != '\t' && b != '\n' && b != '\r' {
					n.cleanText(w, a)
					break
				}
				a.text[i] = ' '
			}
		}
	}
	if n.lower {
		lowercase{}.normalize(w, a)
	}
}

func (bertNormalizer) cleanText(w *work, a *aligned) {
	table := classes()
	lineEnd := func(r rune) bool { return r == '\t' || r == '\n' || r == '\r' }
	a.filter(w, func(r rune) bool { return lineEnd(r) || r != utf8.RuneError && table[r]&hidden == 0 })
	a.begin()
	for i := 0; i < len(a.text); {
		r, n := utf8.DecodeRune(a.text[i:])
		if table[r]&blank != 0 {
			a.put(' ', a.at[i])
		} else {
			a.copy(i, i+n)
		}
		i += n
	}
	a.commit()
}
