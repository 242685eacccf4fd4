package dataset

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"ringmaster/internal/config"
)

func TestDecodeText(t *testing.T) {
	for _, test := range []struct {
		raw, encoding, want string
		fails               string
	}{
		{"né", config.EncodingUTF8, "né", ""},
		{"\xef\xbb\xbfné", config.EncodingUTF8, "né", ""},
		{"n\xe9", config.EncodingLatin1, "né", ""},
		{"\xef\xbb\xbfné", config.EncodingLatin1, "nÃ©", ""},
		{"\xef\xbb\xbfn\xe9", config.EncodingBytes, "\xef\xbb\xbfn\xe9", ""},
		{"\xff\xfen\x00\xe9\x00\x3d\xd8\x00\xde", config.EncodingUTF8, "né😀", ""},
		{"\xfe\xff\x00n\x00\xe9\xd8\x3d\xde\x00", config.EncodingUTF8, "né😀", ""},
		{"\xff\xfe\x00\x00n\x00\x00\x00", config.EncodingUTF8, "", "UTF-32"},
		{"\xff\xfen\x00x", config.EncodingUTF8, "", "ends within a character"},
		{"\xff\xfe\x3d\xd8n\x00", config.EncodingUTF8, "", "half of a character"},
		{"ab\x00", config.EncodingUTF8, "", "zero byte at offset 2"},
		{"ab\x00", config.EncodingBytes, "", "zero byte at offset 2"},
		{"a\nbc\xe9d", config.EncodingUTF8, "", "byte 0xe9 is not UTF-8"},
	} {
		got, err := decodeText([]byte(test.raw), test.encoding)
		if test.fails == "" && (err != nil || string(got) != test.want) {
			t.Errorf("%q as %s: %q, %v", test.raw, test.encoding, got, err)
		}
		if test.fails != "" && (err == nil || !strings.Contains(err.Error(), test.fails)) {
			t.Errorf("%q as %s: %v", test.raw, test.encoding, err)
		}
	}
}

// One byte that is not UTF-8 is named, and changes nothing in silence.
func TestOneBadByte(t *testing.T) {
	dir := t.TempDir()
	good := bytes.Repeat([]byte("a line\n"), 40)
	writeFiles(t, dir, map[string][]byte{"a.txt": good, "b.txt": append(bytes.Clone(good), "caf\xe9\n"...)})
	c := config.Data{Kind: config.DataText, Dir: dir, Context: 8}
	_, err := Open(c)
	want := filepath.Join(dir, "b.txt") + ": line 41, column 4 (offset 283): byte 0xe9 is not UTF-8: save the file as UTF-8, or set data.encoding to latin-1"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v", err)
	}
	c.Encoding = config.EncodingLatin1
	if d, err := Open(c); err != nil || !strings.ContainsRune(d.Vocabulary.Characters(), 'é') {
		t.Errorf("%v, %v", d, err)
	}
	c.Encoding = config.EncodingBytes
	if d, err := Open(c); err != nil || d.Vocabulary.Len() != 256 {
		t.Errorf("%v, %v", d, err)
	}
}

// A byte order mark is no character: not of a file, and not of one in the middle of a folder.
func TestByteOrderMark(t *testing.T) {
	dir := t.TempDir()
	text := bytes.Repeat([]byte("a line\n"), 40)
	writeFiles(t, dir, map[string][]byte{"a.txt": append([]byte(markUTF8), text...), "b.txt": append([]byte(markUTF8), text...)})
	d, err := Open(config.Data{Kind: config.DataText, Dir: dir, Context: 8})
	if err != nil || d.Vocabulary.Characters() != "\n aeiln" {
		t.Errorf("%v, %v", d, err)
	}
}

func FuzzDecodeText(f *testing.F) {
	for _, seed := range []string{"né", "\xff\xfen\x00", "\xfe\xff\x00n", "a\nb\xe9"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, encoding := range []string{config.EncodingUTF8, config.EncodingLatin1, config.EncodingBytes} {
			text, err := decodeText(raw, encoding)
			if encoding != config.EncodingBytes && err == nil && !utf8.Valid(text) {
				t.Errorf("%s: %q is not UTF-8", encoding, text)
			}
			if bad := (*badByte)(nil); errors.As(err, &bad) && (bad.offset >= len(raw) || bad.line < 1 || bad.column < 1) {
				t.Errorf("%s: %+v of %d bytes", encoding, bad, len(raw))
			}
		}
	})
}
