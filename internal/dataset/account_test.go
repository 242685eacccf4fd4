package dataset

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
)

// manyImages is a set of two classes with ten training images each and two for evaluation, in a folder called eval.
func manyImages(t *testing.T, eval string) map[string][]byte {
	files := map[string][]byte{}
	for _, class := range []string{"cat", "dog"} {
		for _, name := range []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"} {
			files["train/"+class+"/"+name+".png"] = smallPNG(t, 5, 4, 1)
		}
		files[eval+"/"+class+"/0.png"] = smallPNG(t, 5, 4, 2)
	}
	return files
}

// What is left out is told by reason and count, from a folder and from an archive alike.
func TestImagesLeftOut(t *testing.T) {
	picture := smallPNG(t, 5, 4, 3)
	for name, test := range map[string]struct {
		change func(files map[string][]byte)
		want   string // "": nothing is left out
		fails  bool
	}{
		"nothing": {func(map[string][]byte) {}, "", false},
		"a format": {func(f map[string][]byte) { f["train/cat/a.heic"], f["train/cat/b.HEIC"] = picture, picture },
			"2 of the format .heic, which is not read (first ", false},
		"a format of many files": {func(f map[string][]byte) {
			f["train/cat/a.heic"], f["train/cat/b.heic"], f["train/dog/c.heic"] = picture, picture, picture
		}, "of 25 files in DIR that look like data 3 would be left out, more than data.left_out allows (0.1 of all): 3 of the format .heic", true},
		"without a class": {func(f map[string][]byte) { f["train/a.png"] = picture }, "1 images directly in train, without the folder of a class (", false},
		"hidden":          {func(f map[string][]byte) { f["train/cat/.x.png"], f["train/.cache/y.png"] = picture, picture }, "2 hidden (first ", false},
		"clutter":         {func(f map[string][]byte) { f["train/cat/Thumbs.db"], f["test/dog/desktop.ini"] = nil, nil }, "2 of an operating system (first ", false},
		"papers":          {func(f map[string][]byte) { f["train/labels.csv"], f["train/cat/README"] = nil, nil }, "2 that are no pictures (first ", false},
		"a second evaluation set": {func(f map[string][]byte) { f["val/cat/0.png"], f["val/dog/0.png"] = picture, picture },
			"2 in val, since test is the evaluation set (first val/cat/0.png)", false},
	} {
		files := manyImages(t, "test")
		test.change(files)
		dir := t.TempDir()
		writeFiles(t, dir, files)
		packedIn := t.TempDir()
		writeFiles(t, packedIn, map[string][]byte{"set.tar": packed(t, files, false)})
		for _, at := range []string{dir, packedIn} {
			d, err := Open(imagesConfig(at))
			said := ""
			if err != nil {
				said = err.Error()
			} else {
				said = d.Account()[0]
			}
			want := strings.ReplaceAll(test.want, "DIR", at)
			if (err != nil) != test.fails || !strings.Contains(said, want) || (want == "") != !strings.Contains(said, "left out") {
				t.Errorf("%s: %s, want ... %s", name, said, want)
			}
			if !test.fails && (d.Train.Len() != 20 || d.Eval.Len() != 2) {
				t.Errorf("%s: %d and %d images", name, d.Train.Len(), d.Eval.Len())
			}
			if c := imagesConfig(at); test.fails {
				c.LeftOut = 1
				if _, err := Open(c); err != nil {
					t.Errorf("%s, allowed: %v", name, err)
				}
			}
		}
	}
}

