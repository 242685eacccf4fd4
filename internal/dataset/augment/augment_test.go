package augment

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

// golden is what torchvision and Pillow make of pictures: testdata/golden.py.
type golden struct {
	Versions map[string]string
	Cases    []struct {
		Shape   [3]int
		What    string
		Numbers []float64
		Mode    string
		Fill    byte
		Want    []byte
	}
	Hues   string
	Erased []byte
	Mixed  []mixed
	Cut    []mixed
}

type mixed struct {
	Share   float64
	Y, X    int
	Values  []byte
	Targets [][]float64
}

func readGolden(t *testing.T) (g golden) {
	t.Helper()
	text, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// noise are the bytes that the golden pictures are made of.
func noise(n int, state uint32) []byte {
	out := make([]byte, n)
	for i := range out {
		state = state*1664525 + 1013904223
		out[i] = byte(state >> 24)
	}
	return out
}

func TestOperationsEqualTorchvisions(t *testing.T) {
	g := readGolden(t)
	if len(g.Cases) < 100 {
		t.Fatalf("%d cases", len(g.Cases))
	}
	for _, c := range g.Cases {
		s := Size{c.Shape[0], c.Shape[1], c.Shape[2]}
		src := noise(s.Bytes(), uint32(s.Rows*1000+s.Columns))
		before := slices.Clone(src)
		dst := make([]byte, s.Bytes())
		n := c.Numbers
		switch c.What {
		case "shift":
			s.shift(dst, src, int(n[0]), int(n[1]), c.Mode, c.Fill)
		case "mirror":
			s.mirror(dst, src)
		case "turn over":
			s.turnOver(dst, src)
		case "rotate":
			s.rotate(dst, src, n[0], c.Fill)
		case "enlarge":
			s.enlarge(dst, src, make([]byte, s.Bytes()), box{int(n[0]), int(n[1]), int(n[2]), int(n[3])})
		default:
			copy(dst, src)
			s.adjust(t, dst, c.What, n[0])
		}
		if !bytes.Equal(src, before) {
			t.Fatalf("%s of %v changes its source", c.What, c.Shape)
		}
		if !bytes.Equal(dst, c.Want) {
			worst, count := 0, 0
			for i := range dst {
				d := int(dst[i]) - int(c.Want[i])
				if d != 0 {
					count++
				}
				worst = max(worst, d, -d)
			}
			t.Errorf("%s %v %s of %v: %d of %d bytes are not torchvision's, by up to %d", c.What, n, c.Mode, c.Shape, count, len(dst), worst)
		}
	}
}

func (s Size) adjust(t *testing.T, pix []byte, what string, by float64) {
	switch what {
	case "brighten":
		s.brighten(pix, float32(by))
	case "contrast":
		s.contrast(pix, float32(by))
	case "saturate":
		s.saturate(pix, float32(by))
	case "hue":
		s.turnHue(pix, by)
	default:
		t.Fatalf("what is %s?", what)
	}
}

// Every colour there is goes to hue, saturation and value and back as in Pillow.
func TestEveryHueIsPillows(t *testing.T) {
	s := Size{3, 256, 256}
	pix, interleaved, sum := make([]byte, s.Bytes()), make([]byte, s.Bytes()), sha256.New()
	for r := range 256 {
		for i := range s.Plane() {
			pix[i], pix[s.Plane()+i], pix[2*s.Plane()+i] = byte(r), byte(i>>8), byte(i)
		}
		s.turnHue(pix, 0.1)
		for i := range s.Plane() {
			interleaved[3*i], interleaved[3*i+1], interleaved[3*i+2] = pix[i], pix[s.Plane()+i], pix[2*s.Plane()+i]
		}
		sum.Write(interleaved)
	}
	if got, want := hex.EncodeToString(sum.Sum(nil)), readGolden(t).Hues; got != want {
		t.Errorf("the sum over all colours is %s, want %s", got, want)
	}
}

// batchOf is the golden batch: 4 pictures of 3 x 5 x 6.
func batchOf() (Size, []float32) {
	s := Size{3, 5, 6}
	values := make([]float32, 4*s.Bytes())
	for i, v := range noise(len(values), 5) {
		values[i] = (float32(v)/255 - 0.45) / 0.22
	}
	return s, values
}

func floatsOf(raw []byte) []float32 {
	values := make([]float32, len(raw)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return values
}

func TestEraseEqualsTorchvisions(t *testing.T) {
	s, values := batchOf()
	e := NewEraser(config.Augmentation{Value: []float64{0.5, -1, 2}}, s)
	for j := range 4 {
		e.erase(values[j*s.Bytes():(j+1)*s.Bytes()], box{1, 2, 3, 2}, rng.NewKey(1))
	}
	if !slices.Equal(values, floatsOf(readGolden(t).Erased)) {
		t.Error("other values are erased than by torchvision")
	}
}

func TestMixUpEqualsTorchvisions(t *testing.T) {
	for _, c := range readGolden(t).Mixed {
		s, values := batchOf()
		MixUp(values, 4, make([]float32, s.Bytes()), c.Share)
		if !slices.Equal(values, floatsOf(c.Values)) {
			t.Errorf("share %v: other values than torchvision's", c.Share)
		}
	}
}

func TestCutMixEqualsTorchvisions(t *testing.T) {
	for _, c := range readGolden(t).Cut {
		s, values := batchOf()
		part := s.cut(c.Share, c.Y, c.X)
		s.cutMix(values, 4, make([]float32, s.Bytes()), part)
		if !slices.Equal(values, floatsOf(c.Values)) {
			t.Errorf("share %v: other values than torchvision's", c.Share)
		}
		share := 1 - float64(part.rows*part.columns)/float64(s.Plane())
		if want := c.Targets[0][0]; math.Abs(want-share) > 1e-7 {
			t.Errorf("share %v: %v is left of the picture, want %v", c.Share, share, want)
		}
	}
}

// The draws of Beta(alpha, alpha) have its mean and its variance, 1/(8 alpha + 4).
func TestSharesHaveTheirDistribution(t *testing.T) {
	key := rng.NewKey(3)
	for _, alpha := range []float64{0.01, 0.2, 1, 3, 100} {
		sum, squares, low := 0.0, 0.0, 0
		const n = 50000
		for i := range uint64(n) {
			v := beta(alpha, key.Uint32(2*i), key.Uint32(2*i+1))
			if !(v >= 0 && v <= 1) {
				t.Fatalf("alpha %v: a share of %v", alpha, v)
			}
			sum, squares = sum+v-0.5, squares+(v-0.5)*(v-0.5)
			if v < 0.25 {
				low++
			}
		}
		variance := 1 / (8*alpha + 4)
		if mean := sum / n; math.Abs(mean) > 0.005 {
			t.Errorf("alpha %v: the mean is %v", alpha, 0.5+mean)
		}
		if got := squares / n; math.Abs(got-variance) > 0.03*variance {
			t.Errorf("alpha %v: the variance is %v, want %v", alpha, got, variance)
		}
		if alpha == 1 && math.Abs(float64(low)/n-0.25) > 0.005 {
			t.Errorf("a quarter of even shares is below 0.25, not %v", float64(low)/n)
		}
	}
}

func TestNearestIsPythonsRound(t *testing.T) {
	for x, want := range map[float64]int{0.5: 0, 1.5: 2, 2.5: 2, 2.4999: 2, 2.5001: 3, 7: 7} {
		if got := nearest(x); got != want {
			t.Errorf("nearest(%v) is %d, want %d", x, got, want)
		}
	}
}

// entries are one of each kind, with parameters that every draw uses.
var entries = []config.Augmentation{
	{Kind: config.AugmentCrop, P: 1, Padding: 2, Mode: Reflect}, {Kind: config.AugmentResizedCrop, P: 1, Scale: []float64{0.2, 0.9}, Ratio: []float64{0.5, 2}},
	{Kind: config.AugmentFlip, P: 0.5}, {Kind: config.AugmentVerticalFlip, P: 0.5}, {Kind: config.AugmentRotate, P: 1, Degrees: 30, Fill: 3},
	{Kind: config.AugmentColor, P: 1, Brightness: 0.4, Contrast: 0.4, Saturation: 0.4, Hue: 0.1},
}

// The operations with drawn parameters make these bytes, on every CPU and with every compiler.
func TestDrawnOperationsAreFixed(t *testing.T) {
	const want = "Ezl40kdbYMq8fWkHdfDfV1DyEa-Rgi2sTrZMwzr_UKg"
	s := Size{3, 20, 17}
	src, dst, spare, sum := noise(s.Bytes(), 1), make([]byte, s.Bytes()), make([]byte, s.Bytes()), sha256.New()
	for i := range uint64(200) {
		for k, c := range entries {
			if New(c, s).Apply(dst, src, spare, rng.NewKey(7, i, uint64(k))) {
				sum.Write(dst)
			}
		}
	}
	_, values := batchOf()
	size := Size{3, 5, 6}
	mixer := NewMixer([]config.Augmentation{{Kind: config.AugmentMixUp, P: 1, Alpha: 0.3}, {Kind: config.AugmentCutMix, P: 1, Alpha: 1}}, size)
	eraser := NewEraser(config.Augmentation{P: 1, Scale: []float64{0.1, 0.5}, Ratio: []float64{0.3, 3.3}, Noise: true}, size)
	for i := range uint64(50) {
		share := mixer.Mix(values, 4, make([]float32, size.Bytes()), rng.NewKey(8, i))
		eraser.Apply(values[:size.Bytes()], rng.NewKey(9, i))
		binary.Write(sum, binary.LittleEndian, share)
		binary.Write(sum, binary.LittleEndian, values)
	}
	if got := base64.RawURLEncoding.EncodeToString(sum.Sum(nil)); got != want {
		t.Errorf("the digest is %s, want %s", got, want)
	}
}

// Parts of pictures stay within their bounds and cover the shares that were asked for.
func TestPartsAreWithinThePicture(t *testing.T) {
	s := Size{1, 20, 30}
	o := &resizedCrop{chance{s, config.Augmentation{P: 1, Scale: []float64{0.1, 0.5}, Ratio: []float64{0.5, 2}}}}
	corners := map[[2]bool]bool{}
	for i := range uint64(5000) {
		p := o.part(rng.NewKey(1, i))
		if p.top < 0 || p.left < 0 || p.rows < 1 || p.columns < 1 || p.top+p.rows > s.Rows || p.left+p.columns > s.Columns {
			t.Fatalf("part %+v of %+v", p, s)
		}
		if area := float64(p.rows*p.columns) / float64(s.Plane()); area < 0.07 || area > 0.55 {
			t.Fatalf("part %+v is %v of the picture", p, area)
		}
		corners[[2]bool{p.top == 0, p.top+p.rows == s.Rows}] = true
	}
	if len(corners) < 3 {
		t.Errorf("parts touch the edges only as in %v", corners)
	}
	narrow := &resizedCrop{chance{Size{1, 10, 100}, config.Augmentation{P: 1, Scale: []float64{1, 1}, Ratio: []float64{0.5, 2}}}}
	if p := narrow.part(rng.NewKey(1)); p != (box{0, 40, 10, 20}) {
		t.Errorf("the part where none fits is %+v", p)
	}
}
