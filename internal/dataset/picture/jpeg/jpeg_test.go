package jpeg

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	gojpeg "image/jpeg"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
)

// encoding is a file and what Pillow 13.0.0 (libjpeg-turbo 3.2.0) makes of it.
type encoding struct {
	Columns, Rows int
	File          []byte
	SHA256        string
}

func encodings(t testing.TB) map[string]encoding {
	t.Helper()
	text, err := os.ReadFile("testdata/encodings.json")
	if err != nil {
		t.Fatal(err)
	}
	var files map[string]encoding
	if err := json.Unmarshal(text, &files); err != nil {
		t.Fatal(err)
	}
	return files
}

// rgb are the bytes of a decoded picture.
func rgb(m image.Image) []byte {
	size := m.Bounds().Size()
	out := make([]byte, 0, 3*size.X*size.Y)
	for y := range size.Y {
		for x := range size.X {
			switch m := m.(type) {
			case *image.YCbCr:
				r, g, b := Colour(m.Y[m.YOffset(x, y)], m.Cb[m.COffset(x, y)], m.Cr[m.COffset(x, y)])
				out = append(out, r, g, b)
			case *image.Gray:
				v := m.GrayAt(x, y).Y
				out = append(out, v, v, v)
			case *image.NRGBA:
				c := m.NRGBAAt(x, y)
				out = append(out, c.R, c.G, c.B)
			}
		}
	}
	return out
}

// TestBytesArePillows decodes files of every kind to the bytes that Pillow has.
func TestBytesArePillows(t *testing.T) {
	files := encodings(t)
	if len(files) < 70 {
		t.Errorf("only %d files", len(files))
	}
	for name, want := range files {
		columns, rows, err := DecodeConfig(want.File)
		if err != nil || columns != want.Columns || rows != want.Rows {
			t.Errorf("%s: %d x %d, %v", name, columns, rows, err)
		}
		m, note, err := Decode(want.File)
		if err != nil || note != "" {
			t.Errorf("%s: %v, note %q", name, err, note)
			continue
		}
		if sum := sha256.Sum256(rgb(m)); m.Bounds() != image.Rect(0, 0, want.Columns, want.Rows) || hex.EncodeToString(sum[:]) != want.SHA256 {
			t.Errorf("%s: the bytes are not Pillow's", name)
		}
	}
}

// luma is the plane of luma of a picture, or its grey.
func luma(m image.Image) (values []byte, stride int) {
	switch m := m.(type) {
	case *image.YCbCr:
		return m.Y, m.YStride
	case *image.Gray:
		return m.Pix, m.Stride
	}
	return nil, 0
}

// farthest is how far the lumas of two pictures of one size are apart at most.
func farthest(a, b image.Image) (most int) {
	x, wide := luma(a)
	y, other := luma(b)
	if x == nil || y == nil {
		return 0
	}
	size := a.Bounds().Size()
	for row := range size.Y {
		for column := range size.X {
			d := int(x[row*wide+column]) - int(y[row*other+column])
			most = max(most, d, -d)
		}
	}
	return most
}

// TestNearTheStandardLibrary encodes random pictures by the standard library and decodes them by both.
func TestNearTheStandardLibrary(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		m := image.NewRGBA(image.Rect(0, 0, 1+random.IntN(50), 1+random.IntN(50)))
		step := 1 + random.IntN(60)
		for i := range m.Pix {
			m.Pix[i] = uint8(i/4*step%256) ^ uint8(random.IntN(step))
		}
		var raw bytes.Buffer
		var picture image.Image = m
		if random.IntN(4) == 0 {
			grey := image.NewGray(m.Rect)
			copy(grey.Pix, m.Pix)
			picture = grey
		}
		if err := gojpeg.Encode(&raw, picture, &gojpeg.Options{Quality: 1 + random.IntN(100)}); err != nil {
			t.Fatal(err)
		}
		got, note, err := Decode(raw.Bytes())
		if err != nil || note != "" {
			t.Fatal(err, note)
		}
		want, err := gojpeg.Decode(&raw)
		if err != nil {
			t.Fatal(err)
		}
		if d := farthest(got, want); d > 2 || got.Bounds() != want.Bounds() {
			t.Fatalf("%v: %d apart", m.Rect, d)
		}
	}
}

// TestCutAndDamaged cuts files: whatever is missing is said, but the marker at the end alone.
func TestCutAndDamaged(t *testing.T) {
	files := encodings(t)
	for _, name := range []string{"q75-s2", "progressive-s0", "restart-s1", "grey", "cmyk"} {
		raw := files[name].File
		for n := range len(raw) - 2 {
			_, note, err := Decode(raw[:n])
			if progressive := strings.HasPrefix(name, "progressive"); err == nil && (note == "" || !progressive) {
				t.Errorf("%s: %d of %d bytes are decoded, note %q", name, n, len(raw), note)
			}
			if n > 700 && err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: %d of %d bytes: %v", name, n, len(raw), err)
			}
		}
		for n := len(raw) - 2; n < len(raw); n++ {
			if _, note, err := Decode(raw[:n]); err != nil || note != NoEnd {
				t.Errorf("%s: %d of %d bytes: %v, note %q", name, n, len(raw), err, note)
			}
		}
		if _, note, err := Decode(append(bytes.Clone(raw), "what another program has put behind"...)); err != nil || note != "" {
			t.Errorf("%s: with more behind it: %v, note %q", name, err, note)
		}
	}
}

