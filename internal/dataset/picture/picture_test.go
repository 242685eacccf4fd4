package picture

import (
	"bytes"
	"encoding/json"
	"image"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// golden is what Pillow 13.0.0 makes of a file: exif_transpose, then convert("RGB"); of 16 bits of grey the upper 8. The tolerance is
// for JPEG, whose decoders round differently.
type golden struct {
	Columns, Rows, Tolerance int
	RGB                      []byte
}

func TestPixelsAsPillowHasThem(t *testing.T) {
	text, err := os.ReadFile("testdata/pillow.json")
	if err != nil {
		t.Fatal(err)
	}
	var files map[string]golden
	if err := json.Unmarshal(text, &files); err != nil {
		t.Fatal(err)
	}
	if len(files) < 40 {
		t.Errorf("only %d files", len(files))
	}
	for name, want := range files {
		raw, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		size, err := Size(raw)
		if err != nil || size != image.Pt(want.Columns, want.Rows) {
			t.Errorf("%s: size %v, %v, want %d x %d", name, size, err, want.Columns, want.Rows)
			continue
		}
		p, err := Decode(raw)
		if err != nil || p.Size != size {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if (p.Note != "") != (name == "no-end.jpg") {
			t.Errorf("%s: note %q", name, p.Note)
		}
		worst := 0
		for i := range size.X * size.Y {
			r, g, b := p.At(i%size.X, i/size.X)
			for c, got := range []uint8{r, g, b} {
				d := int(got) - int(want.RGB[3*i+c])
				worst = max(worst, d, -d)
			}
		}
		if worst > want.Tolerance {
			t.Errorf("%s: differs by %d from what Pillow makes of it, tolerance %d", name, worst, want.Tolerance)
		}
	}
}

// A JPEG whose picture is cut is refused, one whose last bytes are cut off is read.
func TestCutJPEG(t *testing.T) {
	whole, err := os.ReadFile("testdata/progressive.jpg")
	if err != nil {
		t.Fatal(err)
	}
	for cut, good := range map[int]bool{0: true, 1: true, 2: true, 40: false, len(whole) / 2: false} {
		p, err := Decode(whole[:len(whole)-cut])
		if (err == nil) != good || good && (p.Note != "") != (cut > 0) {
			t.Errorf("%d bytes less: %v", cut, err)
		}
	}
}

func TestWhatIsNoWholePictureIsRefused(t *testing.T) {
	for _, test := range []struct{ content, want string }{
		{"", "is empty"},
		{"no picture at all", "is not in the format JPEG, PNG, GIF, BMP, TIFF or WebP"},
		{"\x89PNG\r\n\x1a\n\x00\x00", "is cut short: it ends at byte 10, within the picture"},
		{"GIF89a\x01", "cannot be decoded as GIF"},
	} {
		for _, err := range []error{second(Size([]byte(test.content))), second(Decode([]byte(test.content)))} {
			if err == nil || !bytes.HasPrefix([]byte(err.Error()), []byte(test.want)) {
				t.Errorf("%q: %v", test.content, err)
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }

// FuzzDecode decodes what is small by its header. No input may cost more than that size explains.
func FuzzDecode(f *testing.F) {
	const edge, most = 256, 128 << 20
	names, err := filepath.Glob("testdata/*.*")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		if raw, err := os.ReadFile(name); err == nil && filepath.Ext(name) != ".json" {
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		size, err := Size(raw)
		if err != nil || size.X < 1 || size.Y < 1 || size.X > edge || size.Y > edge {
			size = image.Point{}
		} else if p, err := Decode(raw); err == nil {
			if p.Size.X > edge || p.Size.Y > edge {
				t.Errorf("%v pixels, announced %v", p.Size, size)
			}
			p.At(0, 0)
			p.At(p.Size.X-1, p.Size.Y-1)
		}
		if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > most {
			t.Errorf("%d bytes, of %v pixels, took %d bytes of memory", len(raw), size, after.TotalAlloc-before.TotalAlloc)
		}
	})
}

func FuzzOrientation(f *testing.F) {
	for _, name := range []string{"turned5.png", "turned6.jpg", "turned6.webp", "turned6.tiff"} {
		raw, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, format := range formats {
			if o := orientationOf(format.name, raw); o < 1 || o > 8 {
				t.Errorf("%s: %d", format.name, o)
			}
		}
		withoutTransparency(raw)
	})
}
