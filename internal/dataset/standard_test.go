package dataset

import (
	"math"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
	"ringmaster/internal/table"
)

// TestStandardize compares with scikit-learn's StandardScaler: the training rows' means and deviations, for rows of any origin. Constant columns become 0.
func TestStandardize(t *testing.T) {
	const text = "a,b,same,kind,w\n1.5,10,0.1,x,1\n-2,20,0.1,y,1\n4.25,1000,0.1,x,0\n0,-5,0.1,y,1\n"
	c := tableConfig(t, config.DataCSV, text, "w,kind,same,b,a\n1,x,0.3,40,7\n")
	c.Target, c.Categories = "kind", []string{"kind"}
	plain, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	c.Standardize = []string{config.AllColumns}
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if d.Fingerprint != plain.Fingerprint {
		t.Error("the fingerprint is over the rows as they are")
	}
	var b Batch
	if err := d.Train.Read(&b, []int32{0, 1, 2, 3}, rng.NewKey(1)); err != nil {
		t.Fatal(err)
	}
	near(t, b.values(), []float32{0.24669109284877777, -0.5733458399772644, 0, -1.2882757186889648, -0.5500627756118774, 0, 1.452736496925354, 1.731679081916809, 0, -0.41115182638168335, -0.6082704663276672, 0})
	if n := testing.AllocsPerRun(20, func() { err = d.Train.Read(&b, []int32{2, 1}, rng.Key{}) }); n > 1 || err != nil {
		t.Errorf("%v allocations, %v", n, err)
	}
	eval := []float32{2.6587817668914795, -0.5034965872764587, 0.20000001788139343}
	if err := d.Eval.Read(&b, []int32{0}, rng.Key{}); err != nil {
		t.Fatal(err)
	}
	near(t, b.values(), eval)
	exact := slices.Clone(b.values())

	// The checkpoint's description has what is needed, to the last bit.
	recalled, err := Recall(c, d.Describe())
	if err != nil {
		t.Fatal(err)
	}
	q, err := recalled.Ask(c, "x", strings.NewReader("same,b,a\n0.3,40,7\n"), table.CSV, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Next(&b, 8); err != nil || !slices.Equal(b.values(), exact) {
		t.Errorf("asked about %v, want %v, %v", b.values(), exact, err)
	}
	c.Train, c.Eval = c.Eval, "" // other rows for the same model
	like, err := OpenLike(c, d.Describe())
	if err != nil {
		t.Fatal(err)
	}
	if err := like.Train.Read(&b, []int32{0}, rng.Key{}); err != nil || !slices.Equal(b.values(), exact) {
		t.Errorf("opened like the model's %v, want %v, %v", b.values(), exact, err)
	}
	if string(like.Describe()) != string(d.Describe()) || string(recalled.Describe()) != string(d.Describe()) {
		t.Error("the description changes on its way")
	}
}

func near(t *testing.T, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	for i := range got {
		if math.Abs(float64(got[i]-want[i])) > 1e-6 {
			t.Errorf("value %d is %v, want %v", i, got[i], want[i])
		}
	}
}

// TestStandardizeSome leaves the columns that are not listed as they are, and takes the training part of a split alone.
func TestStandardizeSome(t *testing.T) {
	c := splitConfig(t, config.Split{By: config.SplitRandom, Seed: 1, Eval: 0.25}, herd(20))
	c.Features, c.Categories, c.Standardize = []string{"farm", "x"}, []string{"kind", "farm"}, []string{"x"}
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	indices := make([]int32, d.Train.Len())
	for i := range indices {
		indices[i] = int32(i)
	}
	if err := d.Train.Read(&b, indices, rng.Key{}); err != nil {
		t.Fatal(err)
	}
	width, sum, squares := len(b.values())/b.N, 0.0, 0.0
	for i := range b.N {
		row := b.values()[i*width : (i+1)*width]
		ones := 0
		for _, v := range row[:width-1] {
			if v == 1 {
				ones++
			}
		}
		if ones != 1 {
			t.Fatalf("row %v", row)
		}
		x := float64(row[width-1])
		sum, squares = sum+x, squares+x*x
	}
	if n := float64(b.N); math.Abs(sum/n) > 1e-6 || math.Abs(squares/n-1) > 1e-6 {
		t.Errorf("mean %v, variance %v", sum/n, squares/n)
	}
}

func TestStandardizeRefused(t *testing.T) {
	c := splitConfig(t, config.Split{}, herd(20))
	c.Standardize = []string{"height"}
	if _, err := Open(c); err == nil || !strings.HasPrefix(err.Error(), "data.standardize[0]: height is no feature of train.csv") {
		t.Errorf("%v", err)
	}
	c.Standardize, c.Features, c.Categories = []string{config.AllColumns}, []string{"farm"}, []string{"kind", "farm"}
	if _, err := Open(c); err == nil || !strings.HasPrefix(err.Error(), "data.standardize: train.csv has no feature of numbers") {
		t.Errorf("%v", err)
	}
	for _, columns := range []string{
		`{"name":"a","role":1,"means":[1],"stds":[0]},{"name":"b","role":2,"categories":["x","y"]}`,
		`{"name":"a","role":1,"means":[1,2],"stds":[1,1]},{"name":"b","role":2,"categories":["x","y"]}`,
		`{"name":"a","role":1,"means":[1]},{"name":"b","role":2,"categories":["x","y"]}`,
		`{"name":"a","role":1},{"name":"b","role":2,"means":[1],"stds":[1]}`,
	} {
		if _, err := Recall(c, []byte(`{"classes":0,"table":[`+columns+`]}`)); err == nil {
			t.Errorf("%s is recalled", columns)
		}
	}
}
