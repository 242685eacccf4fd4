package dataset

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

// tableOfPictures is the configuration of pictures beside a column label.
func tableOfPictures(kind, train, eval string) config.Data {
	c := imagesConfig("")
	c.Kind, c.Train, c.Eval, c.Image, c.Target, c.Missing = kind, train, eval, "image", "label", config.MissingError
	return c
}

// readByLibraries is what datasets and webdataset read of the files in testdata.
func readByLibraries(t *testing.T) map[string][]struct {
	Key, Pixels, Text string
	Label             int32
	Score             float64
	Vector            []float32
} {
	raw, err := os.ReadFile("testdata/read.json")
	if err != nil {
		t.Fatal(err)
	}
	var read map[string][]struct {
		Key, Pixels, Text string
		Label             int32
		Score             float64
		Vector            []float32
	}
	if err := json.Unmarshal(raw, &read); err != nil {
		t.Fatal(err)
	}
	return read
}

// The same pictures are in a folder, in lists, in Parquet as Hugging Face's library writes it, and in shards of webdataset.
func fourForms() map[string]config.Data {
	folder := imagesConfig("testdata/folder")
	csv := tableOfPictures(config.DataImageTable, "testdata/list-train.csv", "testdata/list-test.csv")
	csv.Dir, csv.Image, csv.Categories = "testdata/folder", "path", []string{"label"}
	lines := csv
	lines.Train, lines.Eval = "testdata/list-train.jsonl", "testdata/list-test.jsonl"
	hub := tableOfPictures(config.DataImageTable, "testdata/hub", "")
	shards := tableOfPictures(config.DataWebDataset, "testdata/shard-train-{000000..000002}.tar", "testdata/shard-test-*.tar")
	shards.Image, shards.Target, shards.Categories, shards.Classes = "jpg;png", "cls", []string{"cls"}, []string{"cat", "dog", "owl"}
	return map[string]config.Data{"folder": folder, "csv": csv, "jsonl": lines, "hub": hub, "shards": shards}
}

func TestSamePicturesInEveryForm(t *testing.T) {
	read := readByLibraries(t)
	folder, err := Open(fourForms()["folder"])
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range fourForms() {
		d, err := Open(c)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if (d.Fingerprint == folder.Fingerprint) != (name != "shards") { // their target has another name
			t.Errorf("%s: the fingerprint is %x, that of the folder %x", name, d.Fingerprint, folder.Fingerprint)
		}
		if !slices.Equal(d.Labels, []string{"cat", "dog", "owl"}) || d.Train.Len() != 15 || d.Eval.Len() != 6 {
			t.Errorf("%s: classes %v, %d and %d pictures", name, d.Labels, d.Train.Len(), d.Eval.Len())
		}
		for part, set := range map[string]Set{"train": d.Train, "test": d.Eval} {
			for _, golden := range []string{"hub ", "shards "} {
				for i, want := range read[golden+part] {
					var b, same Batch
					if err := set.Read(&b, []int32{int32(i)}, rng.Key{}); err != nil {
						t.Fatal(err)
					}
					from := map[string]Set{"train": folder.Train, "test": folder.Eval}[part]
					if err := from.Read(&same, []int32{int32(i)}, rng.Key{}); err != nil {
						t.Fatal(err)
					}
					record := make(Record, len(set.(*records).Reader.Schema()))
					if err := set.(*records).Reader.Read(record, i); err != nil {
						t.Fatal(err)
					}
					sum := sha256.Sum256(record[0].Bytes)
					if hex.EncodeToString(sum[:]) != want.Pixels || b.targets()[0] != want.Label || !slices.Equal(b.values(), same.values()) {
						t.Errorf("%s: %s picture %d is not as %sreads it, label %d", name, part, i, golden, b.targets()[0])
					}
				}
			}
		}
	}
}

