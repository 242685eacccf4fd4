package dataset

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
	"ringmaster/internal/test/cost"
)

// recalled describes a data set and recalls it.
func recalled(t *testing.T, c config.Data, d *Data) *Data {
	t.Helper()
	r, err := Recall(c, d.Describe())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(r.Schema, d.Schema) || !slices.Equal(r.Labels, d.Labels) || r.Train.Len() != 0 || r.Eval != nil {
		t.Errorf("recalled spec %v, labels %v, %d samples; was %v, %v", r.Schema, r.Labels, r.Train.Len(), d.Schema, d.Labels)
	}
	return r
}

// TestRecallPhotos reads a photo without the data as with it.
func TestRecallPhotos(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, smallSet(t))
	file := filepath.Join(dir, "test", "dog", "1.png")
	glyphs := config.Data{Kind: config.DataGlyphs}
	for _, c := range []config.Data{imagesConfig(dir), glyphs} {
		d, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		r := recalled(t, c, d)
		var with, without Batch
		if _, err := d.ReadPhoto(&with, file); err != nil {
			t.Fatal(err)
		}
		if _, err := r.ReadPhoto(&without, file); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(with.values(), without.values()) || without.N != 1 || len(without.values()) != d.Schema[0].Width() {
			t.Errorf("%s: the photo is read as %v, with the data as %v", c.Kind, without.values(), with.values())
		}
	}
}

// TestRecallText keeps the vocabulary: characters, with those that JSON escapes, or bytes.
func TestRecallText(t *testing.T) {
	for name, text := range map[string]string{"characters": "to be, or <not> & \"to\" be\n\u2028é", "bytes": "\xff to be"} {
		dir := t.TempDir()
		writeFiles(t, dir, map[string][]byte{"a.txt": []byte(strings.Repeat(text, 20))})
		c := config.Data{Kind: config.DataText, Dir: dir, Context: 4, Encoding: map[string]string{"bytes": config.EncodingBytes}[name]}
		d, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		r := recalled(t, c, d)
		if r.Vocabulary.Characters() != d.Vocabulary.Characters() || r.Vocabulary.Len() != d.Vocabulary.Len() || r.Schema[0].Width() != 4 {
			t.Errorf("%s: recalled %q", name, r.Vocabulary.Characters())
		}
		if _, err := r.ReadPhoto(&Batch{}, "none.png"); err == nil {
			t.Errorf("%s: a model of text reads a photo", name)
		}
	}
}

// TestRecallRefuses goes through descriptions that do not go with the data.
// A model sees other data with the tokens and the classes that it was trained on.
func TestOpenLike(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{"a/a.txt": []byte(strings.Repeat("abcd", 20)), "b/b.txt": []byte(strings.Repeat("db", 40)),
		"c/c.txt": []byte("d" + strings.Repeat("dbx", 40))})
	c := config.Data{Kind: config.DataText, Dir: filepath.Join(dir, "a"), Context: 4}
	trained, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	c.Dir = filepath.Join(dir, "b")
	other, err := OpenLike(c, trained.Describe())
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	if other.Train.Read(&b, []int32{0}, rng.Key{}); b.tokens()[0] != 3 || b.tokens()[1] != 1 || other.Schema[1].Classes != 4 {
		t.Errorf("tokens %v of %d, want 3 1 3 1 of 4", b.tokens(), other.Schema[1].Classes)
	}
	c.Dir = filepath.Join(dir, "c")
	if _, err := OpenLike(c, trained.Describe()); err == nil || !strings.Contains(err.Error(), "character 'x' at byte 3") {
		t.Errorf("error is %v", err)
	}

	images := filepath.Join(dir, "images")
	writeFiles(t, images, smallSet(t))
	pictures := imagesConfig(images)
	pets, err := Open(pictures)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := OpenLike(pictures, pets.Describe()); err != nil || again.Fingerprint != pets.Fingerprint {
		t.Errorf("the same data are others: %v", err)
	}
	// A class that is missing cannot be left out: the model has it.
	last := pets.Labels[len(pets.Labels)-1]
	for _, part := range []string{"test", "train"} {
		if err := os.Rename(filepath.Join(images, part, last), filepath.Join(images, part, "aardvark")); err != nil {
			t.Fatal(err)
		}
		_, err := OpenLike(pictures, pets.Describe())
		if err == nil || !strings.Contains(err.Error(), last) || !strings.Contains(err.Error(), "or set data.dir to") || strings.Contains(err.Error(), "data.classes") {
			t.Errorf("without %s in %s the error is %v", last, part, err)
		}
	}
}

