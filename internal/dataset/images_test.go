package dataset

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset/picture"
	"ringmaster/internal/rng"
)

// cifarArchive is the real archive; the test is skipped where it is absent.
func cifarArchive(t testing.TB) string {
	const dir = "../../../shared/data/cifar10"
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("CIFAR-10 is not at %s", dir)
	}
	return dir
}

func imagesConfig(dir string) config.Data {
	return config.Data{Kind: config.DataImages, Dir: dir, MemoryMiB: 64, LeftOut: 0.1, Mean: []float64{0.5, 0.25, 0}, Std: []float64{0.25, 0.5, 1}}
}

// smallPNG is an image whose pixel (x, y) is (tone, 16x, 16y).
func smallPNG(t *testing.T, columns, rows int, tone uint8) []byte {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, columns, rows))
	for y := range rows {
		for x := range columns {
			m.SetNRGBA(x, y, color.NRGBA{tone, uint8(16 * x), uint8(16 * y), 255})
		}
	}
	return encodePNG(t, m)
}

func encodePNG(t *testing.T, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func smallGrey(columns, rows int, value func(x, y int) byte) *image.Gray {
	m := image.NewGray(image.Rect(0, 0, columns, rows))
	for i := range m.Pix {
		m.Pix[i] = value(i%columns, i/columns)
	}
	return m
}

// smallSet is a set of two classes, three training images and two test images, as a map from path to content.
func smallSet(t *testing.T) map[string][]byte {
	return map[string][]byte{
		"train/dog/b.png": smallPNG(t, 5, 4, 2), "train/dog/a.png": smallPNG(t, 5, 4, 1), "train/cat/z.png": smallPNG(t, 5, 4, 3),
		"test/cat/1.png": smallPNG(t, 5, 4, 4), "test/dog/1.png": smallPNG(t, 5, 4, 5),
		"train/dog/readme.txt": []byte("not an image"), "train/.cache/x.png": smallPNG(t, 5, 4, 9), "train/dog/.b.png": []byte("x"),
	}
}

func writeFiles(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, content := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// packed is the files as a tar file, below a folder, in the order of a map.
func packed(t testing.TB, files map[string][]byte, compress bool) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: "./set/" + name, Size: int64(len(content)), Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if compress {
		return zipped(t, b.Bytes())
	}
	return b.Bytes()
}

func zipped(t testing.TB, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestImagesFromFolderAndArchives(t *testing.T) {
	files := smallSet(t)
	base := t.TempDir()
	folder := filepath.Join(base, "folder")
	writeFiles(t, folder, files)
	writeFiles(t, base, map[string][]byte{"set.tar": packed(t, files, false), "in/set.tgz": packed(t, files, true), "in/notes.txt": nil})
	var prints [][32]byte
	for _, dir := range []string{folder, filepath.Join(base, "set.tar"), filepath.Join(base, "in")} {
		d, err := Open(imagesConfig(dir))
		if err != nil {
			t.Fatal(err)
		}
		prints = append(prints, d.Fingerprint)
		if !slices.Equal(d.Labels, []string{"cat", "dog"}) || d.Train.Len() != 3 || d.Eval.Len() != 2 || !slices.Equal(d.Schema[0].Shape, []int{3, 4, 5}) || d.Schema[1].Classes != 2 {
			t.Errorf("%s: labels %v, spec %v, %d and %d images", dir, d.Labels, d.Schema, d.Train.Len(), d.Eval.Len())
		}
		var b Batch
		d.Train.Read(&b, []int32{1, 2, 0}, rng.Key{})
		if !slices.Equal(b.targets(), []int32{1, 1, 0}) || b.N != 3 || len(b.values()) != 180 {
			t.Errorf("%s: targets %v", dir, b.targets())
		}
		// Image 1 is dog/a: red 1 everywhere; green of pixel (3, 2) is 48, blue 32.
		at := 2*5 + 3
		want := []float32{float32((1.0/255 - 0.5) / 0.25), float32((48.0/255 - 0.25) / 0.5), float32(32.0 / 255)}
		if got := []float32{b.values()[at], b.values()[20+at], b.values()[40+at]}; !slices.Equal(got, want) {
			t.Errorf("%s: pixel is %v, want %v", dir, got, want)
		}
	}
	if prints[0] != prints[1] || prints[0] != prints[2] {
		t.Error("folder and archives have different fingerprints")
	}
}

func TestImagesSubset(t *testing.T) {
	dir := t.TempDir()
	files := smallSet(t)
	writeFiles(t, dir, files)
	c := imagesConfig(dir)
	c.Classes, c.TrainPerClass = []string{"dog", "cat"}, 1
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	d.Train.Read(&b, []int32{0, 1}, rng.Key{})
	red := func(v float64) float32 { return float32((v/255 - 0.5) / 0.25) }
	if d.Train.Len() != 2 || !slices.Equal(b.targets(), []int32{0, 1}) || b.values()[0] != red(1) || b.values()[60] != red(3) {
		t.Errorf("%d images, targets %v, values %v %v", d.Train.Len(), b.targets(), b.values()[0], b.values()[60])
	}
	if d.Files[0].Path != "train/dog/" || len(d.Files) != 4 {
		t.Errorf("files are %v", d.Files)
	}
	for name, wrong := range map[string]func(*config.Data){
		`no training images of class "cow", only of cat, dog`:                                    func(c *config.Data) { c.Classes = []string{"cow", "dog"} },
		"data.train_per_class: " + c.Dir + " has fewer images than 2, 1, in train/cat: lower it": func(c *config.Data) { c.Classes, c.TrainPerClass = nil, 2 },
		"data.eval_per_class: " + c.Dir + " has fewer images than 3, 1, in test/dog: lower it":   func(c *config.Data) { c.EvalPerClass = 3 },
	} {
		c := c
		wrong(&c)
		if _, err := Open(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error is %v, want ... %s", err, name)
		}
	}
}

func TestImagesRefused(t *testing.T) {
	grey := image.NewGray(image.Rect(0, 0, 8, 8))
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, grey, nil); err != nil {
		t.Fatal(err)
	}
	huge := smallPNG(t, 1, 1, 0)
	huge[16], huge[20] = 0x10, 0x10 // sides of 2^28: the header's sum is wrong too, but sizes count first
	for want, change := range map[string]func(map[string][]byte){
		"z.png: 4 x 4 pixels, but": func(f map[string][]byte) {
			f["train/dog/b.png"] = smallPNG(t, 5, 4, 1)
			f["train/dog/z.png"] = smallPNG(t, 4, 4, 1)
		},
		"z.jpg: 8 x 8 pixels": func(f map[string][]byte) { f["train/dog/z.jpg"] = photo.Bytes() },
		"z.jpg is cut short: it ends at byte 47, within the picture: get it again":                 func(f map[string][]byte) { f["train/cat/z.jpg"] = photo.Bytes()[:len(photo.Bytes())/8] },
		"y.png is not in the format JPEG, PNG, GIF, BMP, TIFF or WebP: get it again, or remove it": func(f map[string][]byte) { f["train/cat/y.png"] = []byte("nothing") },
		"y.png is empty": func(f map[string][]byte) { f["train/cat/y.png"] = nil },
		`has class "cow" in test, but no images of it in train: put some there`:  func(f map[string][]byte) { f["test/cow/1.png"] = f["test/dog/1.png"] },
		`a class in train whose name is not UTF-8, "caf\xe9": rename its folder`: func(f map[string][]byte) { f["train/caf\xe9/1.png"] = f["train/dog/a.png"] },
		"y.png": func(f map[string][]byte) { f["train/cat/y.png"] = huge },
		`has no images of class "cat" in test: put some there`: func(f map[string][]byte) { delete(f, "test/cat/1.png") },
		"training images of 1 class (dog);":                    func(f map[string][]byte) { delete(f, "train/cat/z.png") },
		"has no training images": func(f map[string][]byte) {
			delete(f, "train/cat/z.png")
			delete(f, "train/dog/a.png")
			delete(f, "train/dog/b.png")
		},
	} {
		files := smallSet(t)
		change(files)
		dir := t.TempDir()
		writeFiles(t, dir, files)
		if _, err := Open(imagesConfig(dir)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error is %v, want ... %s", err, want)
		}
	}
	empty := t.TempDir()
	for _, dir := range []string{empty, filepath.Join(empty, "absent")} {
		if _, err := Open(imagesConfig(dir)); err == nil || !strings.Contains(err.Error(), "set data.dir to a folder with train/CLASS") {
			t.Errorf("error is %v", err)
		}
	}
}

// Where classes are listed, other folders may hold whatever they like.
func TestOtherClassesAreLeftOut(t *testing.T) {
	files := smallSet(t)
	want, have := t.TempDir(), t.TempDir()
	writeFiles(t, want, files)
	files["test/cow/1.png"], files["train/ant/1.png"] = files["test/dog/1.png"], files["test/dog/1.png"]
	writeFiles(t, have, files)
	var prints [][32]byte
	for _, dir := range []string{want, have} {
		c := imagesConfig(dir)
		c.Classes = []string{"cat", "dog"}
		d, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		prints = append(prints, d.Fingerprint)
	}
	if prints[0] != prints[1] {
		t.Error("folders of other classes change the data")
	}
}

func TestArchiveRefused(t *testing.T) {
	whole := packed(t, smallSet(t), true)
	plain := packed(t, smallSet(t), false)
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-6] ^= 1 // in gzip's sum
	double := bytes.Clone(plain[:len(plain)-1024])
	double = append(double, plain...)
	dir := t.TempDir()
	for want, content := range map[string][]byte{
		"cannot be read after 0 images": []byte("no archive at all, but long enough to be a header of one" + strings.Repeat(".", 600)),
		"get the file again":            whole[:len(whole)/2],
		"is damaged behind":             flipped,
		"occurs twice":                  double,
	} {
		file := filepath.Join(dir, "set.tar.gz")
		writeFiles(t, dir, map[string][]byte{"set.tar.gz": content})
		if _, err := Open(imagesConfig(dir)); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("error is %v, want ... %s", err, want)
		}
	}
}

