package table

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWritten writes a table in every format and reads it again: columns in their order, texts and numbers as they were.
func TestWritten(t *testing.T) {
	headings := []Heading{{"z, the \"id\"", Text}, {"a", Number}, {"b", Text}}
	rows := [][]Value{
		{IntegerValue(7), Float32Value(0.1), TextValue("x,\"y\"\nz")},
		{{}, Float32Value(-1e-20), BoolValue(true)},
		{NumberValue(0.25), {}, TextValue("ü")},
	}
	want := [][]string{{"7", "0.1", "x,\"y\"\nz"}, {"", "-1e-20", "true"}, {"0.25", "", "ü"}}
	for _, format := range []Format{CSV, TSV, JSONL, Parquet} {
		var out bytes.Buffer
		w, err := NewWriter(&out, format, headings)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			if err := w.Write(row); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "t"+format.Extensions()[0])
		if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open(path, format, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if names := strings.Join(r.Columns(), "|"); names != "z, the \"id\"|a|b" {
			t.Errorf("format %d: columns %s", format, names)
		}
		row := make([]Value, 3)
		for i := range want {
			if err := r.Next(row); err != nil {
				t.Fatal(err)
			}
			for k := range row {
				word := ""
				if row[k].Kind != Missing {
					word, err = row[k].Word()
				}
				if format == Parquet && k == 1 && word != "" { // float32 in float64
					number, _ := row[k].Float()
					word, err = Float32Value(float32(number)).Word()
				}
				if err != nil || word != want[i][k] {
					t.Errorf("format %d, row %d: %q, %v, want %q", format, i, word, err, want[i][k])
				}
			}
		}
		if err := r.Next(row); err != io.EOF {
			t.Errorf("format %d: %v behind the last row", format, err)
		}
		r.Close()
	}
	for _, bad := range [][]Heading{nil, {{"a", Text}, {"a", Number}}} {
		if _, err := NewWriter(io.Discard, CSV, bad); err == nil {
			t.Errorf("%v is written", bad)
		}
	}
	if _, err := NewWriter(io.Discard, NPY, headings); err == nil {
		t.Error("NPY is written")
	}
}

// TestStreams reads tables from a stream, which Parquet and NPZ cannot be.
func TestStreams(t *testing.T) {
	r, err := OpenStream(strings.NewReader("a\n5\n"), "standard input", CSV, Options{})
	if err != nil {
		t.Fatal(err)
	}
	row := make([]Value, 1)
	if err := r.Next(row); err != nil || r.Where(0) != `standard input:2:1: row 1, column "a"` {
		t.Errorf("%v at %s", err, r.Where(0))
	}
	for _, format := range []Format{Parquet, NPZ} {
		if _, err := OpenStream(strings.NewReader(""), "standard input", format, Options{}); err == nil || !strings.Contains(err.Error(), "name a file") {
			t.Errorf("%v", err)
		}
	}
}