func TestRecallRefuses(t *testing.T) {
	text := config.Data{Kind: config.DataText, Context: 8}
	images := config.Data{Kind: config.DataImages, Mean: []float64{0, 0, 0}, Std: []float64{1, 1, 1}}
	digits := config.Data{Kind: config.DataMNIST}
	for _, test := range []struct {
		data config.Data
		text string
	}{
		{text, ``},
		{text, `{"classes":2,"context":8,"characters":"ab"} 1`},
		{text, `{"classes":2,"context":8,"characters":"ab","more":1}`},
		{text, `{"classes":3,"context":8,"characters":"ab"}`},
		{text, `{"classes":2,"context":9,"characters":"ab"}`},
		{text, `{"classes":2,"context":8,"characters":"ba"}`},
		{text, `{"classes":0,"context":8}`},
		{images, `{"classes":2,"input":[3,4,5],"columns":4}`},
		{images, `{"classes":2,"input":[1,4,5],"columns":5}`},
		{images, `{"classes":2,"input":[60],"columns":5}`},
		{images, `{"classes":2,"input":[3,4,-5],"columns":-5}`},
		{images, `{"classes":2,"input":[3,4294967296,4294967296],"columns":4294967296}`},
		{images, `{"classes":2,"input":[3,4,5],"columns":5,"labels":["a"]}`},
		{digits, `{"classes":10,"input":[784],"columns":27}`},
		{digits, `{"classes":10,"input":[784]}`},
		{digits, `{"classes":100000,"input":[784],"columns":28}`},
		{digits, `{"classes":1,"labels":["` + strings.Repeat("x", maxDescription) + `"]}`},
	} {
		if d, err := Recall(test.data, []byte(test.text)); err == nil {
			t.Errorf("%s: %.100s is recalled as %v", test.data.Kind, test.text, d.Schema)
		}
	}
}

// TestDescribeIsBounded leaves out names that would be too long in all.
func TestDescribeIsBounded(t *testing.T) {
	d := greyData()
	d.Labels = []string{strings.Repeat("x", maxDescription)}
	if text := d.Describe(); len(text) > 200 || strings.Contains(string(text), "labels") {
		t.Errorf("described in %d bytes", len(text))
	}
}

// FuzzRecall: whatever the bytes, the answer is a description that comes back the same, or an error, and little memory.
func FuzzRecall(f *testing.F) {
	f.Add(0, []byte(`{"input":[784],"columns":28,"classes":10}`))
	f.Add(1, []byte(`{"input":[3,8,8],"columns":8,"classes":2,"labels":["a","b"]}`))
	f.Add(2, []byte(`{"context":8,"classes":2,"characters":"ab"}`))
	kinds := []config.Data{{Kind: config.DataGlyphs}, {Kind: config.DataImages, Mean: []float64{0, 0, 0}, Std: []float64{1, 1, 1}}, {Kind: config.DataText, Context: 8}, {Kind: config.DataCSV},
		{Kind: config.DataImageTable, Image: "image", Mean: []float64{0, 0, 0}, Std: []float64{1, 1, 1}}, {Kind: config.DataPairs, Context: 4, TargetContext: 5, Tokens: config.TokensWords}}
	f.Add(4, []byte(`{"input":[3,8,8],"columns":8,"classes":0,"table":[{"name":"b","role":2,"categories":["x","y"]}]}`))
	f.Add(5, []byte(`{"classes":0,"lexicon":{"words":["a","b"]}}`))
	f.Add(3, []byte(`{"classes":0,"table":[{"name":"a","role":1,"shape":[2]},{"name":"b","role":2,"categories":["x","y"]}]}`))
	f.Fuzz(func(t *testing.T, kind int, text []byte) {
		c := kinds[uint(kind)%uint(len(kinds))]
		var d *Data
		var err error
		cost.Bound(t, len(text), 1<<10, func() { d, err = Recall(c, text) })
		if err != nil {
			return
		}
		again, err := Recall(c, d.Describe())
		if err != nil || !reflect.DeepEqual(again, d) {
			t.Errorf("%s: %v came back as %v, %v", text, d, again, err)
		}
	})
}
