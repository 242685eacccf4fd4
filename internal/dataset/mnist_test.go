package dataset

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

// mnistDir is the folder of the real MNIST files; the test is skipped where it is absent.
func mnistDir(t testing.TB) string {
	const dir = "../../../shared/data/mnist"
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the MNIST files are not at %s", dir)
	}
	return dir
}

// smallMNIST is a set of four training and two test images of 2 x 3 pixels, as a map from file name to content.
func smallMNIST() map[string][]byte {
	values := make([]byte, 24)
	for i := range values {
		values[i] = byte(10 * i)
	}
	return map[string][]byte{
		trainImages: idxFile(values, 4, 2, 3), trainLabels: idxFile([]byte{3, 0, 9, 1}, 4),
		testImages: idxFile(values[12:], 2, 2, 3), testLabels: idxFile([]byte{5, 6}, 2),
	}
}

func openSmall(t *testing.T, files map[string][]byte) (*Data, error) {
	t.Helper()
	dir := t.TempDir()
	writeFiles(t, dir, files)
	return Open(config.Data{Kind: config.DataMNIST, Dir: dir})
}

func TestSmallMNIST(t *testing.T) {
	plain, err := openSmall(t, smallMNIST())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(plain.Schema[0].Shape, []int{6}) || plain.Schema[1].Classes != 10 || plain.Train.Len() != 4 || plain.Eval.Len() != 2 {
		t.Errorf("spec %v, %d and %d images", plain.Schema, plain.Train.Len(), plain.Eval.Len())
	}
	var b Batch
	plain.Train.Read(&b, []int32{2, 0, 2}, rng.SeatKey(1, 1, 1, 1))
	if b.N != 3 || !slices.Equal(b.targets(), []int32{9, 3, 9}) || len(b.values()) != 18 || b.tokens() == nil && len(b.tokens()) != 0 {
		t.Errorf("batch %v", b)
	}
	for i, v := range b.values() {
		if want := float32([]int{120, 0, 120}[i/6]+10*(i%6)) / 255; v != want {
			t.Errorf("value %d is %v, want %v", i, v, want)
		}
	}
	// The same data under the other names, compressed or not, are the same data.
	other := map[string][]byte{}
	for name, content := range smallMNIST() {
		other[strings.Replace(name, "-idx", ".idx", 1)+".gz"] = zipped(t, content)
	}
	dotted, err := openSmall(t, other)
	if err != nil {
		t.Fatal(err)
	}
	if dotted.Fingerprint != plain.Fingerprint || !slices.Equal(dotted.Files, plain.Files) {
		t.Error("compressed files have another fingerprint")
	}
}

// TestFingerprintCovers changes one thing at a time; each must give another fingerprint, and name the file.
func TestFingerprintCovers(t *testing.T) {
	base, err := openSmall(t, smallMNIST())
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(files map[string][]byte) string{
		"a pixel":      func(f map[string][]byte) string { f[trainImages][20]++; return trainImages },
		"a label":      func(f map[string][]byte) string { f[trainLabels][8]++; return trainLabels },
		"a test pixel": func(f map[string][]byte) string { f[testImages][17]++; return testImages },
		"a test label": func(f map[string][]byte) string { f[testLabels][9]++; return testLabels },
		"the shape": func(f map[string][]byte) string {
			f[trainImages], f[testImages] = idxFile(f[trainImages][16:], 4, 3, 2), idxFile(f[testImages][16:], 2, 3, 2)
			return trainImages
		},
	} {
		files := smallMNIST()
		file := change(files)
		changed, err := openSmall(t, files)
		if err != nil {
			t.Fatal(err)
		}
		if changed.Fingerprint == base.Fingerprint {
			t.Errorf("%s does not show in the fingerprint", name)
		}
		for i, f := range changed.Files {
			if f.Path != base.Files[i].Path || (f.Path == file) == (f.Sum == base.Files[i].Sum) && name != "the shape" {
				t.Errorf("%s: the sum of %s is not as it should be", name, f.Path)
			}
		}
	}
}

