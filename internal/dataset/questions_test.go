package dataset

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
	"ringmaster/internal/table"
)

// TestQuestions reads rows as a model's training rows were read, in batches, whatever the target and the weight are, or without them.
func TestQuestions(t *testing.T) {
	c := tableConfig(t, config.DataCSV, flowers, "")
	trained, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	recalled, err := Recall(c, trained.Describe())
	if err != nil {
		t.Fatal(err)
	}
	var want Batch
	if err := trained.Train.Read(&want, []int32{0, 1, 2}, rng.Key{}); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"id,width,colour,length\np,2,red,1.5\nq,0.25,\"gr\neen\",-30\n,1,blue,4\n", "length,species,colour,width,w,id\n1.5,unheard of,red,2,-5,p\n-30,,\"gr\neen\",.25,x,q\n4,a,blue,1,,\n"} {
		q, err := recalled.Ask(c, "standard input", strings.NewReader(text), table.CSV, []string{"id"})
		if err != nil {
			t.Fatal(err)
		}
		var b Batch
		var got []float32
		var ids, last string
		for {
			if err := q.Next(&b, 2); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			got, last = append(got, b.values()...), q.Where(b.N-1)
			for i := range b.N {
				id, _ := q.Kept(i)[0].Word()
				ids += id + ";"
			}
		}
		if !slices.Equal(got, want.values()) || ids != "p;q;;" || !strings.Contains(last, "row 3") {
			t.Errorf("features %v of %s to %s, want %v", got, ids, last, want.values())
		}
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestQuestionsRefused names the file, the row and the column of what cannot be asked.
func TestQuestionsRefused(t *testing.T) {
	c := tableConfig(t, config.DataCSV, flowers, "")
	c.Missing = config.MissingDrop // each row has an answer all the same
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"length,colour\n1,red\n":                             `new.csv has no column "width", which the model reads; it has length, colour`,
		"length,colour,width\n1,red,2\n1,pink,2\n":           `new.csv:3:3: row 2, column "colour": the category "pink" does not occur in the training rows`,
		"length,colour,width\n1,red,2\n1,red,\n":             `new.csv:3:7: row 2, column "width": the value is missing; fill it in, or leave the row out`,
		"length,colour,width\nlong,red,2\n":                  `new.csv:2:1: row 1, column "length": "long" is not a number, as it is in the training rows; correct it`,
		"length,colour,width\n1e39,red,2\n":                  `new.csv:2:1: row 1, column "length": 1e+39 is beyond the range of float32`,
		"length,colour,width\n":                              "new.csv has no rows",
		"length,colour,width\n1,red\n":                       "new.csv:2: row 1 does not have 3 values, as the first row has",
		"":                                                   "new.csv: is empty",
		"length,colour,width,width\n1,red,2,2\n":             `columns 3 and 4 are both named "width"`,
		`{"length":[1,2],"colour":"red","width":1}` + "\n":   `new.csv:1: row 1, key "length": an array of 2, where the training rows have 1`,
		`{"length":"1","colour":["r"],"width":1}` + "\n":     `new.csv:1: row 1, key "colour"`,
		`{"length":null,"colour":"red","width":1}` + "\n":    `new.csv:1: row 1, key "length": the value is missing`,
		`{"length":1,"colour":"red","width":1,"id":{}}` + "": `new.csv has no column "id" to keep`,
	} {
		path, format, keep := filepath.Join(t.TempDir(), "new.csv"), table.CSV, []string(nil)
		if strings.HasPrefix(text, "{") {
			format = table.JSONL
		}
		if strings.Contains(text, `"id"`) {
			keep = []string{"id"}
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		q, err := d.Ask(c, path, nil, format, keep)
		for err == nil {
			err = q.Next(new(Batch), 1)
		}
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	for path, want := range map[string]table.Format{"a.jsonl": table.JSONL, "a.parquet": table.Parquet, "-": table.CSV, "a.data": table.CSV} {
		if f, err := TableFormat(c, path, ""); f != want || err != nil {
			t.Errorf("%s is of format %d, %v", path, f, err)
		}
	}
	if f, err := TableFormat(c, "a.jsonl", "npy"); f != table.NPY || err != nil {
		t.Errorf("format %d, %v", f, err)
	}
	if _, err := TableFormat(c, "a", "xlsx"); err == nil {
		t.Error("xlsx is a format")
	}
}
