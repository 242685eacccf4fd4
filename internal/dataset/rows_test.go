package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

// tableConfig names files with these contents, which are written; an empty one is none.
func tableConfig(t *testing.T, kind, train, eval string) config.Data {
	t.Helper()
	dir := t.TempDir()
	c := config.Data{Kind: kind, Train: filepath.Join(dir, "train."+kind), Missing: config.MissingError, Header: true, Delimiter: ",", MemoryMiB: 1,
		Target: "species", Categories: []string{"species", "colour"}, Weight: "w"}
	if err := os.WriteFile(c.Train, []byte(train), 0o644); err != nil {
		t.Fatal(err)
	}
	if eval != "" {
		c.Eval = filepath.Join(dir, "eval."+kind)
		if err := os.WriteFile(c.Eval, []byte(eval), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

const (
	flowers    = "\ufefflength,species,colour,width,w\r\n1.5,\"b, or \"\"B\"\"\",red,2,1\r\n-3e1,a,\"gr\neen\",0.25,0.5\r\n4,a,blue,1,0\r\n"
	flowersTSV = "length\tspecies\tcolour\twidth\tw\n1.5\t\"b, or \"\"B\"\"\"\tred\t2\t1\n-30\ta\t\"gr\neen\"\t.25\t5e-1\n4.0\ta\tblue\t1\t0\n"
	flowersNL  = `{"length":1.5,"species":"b, or \"B\"","colour":"red","width":2,"w":1}
{"length":-30,"species":"a","colour":"gr\neen","width":0.25,"w":0.5}
{"length":4,"species":"a","colour":"blue","width":1,"w":0}
`
	moreFlowers = "w,colour,species,width,length\n1,blue,a,7,8\n"
)

// It reads the same rows in three formats: they are the same data, and come as the job says.
func TestThreeFormatsOfOneTableAreTheSameData(t *testing.T) {
	var prints [][32]byte
	for kind, text := range map[string]string{config.DataCSV: flowers, config.DataTSV: flowersTSV, config.DataJSONL: flowersNL} {
		d, err := Open(tableConfig(t, kind, text, ""))
		if err != nil {
			t.Fatal(err)
		}
		prints = append(prints, d.Fingerprint)
		if got := fmt.Sprintf("%v", d.Schema); got != "[{features float32 input [5] false 0 [] false 0 0} {species int32 target [] false 2 [a b, or \"B\"] false 0 0} {w float32 weight [] false 0 [] false 0 0}]" {
			t.Errorf("%s: schema %s", kind, got)
		}
		var b Batch
		if err := d.Train.Read(&b, []int32{1, 0, 2}, rng.NewKey(1)); err != nil {
			t.Fatal(err)
		}
		// length; colour is blue, green or red; width.
		if want := []float32{-30, 0, 1, 0, 0.25, 1.5, 0, 0, 1, 2, 4, 1, 0, 0, 1}; !slices.Equal(b.Columns[0].Floats, want) {
			t.Errorf("%s: features %v, want %v", kind, b.Columns[0].Floats, want)
		}
		if !slices.Equal(b.Columns[1].Ints, []int32{0, 1, 0}) || !slices.Equal(b.Columns[2].Floats, []float32{0.5, 1, 0}) || d.Eval != nil {
			t.Errorf("%s: targets %v, weights %v", kind, b.Columns[1].Ints, b.Columns[2].Floats)
		}
		indices := []int32{2, 1}
		if n := testing.AllocsPerRun(20, func() { err = d.Train.Read(&b, indices, rng.Key{}) }); n != 0 || err != nil {
			t.Errorf("%s: %v allocations, %v", kind, n, err)
		}
	}
	if prints[0] != prints[1] || prints[0] != prints[2] {
		t.Error("the same rows have other fingerprints in another format")
	}
}

// TestTableOfAModel opens and recalls a table for a model that has been trained on another: categories keep their numbers, columns are found by
// name.
func TestTableOfAModel(t *testing.T) {
	trained, err := Open(tableConfig(t, config.DataCSV, flowers, moreFlowers))
	if err != nil {
		t.Fatal(err)
	}
	described := trained.Describe()
	c := tableConfig(t, config.DataCSV, moreFlowers, "")
	other, err := OpenLike(c, described)
	if err != nil {
		t.Fatal(err)
	}
	recalled, err := Recall(c, described)
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]*Data{"opened": other, "recalled": recalled} {
		if !reflect.DeepEqual(d.Schema, trained.Schema) || !slices.Equal(d.Labels, trained.Labels) || string(d.Describe()) != string(described) {
			t.Errorf("%s: schema %v, want %v", name, d.Schema, trained.Schema)
		}
	}
	var b, want Batch
	if err := other.Train.Read(&b, []int32{0}, rng.Key{}); err != nil {
		t.Fatal(err)
	}
	if err := trained.Eval.Read(&want, []int32{0}, rng.Key{}); err != nil || !slices.Equal(b.Columns[0].Floats, []float32{8, 1, 0, 0, 7}) || !slices.Equal(want.Columns[0].Floats, b.Columns[0].Floats) {
		t.Errorf("features %v, of the evaluation %v, %v", b.Columns[0].Floats, want.Columns[0].Floats, err)
	}
	for _, text := range []string{"{}", `{"classes":0,"table":[]}`, `{"classes":0,"table":[{"name":"a","role":1}]}`, `{"classes":0,"table":[{"name":"a","role":9},{"name":"b","role":2}]}`,
		`{"classes":0,"table":[{"name":"a","role":1,"shape":[65536,65536,65536,65536]},{"name":"b","role":2}]}`, `{"classes":0,"table":[{"name":"a","role":1},{"name":"a","role":2}]}`} {
		if d, err := Recall(c, []byte(text)); err == nil {
			t.Errorf("%s is recalled as %v", text, d.Schema)
		}
	}
}

// TestTableDropsRows leaves out the rows with a missing value, and says so, where the job says that it may.
func TestTableDropsRows(t *testing.T) {
	c := tableConfig(t, config.DataJSONL, flowersNL+`{"length":null,"species":"a","colour":"red","width":1,"w":1}`+"\n"+`{"species":"b","colour":"red","width":1,"w":1}`+"\n", "")
	_, err := Open(c)
	if err == nil || !strings.Contains(err.Error(), "train.jsonl:4") || !strings.Contains(err.Error(), `"length": the value is missing`) {
		t.Errorf("%v", err)
	}
	c.Missing = config.MissingDrop
	d, err := Open(c)
	if err != nil || d.Train.Len() != 3 || !strings.HasPrefix(d.LeftOut, "2 rows with a missing value") {
		t.Errorf("%v, %v", d, err)
	}
	whole, err := Open(tableConfig(t, config.DataJSONL, flowersNL, ""))
	if err != nil || whole.Fingerprint != d.Fingerprint {
		t.Errorf("rows that were dropped show in the fingerprint; %v", err)
	}
}

func TestTablesRefused(t *testing.T) {
	for want, change := range map[string]func(c *config.Data) (train, eval string){
		`data.target: train.csv has no column "kind"; it has length, species,`: func(c *config.Data) (string, string) { c.Target = "kind"; return "", "" },
		`data.features[1]: train.csv has no column "age"`: func(c *config.Data) (string, string) {
			c.Features, c.Categories = []string{"width", "age"}, c.Categories[:1]
			return "", ""
		},
		`data.weight: train.csv has no column "mass"`:                   func(c *config.Data) (string, string) { c.Weight = "mass"; return "", "" },
		"data.categories[1]: shape is neither a feature nor the target": func(c *config.Data) (string, string) { c.Categories[1] = "shape"; return "", "" },
		`train.csv:2:19: row 1, column "colour": "red" is not a number; correct it, list colour in data.categories`: func(c *config.Data) (string, string) {
			c.Categories = c.Categories[:1]
			return "", ""
		},
		`eval.csv:2:1: row 1, column "colour": the category "grey" does not occur in the training rows`: func(*config.Data) (string, string) {
			return "", "colour,species,width,length,w\ngrey,a,1,1,1\n"
		},
		`eval.csv has no column "width"`:        func(*config.Data) (string, string) { return "", "colour,species,length,w\nred,a,1,1\n" },
		"the weight -1 is negative":             func(*config.Data) (string, string) { return strings.Replace(flowers, "0.25,0.5", "0.25,-1", 1), "" },
		"1e+39 is beyond the range of float32":  func(*config.Data) (string, string) { return strings.Replace(flowers, "0.25", "1e39", 1), "" },
		"the target species has a single":       func(*config.Data) (string, string) { return "species,colour,x,w\na,b,1,1\na,c,1,1\n", "" },
		"has no rows":                           func(*config.Data) (string, string) { return "species,colour,x,w\n", "" },
		"data.train: the table has no column":   func(c *config.Data) (string, string) { return "species,w\na,1\nb,1\n", "" },
		"does not exist":                        func(c *config.Data) (string, string) { c.Train += "x"; return "", "" },
		"data.eval: ":                           func(c *config.Data) (string, string) { c.Eval = c.Train + "y"; return "", "" },
		"names of columns and categories have ": func(*config.Data) (string, string) { return flowers + distinct(40000), "" },
	} {
		c := tableConfig(t, config.DataCSV, flowers, moreFlowers)
		train, eval := change(&c)
		for path, text := range map[string]string{c.Train: train, c.Eval: eval} {
			if text != "" {
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		_, err := Open(c)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "data.") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// distinct is rows of n colours.
func distinct(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "4,a,a colour with a long name and the number %d,1,0\n", i)
	}
	return b.String()
}
