package dataset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"ringmaster/internal/config"
)

// binaryError says that a file is no text.
type binaryError struct{ offset int }

func (e *binaryError) Error() string { return fmt.Sprintf("zero byte at offset %d", e.offset) }

// Byte order marks: U+FEFF at the beginning of a file, in each encoding.
const (
	markUTF8    = "\xef\xbb\xbf"
	markUTF16LE = "\xff\xfe"
	markUTF16BE = "\xfe\xff"
	markUTF32LE = "\xff\xfe\x00\x00"
)

// readText reads a text file as UTF-8. A byte order mark is not part of the text, and says that a file is UTF-16. With the encoding
// bytes the file is as it is. A file that is no text is a *binaryError.
func readText(path, encoding string) ([]byte, error) {
	raw, err := readWhole(path)
	if err != nil {
		return nil, err
	}
	text, err := decodeText(raw, encoding)
	if at, is := err.(*badByte); is {
		return nil, fmt.Errorf("text %s: line %d, column %d (offset %d): %s: save the file as UTF-8, or set data.encoding to latin-1, or to bytes, which makes a token of every byte",
			path, at.line, at.column, at.offset, at.what)
	}
	return text, err
}

// badByte says where a text is not what its encoding says. Lines and columns count from 1, columns in bytes.
type badByte struct {
	line, column, offset int
	what                 string
}

func (e *badByte) Error() string { return e.what }

func badAt(raw []byte, offset int, format string, args ...any) error {
	return &badByte{bytes.Count(raw[:offset], []byte{'\n'}) + 1, offset - bytes.LastIndexByte(raw[:offset], '\n'), offset, fmt.Sprintf(format, args...)}
}

// decodeText makes UTF-8 of a file.
func decodeText(raw []byte, encoding string) ([]byte, error) {
	if encoding != config.EncodingBytes {
		switch {
		case bytes.HasPrefix(raw, []byte(markUTF8)):
			raw = raw[len(markUTF8):]
		case bytes.HasPrefix(raw, []byte(markUTF32LE)) && len(raw)%4 == 0:
			return nil, badAt(raw, 0, "it is UTF-32, by its byte order mark")
		case bytes.HasPrefix(raw, []byte(markUTF16LE)):
			return fromUTF16(raw, binary.LittleEndian)
		case bytes.HasPrefix(raw, []byte(markUTF16BE)):
			return fromUTF16(raw, binary.BigEndian)
		}
	}
	if at := bytes.IndexByte(raw, 0); at >= 0 {
		return nil, &binaryError{at}
	}
	switch encoding {
	case config.EncodingBytes:
		return raw, nil
	case config.EncodingLatin1:
		text := make([]byte, 0, len(raw)+len(raw)/8)
		for _, b := range raw {
			text = utf8.AppendRune(text, rune(b))
		}
		return text, nil
	}
	for at := 0; at < len(raw); {
		r, size := rune(raw[at]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(raw[at:])
		}
		if r == utf8.RuneError && size == 1 {
			return nil, badAt(raw, at, "byte 0x%02x is not UTF-8", raw[at])
		}
		at += size
	}
	return raw, nil
}

// fromUTF16 decodes a file behind its byte order mark.
func fromUTF16(raw []byte, order binary.ByteOrder) ([]byte, error) {
	if len(raw)%2 != 0 {
		return nil, badAt(raw, len(raw)-1, "it is UTF-16, by its byte order mark, and ends within a character")
	}
	text := make([]byte, 0, len(raw)/2)
	for at := 2; at < len(raw); at += 2 {
		r := rune(order.Uint16(raw[at:]))
		if utf16.IsSurrogate(r) {
			low := rune(0)
			if at+4 <= len(raw) {
				low = rune(order.Uint16(raw[at+2:]))
			}
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				return nil, badAt(raw, at, "it is UTF-16, by its byte order mark, and half of a character stands alone")
			}
			at += 2
		}
		text = utf8.AppendRune(text, r)
	}
	return text, nil
}