// Folders for evaluation by other names serve, and give the same data; so do images in folders below their class's.
func TestImagesElsewhere(t *testing.T) {
	var prints [][32]byte
	for _, eval := range []string{"test", "val", "validation", "valid", "Val"} {
		dir := t.TempDir()
		writeFiles(t, dir, manyImages(t, eval))
		d, err := Open(imagesConfig(dir))
		if err != nil || d.Eval == nil {
			t.Fatalf("%s: %v", eval, err)
		}
		prints = append(prints, d.Fingerprint)
	}
	deep := map[string][]byte{}
	for name, content := range manyImages(t, "test") {
		deep[strings.Replace(name, "train/cat/", "train/cat/more/of them/", 1)] = content
	}
	dir, packedIn := t.TempDir(), t.TempDir()
	writeFiles(t, dir, deep)
	writeFiles(t, packedIn, map[string][]byte{"set.tar": packed(t, deep, false)})
	for _, at := range []string{dir, packedIn} {
		d, err := Open(imagesConfig(at))
		if err != nil || !slices.Equal(d.Labels, []string{"cat", "dog"}) {
			t.Fatal(err)
		}
		prints = append(prints, d.Fingerprint)
	}
	for i, p := range prints {
		if p != prints[0] {
			t.Errorf("set %d differs", i)
		}
	}
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

// Kubernetes volumes and data set caches are links to files elsewhere.
func TestLinksAreFollowed(t *testing.T) {
	base := t.TempDir()
	plain := filepath.Join(base, "plain")
	writeFiles(t, plain, manyImages(t, "test"))
	want, err := Open(imagesConfig(plain))
	if err != nil {
		t.Fatal(err)
	}
	cache := filepath.Join(base, "cache")
	for name, content := range manyImages(t, "test") {
		blob := filepath.Join(base, "blobs", strings.ReplaceAll(name, "/", ""))
		writeFiles(t, base, map[string][]byte{"blobs/" + filepath.Base(blob): content})
		link(t, blob, filepath.Join(cache, filepath.FromSlash(name)))
	}
	volume := filepath.Join(base, "volume")
	link(t, "..2026_11_28", filepath.Join(volume, "..data"))
	for _, part := range []string{"train", "test"} {
		link(t, filepath.Join("..data", part), filepath.Join(volume, part))
		link(t, filepath.Join(plain, part), filepath.Join(volume, "..2026_11_28", part))
	}
	link(t, filepath.Join(plain, "train"), filepath.Join(plain, "train", "cat", "loop"))
	link(t, plain, filepath.Join(base, "link"))
	for _, dir := range []string{cache, volume, plain, filepath.Join(base, "link")} {
		d, err := Open(imagesConfig(dir))
		if err != nil || d.Fingerprint != want.Fingerprint {
			t.Errorf("%s: %v", dir, err)
		}
	}
	link(t, "nowhere", filepath.Join(cache, "train", "cat", "x.png"))
	if _, err := Open(imagesConfig(cache)); err == nil || !strings.Contains(err.Error(), "x.png is a link to nowhere, which does not exist") {
		t.Errorf("%v", err)
	}
}

func TestTextLinks(t *testing.T) {
	base := t.TempDir()
	text := bytes.Repeat([]byte("a text of some length\n"), 20)
	writeFiles(t, base, map[string][]byte{"real/a.txt": text, "cache/blobs/12ab": text})
	link(t, "real", filepath.Join(base, "link"))
	link(t, "../cache/blobs/12ab", filepath.Join(base, "snapshot", "a.txt"))
	link(t, "..data/a.txt", filepath.Join(base, "volume", "a.txt"))
	link(t, "..2026", filepath.Join(base, "volume", "..data"))
	writeFiles(t, base, map[string][]byte{"volume/..2026/a.txt": text})
	link(t, "a.txt", filepath.Join(base, "real", "b.txt")) // read already
	link(t, "..", filepath.Join(base, "real", "up"))
	link(t, base, filepath.Join(base, "volume", "..2026", "up"))
	var prints [][32]byte
	for _, dir := range []string{"real/a.txt", "link", "snapshot", "volume"} {
		d, err := Open(config.Data{Kind: config.DataText, Dir: filepath.Join(base, dir), Context: 8})
		if dir == "link" { // up leads to all the others
			if err != nil || !strings.Contains(d.Read, "4 files of text") || !strings.Contains(d.LeftOut, "links to what is read anyway (first b.txt)") {
				t.Errorf("%s: %v, %+v", dir, err, d)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		prints = append(prints, d.Fingerprint)
	}
	if prints[0] != prints[1] || prints[0] != prints[2] {
		t.Error("links change a text")
	}
}

// Of a text folder binary files are left out and told; many of them that could be texts are an error.
func TestTextLeftOut(t *testing.T) {
	text := bytes.Repeat([]byte("a text of some length\n"), 20)
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{"a.txt": text, "logo.png": {0}, "empty": nil})
	c := config.Data{Kind: config.DataText, Dir: dir, Context: 8, LeftOut: 0.1}
	d, err := Open(c)
	if err != nil || !strings.Contains(d.Read, "1 file of text (440 bytes; tokens are 14 characters)") || !strings.Contains(d.LeftOut, "1 that are empty (empty), 1 that are binary (logo.png)") {
		t.Errorf("%v, %v", d, err)
	}
	writeFiles(t, dir, map[string][]byte{"b.txt": {'x', 0}})
	if _, err = Open(c); err == nil || !strings.Contains(err.Error(), "of 2 files in "+dir+" that look like data 1 would be left out") {
		t.Errorf("%v", err)
	}
}

func TestReasonsAreBounded(t *testing.T) {
	var a account
	for i := range 1000 {
		a.leave("of the format ."+string(rune('a'+i%500))+", which is not read", "x", true)
	}
	sum := 0
	for _, l := range a.left {
		sum += l.count
	}
	if len(a.left) > maxReasons+1 || sum != 1000 {
		t.Errorf("%d reasons, %d files", len(a.left), sum)
	}
}
