package table

import (
	"fmt"
	"strings"
	"testing"
)

// TestSummarize tells what columns hold, the same as CSV and as JSON lines where those can say the same.
func TestSummarize(t *testing.T) {
	for name, text := range map[string]string{
		"csv":   "a,b,c\n1,x,\n2.5,y,7\n-3,x,seven\n",
		"jsonl": `{"a":1,"b":"x","c":null}` + "\n" + `{"a":2.5,"b":"y","c":7}` + "\n" + `{"a":-3,"b":"x","c":"seven"}` + "\n",
	} {
		format := map[string]Format{"csv": CSV, "jsonl": JSONL}[name]
		r, err := OpenStream(strings.NewReader(text), name, format, Options{})
		if err != nil {
			t.Fatal(err)
		}
		columns, rows, err := Summarize(r)
		if err != nil || rows != 3 || len(columns) != 3 {
			t.Fatalf("%v, %d rows, %v", columns, rows, err)
		}
		a, b, c := columns[0], columns[1], columns[2]
		if a.Name != "a" || a.Kinds["number"] != 3 || a.Numbers.Min != -3 || a.Numbers.Max != 2.5 || a.Numbers.Mean != 0.5/3 || a.Distinct != 3 {
			t.Errorf("%s: %+v, %+v", name, a, a.Numbers)
		}
		if b.Kinds["text"] != 3 || b.Numbers != nil || fmt.Sprint(b.Values) != "map[x:2 y:1]" {
			t.Errorf("%s: %+v", name, b)
		}
		if c.Missing != 1 || c.Kinds["text"] != 1 || c.Kinds["number"] != 1 || c.Numbers.Count != 1 {
			t.Errorf("%s: %+v", name, c)
		}
	}
	var many strings.Builder
	many.WriteString("a,b\n")
	for i := range 150 {
		fmt.Fprintf(&many, "%d,%d\n", i, i%50)
	}
	r, err := OpenStream(strings.NewReader(many.String()+"1\n"), "csv", CSV, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Summarize(r); err == nil || !strings.Contains(err.Error(), "csv:152: row 151 does not have 2 values") {
		t.Errorf("%v", err)
	}
	if r, err = OpenStream(strings.NewReader(many.String()), "csv", CSV, Options{}); err != nil {
		t.Fatal(err)
	}
	columns, _, err := Summarize(r)
	if err != nil || columns[0].MoreDistinct() != "more than 100" || columns[1].MoreDistinct() != "50" || columns[1].Values != nil {
		t.Errorf("%+v, %v", columns, err)
	}
}
