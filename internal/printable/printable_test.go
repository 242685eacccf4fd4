package printable

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestLine(t *testing.T) {
	for _, c := range []struct {
		text  string
		limit int
		want  string
	}{
		{"", 10, ""},
		{"w1 on höst", 64, "w1 on höst"},
		{"a\x1b[2Jb", 64, "a�[2Jb"},
		{"a\nb\tc\r\n", 64, "a b c  "},
		{"bell\a\x00\x7f\u0085", 64, "bell����"},
		{"\u202egnp.exe", 64, "�gnp.exe"},
		{"bad\xffbyte", 64, "bad�byte"},
		{strings.Repeat("a", 20), 10, "aaaaaaa…"},
		{strings.Repeat("ö", 20), 10, "ööö…"},
		{"\x1b\x1b\x1b\x1b", 4, "…"}, {"\x1b\x1b\x1b\x1b", 6, "�…"},
		{"abcdefghij", 10, "abcdefghij"},
	} {
		if got := Line(c.text, c.limit); got != c.want {
			t.Errorf("Line(%q, %d) = %q, want %q", c.text, c.limit, got, c.want)
		}
	}
}

// Whatever the text, the line is short, UTF-8 and without control characters, and making it again changes nothing.
func FuzzLine(f *testing.F) {
	f.Add("a\x1b[31m", 8)
	f.Add("\xf0\x9f\x98", 3)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = 3 + min(max(limit, 0), 1<<10)
		line := Line(text, limit)
		if len(line) > limit || !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return !shown(r) }) {
			t.Errorf("Line(%q, %d) = %q", text, limit, line)
		}
		if again := Line(line, limit); again != line {
			t.Errorf("Line(%q, %d) = %q, and then %q", text, limit, line, again)
		}
	})
}

// The usual text costs nothing.
func TestFineTextIsNotCopied(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { Line("w1: lost the connection", 64) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