// TestAugmentation compares Read with a deliberately plain crop and flip, and looks at how often each occurs.
func TestAugmentation(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, smallSet(t))
	c := imagesConfig(dir)
	plainData, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	c.Crop, c.Flip = 2, true
	data, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if data.Fingerprint != plainData.Fingerprint {
		t.Error("augmentation shows in the fingerprint of the data")
	}
	const n = 500
	indices := make([]int32, n)
	for j := range indices {
		indices[j] = int32(j % 3)
	}
	key := rng.SeatKey(1, 2, 3, 0)
	var plain, moved Batch
	plainData.Train.Read(&plain, indices, key)
	data.Train.Read(&moved, indices, key)
	seen := map[[3]int]int{}
	for j := range indices {
		draw := match(plain.values()[j*60:(j+1)*60], moved.values()[j*60:(j+1)*60], data.pixels.scales)
		if draw[0] > 2 {
			t.Fatalf("sample %d is no crop of its image", j)
		}
		seen[draw]++
	}
	if len(seen) != 50 {
		t.Errorf("%d of 50 crops and flips occur among %d", len(seen), n)
	}
	var again Batch
	data.Train.Read(&again, indices[:7], key)
	if !slices.Equal(again.values(), moved.values()[:7*60]) {
		t.Error("a shorter batch draws otherwise")
	}
	data.Train.Read(&again, indices, rng.Key{})
	if !slices.Equal(again.values(), plain.values()) {
		t.Error("the zero key does not leave images as they are")
	}
	if data.Eval.Read(&again, []int32{0, 1}, key); again.values()[0] != float32((4.0/255-0.5)/0.25) {
		t.Error("evaluation images are augmented")
	}
}