// patched is a file with other bytes behind the first occurrence of a text.
func patched(t *testing.T, raw []byte, behind string, bytes ...byte) []byte {
	t.Helper()
	at := strings.Index(string(raw), behind)
	if at < 0 {
		t.Fatalf("there is no %q", behind)
	}
	raw = append([]byte(nil), raw...)
	copy(raw[at+len(behind):], bytes)
	return raw
}

// TestRefused names what is not read.
func TestRefused(t *testing.T) {
	files := encodings(t)
	whole, progressive, restarts := files["q75-s2"].File, files["progressive-s0"].File, files["restart-s1"].File
	for want, raw := range map[string][]byte{
		"it does not begin as a JPEG":                     []byte("PNG"),
		"samples of 12 bits, where 8 are read":            patched(t, whole, "\xff\xc0\x00\x11", 12),
		"kind SOF9, lossless, hierarchical or arithmetic": patched(t, whole, "\xff", 0xd8, 0xff, 0xc9),
		"its header gives no size":                        patched(t, whole, "\xff\xc0\x00\x11\x08", 0, 0),
		"sampling or the table of a component":            patched(t, whole, "\xff\xc0\x00\x11\x08\x00\x1d\x00\x25\x03\x01", 0x50),
		"a ratio of sampling that is no whole number":     patched(t, whole, "\xff\xc0\x00\x11\x08\x00\x1d\x00\x25\x03\x01", 0x32, 0, 2, 0x22),
		"two components have one name":                    patched(t, whole, "\xff\xc0\x00\x11\x08\x00\x1d\x00\x25\x03\x01\x22\x00", 1),
		"a table of quantisation is malformed":            patched(t, whole, "\xff\xdb\x00\x43", 0x2f),
		"a table of codes has no place":                   patched(t, whole, "\xff\xc4\x00\x1f", 0x2f),
		"more codes than there are":                       patched(t, whole, "\xff\xc4\x00\x1f\x00", 6, 0, 0),
		"the header of a scan is malformed":               patched(t, progressive, "\xff\xda\x00\x0c\x03", 9),
		"a scan without its table of codes":               patched(t, progressive, "\xff\xda\x00\x0c\x03\x01", 0x30),
		"a marker of a restart is missing":                bytes.Replace(restarts, []byte("\xff\xd1"), []byte("\xff\xd7"), 1),
		"a segment at byte 4 of length 1":                 patched(t, whole, "\xff\xd8\xff\xe0", 0, 1),
		"it has two frames":                               append(append([]byte(nil), whole[:len(whole)-2]...), whole[strings.Index(string(whole), "\xff\xc0"):]...),
		"a scan before the frame":                         []byte("\xff\xd8\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"),
		"it ends before its picture":                      []byte("\xff\xd8\xff\xd9"),
	} {
		if _, _, err := Decode(raw); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestMemoryIsBoundedByTheFile opens a file of a few bytes whose header promises a large picture.
func TestMemoryIsBoundedByTheFile(t *testing.T) {
	raw := patched(t, encodings(t)["progressive-s0"].File, "\xff\xc2\x00\x11\x08", 0x40, 0, 0x40, 0)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := Decode(raw)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, io.ErrUnexpectedEOF) || after.TotalAlloc-before.TotalAlloc > 1<<20 {
		t.Errorf("%v, after %d bytes of memory", err, after.TotalAlloc-before.TotalAlloc)
	}
}

// FuzzDecode decodes anything, twice the same, to the size that its header says.
func FuzzDecode(f *testing.F) {
	for _, e := range encodings(f) {
		f.Add(e.File)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		columns, rows, err := DecodeConfig(raw)
		if err != nil || columns > 200 || rows > 200 {
			return
		}
		m, _, err := Decode(raw)
		if err != nil {
			return
		}
		if m.Bounds() != image.Rect(0, 0, columns, rows) {
			t.Fatalf("%v, its header says %d x %d", m.Bounds(), columns, rows)
		}
		again, _, err := Decode(raw)
		if err != nil || !bytes.Equal(rgb(m), rgb(again)) {
			t.Fatalf("decoded twice it differs, %v", err)
		}
	})
}

// FuzzPictures encodes any picture by the standard library: both decoders read it, to nearly the same luma.
func FuzzPictures(f *testing.F) {
	f.Add([]byte("some pixels of a picture"), uint8(5), uint8(80))
	f.Add(bytes.Repeat([]byte{0, 255}, 600), uint8(17), uint8(1))
	f.Fuzz(func(t *testing.T, pixels []byte, columns, quality uint8) {
		width := 1 + int(columns)%64
		height := min((len(pixels)+width-1)/width, 64)
		if height == 0 {
			return
		}
		m := image.NewRGBA(image.Rect(0, 0, width, height))
		for i := range min(len(pixels), width*height) {
			p := pixels[i]
			m.SetRGBA(i%width, i/width, color.RGBA{p, p ^ pixels[len(pixels)-1-i], p << 3, 255})
		}
		var raw bytes.Buffer
		if err := gojpeg.Encode(&raw, m, &gojpeg.Options{Quality: int(quality)}); err != nil {
			t.Fatal(err)
		}
		got, note, err := Decode(raw.Bytes())
		if err != nil || note != "" {
			t.Fatal(err, note)
		}
		if want, err := gojpeg.Decode(&raw); err != nil || farthest(got, want) > 2 {
			t.Fatalf("%d apart, %v", farthest(got, want), err)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	raw := encodings(b)["q75-s2"].File
	for b.Loop() {
		if _, _, err := Decode(raw); err != nil {
			b.Fatal(err)
		}
	}
}