// One process keeps no picture and reads each at its place whenever it is needed.
func TestPicturesAreReadAtTheirPlace(t *testing.T) {
	for name, c := range fourForms() {
		if !c.HasPictures() {
			continue
		}
		all, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		set, err := tableFiles(c, "data.train", c.Train)
		if err != nil {
			t.Fatal(err)
		}
		r, err := readTable(c, "data.train", set, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.settle(); err != nil {
			t.Fatal(err)
		}
		size, err := oneSize(r.pictures[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		g := newGallery(r.name, r.pictures, size, r, &keeping{})
		d := &Data{pixels: colourPixels(c, size)}
		if err := d.sets(g, nil, d.tableTransforms()...); err != nil {
			t.Fatal(err)
		}
		g.opened(d)
		if d.Train.Resident() || !all.Train.Resident() {
			t.Errorf("%s: resident %v without room and %v with", name, d.Train.Resident(), all.Train.Resident())
		}
		var want, got Batch
		for _, indices := range [][]int32{{14, 0, 7, 7}, {3, 2, 1, 0, 11}} {
			if err := d.Train.Read(&got, indices, rng.Key{}); err != nil {
				t.Fatal(err)
			}
			if err := all.Train.Read(&want, indices, rng.Key{}); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.values(), want.values()) || !slices.Equal(got.targets(), want.targets()) {
				t.Errorf("%s: samples %v differ from those that were kept", name, indices)
			}
		}
	}
}

// Beside a picture a model may read numbers, and learn numbers: a field of JSON, a vector.
func TestNumbersBesidePictures(t *testing.T) {
	c := fourForms()["shards"]
	c.Target, c.Categories, c.Classes, c.Features = "json.score", nil, nil, []string{"vec.npy", "json.label"}
	c.Categories = []string{"json.label"}
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Schema.describe(); got != "pixels: float32 3 x 6 x 7; features: float32 6; json.score: float32" {
		t.Fatalf("schema is %s", got)
	}
	var b Batch
	if err := d.Train.Read(&b, []int32{7}, rng.Key{}); err != nil {
		t.Fatal(err)
	}
	want := readByLibraries(t)["shards train"][7]
	if !slices.Equal(b.Columns[1].Floats, append(slices.Clone(want.Vector), 0, 1, 0)) || b.Columns[2].Floats[0] != float32(want.Score) {
		t.Errorf("features %v, target %v", b.Columns[1].Floats, b.Columns[2].Floats)
	}
	c.Image, c.Features, c.Target, c.Categories = "", []string{"vec.npy"}, "json.label", []string{"json.label"}
	if d, err = Open(c); err != nil {
		t.Fatal(err)
	}
	if got := d.Schema.describe(); got != "vec.npy: float32 3; json.label: int32, 3 classes" {
		t.Errorf("schema without pictures is %s", got)
	}
}

func (s Schema) describe() string {
	var fields []string
	for k := range s {
		fields = append(fields, s[k].String())
	}
	return strings.Join(fields, "; ")
}

// A model of pictures in a table is used where the table is not, and evaluated on another.
func TestDescribedPicturesOfATable(t *testing.T) {
	for name, c := range fourForms() {
		if name == "folder" {
			continue
		}
		d, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Recall(c, d.Describe())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if again.Schema.describe() != d.Schema.describe() || !slices.Equal(again.Labels, d.Labels) {
			t.Errorf("%s: recalled %s", name, again.Schema.describe())
		}
		var b Batch
		if _, err := again.ReadPhoto(&b, "testdata/folder/test/dog/01.png"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		like, err := OpenLike(c, d.Describe())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if like.Fingerprint != d.Fingerprint {
			t.Errorf("%s: opened as before the data differ", name)
		}
	}
}

// What of shards belongs to no sample is told.
func TestFilesOfNoSampleAreTold(t *testing.T) {
	dir := t.TempDir()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range []struct {
		name    string
		content []byte
	}{{"README", nil}, {"a/1.png", smallPNG(t, 4, 4, 1)}, {"a/1.cls", []byte("0")}, {"a/.2.png", nil}, {"a/3.png", smallPNG(t, 4, 4, 2)}, {"a/3.cls", []byte("1")}} {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(f.content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	writeFiles(t, dir, map[string][]byte{"0.tar": b.Bytes(), "1.tar": b.Bytes()})
	c := tableOfPictures(config.DataWebDataset, dir, "")
	c.Image, c.Target, c.Categories = "png", "cls", []string{"cls"}
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if d.Train.Len() != 4 || d.LeftOut != "4 files of shards, hidden or without an ending (first README)" {
		t.Errorf("%d samples, left out: %s", d.Train.Len(), d.LeftOut)
	}
}

func TestSplitOfPictures(t *testing.T) {
	for _, by := range []string{config.SplitRandom, config.SplitStratified, config.SplitHash} {
		var prints []string
		for _, name := range []string{"csv", "jsonl", "hub"} {
			c := fourForms()[name]
			c.Eval, c.Split, c.Categories = "", config.Split{Eval: 0.4, By: by, Seed: 3}, []string{"label"}
			d, err := Open(c)
			if err != nil {
				t.Fatalf("%s by %s: %v", name, by, err)
			}
			prints = append(prints, hex.EncodeToString(d.Fingerprint[:]))
			if by != config.SplitHash && d.Eval.Len() != 6 || d.Train.Len()+d.Eval.Len() != 15 {
				t.Errorf("%s by %s: %d and %d", name, by, d.Train.Len(), d.Eval.Len())
			}
		}
		if len(slices.Compact(prints)) != 1 {
			t.Errorf("by %s: forms differ: %v", by, prints)
		}
	}
}

func TestTablesOfPicturesRefused(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{"a.png": smallPNG(t, 4, 4, 1), "b.png": smallPNG(t, 5, 4, 1), "bad.png": []byte("\x89PNG\r\n\x1a\n and no more"), "text.png": []byte("text"),
		"missing.csv": []byte("image,label\na.png,x\nnone.png,y\n"), "sizes.csv": []byte("image,label\na.png,x\nb.png,y\n"), "empty.csv": []byte("image,label\na.png,x\n,y\n"),
		"bad.csv": []byte("image,label\na.png,x\nbad.png,y\n"), "text.csv": []byte("image,label\na.png,x\ntext.png,y\n"), "class.csv": []byte("image,label\na.png,x\na.png,z\n")})
	for want, change := range map[string]func(*config.Data){
		"none.png cannot be read: no such file":               func(c *config.Data) { c.Train = "missing.csv" },
		"b.png: 5 x 4 pixels, but the first image has 4 x 4":  func(c *config.Data) { c.Train = "sizes.csv" },
		"empty.csv:3:1: row 2, column \"image\": the picture": func(c *config.Data) { c.Train = "empty.csv" },
		"bad.png is cut short":                                func(c *config.Data) { c.Train = "bad.csv" },
		"text.png is not in the format":                       func(c *config.Data) { c.Train = "text.csv" },
		`"z" is none of the classes x, y`:                     func(c *config.Data) { c.Train, c.Classes = "class.csv", []string{"x", "y"} },
		`has no column "picture"; it has image, label`:        func(c *config.Data) { c.Train, c.Image = "text.csv", "picture" },
		"ends in .csv, .tsv, .jsonl or .parquet":              func(c *config.Data) { c.Train = "a.png" },
	} {
		c := tableOfPictures(config.DataImageTable, "", "")
		c.Categories = []string{"label"}
		change(&c)
		c.Train = filepath.Join(dir, c.Train)
		if _, err := Open(c); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error is %v, want ... %s", err, want)
		}
	}
}
