package dataset

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

// testParts are the x of the rows of the three parts.
func testParts(t *testing.T, c config.Data) (all [partCount][]int) {
	t.Helper()
	train, eval, d := parts(t, c)
	if err := d.UseTest(); err != nil {
		t.Fatal(err)
	}
	return [partCount][]int{train, eval, xs(t, d.Eval)}
}

// TestThreeParts splits a table into three parts in every way: every row is in exactly one, and the test part is the same for every share for evaluation
// and in every fold, and not part of the fingerprint.
func TestThreeParts(t *testing.T) {
	rows := herd(280)
	for _, by := range []string{config.SplitRandom, config.SplitStratified, config.SplitGroup, config.SplitHash} {
		var held []int
		for _, s := range []config.Split{{Eval: 0.2}, {Eval: 0.4}, {Folds: 3, Fold: 0}, {Folds: 3, Fold: 2}} {
			s.By, s.Seed, s.Test = by, 5, 0.25
			found := testParts(t, splitConfig(t, s, rows))
			all := slices.Concat(found[0], found[1], found[2])
			if slices.Sort(all); len(all) != len(rows) || len(slices.Compact(all)) != len(rows) {
				t.Errorf("%+v: parts of %d, %d and %d rows", s, len(found[0]), len(found[1]), len(found[2]))
			}
			if held == nil {
				held = found[2]
			}
			if !slices.Equal(held, found[2]) {
				t.Errorf("%+v: another test part, %v instead of %v", s, found[2], held)
			}
			want := [2]int{int(s.Eval * 280), 70}
			if s.Folds > 0 {
				want[0] = 70
			}
			slack := map[string]int{config.SplitGroup: 45, config.SplitHash: 25}[by]
			for k, n := range want {
				if got := len(found[1+k]); got < n-slack || got > n+slack {
					t.Errorf("%+v: part %d has %d rows, want about %d", s, 1+k, got, n)
				}
			}
		}
	}
}

// TestMoreRowsMoveNone adds rows, in another order: by the hash of their content those that there were stay in their part.
func TestMoreRowsMoveNone(t *testing.T) {
	s := config.Split{By: config.SplitHash, Seed: 3, Eval: 0.25, Test: 0.25}
	before, more := testParts(t, splitConfig(t, s, herd(280))), herd(500)
	slices.Reverse(more)
	after := testParts(t, splitConfig(t, s, more))
	for k := range before {
		had := slices.DeleteFunc(after[k], func(x int) bool { return x >= 280 })
		if slices.Sort(had); !slices.Equal(had, before[k]) {
			t.Errorf("part %d: %v, before %v", k, had, before[k])
		}
	}
}

// TestStratifiedCounts compares how many rows of each class each part has with scikit-learn's train_test_split(stratify=...), applied twice, and
// StratifiedKFold. Shares that are whole numbers of rows are equal; others differ by one row at most, since both round.
func TestStratifiedCounts(t *testing.T) {
	raw, err := os.ReadFile("testdata/stratified.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Sizes []int     `json:"sizes"`
		Eval  float64   `json:"eval"`
		Test  float64   `json:"test"`
		Folds int       `json:"folds"`
		Parts [][][]int `json:"parts"` // of each fold the counts by class of training, evaluation and test
		Exact bool      `json:"exact"`
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		l := &lot{}
		for class, n := range c.Sizes {
			l.classes = append(l.classes, slices.Repeat([]int32{int32(class)}, n)...)
		}
		l.n = len(l.classes)
		for fold, want := range c.Parts {
			parts, err := l.divide(config.Split{By: config.SplitStratified, Seed: 7, Eval: c.Eval, Test: c.Test, Folds: c.Folds, Fold: fold})
			if err != nil {
				t.Fatal(err)
			}
			got := [partCount][]int{make([]int, len(c.Sizes)), make([]int, len(c.Sizes)), make([]int, len(c.Sizes))}
			for i, p := range parts {
				got[p][l.classes[i]]++
			}
			for p, counts := range want {
				for class, n := range counts {
					if d := got[p][class] - n; d != 0 && (c.Exact || d < -1 || d > 1) {
						t.Errorf("%v, %g and %g, fold %d: %v has %v, scikit-learn %v", c.Sizes, c.Eval, c.Test, fold, part(p), got[p], counts)
					}
				}
			}
		}
	}
}

