package tokenizer

import "unicode/utf8"

// span is where something stands in the original text, in bytes.
type span struct{ from, to int32 }

// aligned is a text on its way through the normalizers. Of every byte it knows the span of the original text that it came from.
// Offsets follow the tokenizers library: a character that replaces others has the span of the first of them, and an added character that
// of the one before it.
type aligned struct {
	text []byte
	at   []span
	// What is being written; commit makes it the text.
	nextText []byte
	nextAt   []span
	// room is how long the text may become; a hostile tokenizer could make it grow without end. full says that it was not enough.
	room int
	full bool
}

// growth bounds how much longer a text may become: by compatibility decomposition, the largest of what is usual, a character of three
// bytes becomes 33.
func growth(length int) int { return 64*length + 1024 }

// take makes text the text, which came from the spans at.
func (a *aligned) take(text []byte, at []span) {
	a.text, a.at = append(a.text[:0], text...), append(a.at[:0], at...)
	a.room = growth(len(text))
}

// reset makes a stretch of the original text, which begins at offset start, the text.
func (a *aligned) reset(text string, start int) {
	a.text = append(a.text[:0], text...)
	a.at = a.at[:0]
	a.room, a.full = growth(len(text)), false
	for i := 0; i < len(text); {
		n := runeLen(text[i])
		s := span{int32(start + i), int32(start + i + n)}
		for range n {
			a.at = append(a.at, s)
		}
		i += n
	}
}

// runeLen is the length of the character of valid UTF-8 that begins with a byte.
func runeLen(first byte) int {
	switch {
	case first < 0x80:
		return 1
	case first < 0xe0:
		return 2
	case first < 0xf0:
		return 3
	}
	return 4
}

func (a *aligned) begin() { a.nextText, a.nextAt = a.nextText[:0], a.nextAt[:0] }

func (a *aligned) commit() {
	a.text, a.nextText = a.nextText, a.text
	a.at, a.nextAt = a.nextAt, a.at
}

// put writes a character with the span it came from.
func (a *aligned) put(r rune, s span) {
	if len(a.nextText) > a.room {
		a.full = true
		return
	}
	before := len(a.nextText)
	a.nextText = utf8.AppendRune(a.nextText, r)
	for range len(a.nextText) - before {
		a.nextAt = append(a.nextAt, s)
	}
}

// copy writes text[from:to] unchanged.
func (a *aligned) copy(from, to int) {
	if len(a.nextText) > a.room {
		a.full = true
		return
	}
	a.nextText = append(a.nextText, a.text[from:to]...)
	a.nextAt = append(a.nextAt, a.at[from:to]...)
}

// change is a character of a new text. by is 0 where it replaces the next character of the old one, 1 where it is added, and -n where it
// replaces the next and the n after that are gone.
type change struct {
	r  rune
	by int
}

// apply writes the changes as the new text, dropping the first characters of the old one.
func (a *aligned) apply(changes []change, dropped int) {
	a.begin()
	at := 0
	next := func() {
		if at < len(a.text) {
			at += runeLen(a.text[at])
		}
	}
	for range dropped {
		next()
	}
	for _, c := range changes {
		a.put(c.r, a.spanOf(at, c.by > 0))
		for n := c.by; n <= 0; n++ {
			next()
		}
	}
	a.commit()
}

// spanOf is the span of the byte at an offset, or of the one before it.
func (a *aligned) spanOf(at int, before bool) span {
	switch {
	case before && at > 0:
		return a.at[at-1]
	case len(a.at) == 0:
		return span{}
	case before:
		return span{a.at[0].from, a.at[0].from}
	}
	return a.at[min(at, len(a.at)-1)]
}

// prepend puts a text before an aligned one that is not empty. It has the span of the first character.
func (a *aligned) prepend(text string) {
	if len(a.text) == 0 {
		return
	}
	a.begin()
	for _, r := range text {
		a.put(r, a.at[0])
	}
	a.copy(0, len(a.text))
	a.commit()
}

// replace puts a text in the place of all that find finds. find returns the next match in text[from:], or a negative start.
func (a *aligned) replace(find func(text []byte, from int) (int, int), by string) {
	start, end := find(a.text, 0)
	if start < 0 {
		return
	}
	a.begin()
	done := 0
	for start >= 0 {
		a.copy(done, start)
		for _, r := range by {
			a.put(r, a.at[end-1])
		}
		done = end
		start, end = find(a.text, end)
	}
	a.copy(done, len(a.text))
	a.commit()
}
