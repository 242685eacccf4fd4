package table

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever the compression and the encoding, bytes read at their place are those that are read in order: texts stand for bytes.
func TestBytesAtTheirPlaceInParquet(t *testing.T) {
	names, err := filepath.Glob("testdata/*.parquet")
	if err != nil || len(names) < 5 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		r, err := Open(name, Parquet, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		at := -1
		for k, column := range r.Columns() {
			if column == "colour" {
				at = k
			}
		}
		if at < 0 {
			continue
		}
		loader, err := NewLoader([]string{"testdata/plain.parquet", name}, Parquet, "colour", nil)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		row := make([]Value, len(r.Columns()))
		for r.Next(row) == nil {
			text, _ := row[at].Word()
			want = append(want, text)
		}
		for _, step := range []int{1, 77, 3} { // in order, and at random
			for i := range want {
				number := i * step % len(want)
				raw, err := loader.Load(Place{File: 1, Offset: int64(number)})
				if number == 11 {
					if err == nil || !strings.Contains(err.Error(), "row 12, column colour: the value is missing") {
						t.Errorf("%s: a missing value gives %v", name, err)
					}
				} else if err != nil || string(raw) != want[number] {
					t.Errorf("%s: row %d is %q (%v), want %q", name, number, raw, err, want[number])
				}
			}
		}
		if _, err := loader.Load(Place{File: 1, Offset: int64(len(want))}); err == nil {
			t.Errorf("%s: there is a row behind the last", name)
		}
	}
}

func TestSeveralTablesAsOne(t *testing.T) {
	dir := t.TempDir()
	var names []string
	for i, text := range []string{"a,b\n1,2\n", "b,a\n4,3\n6,5\n", "a,b\n7,8\n", "a,c\n1,1\n"} {
		names = append(names, filepath.Join(dir, fmt.Sprintf("%d.csv", i)))
		if err := os.WriteFile(names[i], []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	read := func(names ...string) (text string, err error) {
		r, err := OpenAll(names, CSV, Options{})
		if err != nil {
			return "", err
		}
		defer r.Close()
		row := make([]Value, 2)
		for {
			if err := r.Next(row); err == io.EOF {
				return text, nil
			} else if err != nil {
				return text, err
			}
			a, _ := row[0].Word()
			b, _ := row[1].Word()
			text += a + b + " " + r.Where(1) + "\n"
		}
	}
	text, err := read(names[:3]...)
	if want := "12 0.csv:2:3: row 1, column \"b\"\n34 1.csv:2:1: row 1, column \"b\"\n56 1.csv:3:1: row 2, column \"b\"\n78 2.csv:2:3: row 1, column \"b\"\n"; text != want || err != nil {
		t.Errorf("read %q (%v), want %q", text, err, want)
	}
	if _, err := read(names...); err == nil || err.Error() != `3.csv: has a column "c", which 0.csv does not have` {
		t.Errorf("another column gives %v", err)
	}
	if _, err := read(names[0], filepath.Join(dir, "none.csv")); err == nil {
		t.Error("a missing second file is passed over")
	}
}
