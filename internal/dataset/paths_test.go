package dataset

import (
	"encoding/binary"
	"hash/crc32"
	"image"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

func TestBracesAndNumbers(t *testing.T) {
	for pattern, want := range map[string]string{
		"a.tar": "a.tar", "x-{000..002}.tar": "x-000.tar x-001.tar x-002.tar", "{9..11}": "9 10 11", "{08..11}": "08 09 10 11",
		"{a,b{1,2}}-{x,y}": "a-x a-y b1-x b1-y b2-x b2-y", "{0..1}{a,}": "0a 0 1a 1",
	} {
		got, err := braces(pattern, 100)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s is %v (%v), want %s", pattern, got, err, want)
		}
	}
	for pattern, want := range map[string]string{
		"{0..100}": "names more than 100 files", "{0..9}{0..9}{0..9}": "names more than 100 files", "{a": "never closed", "{a..b}": "neither a list like",
		"{5..2}": "neither a list like", "{-1..2}": "neither a list like", "{0..99999999999999999999}": "neither a list like", strings.Repeat("{", 40) + strings.Repeat("}", 40): "more than 32 deep",
	} {
		if got, err := braces(pattern, 100); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %v (%v), want ... %s", pattern, got, err, want)
		}
	}
	names := []string{"b-2", "a-10", "a-9", "a-010", "a-1-2", "a-1", "a"}
	slices.SortFunc(names, byNumbers)
	if got := strings.Join(names, " "); got != "a a-1 a-1-2 a-9 a-010 a-10 b-2" {
		t.Errorf("in order: %s", got)
	}
	for name, want := range map[string]string{"data/train-00000-of-00005.parquet": trainPart, "validation-0.parquet": validationPart, "my_test.csv": testPart, "test/part1.csv": testPart,
		"training.csv": trainPart, "latest.csv": "", "strain-1.csv": "", "val2.csv": validationPart, "train/test.csv": testPart} {
		if got := partOf(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// A folder in Hugging Face's layout: parts by the names of files, which are taken by number, and told.
func TestFolderOfTables(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{"README.md": []byte("x"), "data/train-10.csv": []byte("x,y\n3,3\n"), "data/train-9.csv": []byte("x,y\n1,1\n2,2\n"),
		"data/validation-0.csv": []byte("y,x\n5,5\n"), "data/extra.csv": []byte("x,y\n9,9\n"), "data/.train.csv": []byte("bad")})
	c := config.Data{Kind: config.DataCSV, Train: dir, Header: true, Delimiter: ",", MemoryMiB: 1, Target: "y", Missing: config.MissingError}
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	if err := d.Train.Read(&b, []int32{0, 1, 2}, rng.Key{}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(b.Columns[0].Floats, []float32{1, 2, 3}) || d.Eval.Len() != 1 {
		t.Errorf("training rows %v, %d for evaluation", b.Columns[0].Floats, d.Eval.Len())
	}
	for _, want := range []string{"training from 2 files (" + filepath.Join(dir, "data/train-9.csv") + " to train-10.csv)", "evaluation from " + filepath.Join(dir, "data/validation-0.csv")} {
		if !strings.Contains(d.Read, want) {
			t.Errorf("read %q, without %q", d.Read, want)
		}
	}
	for _, want := range []string{"1 of other formats (README.md)", "1 hidden", "1 whose names tell no part"} {
		if !strings.Contains(d.LeftOut, want) {
			t.Errorf("left out %q, without %q", d.LeftOut, want)
		}
	}
	writeFiles(t, dir, map[string][]byte{"data/test.csv": []byte("x,y\n7,7\n8,8\n")})
	if d, err = Open(c); err != nil || d.Eval.Len() != 2 || !strings.Contains(d.LeftOut, "1 for validation, since that part is not used") {
		t.Errorf("with a test part: %v, left out %q", err, d.LeftOut)
	}
	c.Split = config.Split{Eval: 0.4, By: config.SplitRandom}
	if d, err = Open(c); err != nil || d.Train.Len() != 2 || d.Eval.Len() != 1 || !strings.Contains(d.LeftOut, "1 for test, since that part is not used") {
		t.Errorf("with a split: %v, left out %q", err, d.LeftOut)
	}
	c.Train = filepath.Join(dir, "data/train-{9..11}.csv")
	if _, err := Open(c); err == nil || !strings.Contains(err.Error(), "train-11.csv does not exist") {
		t.Errorf("a missing file gives %v", err)
	}
}

// A picture that unpacks to gigabytes is refused by its header, wherever it comes from.
func TestHugePicturesAreRefusedByTheirHeaders(t *testing.T) {
	huge := smallPNG(t, 1, 1, 0)
	copy(huge[16:], "\x00\x00\xc3\x50\x00\x00\xc3\x50") // 50,000 x 50,000
	binary.BigEndian.PutUint32(huge[29:], crc32.ChecksumIEEE(huge[12:29]))
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{"huge.png": huge, "list.csv": []byte("image,label\nhuge.png,1\n")})
	c := tableOfPictures(config.DataImageTable, filepath.Join(dir, "list.csv"), "")
	for _, resize := range [][]int{nil, {4, 4}} {
		c.Resize = resize
		if _, err := Open(c); err == nil || !strings.Contains(err.Error(), "50000 x 50000 pixels") {
			t.Errorf("resized to %v: %v", resize, err)
		}
	}
	c.Resize, c.SkipBad = nil, 0.5
	if _, err := Open(c); err == nil || !strings.Contains(err.Error(), "50000 x 50000 pixels") {
		t.Errorf("skipped: %v", err)
	}
}

// Pictures of a table may have any size where they are brought to one.
func TestPicturesOfATableAreResized(t *testing.T) {
	c := fourForms()["hub"]
	c.Resize, c.Filter = []int{3, 4}, config.FilterBilinear
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	folder := fourForms()["folder"]
	folder.Resize, folder.Filter = c.Resize, c.Filter
	want, err := Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	if d.pixels.shape[1] != 3 || d.pixels.columns != 4 || d.Fingerprint != want.Fingerprint || (image.Point{4, 3}) != d.pixels.fit.Out() {
		t.Errorf("shape %v", d.pixels.shape)
	}
}
