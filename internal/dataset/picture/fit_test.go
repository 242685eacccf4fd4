package picture

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"image"
	"os"
	"strings"
	"testing"
)

// fitted is what testdata/fit.py has recorded of one picture.
type fitted struct {
	Columns, Rows int
	Edge, Crop    int
	Size, Out     []int
	Nearest       bool
	First         []int
	Sum           string
}

// hashed is the script's picture.
func hashed(columns, rows int) *Picture {
	m := image.NewNRGBA(image.Rect(0, 0, columns, rows))
	for i := range columns * rows * 3 {
		x := uint32(i) + uint32(columns*4099+rows)
		for _, multiplier := range []uint32{0x7FEB352D, 0x846CA68B} {
			x ^= x >> 16
			x *= multiplier
		}
		m.Pix[i/3*4+i%3] = byte((x ^ x>>16) >> 24)
	}
	return Of(m)
}

func TestPicturesAreFittedAsPillowAndTorchvisionDo(t *testing.T) {
	raw, err := os.ReadFile("testdata/fit.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []fitted }
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) < 60 {
		t.Errorf("only %d cases", len(file.Cases))
	}
	for _, want := range file.Cases {
		fit := Fit{Edge: want.Edge, Crop: want.Crop, Nearest: want.Nearest}
		if len(want.Size) == 2 {
			fit.Size = image.Pt(want.Size[0], want.Size[1])
		}
		out := fit.Out()
		if out != image.Pt(want.Out[0], want.Out[1]) {
			t.Errorf("%+v gives %v, want %v", fit, out, want.Out)
			continue
		}
		plane := out.X * out.Y
		planes, pixels := make([]byte, 3*plane), make([]byte, 0, 3*plane)
		if err := fit.Planes(planes, hashed(want.Columns, want.Rows)); err != nil {
			t.Error(err)
		}
		for i := range plane {
			pixels = append(pixels, planes[i], planes[plane+i], planes[2*plane+i])
		}
		if sum := sha256.Sum256(pixels); hex.EncodeToString(sum[:]) != want.Sum {
			t.Errorf("%+v of %d x %d pixels begins with %v, Pillow's with %v", fit, want.Columns, want.Rows, pixels[:12], want.First)
		}
	}
}

func TestAPictureOfExtremeShapeIsNotScaled(t *testing.T) {
	fit := Fit{Edge: 256, Crop: 224}
	err := fit.Planes(make([]byte, 3*224*224), Of(image.NewGray(image.Rect(0, 0, 1, 1<<20))))
	if err == nil || !strings.Contains(err.Error(), "has 1 x 1048576 pixels, which would be scaled to 256 x 268435456") {
		t.Errorf("error is %v", err)
	}
}
