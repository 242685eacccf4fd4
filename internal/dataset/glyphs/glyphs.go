// Package glyphs makes the embedded data set: pictures of the ten digits, distorted at random. Masters of every digit
// in ten faces of the Go fonts are embedded as fields of distances to the outline, which keep sharp edges and let the
// strokes be made heavier or lighter. Each sample takes a master through an affine map, a bend, a stroke weight, an ink
// level and noise, all drawn from the sample's own key and computed with integers alone, so that every CPU makes the
// same bytes.
package glyphs

import (
	"bytes"
	_ "embed" // of the masters
	"fmt"
	"image"
	"image/png"

	"ringmaster/internal/rng"
)

//go:generate go run ./gen -out masters.png

// The sizes of the data set and of its pictures.
const (
	Side  = 28    // rows and columns of a picture
	Train = 20000 // pictures of the training set
	Eval  = 2000  // and of the evaluation set, which are other draws
)

// The form of the masters. A master's pixel is half a pixel of a picture.
const (
	Edge  = 48 // rows and columns of a master
	Slope = 16 // steps of a master's byte for each of its pixels of distance to the outline, which is at 128
)

//go:embed masters.png
var sheet []byte

// drawSeed and the sets' numbers name the keys from which samples are drawn. The set is one for all, whatever the job's seed.
const (
	drawSeed = 0x676C79706873
	trainSet = 0
	evalSet  = 1
)

// Pictures is a set of pictures, decoded.
type Pictures struct {
	Values []byte  // N x Side x Side, 0 is background
	Labels []uint8 // N digits
}

// Generate makes the training and the evaluation set.
func Generate() (train, eval Pictures, err error) {
	m, err := decodeMasters(sheet)
	if err != nil {
		return train, eval, err
	}
	return m.set(trainSet, Train), m.set(evalSet, Eval), nil
}

// masters holds the fields, by face and digit, each with a border of background as wide as a pixel. An element holds
// the four pixels between which it interpolates: its own in the low byte, then those right of, below, and right below it.
type masters struct {
	faces  int
	fields []*[stride * stride]uint32 // faces x 10
}

const stride = Edge + 2

// decodeMasters cuts the sheet into its masters.
func decodeMasters(file []byte) (*masters, error) {
	decoded, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("decode the embedded digits: %w", err)
	}
	grey, ok := decoded.(*image.Gray)
	if !ok || grey.Rect.Dx() != 10*Edge || grey.Rect.Dy() < Edge || grey.Rect.Dy()%Edge != 0 {
		return nil, fmt.Errorf("decode the embedded digits: the sheet is not rows of ten grey masters of %d pixels", Edge)
	}
	m := &masters{faces: grey.Rect.Dy() / Edge}
	for i := range m.faces * 10 {
		face, digit := i/10, i%10
		field := make([]byte, stride*stride)
		for y := range Edge {
			row := grey.Pix[(face*Edge+y)*grey.Stride+digit*Edge:]
			copy(field[(y+1)*stride+1:], row[:Edge])
		}
		m.fields = append(m.fields, quads(field))
	}
	return m, nil
}

// quads packs each pixel of a field with its neighbours. Those of the last row and column are never asked for.
func quads(field []byte) *[stride * stride]uint32 {
	packed := new([stride * stride]uint32)
	for i := range len(field) - stride - 1 {
		packed[i] = uint32(field[i]) | uint32(field[i+1])<<8 | uint32(field[i+stride])<<16 | uint32(field[i+stride+1])<<24
	}
	return packed
}

func (m *masters) set(number uint64, n int) Pictures {
	p := Pictures{Values: make([]byte, n*Side*Side), Labels: make([]uint8, n)}
	for i := range n {
		key := rng.SetKey(drawSeed, number, uint64(i))
		p.Labels[i] = m.sample(p.Values[i*Side*Side:(i+1)*Side*Side], key)
	}
	return p
}