// match finds the (down, right, flip) by which moved is the plain 3 x 4 x 5 image padded by 2, or down 9 for none.
func match(plain, moved []float32, scales []*scale) [3]int {
	for down := -2; down <= 2; down++ {
		for right := -2; right <= 2; right++ {
			for flip := range 2 {
				equal := true
				for i := range moved {
					c, y, x := i/20, i/5%4, i%5
					if flip == 1 {
						x = 4 - x
					}
					want := scales[c].table[0]
					if y+down >= 0 && y+down < 4 && x+right >= 0 && x+right < 5 {
						want = plain[c*20+(y+down)*5+x+right]
					}
					equal = equal && moved[i] == want
				}
				if equal {
					return [3]int{down, right, flip}
				}
			}
		}
	}
	return [3]int{9}
}

// A JPEG of one tint is compared to within the rounding of package color.
func TestSplitFormats(t *testing.T) {
	full := image.Rect(0, 0, 6, 4)
	ycc := image.NewYCbCr(full, image.YCbCrSubsampleRatio420)
	for i := range ycc.Y {
		ycc.Y[i] = uint8(10 * i)
	}
	for i := range ycc.Cb {
		ycc.Cb[i], ycc.Cr[i] = 90, 200
	}
	grey := image.NewGray(full)
	for i := range grey.Pix {
		grey.Pix[i] = uint8(9 * i)
	}
	for name, m := range map[string]image.Image{"4:2:0": ycc, "a part of 4:2:0": ycc.SubImage(image.Rect(2, 2, 5, 4)), "grey": grey} {
		b := m.Bounds()
		n := b.Dx() * b.Dy()
		got := make([]byte, 3*n)
		split(got, picture.Of(m))
		for i := range n {
			c := color.RGBAModel.Convert(m.At(b.Min.X+i%b.Dx(), b.Min.Y+i/b.Dx())).(color.RGBA)
			for k, want := range []uint8{c.R, c.G, c.B} {
				d := int(got[k*n+i]) - int(want)
				if max(d, -d) > 1 || d != 0 && name == "grey" {
					t.Fatalf("%s: pixel %d is %d %d %d, want %v", name, i, got[i], got[n+i], got[2*n+i], c)
				}
			}
		}
	}
}

