package table

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"unicode/utf8"

	"ringmaster/internal/regularfile"
)

// lineReader reads a text as a table with one column: a row is a line. A blank line is a row without a value.
type lineReader struct {
	file   *stream
	shown  string
	line   int // of the newest row, from 1
	buffer []byte
}

// OpenLines opens a text in UTF-8, which may be compressed by gzip or zstd, as a table of its lines.
func OpenLines(name string) (Reader, error) {
	file, err := regularfile.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, err
	}
	plain, err := decompress(file, info.Size(), filepath.Base(name))
	if err != nil {
		file.Close()
		return nil, err
	}
	if start, _ := plain.Peek(3); bytes.Equal(start, []byte{0xef, 0xbb, 0xbf}) {
		plain.Discard(3)
	}
	return &lineReader{file: plain, shown: filepath.Base(name)}, nil
}

func (l *lineReader) Columns() []string { return []string{"line"} }

func (l *lineReader) Next(row []Value) error {
	l.buffer = l.buffer[:0]
	for {
		part, err := l.file.ReadSlice('\n')
		l.buffer = append(l.buffer, part...)
		if len(l.buffer) > maxLine {
			return fmt.Errorf("%s:%d: a line is longer than %d bytes", l.shown, l.line+1, maxLine)
		}
		if err == nil || err == io.EOF && len(l.buffer) > 0 {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
	l.line++
	text := bytes.TrimSpace(l.buffer)
	row[0] = Value{}
	if !utf8.Valid(text) {
		return badRow("%s:%d: is not UTF-8; convert the file first (iconv -t UTF-8)", l.shown, l.line)
	}
	if len(text) > 0 {
		row[0] = TextValue(string(text))
	}
	return nil
}

// maxLine bounds a line of a text in bytes.
const maxLine = 16 << 20

func (l *lineReader) Where(int) string { return fmt.Sprintf("%s:%d", l.shown, l.line) }
func (l *lineReader) Close() error     { return l.file.Close() }
