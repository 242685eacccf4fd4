package table

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// csvReader reads CSV with a header. A byte order mark at the beginning is passed over, CRLF ends lines as LF does, and
// fields in quotes may hold delimiters and line ends.
type csvReader struct {
	file    *stream
	shown   string
	rows    *csv.Reader
	columns []string
	pending []string // the first row, where it is no header
	fields  int      // of the newest row
	number  int      // of the newest row, from 1
}

func openCSV(file *stream, shown string, o Options) (Reader, error) {
	start, _ := file.Peek(3)
	if bytes.HasPrefix(start, []byte{0xff, 0xfe}) || bytes.HasPrefix(start, []byte{0xfe, 0xff}) {
		return nil, fmt.Errorf("%s: is UTF-16; convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)", shown)
	}
	switch {
	case bytes.HasPrefix(start, []byte("PK\x03")):
		return nil, fmt.Errorf("%s: is a spreadsheet or a zip archive; save the table as CSV, or unpack it", shown)
	case bytes.HasPrefix(start, []byte("<!D")) || bytes.HasPrefix(start, []byte("<ht")):
		return nil, fmt.Errorf("%s: is a web page (HTML); get the file again", shown)
	}
	if bytes.Equal(start, []byte{0xef, 0xbb, 0xbf}) {
		file.Discard(3)
	}
	c := &csvReader{file: file, shown: shown}
	c.rows = csv.NewReader(&rowBound{from: file, reader: c})
	c.rows.ReuseRecord = true
	if o.Delimiter != 0 {
		c.rows.Comma = o.Delimiter
	}
	first, err := c.rows.Read()
	if err == io.EOF {
		return nil, fmt.Errorf("%s: is empty; a table has a row of names, then rows of values", shown)
	}
	if err != nil {
		return nil, c.explain(err)
	}
	c.columns = make([]string, len(first))
	for i, name := range first {
		switch {
		case o.NoHeader:
			name = strconv.Itoa(i + 1)
		case name == "":
			name = "Unnamed: " + strconv.Itoa(i) // as pandas names its index
		}
		c.columns[i] = name
	}
	if o.NoHeader {
		c.pending = append([]string(nil), first...)
	}
	return c, checkNames(c.columns, shown+":1")
}

func (c *csvReader) Columns() []string { return c.columns }

func (c *csvReader) Next(row []Value) error {
	fields := c.pending
	c.pending = nil
	if fields == nil {
		var err error
		if fields, err = c.rows.Read(); err == io.EOF {
			return io.EOF
		} else if err != nil {
			c.number++
			c.fields = 0
			return c.explain(err)
		}
	}
	c.number++
	c.fields = len(fields)
	for i, text := range fields {
		if text == "" {
			row[i] = Value{}
			continue
		}
		if !utf8.ValidString(text) {
			return badRow("%s: is not UTF-8; convert the file first (iconv -t UTF-8)", c.Where(i))
		}
		row[i] = TextValue(text)
	}
	return nil
}

func (c *csvReader) Where(column int) string {
	if column >= c.fields { // the row is malformed
		return fmt.Sprintf("%s: row %d, column %s", c.shown, c.number, quote(c.columns[column]))
	}
	line, at := c.rows.FieldPos(column)
	return fmt.Sprintf("%s:%d:%d: row %d, column %s", c.shown, line, at, c.number, quote(c.columns[column]))
}

func (c *csvReader) Close() error { return c.file.Close() }

// explain says where a malformed row is. Rows with too few or too many fields can be skipped; behind a quote that is out of
// place nobody knows where the next row begins.
func (c *csvReader) explain(err error) error {
	var parse *csv.ParseError
	if !errors.As(err, &parse) {
		return err
	}
	switch {
	case errors.Is(err, csv.ErrFieldCount):
		return badRow("%s:%d: row %d does not have %d values, as the first row has; complete it, and quote values with the delimiter in them", c.shown, parse.StartLine, c.number, c.rows.FieldsPerRecord)
	case errors.Is(err, csv.ErrQuote):
		return fmt.Errorf("%s:%d:%d: a quote is never closed, or stands behind one that closes; inside quotes it is written twice", c.shown, parse.StartLine, parse.Column)
	case errors.Is(err, csv.ErrBareQuote):
		return fmt.Errorf("%s:%d:%d: a quote inside a value that does not begin with one", c.shown, parse.Line, parse.Column)
	}
	return fmt.Errorf("%s:%d:%d: %w", c.shown, parse.Line, parse.Column, parse.Err)
}

// rowBound ends with an error where one row is longer than a row may be, as after a quote that is never closed.
type rowBound struct {
	from   io.Reader
	reader *csvReader
	begin  int64 // where the newest row began
	read   int64
}

func (b *rowBound) Read(p []byte) (int, error) {
	if b.reader.rows != nil {
		b.begin = b.reader.rows.InputOffset()
	}
	if b.read-b.begin > maxRowBytes {
		return 0, fmt.Errorf("%s: row %d is longer than %d bytes; is a quote never closed?", b.reader.shown, b.reader.number+1, maxRowBytes)
	}
	n, err := b.from.Read(p)
	b.read += int64(n)
	return n, err
}
