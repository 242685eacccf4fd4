package glyphs

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"image"
	"image/png"
	"slices"
	"testing"

	"ringmaster/internal/rng"
)

// golden is the SHA-256 of the training pictures, their labels, the evaluation pictures and their labels. It is the
// same on every CPU, and other bytes are another data set: digests of old runs could not be had again.
const golden = "8ec7ab2ae6747cb2245f3c3f5b51bc9922ffb881eabe28432cade6451ab83d26"

func TestGolden(t *testing.T) {
	train, eval, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	if len(train.Labels) != Train || len(train.Values) != Train*Side*Side || len(eval.Labels) != Eval || len(eval.Values) != Eval*Side*Side {
		t.Fatalf("sets have %d and %d labels", len(train.Labels), len(eval.Labels))
	}
	h := sha256.New()
	for _, p := range [][]byte{train.Values, train.Labels, eval.Values, eval.Labels} {
		h.Write(p)
	}
	if sum := fmt.Sprintf("%x", h.Sum(nil)); sum != golden {
		t.Errorf("the digits' sum is %s, not %s", sum, golden)
	}
	var counts [10]int
	for _, label := range train.Labels {
		counts[label]++
	}
	for digit, n := range counts {
		if n < Train/10*9/10 || n > Train/10*11/10 {
			t.Errorf("digit %d occurs %d times among %d", digit, n, Train)
		}
	}
	seen := map[[32]byte]bool{}
	for _, p := range []Pictures{train, eval} {
		for i := range p.Labels {
			seen[sha256.Sum256(p.Values[i*Side*Side:(i+1)*Side*Side])] = true
		}
	}
	if len(seen) != Train+Eval {
		t.Errorf("%d of %d pictures differ from all others", len(seen), Train+Eval)
	}
}

// TestSamplesDrawAlone shows that a sample depends on its key alone: made by itself it is what it is in its set.
func TestSamplesDrawAlone(t *testing.T) {
	m, err := decodeMasters(sheet)
	if err != nil {
		t.Fatal(err)
	}
	few := m.set(evalSet, 40)
	one := make([]byte, Side*Side)
	for _, i := range []int{39, 0, 17} {
		label := m.sample(one, rng.SetKey(drawSeed, evalSet, uint64(i)))
		if label != few.Labels[i] || !bytes.Equal(one, few.Values[i*Side*Side:(i+1)*Side*Side]) {
			t.Errorf("sample %d made alone differs", i)
		}
	}
}

// It draws every master without distortion: the picture must be the field's inside, half as large.
func TestAPlainGlyphIsItsMasterHalfAsLarge(t *testing.T) {
	m, err := decodeMasters(sheet)
	if err != nil {
		t.Fatal(err)
	}
	plain := distortion{xx: 2 * one, yy: 2 * one, gain: 128, ink: 255}
	for i, field := range m.fields {
		got := make([]byte, Side*Side)
		plain.render(got, field)
		wrong := 0
		for y := range Side {
			for x := range Side {
				// The picture's pixel (x, y) is where four master pixels meet; the border shifts by one.
				u, v := 2*(x-Side/2)+Edge/2+1, 2*(y-Side/2)+Edge/2+1
				var want byte
				if u >= 0 && v >= 0 && u < stride-1 && v < stride-1 {
					quad := field[v*stride+u]
					mean := (int(quad&0xff) + int(quad>>8&0xff) + int(quad>>16&0xff) + int(quad>>24)) / 4
					want = byte(min(max(128+8*(mean-128), 0), 255))
				}
				if got[y*Side+x] != want {
					wrong++
				}
			}
		}
		if wrong > 0 {
			t.Errorf("face %d, digit %d: %d pixels differ", i/10, i%10, wrong)
		}
	}
}

// TestDistortionsStayInRange draws many distortions and looks at what render relies on: no overflow, no index outside.
func TestDistortionsStayInRange(t *testing.T) {
	field := new([stride * stride]uint32)
	for i := range field {
		field[i] = 0xffffffff
	}
	picture := make([]byte, Side*Side)
	var inks []int
	for i := range uint64(3000) {
		s := drawDistortion(&draws{key: rng.NewKey(99, i)})
		s.render(picture, field)
		if slices.Max(picture) != byte(s.ink) {
			t.Fatalf("distortion %d: the darkest pixel of a full field is %d, its ink %d", i, slices.Max(picture), s.ink)
		}
		inks = append(inks, s.ink)
	}
	if slices.Min(inks) > minInk+5 || slices.Max(inks) < maxInk-5 || slices.Min(inks) < minInk {
		t.Errorf("ink is drawn from %d to %d", slices.Min(inks), slices.Max(inks))
	}
}

func TestNoiseStaysWithinItsBounds(t *testing.T) {
	for value := range 256 {
		for draw := range uint32(256) {
			got := int(disturb(byte(value), draw|0xabcd00, 141))
			if got < 0 || got > 255 || got > value+70 || got < value-71 {
				t.Fatalf("value %d with draw %d became %d", value, draw, got)
			}
		}
	}
}

func TestDecodeMastersRefuses(t *testing.T) {
	encode := func(m image.Image) []byte {
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for name, file := range map[string][]byte{
		"no PNG":   []byte("masters"),
		"too wide": encode(image.NewGray(image.Rect(0, 0, 10*Edge+1, Edge))),
		"a part":   encode(image.NewGray(image.Rect(0, 0, 10*Edge, Edge+1))),
		"colours":  encode(image.NewNRGBA(image.Rect(0, 0, 10*Edge, Edge))),
	} {
		if _, err := decodeMasters(file); err == nil {
			t.Errorf("%s: was taken for a sheet of masters", name)
		}
	}
}

func BenchmarkGenerate(b *testing.B) {
	for b.Loop() {
		if _, _, err := Generate(); err != nil {
			b.Fatal(err)
		}
	}
}
