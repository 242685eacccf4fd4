package printable

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestALineHasNoControlCharactersAndFits(t *testing.T) {
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

func TestShortTextsEndBetweenCharacters(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""}, {"12345678", "12345678"}, {"123456789", "12345…"}, {"1234ö6789", "1234…"}, {"😀😀😀", "😀…"}, {"12345\xff\xff\xff\xff", "12345…"},
	} {
		if got := Short(c.text, 8); got != c.want {
			t.Errorf("Short(%q, 8) = %q, want %q", c.text, got, c.want)
		}
	}
}

func TestWhatIsTypedIsQuotedWhereItWouldNotShow(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", `""`}, {"x", "x"}, {"a b", "a b"}, {"a\nb", `"a\nb"`}, {`a"b`, `"a\"b"`}, {"\x1b[2J", `"\x1b[2J"`}, {`"a`, `"\"a"`},
		{strings.Repeat("a", 70), strings.Repeat("a", 57) + "…"},
	} {
		if got := Typed(c.text); got != c.want {
			t.Errorf("Typed(%q) = %s, want %s", c.text, got, c.want)
		}
	}
}

func TestBytesGrowIntoGiB(t *testing.T) {
	for n, want := range map[uint64]string{0: "0.0 MiB", 3 << 19: "1.5 MiB", 1<<30 - 1: "1024.0 MiB", 3 << 29: "1.5 GiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %s, want %s", n, got, want)
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
