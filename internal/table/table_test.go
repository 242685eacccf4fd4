package table

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// all reads a whole table.
func all(t testing.TB, r Reader) [][]Value {
	t.Helper()
	defer r.Close()
	var rows [][]Value
	for {
		row := make([]Value, len(r.Columns()))
		switch err := r.Next(row); {
		case err == io.EOF:
			return rows
		case err != nil:
			t.Fatal(err)
		}
		for i := range row {
			row[i].Bytes, row[i].Numbers = slices.Clone(row[i].Bytes), slices.Clone(row[i].Numbers)
		}
		rows = append(rows, row)
	}
}

func read(t testing.TB, name string, o Options) ([]string, [][]Value) {
	t.Helper()
	format, known := FormatOf(name)
	if !known {
		t.Fatalf("no format for %s", name)
	}
	r, err := Open(filepath.Join("testdata", name), format, o)
	if err != nil {
		t.Fatal(err)
	}
	return r.Columns(), all(t, r)
}

func TestSameRowsInEveryFormat(t *testing.T) {
	columns, want := read(t, "rows.csv", Options{})
	if got := strings.Join(columns, " "); got != "id height small colour flag" {
		t.Fatalf("columns are %s", got)
	}
	if len(want) != 200 || want[7][1].Kind != Missing || want[11][3].Kind != Missing {
		t.Fatalf("%d rows; what is missing: %v, %v", len(want), want[7][1].Kind, want[11][3].Kind)
	}
	for _, name := range []string{"rows.tsv", "bom-crlf.csv", "rows.csv.gz", "semicolon.csv", "rows.jsonl", "rows-none.parquet", "rows-snappy.parquet",
		"rows-gzip.parquet", "rows-zstd.parquet", "rows-brotli.parquet", "rows-lz4.parquet", "plain.parquet"} {
		var o Options
		if name == "semicolon.csv" {
			o.Delimiter = ';'
		}
		got, rows := read(t, name, o)
		if !slices.Equal(got, columns) || len(rows) != len(want) {
			t.Errorf("%s: %d rows of %v", name, len(rows), got)
			continue
		}
		for i, row := range rows {
			for c := range row {
				if difference := differ(row[c], want[i][c], columns[c]); difference != "" {
					t.Fatalf("%s: row %d, %s: %s", name, i+1, columns[c], difference)
				}
			}
		}
	}
}

// differ says how two values are not the same number, or not the same category.
func differ(a, b Value, column string) string {
	if a.Kind == Missing || b.Kind == Missing {
		if a.Kind != b.Kind {
			return fmt.Sprintf("%v and %v", a.Kind, b.Kind)
		}
		return ""
	}
	switch column {
	case "colour", "flag", "id":
		x, err := a.Word()
		y, other := b.Word()
		if err != nil || other != nil || !strings.EqualFold(x, y) { // Python writes True
			return fmt.Sprintf("%q and %q", x, y)
		}
	default:
		x, err := a.Float()
		y, other := b.Float()
		if err != nil || other != nil || float32(x) != float32(y) {
			return fmt.Sprintf("%v and %v", x, y)
		}
	}
	return ""
}

func TestArraysInEveryFormat(t *testing.T) {
	_, want := read(t, "matrix.npy", Options{})
	for name, column := range map[string]string{"rows.npz": "x", "packed.npz": "x", "nested.parquet": "x", "nested.jsonl": "x"} {
		columns, rows := read(t, name, Options{})
		c := slices.Index(columns, column)
		if c < 0 {
			t.Fatalf("%s: columns %v", name, columns)
		}
		for i, row := range rows {
			if !slices.Equal(row[c].Shape, []int{2, 3}) || !slices.Equal(row[c].Numbers, want[i][0].Numbers) {
				t.Fatalf("%s: row %d is %v %v, want %v", name, i+1, row[c].Shape, row[c].Numbers, want[i][0].Numbers)
			}
		}
	}
	_, halves := read(t, "half-big.npy", Options{})
	for i, row := range halves {
		got, _ := row[0].Float()
		if exact := want[i][0].Numbers[0]; got-exact > 2e-3 || exact-got > 2e-3 {
			t.Fatalf("half-precision %v for %v", got, exact)
		}
	}
}

func TestNestedParquet(t *testing.T) {
	columns, rows := read(t, "nested.parquet", Options{})
	at := func(i int, name string) Value { return rows[i][slices.Index(columns, name)] }
	if b := at(5, "image.bytes"); b.Kind != Bytes || !bytes.Equal(b.Bytes, []byte{5, 255}) {
		t.Errorf("bytes are %v", b)
	}
	if w, err := at(5, "image.path").Word(); w != "5.png" {
		t.Errorf("path is %q, %v", w, err)
	}
	if v := at(4, "ids"); !slices.Equal(v.Numbers, []float64{4, 5}) {
		t.Errorf("a list is %v", v)
	}
	if v := at(3, "ids"); v.Kind != Array || len(v.Numbers) != 0 {
		t.Errorf("an empty list is %v", v)
	}
	if v := at(19, "ids"); v.Kind != Missing {
		t.Errorf("no list is %v", v)
	}
	for _, name := range []string{"when", "price", "tags"} {
		if _, err := at(0, name).Float(); err == nil {
			t.Errorf("%s is a number", name)
		}
	}
}