// gallerySet is n pictures of each of two classes in a flat folder, three of each patient, and their classes by tone.
func gallerySet(t *testing.T, n int) map[string][]byte {
	files := map[string][]byte{}
	for i := range n {
		files[fmt.Sprintf("cat/patient%d_%d.png", i/3, i)] = smallPNG(t, 4, 4, uint8(i))
		files[fmt.Sprintf("dog/patient%d_%d.png", i/3, i)] = smallPNG(t, 4, 4, uint8(100+i))
	}
	return files
}

// tones are the reds of all pictures of a set, which name them.
func tones(t *testing.T, s Set) (found []int) {
	t.Helper()
	var b Batch
	for i := range s.Len() {
		if err := s.Read(&b, []int32{int32(i)}, rng.Key{}); err != nil {
			t.Fatal(err)
		}
		tone := int(b.values()[0]*0.25*255 + 0.5*255 + 0.5)
		if class := tone / 100; b.targets()[0] != int32(class) {
			t.Errorf("picture %d has class %d", tone, b.targets()[0])
		}
		found = append(found, tone)
	}
	return found
}

func pictureParts(t *testing.T, c config.Data) (all [partCount][]int, d *Data) {
	t.Helper()
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	all[0], all[1] = tones(t, d.Train), tones(t, d.Eval)
	if err := d.UseTest(); err != nil {
		t.Fatal(err)
	}
	all[2] = tones(t, d.Eval)
	return all, d
}

func splitPictures(dir string, s config.Split) config.Data {
	c := imagesConfig(dir)
	c.Mean, c.Std, c.Split = []float64{0.5, 0.5, 0.5}, []float64{0.25, 0.25, 0.25}, s
	if s.By == config.SplitGroup {
		c.Group = "(patient[0-9]+)_"
	}
	return c
}

// TestPicturesAreSplit splits a folder of pictures where they are, in every way: each is in exactly one part.
func TestPicturesAreSplit(t *testing.T) {
	flat, nested := t.TempDir(), t.TempDir()
	files := gallerySet(t, 30)
	writeFiles(t, flat, files)
	for name, content := range files {
		writeFiles(t, nested, map[string][]byte{"train/" + name: content})
	}
	for _, by := range []string{config.SplitRandom, config.SplitStratified, config.SplitGroup, config.SplitHash} {
		c := splitPictures(flat, config.Split{By: by, Seed: 2, Eval: 0.2, Test: 0.3})
		found, d := pictureParts(t, c)
		all := slices.Concat(found[0], found[1], found[2])
		if slices.Sort(all); len(all) != 60 || len(slices.Compact(all)) != 60 || len(found[1]) == 0 || len(found[2]) == 0 {
			t.Errorf("%s: %v", by, found)
		}
		if by == config.SplitStratified {
			if cats := len(slices.DeleteFunc(slices.Clone(found[2]), func(tone int) bool { return tone >= 100 })); len(found[1]) != 12 || cats != 9 {
				t.Errorf("stratified: %d for evaluation, %d cats for test", len(found[1]), cats)
			}
		}
		if by == config.SplitGroup {
			patient := func(tone int) int { return tone % 100 / 3 }
			for _, tone := range found[0] {
				if slices.ContainsFunc(slices.Concat(found[1], found[2]), func(other int) bool { return patient(other) == patient(tone) }) {
					t.Errorf("patient %d is in several parts", patient(tone))
				}
			}
		}
		if want := fmt.Sprintf("%d images for training and %d for evaluation, and %d for test, of 2 classes", len(found[0]), len(found[1]), len(found[2])); !strings.HasPrefix(d.Read, want) || !strings.HasSuffix(d.Read, "seed 2") {
			t.Errorf("%s: read %q", by, d.Read)
		}
		c.Dir = nested
		if again, other := pictureParts(t, c); other.Fingerprint != d.Fingerprint || fmt.Sprint(again) != fmt.Sprint(found) {
			t.Errorf("%s: in a folder train the parts are others", by)
		}
	}
}