func TestMNISTRefused(t *testing.T) {
	for want, change := range map[string]func(files map[string][]byte){
		"has none of train-images-idx3-ubyte, train-images-idx3-ubyte.gz, train-images.idx3-ubyte, train-images.idx3-ubyte.gz": func(f map[string][]byte) {
			delete(f, trainImages)
		},
		"has none of t10k-labels-idx1-ubyte,": func(f map[string][]byte) { delete(f, testLabels) },
		"train-labels-idx1-ubyte has 3 labels, but": func(f map[string][]byte) {
			f[trainLabels] = idxFile([]byte{1, 2, 3}, 3)
		},
		"in train-labels-idx1-ubyte the label of sample 2, at byte 10, is 10, but no training image has label 2": func(f map[string][]byte) { f[trainLabels][10] = 10 },
		"in t10k-labels-idx1-ubyte the label of sample 0, at byte 8, is 255, but no training image has label 2":  func(f map[string][]byte) { f[testLabels][8] = 255 },
		"test images [3 2]: they belong to different sets":                                                       func(f map[string][]byte) { f[testImages] = idxFile(f[testImages][16:], 2, 3, 2) },
		"train-images-idx3-ubyte: ends at byte 39 of the 40":                                                     func(f map[string][]byte) { f[trainImages] = f[trainImages][:39] },
		"t10k-images-idx3-ubyte: 1 bytes follow the 28 bytes":                                                    func(f map[string][]byte) { f[testImages] = append(f[testImages], 0) },
		"train-images-idx3-ubyte: begins with bytes 00 00 08 01": func(f map[string][]byte) {
			f[trainImages], f[trainLabels] = f[trainLabels], f[trainImages]
		},
	} {
		files := smallMNIST()
		change(files)
		if _, err := openSmall(t, files); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error is %v, want ... %s", err, want)
		}
	}
}

// Labels beyond the digits make more classes; a model's classes stay, whatever labels others have.
func TestLabelsMakeClasses(t *testing.T) {
	labels := make([]byte, 26) // EMNIST's letters are 1 to 26
	for i := range labels {
		labels[i] = byte(i + 1)
	}
	images := idxFile(make([]byte, 26*4), 26, 2, 2)
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{trainImages: images, trainLabels: idxFile(labels, 26), testImages: images, testLabels: idxFile(labels, 26)})
	d, err := Open(config.Data{Kind: config.DataMNIST, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if d.Schema[1].Classes != 27 || len(d.Labels) != 27 || d.Labels[26] != "26" || !strings.Contains(d.Read, "26 images for training and 26 for evaluation, of 27 classes") {
		t.Errorf("%+v, %v, %s", d.Schema, d.Labels, d.Read)
	}
	fewer := smallMNIST()
	other := t.TempDir()
	writeFiles(t, other, fewer)
	like, err := OpenLike(config.Data{Kind: config.DataMNIST, Dir: other}, d.Describe())
	if err != nil || like.Schema[1].Classes != 27 {
		t.Errorf("%v", err)
	}
}

// EMNIST's files have the name of their set before the others' names.
func TestFilesOfEMNIST(t *testing.T) {
	dir := t.TempDir()
	files := map[string][]byte{}
	for name, content := range smallMNIST() {
		files["emnist-digits-"+strings.Replace(name, "t10k", "test", 1)] = content
	}
	writeFiles(t, dir, files)
	if _, err := Open(config.Data{Kind: config.DataMNIST, Dir: dir}); err != nil {
		t.Error(err)
	}
	files["emnist-letters-"+trainImages] = files["emnist-digits-"+trainImages]
	writeFiles(t, dir, files)
	if _, err := Open(config.Data{Kind: config.DataMNIST, Dir: dir}); err == nil || !strings.Contains(err.Error(), "has several sets (emnist-digits-"+trainImages+", emnist-letters-"+trainImages+")") {
		t.Error(err)
	}
}

func TestMNISTFolderRefused(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{"file": nil, "taken/" + trainImages + "/x": nil})
	for at, want := range map[string]string{
		"absent": "does not exist: set data.dir to the folder that holds the four IDX files",
		"file":   "is a file: set data.dir",
		"taken":  "is a folder: unpack",
	} {
		_, err := Open(config.Data{Kind: config.DataMNIST, Dir: filepath.Join(dir, at)})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), at) {
			t.Errorf("%s: error is %v, want ... %s", at, err, want)
		}
	}
}