// write makes a file of the test's own.
func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMalformedFilesAreNamedWithTheirPlace(t *testing.T) {
	var bomb, zbomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	line := []byte("1,2\n" + strings.Repeat("0", 1<<20) + ",0\n")
	z.Write([]byte("a,b\n"))
	for range 200 {
		z.Write(line)
	}
	z.Close()
	e, _ := zstd.NewWriter(&zbomb)
	e.Write([]byte("a,b\n"))
	for range 200 {
		e.Write(line)
	}
	e.Close()
	for _, c := range []struct{ name, content, want string }{
		{"a.csv", "", "a.csv: is empty"},
		{"a.csv", "x,y\n1,2\n3\n", "a.csv:3: row 2 does not have 2 values"},
		{"a.csv", "x,y\n1,\"2\n3,4\n", "a.csv:2:"},
		{"a.csv", "x,y\n1,2\"3\n", "a.csv:2:4: a quote inside"},
		{"a.csv", "x,y,x\n", `a.csv:1: columns 1 and 3 are both named "x"`},
		{"a.csv", "\xff\xfex\x00,\x00", "a.csv: is UTF-16"},
		{"a.csv", "x,y\n1,\xff\n", `a.csv:2:3: row 1, column "y": is not UTF-8`},
		{"a.csv.gz", bomb.String(), "unpacks to more than"},
		{"a.csv.zst", zbomb.String(), "unpacks to more than"},
		{"a.csv.gz", "\x1f\x8b\x08\x00\x00", "a.csv.gz: gzip"},
		{"a.jsonl", "[1]\n", "is a JSON array"},
		{"a.jsonl", "{\"a\":1}\n{\"b\":1}\n", `a.jsonl:2: row 2: key "b" is not in the first row`},
		{"a.jsonl", "{\"a\":1}\n{\"a\":1,\"a\":2}\n", `a.jsonl:2: row 2: key "a" occurs twice`},
		{"a.jsonl", "{\"a\":1}\n{\"a\":\n", "a.jsonl:2: row 2: the object is not closed"},
		{"a.jsonl", "{\"a\":[[1,2],[3]]}\n", `key "a": an array with rows of 2 and of 1 values`},
		{"a.jsonl", "{\"a\":[1,[3]]}\n", `key "a": an array with numbers beside arrays`},
		{"a.jsonl", "{\"a\":1} {\"a\":2}\n", "there is more behind the object"},
		{"a.jsonl", "{\"a\":" + strings.Repeat("[", 100) + "\n", "arrays inside arrays"},
		{"a.jsonl", strings.Repeat("{\"a\":", 100) + "\n", "objects inside objects"},
		{"a.parquet", "PAR1 and so on", "is not a readable Parquet file"},
		{"a.npy", "PK", "is not a NumPy array"},
		{"a.npz", "PK", "is not a zip file"},
		{"a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 99999999999), }", ""), "an axis of 99999999999"},
		{"a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2147483647, 2147483647), }", ""), "a row of more than"},
		{"a.npy", npy("{'descr': '<c8', 'fortran_order': False, 'shape': (2,), }", ""), `numbers of type "<c8" are not read`},
		{"a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "\x00\x00\x00\x00"), `a.npy: row 2 of array "data": the array ends early`},
	} {
		format, _ := FormatOf(c.name)
		r, err := Open(write(t, c.name, c.content), format, Options{})
		if err == nil {
			row := make([]Value, len(r.Columns()))
			for err == nil {
				err = r.Next(row)
			}
			r.Close()
		}
		if err == io.EOF || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %.40q: %v, want %q", c.name, c.content, err, c.want)
		}
	}
	for name, want := range map[string]string{"objects.npy": "Python objects", "fortran.npy": "Fortran's order"} {
		if _, err := Open(filepath.Join("testdata", name), NPY, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

func npy(header, numbers string) string {
	return "\x93NUMPY\x01\x00" + string([]byte{byte(len(header)), byte(len(header) >> 8)}) + header + numbers
}

func TestReadingGoesOnBehindARowThatIsMalformed(t *testing.T) {
	for name, content := range map[string]string{"a.csv": "x,y\n1,2\n3\n5,6\n", "a.jsonl": "{\"x\":1}\n{\"z\":3}\n{\"x\":5}\n"} {
		format, _ := FormatOf(name)
		r, err := Open(write(t, name, content), format, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		row := make([]Value, len(r.Columns()))
		var bad *RowError
		if first, second, third := r.Next(row), r.Next(row), r.Next(row); first != nil || !errors.As(second, &bad) || third != nil {
			t.Errorf("%s: %v, %v, %v", name, first, second, third)
		}
		if x, _ := row[0].Float(); x != 5 {
			t.Errorf("%s: the row behind is %v", name, x)
		}
	}
}

func TestNumbersAreDecimal(t *testing.T) {
	for text, want := range map[string]float64{"1": 1, " -2.5e3 ": -2500, "+.5": 0.5, "1e-400": 0} {
		if f, err := TextValue(text).Float(); err != nil || f != want {
			t.Errorf("%q is %v, %v", text, f, err)
		}
	}
	for _, text := range []string{"0x10", "1_000", "inf", "NaN", "1e999", "1,5", "-", "true"} {
		if f, err := TextValue(text).Float(); err == nil {
			t.Errorf("%q is the number %v", text, f)
		}
	}
}

func FuzzTables(f *testing.F) {
	for format := CSV; format <= NPZ; format++ {
		files, _ := filepath.Glob("testdata/*" + format.Extensions()[0])
		for _, name := range files {
			if content, err := os.ReadFile(name); err == nil && len(content) < 1<<15 {
				f.Add(byte(format), content)
			}
		}
	}
	f.Fuzz(func(t *testing.T, format byte, content []byte) {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open(path, Format(format%byte(NPZ+1)), Options{})
		if err != nil {
			return
		}
		defer r.Close()
		row := make([]Value, len(r.Columns()))
		for range 1000 {
			var bad *RowError
			if err := r.Next(row); err != nil && !errors.As(err, &bad) {
				return
			}
			for i := range row {
				row[i].Float()
				row[i].Word()
				r.Where(i)
			}
		}
	})
}