// TestMorePicturesMoveNone adds pictures: by hash those that there were stay in their part, as in a table of the same pictures.
func TestMorePicturesMoveNone(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, gallerySet(t, 20))
	c := splitPictures(dir, config.Split{By: config.SplitHash, Seed: 4, Eval: 0.25, Test: 0.25})
	before, _ := pictureParts(t, c)
	list := "image,label\n"
	for name := range gallerySet(t, 20) {
		list += name + "," + strings.Split(name, "/")[0] + "\n"
	}
	table := c
	table.Kind, table.Train, table.Image, table.Target, table.Categories = config.DataImageTable, filepath.Join(dir, "list.csv"), "image", "label", []string{"label"}
	table.Missing, table.Header, table.Delimiter = config.MissingError, true, ","
	writeFiles(t, dir, map[string][]byte{"list.csv": []byte(list)})
	rows, _ := pictureParts(t, table)
	if err := os.Remove(table.Train); err != nil {
		t.Fatal(err)
	}
	writeFiles(t, dir, gallerySet(t, 40))
	after, _ := pictureParts(t, c)
	for k := range before {
		had := slices.DeleteFunc(after[k], func(tone int) bool { return tone%100 >= 20 })
		slices.Sort(had)
		slices.Sort(before[k])
		slices.Sort(rows[k])
		if !slices.Equal(had, before[k]) || !slices.Equal(rows[k], before[k]) {
			t.Errorf("part %d: %v, before %v, in a table %v", k, had, before[k], rows[k])
		}
	}
}

// TestFoldersOfParts chooses among the folders of the parts.
func TestFoldersOfParts(t *testing.T) {
	dir := t.TempDir()
	for name, content := range gallerySet(t, 12) {
		part := map[bool]string{true: "val/", false: "train/"}[strings.HasSuffix(name, "1.png")]
		if strings.HasSuffix(name, "0.png") {
			part = "test/"
		}
		writeFiles(t, dir, map[string][]byte{part + name: content})
	}
	c := splitPictures(dir, config.Split{})
	c.Eval = "val"
	if found, _ := pictureParts(t, c); !slices.Equal(found[1], []int{1, 11, 101, 111}) || !slices.Equal(found[2], []int{0, 10, 100, 110}) {
		t.Errorf("data.eval: val gives %v", found)
	}
	c.Eval = ""
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if got := tones(t, d.Eval); !slices.Equal(got, []int{0, 10, 100, 110}) || d.UseTest() == nil {
		t.Errorf("without data.eval %v is evaluated", got)
	}
	c.Split = config.Split{By: config.SplitRandom, Seed: 1, Eval: 0.25}
	found, d := pictureParts(t, c)
	if len(found[0]) != 12 || len(found[1]) != 4 || !slices.Equal(found[2], []int{0, 10, 100, 110}) || !strings.Contains(d.LeftOut, "4 in val, since data.split makes the parts") {
		t.Errorf("a split beside folders gives %v, left out %q", found, d.LeftOut)
	}
}

