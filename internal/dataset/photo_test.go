package dataset

import (
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringmaster/internal/dataset/picture"
)

// greyData has grey samples of 28 x 28 pixels.
func greyData() *Data {
	return picturesLike(greyPixels(28, 28))
}

// TestPhotoOfDigit draws dark strokes on light paper, twice as wide as a sample: the middle comes out light on dark.
func TestPhotoOfDigit(t *testing.T) {
	paper := smallGrey(112, 56, func(x, y int) byte {
		if x >= 50 && x < 60 && y >= 10 && y < 46 {
			return 0
		}
		return 255
	})
	file := filepath.Join(t.TempDir(), "one.png")
	writeFiles(t, filepath.Dir(file), map[string][]byte{"one.png": encodePNG(t, paper)})
	var b Batch
	if _, err := greyData().ReadPhoto(&b, file); err != nil {
		t.Fatal(err)
	}
	for i, v := range b.values() {
		// The middle begins at column 28 and two pixels of the photo make one of the sample.
		x, y := i%28, i/28
		want := float32(0)
		if x >= 11 && x < 16 && y >= 5 && y < 23 {
			want = 1
		}
		if v != want {
			t.Fatalf("pixel (%d, %d) is %v, want %v", x, y, v, want)
		}
	}
	if b.N != 1 || len(b.values()) != 784 || len(b.targets()) != 1 {
		t.Errorf("batch of %d", b.N)
	}
}

// TestPhotoOfOneSize shows that a photo with the samples' size is the sample.
func TestPhotoOfOneSize(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, smallSet(t))
	d, err := Open(imagesConfig(dir))
	if err != nil {
		t.Fatal(err)
	}
	var photo, sample Batch
	if _, err := d.ReadPhoto(&photo, filepath.Join(dir, "test", "dog", "1.png")); err != nil {
		t.Fatal(err)
	}
	d.Eval.Read(&sample, []int32{1}, [2]uint32{})
	for i, v := range photo.values() {
		if v != sample.values()[i] {
			t.Fatalf("value %d is %v, in the set %v", i, v, sample.values()[i])
		}
	}
}

func TestPhotoAverages(t *testing.T) {
	p := &pixels{scales: make([]*scale, 3), plane: 4, columns: 2}
	got := p.shrink(picture.Of(smallGrey(4, 6, func(x, y int) byte { return byte(10*x + y) })))
	// Rows 1 to 4 are the middle; each sample pixel is the mean of 2 x 2.
	for i, want := range []byte{7, 27, 9, 29} {
		for c := range 3 {
			if got[c*4+i] != want {
				t.Errorf("pixel %d, channel %d is %d, want %d", i, c, got[c*4+i], want)
			}
		}
	}
	wide := p.shrink(picture.Of(smallGrey(1, 1, func(int, int) byte { return 9 })))
	if wide[0] != 9 || wide[11] != 9 {
		t.Errorf("a photo smaller than a sample is %v", wide)
	}
}

func TestRealPhoto(t *testing.T) {
	const file = "../../../shared/data/photos/rocket.jpg"
	if _, err := os.Stat(file); err != nil {
		t.Skipf("the photo is not at %s", file)
	}
	p := &pixels{shape: []int{3, 32, 32}, scales: []*scale{unitScale(), unitScale(), unitScale()}, plane: 1024, columns: 32}
	var b Batch
	if _, err := picturesLike(p).ReadPhoto(&b, file); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	photo, _, err := image.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	// Averaging keeps the mean of the middle, but for rounding and pixels that do not divide evenly.
	mean := meanColour(picture.Of(photo), middleOf(photo.Bounds(), 32, 32))
	for c := range 3 {
		sum := float32(0)
		for _, v := range b.values()[c*1024 : (c+1)*1024] {
			sum += v
		}
		if got, want := sum/1024, float32(mean[c])/255; got < want-0.01 || got > want+0.01 {
			t.Errorf("mean of channel %d is %v, of the photo %v", c, got, want)
		}
	}
}

func TestPhotoRefused(t *testing.T) {
	dir := t.TempDir()
	large := encodePNG(t, smallGrey(1, 1, func(int, int) byte { return 0 }))
	copy(large[16:], []byte{0x10, 0, 0, 0, 0x10, 0, 0, 0, 8, 0, 0, 0, 0})
	writeFiles(t, dir, map[string][]byte{"text.png": []byte("no picture"), "large.png": large, "empty.png": nil, "cut.png": large[:20]})
	d := greyData()
	var b Batch
	for name, want := range map[string]string{
		"absent.png": "absent.png cannot be read: no such file", "text.png": "text.png is not in the format JPEG, PNG, GIF, BMP, TIFF or WebP: name a whole", "large.png": "large.png",
		"empty.png": "empty.png is empty", "cut.png": "cut.png is cut short: it ends at byte 20", "": "cannot be read: it is a folder, no regular file; name one",
	} {
		if _, err := d.ReadPhoto(&b, filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want ... %s", name, err, want)
		}
	}
	if _, err := (&Data{}).ReadPhoto(&b, "x.png"); err == nil || !strings.Contains(err.Error(), "was not trained on images") {
		t.Errorf("a photo for text: %v", err)
	}
}
