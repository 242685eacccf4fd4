package trainer

import (
	"archive/tar"
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/codes"
	"ringmaster/internal/dataset"
	"ringmaster/internal/rng"
)

const (
	colourDVAE = `
seats: 1
model:
    kind: sequential
    stack:
        - {kind: conv, out: 4, kernel: 4, stride: 4}
        - {kind: quantize, codes: 5, init: uniform}
        - {kind: conv_transpose, out: 3, kernel: 4, stride: 4}
        - {kind: flatten}
data: {kind: image_table, train: %q, image: file, target: kind, categories: [kind]}
train: {steps: 2, batch_per_seat: 4, loss: mse, target: pixels, optimizer: {kind: adam, lr: 0.01}}
`
	colourDALLE = `
seats: 3
model: {kind: gpt, depth: 1, heads: 2, width: 12}
data: {%s, codes: %q}
train: {steps: 4, batch_per_seat: 2, optimizer: {kind: adam, lr: 0.01}}
`
)

// freeCaptions are captions of pictures; the evaluation set's have words of their own.
var freeCaptions = []string{"A red cat sits.", "two dogs, one bone", "7", "the cat again", "a red cat sits.", "Überall Hunde", "dogs dogs dogs", "one cat", "a bone", "two red cats"}

func smallPicture(t *testing.T, k int) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 12, 8))
	for i := range 96 {
		m.Set(i%12, i/12, color.RGBA{uint8(k * 23), uint8(i * 2), uint8(k * i), 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// captionedPictures writes ten pictures with captions and classes, eight for training, as tables beside files and as shards.
func captionedPictures(t *testing.T, captions []string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for part, at := range map[string][2]int{"train": {0, 8}, "eval": {8, 10}} {
		rows := "file,caption,kind\n"
		var shard bytes.Buffer
		w := tar.NewWriter(&shard)
		for k := at[0]; k < at[1]; k++ {
			class, raw := k%2, smallPicture(t, k)
			write(fmt.Sprintf("%d.png", k), raw)
			rows += fmt.Sprintf("%d.png,%q,%s\n", k, captions[k], []string{"cat", "dog"}[class])
			for _, member := range []struct {
				ending  string
				content []byte
			}{{"png", raw}, {"txt", []byte(captions[k])}, {"cls", []byte{'0' + byte(class)}}} {
				if err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("%d.%s", k, member.ending), Mode: 0o600, Size: int64(len(member.content))}); err != nil {
					t.Fatal(err)
				}
				if _, err := w.Write(member.content); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		write(part+".csv", []byte(rows))
		write(part+".tar", shard.Bytes())
	}
	return dir
}

// captionJobs are the data sections of jobs that learn captions of the pictures in a folder.
func captionJobs(dir string) map[string]string {
	table := fmt.Sprintf("kind: image_table, train: %q, eval: %q, image: file", filepath.Join(dir, "train.csv"), filepath.Join(dir, "eval.csv"))
	shards := fmt.Sprintf("kind: webdataset, train: %q, eval: %q", filepath.Join(dir, "train.tar"), filepath.Join(dir, "eval.tar"))
	return map[string]string{
		"classes of a table":  table + ", target: kind, categories: [kind], caption: 'a {}'",
		"classes of shards":   shards + ", classes: [cat, dog]",
		"captions of a table": table + ", caption: caption",
		"captions of shards":  shards + ", caption: txt",
	}
}

func colourCoder(t *testing.T, dir string) string {
	t.Helper()
	p, err := assembleJob(fmt.Sprintf(colourDVAE, filepath.Join(dir, "train.csv")))
	if err != nil {
		t.Fatal(err)
	}
	return exported(t, p, train(t, p, 1, 1, 1, nil, nil)[0].State(), originOf(p))
}

// Captions made of the names of classes, and those of a column or a member of samples, are the same from tables and shards, and are learnt with the
// same bits on any ring.
func TestCaptionsOfTablesAndShardsOnAnyRing(t *testing.T) {
	dir := captionedPictures(t, freeCaptions)
	coder := colourCoder(t, dir)
	read := map[string]*Plan{}
	for name, data := range captionJobs(dir) {
		p, err := assembleJob(fmt.Sprintf(colourDALLE, data, coder))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if p.Data.Train.Len() != 8 || p.Data.Eval.Len() != 2 {
			t.Errorf("%s: %d and %d samples", name, p.Data.Train.Len(), p.Data.Eval.Len())
		}
		if !strings.HasPrefix(name, "classes of a") {
			sameEverywhere(t, p)
		}
		like, err := codes.OpenLike(p.Job.Data, p.Data.Describe())
		if err != nil || like.Fingerprint != p.Data.Fingerprint {
			t.Errorf("%s: opened for the model, the data are others (%v)", name, err)
		}
		read[name] = p
	}
	for _, of := range []string{"classes", "captions"} {
		a, b := read[of+" of a table"], read[of+" of shards"]
		var x, y dataset.Batch
		for _, p := range []struct {
			plan *Plan
			to   *dataset.Batch
		}{{a, &x}, {b, &y}} {
			if err := p.plan.Data.Train.Read(p.to, []int32{0, 1, 2, 3, 4, 5, 6, 7}, rng.Key{}); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(x.Columns[0].Ints, y.Columns[0].Ints) || len(x.Columns[0].Ints) == 0 {
			t.Errorf("%s: %v\nand %v", of, x.Columns[0].Ints, y.Columns[0].Ints)
		}
	}
	c := read["captions of shards"].Data.Captions
	for i, caption := range freeCaptions[:8] {
		tokens, err := c.Encode(caption)
		var b dataset.Batch
		if err == nil {
			err = read["captions of shards"].Data.Train.Read(&b, []int32{int32(i)}, rng.Key{})
		}
		if err != nil || !slices.Equal(b.Columns[0].Ints[:len(tokens)], tokens) {
			t.Errorf("%s: %v, want %v (%v)", caption, b.Columns[0].Ints, tokens, err)
		}
	}
	if _, err := c.Encode("two red bones"); err == nil || !strings.Contains(err.Error(), "the word bones is in no caption") {
		t.Errorf("error %v", err)
	}
}

// What captions cannot be is told with its place; data.skip_bad leaves such rows out.
func TestCaptionsThatCannotBe(t *testing.T) {
	captions := slices.Clone(freeCaptions)
	captions[5] = "?!"
	dir := captionedPictures(t, captions)
	coder := colourCoder(t, dir)
	jobs := captionJobs(dir)
	for name, c := range map[string]struct{ data, want string }{
		"no column":   {strings.Replace(jobs["captions of a table"], "caption: caption", "caption: captions", 1), "data.caption: "},
		"no words":    {jobs["captions of a table"], `train.csv:7:`},
		"no member":   {strings.Replace(jobs["captions of shards"], "caption: txt", "caption: text", 1), "data.caption: "},
		"two targets": {jobs["captions of a table"] + ", target: kind", "data.target: the captions in column caption are what is learnt; leave it out"},
		"classes":     {jobs["captions of shards"] + ", classes: [cat, dog]", "data.classes: the captions in column txt are what is learnt"},
		"picture":     {strings.Replace(jobs["captions of a table"], "caption: caption", "caption: file", 1), "data.caption: file is a feature, the picture, the weight or the group"},
		"empty":       {strings.Replace(jobs["captions of a table"], "caption: caption", "caption: ''", 1), "data.caption is empty: name the column of the captions"},
	} {
		_, err := assembleJob(fmt.Sprintf(colourDALLE, c.data, coder))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	p, err := assembleJob(fmt.Sprintf(colourDALLE, jobs["captions of a table"]+", skip_bad: 0.5", coder))
	if err != nil || p.Data.Train.Len() != 7 {
		t.Errorf("with skip_bad: %v", err)
	}
	split := strings.Replace(jobs["captions of a table"], ", eval: "+fmt.Sprintf("%q", filepath.Join(dir, "eval.csv")), ", skip_bad: 0.5, split: {eval: 0.3}", 1)
	if p, err = assembleJob(fmt.Sprintf(colourDALLE, split, coder)); err != nil || p.Data.Train.Len()+p.Data.Eval.Len() != 7 || p.Data.Eval.Len() == 0 {
		t.Errorf("with a split: %v", err)
	}
}
