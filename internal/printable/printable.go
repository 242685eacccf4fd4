// Package printable makes text that others have written, and large numbers, fit to show.
package printable

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// mark replaces a character that is not shown.
const mark = '\ufffd'

// Line makes a text one line of at most limit bytes that can be written to a terminal or a log: line ends and tabs become spaces, other
// control characters, those that change the direction of writing and bytes that are not UTF-8 become U+FFFD, and a text that is
// longer ends with "…". A text that is fine is returned as it is, without allocating.
func Line(text string, limit int) string {
	if len(text) <= limit && fine(text) {
		return text
	}
	var out strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			r = ' '
		case !shown(r):
			r = mark
		}
		if out.Len()+utf8.RuneLen(r) > limit {
			return shorten(out.String(), limit)
		}
		out.WriteRune(r)
	}
	return out.String()
}

// Short is a text of at most limit bytes: one that is longer ends with "…".
func Short(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return shorten(text[:limit], limit)
}

// Typed is what a person typed, for a message that is to stay one short line: in quotes where it is empty or has characters that would
// not show as they are, and of at most 60 bytes.
func Typed(text string) string {
	if quoted := strconv.Quote(text); text == "" || quoted[1:len(quoted)-1] != text {
		text = quoted
	}
	return Short(text, 60)
}

// Bytes is a number of bytes in MiB or GiB: "12.3 MiB".
func Bytes(n uint64) string {
	if n < 1<<30 {
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}

// shorten makes room in a text for the sign that it goes on.
func shorten(text string, limit int) string {
	const more = "…"
	for len(text)+len(more) > limit && text != "" {
		_, n := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-n]
	}
	return text + more
}

func fine(text string) bool {
	for i, r := range text {
		if !shown(r) {
			return false
		}
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(text[i:]); n == 1 {
				return false
			}
		}
	}
	return true
}

// shown reports whether a character is one that a terminal shows and does not act on.
func shown(r rune) bool { return !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }
