package table

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
)

// Heading is a column that is written.
type Heading struct {
	Name string
	Kind Kind // Text, of which Parquet makes strings, or Number, of which it makes floats; the other formats write values as they are
}

// Writer writes a table row by row.
type Writer interface {
	// Write takes a row, which has a value for each heading: a text, a number, true or false, or nothing.
	Write(row []Value) error
	// Close writes what is left. It does not close what is written to.
	Close() error
}

// NewWriter writes a table to w as CSV, TSV, JSONL or Parquet; other formats are refused.
func NewWriter(w io.Writer, format Format, headings []Heading) (Writer, error) {
	names := make([]string, len(headings))
	for i, h := range headings {
		names[i] = h.Name
	}
	if err := checkNames(names, "what is written"); err != nil {
		return nil, err
	}
	switch format {
	case CSV, TSV:
		rows := csv.NewWriter(w)
		if format == TSV {
			rows.Comma = '\t'
		}
		return &csvWriter{rows: rows, fields: make([]string, len(names))}, rows.Write(names)
	case JSONL:
		return newJSONWriter(w, names)
	case Parquet:
		return newParquetWriter(w, headings), nil
	}
	return nil, fmt.Errorf("tables are written as CSV, TSV, JSON lines or Parquet")
}

// Float32Value is a fraction that is written in its shortest form as a float32.
func Float32Value(f float32) Value { return Value{Kind: Number, number: float64(f), narrow: true} }

// csvWriter writes CSV, or TSV.
type csvWriter struct {
	rows   *csv.Writer
	fields []string
}

func (c *csvWriter) Write(row []Value) error {
	for i, v := range row {
		c.fields[i] = ""
		if v.Kind == Missing {
			continue
		}
		var err error
		if c.fields[i], err = v.Word(); err != nil {
			return err
		}
	}
	return c.rows.Write(c.fields)
}

func (c *csvWriter) Close() error {
	c.rows.Flush()
	return c.rows.Error()
}

// jsonWriter writes an object a line, with its keys in the order of the columns.
type jsonWriter struct {
	out  *bufio.Writer
	keys []string // as JSON, with what stands before and after
}

func newJSONWriter(w io.Writer, names []string) (*jsonWriter, error) {
	j := &jsonWriter{out: bufio.NewWriter(w)}
	for i, name := range names {
		key, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		before := ","
		if i == 0 {
			before = "{"
		}
		j.keys = append(j.keys, before+string(key)+":")
	}
	return j, nil
}

func (j *jsonWriter) Write(row []Value) error {
	for i, v := range row {
		j.out.WriteString(j.keys[i])
		word := "null"
		if v.Kind != Missing {
			var err error
			if word, err = v.Word(); err != nil {
				return err
			}
		}
		if v.Kind == Text {
			text, err := json.Marshal(word)
			if err != nil {
				return err
			}
			word = string(text)
		}
		j.out.WriteString(word)
	}
	_, err := j.out.WriteString("}\n")
	return err
}

func (j *jsonWriter) Close() error { return j.out.Flush() }

// parquetWriter writes Parquet.
type parquetWriter struct {
	file     *parquet.GenericWriter[any]
	headings []Heading
	row      parquet.Row
}

// ordered is a group whose columns keep their order; those of the library's are sorted by name.
type ordered struct {
	parquet.Group
	headings []Heading
}

// Fields implements parquet.Node.
func (o ordered) Fields() []parquet.Field {
	sorted := map[string]parquet.Field{}
	for _, f := range o.Group.Fields() {
		sorted[f.Name()] = f
	}
	fields := make([]parquet.Field, len(o.headings))
	for i, h := range o.headings {
		fields[i] = sorted[h.Name]
	}
	return fields
}

func newParquetWriter(w io.Writer, headings []Heading) *parquetWriter {
	group := parquet.Group{}
	for _, h := range headings {
		group[h.Name] = parquet.Optional(parquet.String())
		if h.Kind == Number {
			group[h.Name] = parquet.Optional(parquet.Leaf(parquet.FloatType))
		}
	}
	return &parquetWriter{file: parquet.NewGenericWriter[any](w, parquet.NewSchema("table", ordered{group, headings})), headings: headings}
}

func (p *parquetWriter) Write(row []Value) error {
	p.row = p.row[:0]
	for i, v := range row {
		switch {
		case v.Kind == Missing:
			p.row = append(p.row, parquet.NullValue().Level(0, 0, i))
		case p.headings[i].Kind == Number:
			number, err := v.Float()
			if err != nil {
				return err
			}
			p.row = append(p.row, parquet.FloatValue(float32(number)).Level(0, 1, i))
		default:
			word, err := v.Word()
			if err != nil {
				return err
			}
			p.row = append(p.row, parquet.ByteArrayValue([]byte(word)).Level(0, 1, i))
		}
	}
	_, err := p.file.WriteRows([]parquet.Row{p.row})
	return err
}

func (p *parquetWriter) Close() error { return p.file.Close() }