func TestRealMNIST(t *testing.T) {
	d, err := Open(config.Data{Kind: config.DataMNIST, Dir: mnistDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	if d.Train.Len() != 60000 || d.Eval.Len() != 10000 || !slices.Equal(d.Schema[0].Shape, []int{784}) {
		t.Fatalf("spec %v, %d and %d images", d.Schema, d.Train.Len(), d.Eval.Len())
	}
	var b Batch
	d.Train.Read(&b, []int32{0, 1, 2, 59999}, rng.Key{})
	if !slices.Equal(b.targets(), []int32{5, 0, 4, 8}) {
		t.Errorf("labels %v, want the well-known 5 0 4 ... 8", b.targets())
	}
	// The first image's ink begins in row 5 at column 12 with 3/255.
	if first := slices.IndexFunc(b.values(), func(v float32) bool { return v != 0 }); first != 5*28+12 || b.values()[first] != float32(3)/255 {
		t.Errorf("ink begins at %d", first)
	}
}

func TestReadAllocatesNothing(t *testing.T) {
	d, err := openSmall(t, smallMNIST())
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	indices := []int32{0, 1, 2, 3}
	d.Train.Read(&b, indices, rng.Key{})
	p := d.pixels
	p.crop, p.flip = 1, true
	if n := testing.AllocsPerRun(100, func() { d.Train.Read(&b, indices[:3], rng.NewKey(1)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if d.Train.Read(&b, nil, rng.Key{}); b.N != 0 || len(b.values()) != 0 || len(b.targets()) != 0 {
		t.Errorf("an empty batch is %v", b)
	}
}

func TestReadPanicsOutside(t *testing.T) {
	d, err := openSmall(t, smallMNIST())
	if err != nil {
		t.Fatal(err)
	}
	for _, index := range []int32{-1, 4} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("sample %d of 4 was read", index)
				}
			}()
			d.Train.Read(new(Batch), []int32{index}, rng.Key{})
		}()
	}
}

// TestBatchIsReused reads sets of different kinds into one batch.
func TestBatchIsReused(t *testing.T) {
	d, err := openSmall(t, smallMNIST())
	if err != nil {
		t.Fatal(err)
	}
	text, err := Open(config.Data{Kind: config.DataText, Dir: writeText(t, bytes.Repeat([]byte("abc"), 100)), Context: 4})
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	d.Train.Read(&b, []int32{0, 1, 2}, rng.Key{})
	if text.Train.Read(&b, []int32{0}, rng.Key{}); len(b.values()) != 0 || len(b.tokens()) != 4 || len(b.targets()) != 4 || b.N != 1 {
		t.Errorf("a batch of text is %v", b)
	}
	if d.Train.Read(&b, []int32{3, 3}, rng.Key{}); len(b.values()) != 12 || len(b.tokens()) != 0 || len(b.targets()) != 2 || b.N != 2 {
		t.Errorf("a batch of images is %v", b)
	}
}

func BenchmarkRead8(b *testing.B) {
	d, err := Open(config.Data{Kind: config.DataMNIST, Dir: mnistDir(b)})
	if err != nil {
		b.Fatal(err)
	}
	var batch Batch
	order := d.Sampler(1, 0)
	indices := make([]int32, 8)
	b.ResetTimer()
	for i := range b.N {
		for j := range indices {
			indices[j] = int32(order.At((8*i + j) % order.Len()))
		}
		d.Train.Read(&batch, indices, rng.Key{})
	}
}

// TestMNISTLargerThanMemory reads images for which there is no room in memory, plain and by gzip: they are the same data, and are not in memory. What is
// wrong with a file is said as of one in memory.
func TestMNISTLargerThanMemory(t *testing.T) {
	values, labels := make([]byte, 1000*28*28), make([]byte, 1000)
	for i := range values {
		values[i] = byte(i * i >> 3)
	}
	for i := range labels {
		labels[i] = byte(i % 10)
	}
	files := map[string][]byte{trainImages: idxFile(values, 1000, 28, 28), trainLabels: idxFile(labels, 1000),
		testImages: idxFile(values[:400*28*28], 400, 28, 28), testLabels: idxFile(labels[:400], 400)}
	opened := func(mib int, files map[string][]byte) (*Data, error) {
		dir := t.TempDir()
		writeFiles(t, dir, files)
		return Open(config.Data{Kind: config.DataMNIST, Dir: dir, MemoryMiB: mib, Cache: t.TempDir()})
	}
	kept, err := opened(2, files)
	if err != nil {
		t.Fatal(err)
	}
	packed := maps.Clone(files)
	delete(packed, trainImages)
	packed[trainImages+".gz"] = zipped(t, files[trainImages])
	for name, files := range map[string]map[string][]byte{"plain": files, "gzip": packed} {
		spilled, err := opened(0, files)
		if err != nil {
			t.Fatal(err)
		}
		if !kept.Train.Resident() || !kept.Eval.Resident() || spilled.Train.Resident() || spilled.Eval.Resident() {
			t.Errorf("%s: in memory %v and %v", name, kept.Train.Resident(), spilled.Train.Resident())
		}
		if kept.Fingerprint != spilled.Fingerprint || !slices.Equal(kept.Files, spilled.Files) {
			t.Errorf("%s: the data are others", name)
		}
		var a, b Batch
		for _, d := range []struct {
			from *Data
			to   *Batch
		}{{kept, &a}, {spilled, &b}} {
			if err := d.from.Train.Read(d.to, []int32{999, 0, 512}, rng.Key{}); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(a.values(), b.values()) || !slices.Equal(a.targets(), b.targets()) {
			t.Errorf("%s: samples differ", name)
		}
	}
	for name, raw := range map[string][]byte{"cut": files[trainImages][:5000], "longer": append(slices.Clone(files[trainImages]), 1), "cut.gz": zipped(t, files[trainImages][:5000])} {
		bad := maps.Clone(files)
		delete(bad, trainImages)
		file := trainImages
		if strings.HasSuffix(name, ".gz") {
			file += ".gz"
		}
		bad[file] = raw
		if _, err := opened(0, bad); err == nil || !strings.Contains(err.Error(), "get the file again") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
