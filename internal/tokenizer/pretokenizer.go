package tokenizer

import (
	"bytes"
	"unicode/utf8"
)

// splitter divides a normalized text into the pieces that the model tokenizes.
type splitter interface {
	split(w *work)
}

type splitters []splitter

func (all splitters) split(w *work) {
	for _, s := range all {
		s.split(w)
	}
}

// splitAt splits at what a pattern finds.
type splitAt struct {
	find   pattern
	do     behavior
	invert bool
}

func (s splitAt) split(w *work) { w.split(s.find, s.do, s.invert) }

// bertSplitter splits at blanks, which it drops, and makes a piece of every punctuation character.
type bertSplitter struct{}

func (bertSplitter) split(w *work) {
	table := classes()
	w.nextPieces = w.nextPieces[:0]
	for _, p := range w.pieces {
		if p.id >= 0 {
			w.nextPieces = append(w.nextPieces, p)
			continue
		}
		start := p.from
		flush := func(to int) {
			if to > start {
				w.nextPieces = append(w.nextPieces, piece{start, to, -1})
			}
		}
		for at := p.from; at < p.to; {
			c, n := classAt(table, w.text[:p.to], at)
			if c&(blank|punctuation) != 0 {
				flush(at)
				start = at
				if c&punctuation != 0 {
					flush(at + n)
				}
				start = at + n
			}
			at += n
		}
		flush(p.to)
	}
	w.swapPieces()
}

// words splits by \w+|[^\w\s]+ and drops what is between.
type wordSplitter struct{}

func (wordSplitter) split(w *work) {
	table := classes()
	w.split(func(text []byte, from int) (int, int) {
		at := while(table, text, from, blank, wordPart)
		if at == len(text) {
			return -1, 0
		}
		if c, _ := classAt(table, text, at); c&wordPart != 0 {
			return at, while(table, text, at, wordPart, 0)
		}
		return at, while(table, text, at, 0, wordPart|blank)
	}, removed, true)
}

// digits splits off numbers, or every digit by itself.
func digits(individual bool) splitter {
	if individual {
		return splitAt{one(numeral), isolated, false}
	}
	return splitAt{one(numeral), contiguous, false}
}

// When a metaspace goes before a text.
const (
	prependNever = iota
	prependFirst // only at the beginning of the whole text
	prependAlways
)

// metaspace writes blanks as a mark, puts one before the text, and splits before every mark.
type metaspace struct {
	mark    string // one character
	prepend int
	divide  bool
}

func (m metaspace) split(w *work) {
	space := literal(" ")
	w.rewrite(func(a *aligned, _ piece) {
		first := a.at[0].from == 0
		a.replace(space, m.mark)
		if bytes.HasPrefix(a.text, []byte(m.mark)) {
			return
		}
		if m.prepend == prependAlways || m.prepend == prependFirst && first {
			a.prepend(m.mark)
		}
	})
	if m.divide {
		w.split(literal(m.mark), mergedWithNext, false)
	}
}

// unmark is metaspace's decoder: marks become spaces, except those of the first token.
func (m metaspace) decode(tokens []string) []string {
	mark, _ := utf8.DecodeRuneInString(m.mark)
	for i, token := range tokens {
		var out []byte
		for _, r := range token {
			switch {
			case r != mark:
				out = utf8.AppendRune(out, r)
			case i > 0 || m.prepend == prependNever:
				out = append(out, ' ')
			}
		}
		tokens[i] = string(out)
	}
	return tokens
}