// TestPicturesThatCannotBeSplit names what is wrong.
func TestPicturesThatCannotBeSplit(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, gallerySet(t, 4))
	group := splitPictures(dir, config.Split{By: config.SplitGroup, Seed: 1, Eval: 0.5})
	group.Group = "room[0-9]"
	for want, c := range map[string]config.Data{
		"data.group: image " + filepath.Join(dir, "cat", "patient0_0.png") + ": room[0-9] finds no group in cat/patient0_0.png": group,
		"data.split: of 8 images in " + dir + " none is for the test part":                                                      splitPictures(dir, config.Split{By: config.SplitRandom, Seed: 1, Eval: 0.5, Test: 0.01}),
		`data.split: none of the images of class "cat" in ` + dir + " is for training": func() config.Data {
			c := splitPictures(dir, config.Split{By: config.SplitGroup, Seed: 1, Eval: 0.5})
			c.Group = "^cat|dog"
			return c
		}(),
	} {
		if _, err := Open(c); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestWriteSplit writes the parts in every form: a job that reads them has the same parts. What is there is not touched, and nothing is there before it is whole.
func TestWriteSplit(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, gallerySet(t, 10))
	c := splitPictures(dir, config.Split{By: config.SplitStratified, Seed: 2, Eval: 0.2, Test: 0.2})
	want, _ := pictureParts(t, c)
	sorted := func(all [partCount][]int) string {
		for k := range all {
			slices.Sort(all[k])
		}
		return fmt.Sprint(all)
	}
	for _, form := range SplitForms {
		out := filepath.Join(t.TempDir(), "out")
		w, err := WriteSplit(c, out, form)
		if err != nil || w.Counts != [partCount]int{12, 4, 4} {
			t.Fatalf("%s: %v, %v", form, w, err)
		}
		read := splitPictures(out, config.Split{})
		read.Eval = "val"
		if form == splitLists {
			read = splitPictures(dir, config.Split{})
			read.Kind, read.Train, read.Image, read.Target, read.Categories = config.DataImageTable, filepath.Join(out, "train.csv"), "image", "label", []string{"label"}
			read.Missing, read.Header, read.Delimiter = config.MissingError, true, ","
			for k, name := range []string{"train", "val", "test"} {
				read.Train = filepath.Join(out, name+".csv")
				d, err := Open(read)
				if err != nil {
					t.Fatal(err)
				}
				got := tones(t, d.Train)
				if slices.Sort(got); fmt.Sprint(got) != fmt.Sprint(slices.Sorted(slices.Values(want[k]))) {
					t.Errorf("list %s has %v, want %v", name, got, want[k])
				}
			}
		} else if got, _ := pictureParts(t, read); sorted(got) != sorted(want) {
			t.Errorf("%s: parts %v, want %v", form, got, want)
		}
		before, err := filepath.Glob(out + "/*")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := WriteSplit(c, out, form); err == nil || !strings.Contains(err.Error(), "is not empty") {
			t.Errorf("%s: written twice: %v", form, err)
		}
		if after, _ := filepath.Glob(out + "*"); len(after) != 1 || len(before) != 3 {
			t.Errorf("%s: %v and %v are left", form, before, after)
		}
	}
	out := filepath.Join(t.TempDir(), "out")
	c.Split.Test = 0.001
	if _, err := WriteSplit(c, out, splitCopies); err == nil {
		t.Error("a part without pictures is written")
	}
	if left, _ := filepath.Glob(out + "*"); len(left) != 0 {
		t.Errorf("a split that fails leaves %v", left)
	}
}

// TestPackedParts packs three parts, of rows and of pictures: the set has the parts and the fingerprint of the data.
func TestPackedParts(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, gallerySet(t, 10))
	s := config.Split{By: config.SplitRandom, Seed: 2, Eval: 0.2, Test: 0.2}
	for name, c := range map[string]config.Data{"rows": splitConfig(t, s, herd(60)), "pictures": splitPictures(dir, s)} {
		out := filepath.Join(t.TempDir(), "out")
		packed, err := Pack(c, out)
		if err != nil {
			t.Fatal(err)
		}
		read := c
		read.Dir, read.Train, read.Path = "", "", out
		again, err := Open(read)
		if err != nil || again.Fingerprint != packed.Fingerprint || again.TestLen() != packed.TestLen() || packed.TestLen() == 0 {
			t.Fatalf("%s: %d records for test, packed %d, %v", name, again.TestLen(), packed.TestLen(), err)
		}
		var want, got Batch
		for k, d := range []*Data{packed, again} {
			if err := d.UseTest(); err != nil {
				t.Fatal(err)
			}
			if err := d.Eval.Read([]*Batch{&want, &got}[k], []int32{0, 1, 2}, rng.Key{}); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(got.values(), want.values()) || again.roots[forTest] != packed.roots[forTest] {
			t.Errorf("%s: the packed test part is another one", name)
		}
	}
}