// Every format that is read is found by its ending, turned as EXIF says; a JPEG without its end is read and named.
func TestImagesOfAllFormats(t *testing.T) {
	files := map[string][]byte{}
	for name, as := range map[string]string{"rgb.png": "train/a/1.png", "rgb.bmp": "train/a/2.BMP", "rgb.gif": "train/a/3.gif", "lossless.webp": "train/b/1.webp",
		"rgb.tiff": "train/b/2.tiff", "lzw.tif": "train/b/3.tif"} {
		raw, err := os.ReadFile(filepath.Join("picture", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		files[as] = raw
	}
	dir := t.TempDir()
	writeFiles(t, dir, files)
	d, err := Open(imagesConfig(dir))
	if err != nil || d.Train.Len() != 6 || !slices.Equal(d.Schema[0].Shape, []int{3, 5, 7}) {
		t.Fatalf("%v, %v", d, err)
	}
	turned, err := os.ReadFile("picture/testdata/turned6.png")
	if err != nil {
		t.Fatal(err)
	}
	cut, err := os.ReadFile("picture/testdata/no-end.jpg")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	writeFiles(t, dir, map[string][]byte{"train/a/1.png": turned, "train/b/1.png": turned})
	if d, err = Open(imagesConfig(dir)); err != nil || !slices.Equal(d.Schema[0].Shape, []int{3, 7, 5}) {
		t.Errorf("%v, %v", d, err)
	}
	dir = t.TempDir()
	writeFiles(t, dir, map[string][]byte{"train/a/1.jpg": cut, "train/b/1.jpg": cut, "train/b/2.jpg": cut})
	want := []string{"image " + filepath.Join(dir, "train", "a", "1.jpg") + " lacks the marker at the end of a JPEG; it may have been cut; so do 2 more"}
	if d, err = Open(imagesConfig(dir)); err != nil || !slices.Equal(d.Warnings, want) {
		t.Errorf("%v, %v", d.Warnings, err)
	}
}

func TestCIFAR(t *testing.T) {
	if testing.Short() {
		t.Skip("reading 60,000 images' headers takes long under the race detector")
	}
	c := imagesConfig(cifarArchive(t))
	c.TrainPerClass, c.EvalPerClass = 20, 10
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if d.Train.Len() != 200 || d.Eval.Len() != 100 || !slices.Equal(d.Schema[0].Shape, []int{3, 32, 32}) || d.Schema[1].Classes != 10 || d.Labels[9] != "truck" {
		t.Errorf("spec %v, %d and %d images, labels %v", d.Schema, d.Train.Len(), d.Eval.Len(), d.Labels)
	}
}

func FuzzScanArchive(f *testing.F) {
	one := map[string][]byte{"train/a/1.png": []byte("an image, or not")}
	f.Add(packed(f, one, false))
	f.Add(packed(f, one, true))
	f.Add([]byte{0x1f, 0x8b})
	f.Fuzz(func(t *testing.T, content []byte) {
		files, err := scanArchive("fuzz", &account{}, bufio.NewReader(bytes.NewReader(content)))
		if err != nil && len(files) > 0 {
			t.Error("images of a damaged archive are used")
		}
		for _, file := range files {
			if !isPart(file.part) || file.class == "" || strings.Contains(file.class, "/") {
				t.Errorf("%q is no image of a part and class", file.where)
			}
		}
	})
}

func BenchmarkOpenCIFAR(b *testing.B) {
	c := imagesConfig(cifarArchive(b))
	c.TrainPerClass, c.EvalPerClass = 1000, 200
	for b.Loop() {
		if _, err := Open(c); err != nil {
			b.Fatal(err)
		}
	}
}
