// Command gen draws the masters of the embedded digits: every digit in every distinct face of the Go fonts, as a field
// of distances to the outline, side by side in one grey PNG (a row a face, a column a digit). It is run by go generate
// in the folder above; what it writes is committed, so that the data set does not change with a font or a rasteriser.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"os"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gobolditalic"
	"golang.org/x/image/font/gofont/goitalic"
	"golang.org/x/image/font/gofont/gomedium"
	"golang.org/x/image/font/gofont/gomediumitalic"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/gomonobold"
	"golang.org/x/image/font/gofont/gomonobolditalic"
	"golang.org/x/image/font/gofont/gomonoitalic"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/gofont/gosmallcaps"
	"golang.org/x/image/font/gofont/gosmallcapsitalic"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"ringmaster/internal/dataset/glyphs"
)

// fine is how many pixels of the drawing make one of the master.
const fine = 8

// height is that of a digit, in pixels of the master.
const height = 40

var faces = [][]byte{
	goregular.TTF, gomedium.TTF, gobold.TTF, goitalic.TTF, gomediumitalic.TTF, gobolditalic.TTF,
	gomono.TTF, gomonobold.TTF, gomonoitalic.TTF, gomonobolditalic.TTF, gosmallcaps.TTF, gosmallcapsitalic.TTF,
}

func main() {
	out := flag.String("out", "masters.png", "file to write")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	sheet, err := drawSheet()
	if err != nil {
		return err
	}
	return os.WriteFile(out, sheet, 0o644)
}

// drawSheet is the sheet of masters as a PNG file.
func drawSheet() ([]byte, error) {
	var rows [][]byte // of distinct faces: ten masters each
	for _, ttf := range faces {
		row, err := drawFace(ttf)
		if err != nil {
			return nil, err
		}
		if !contains(rows, row) {
			rows = append(rows, row)
		}
	}
	sheet := image.NewGray(image.Rect(0, 0, 10*glyphs.Edge, len(rows)*glyphs.Edge))
	for f, row := range rows {
		for i, v := range row {
			digit, y, x := i/(glyphs.Edge*glyphs.Edge), i/glyphs.Edge%glyphs.Edge, i%glyphs.Edge
			sheet.SetGray(digit*glyphs.Edge+x, f*glyphs.Edge+y, color.Gray{Y: v})
		}
	}
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&b, sheet); err != nil {
		return nil, fmt.Errorf("encode the masters: %w", err)
	}
	return b.Bytes(), nil
}

// contains reports whether a face draws all its digits as an earlier one does (small capitals share theirs).
func contains(rows [][]byte, row []byte) bool {
	for _, r := range rows {
		if bytes.Equal(r, row) {
			return true
		}
	}
	return false
}

// drawFace is the ten masters of a face, one after another. All digits of a face have one scale, at which a zero is
// height pixels high.
func drawFace(ttf []byte) ([]byte, error) {
	parsed, err := opentype.Parse(ttf)
	if err != nil {
		return nil, fmt.Errorf("parse the font: %w", err)
	}
	size, err := faceSize(parsed)
	if err != nil {
		return nil, err
	}
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingNone})
	if err != nil {
		return nil, fmt.Errorf("scale the font: %w", err)
	}
	var masters []byte
	for digit := '0'; digit <= '9'; digit++ {
		masters = append(masters, distances(drawDigit(face, digit))...)
	}
	return masters, nil
}

// faceSize is the size, in pixels an em, at which the face's zero is height master pixels high.
func faceSize(parsed *opentype.Font) (float64, error) {
	const trial = 1000
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: trial, DPI: 72, Hinting: font.HintingNone})
	if err != nil {
		return 0, fmt.Errorf("scale the font: %w", err)
	}
	bounds, _, ok := face.GlyphBounds('0')
	if !ok {
		return 0, fmt.Errorf("the font has no zero")
	}
	return trial * height * fine * 64 / float64(bounds.Max.Y-bounds.Min.Y), nil
}

// drawDigit draws a digit with the middle of its bounding box in the middle of the picture: true is ink.
func drawDigit(face font.Face, digit rune) []bool {
	const edge = glyphs.Edge * fine
	bounds, _, _ := face.GlyphBounds(digit)
	picture := image.NewAlpha(image.Rect(0, 0, edge, edge))
	pen := font.Drawer{Dst: picture, Src: image.Opaque, Face: face, Dot: fixed.Point26_6{
		X: fixed.I(edge)/2 - (bounds.Min.X+bounds.Max.X)/2,
		Y: fixed.I(edge)/2 - (bounds.Min.Y+bounds.Max.Y)/2,
	}}
	draw.Draw(picture, picture.Bounds(), image.Transparent, image.Point{}, draw.Src)
	pen.DrawString(string(digit))
	ink := make([]bool, edge*edge)
	for i, a := range picture.Pix {
		ink[i] = a >= 128
	}
	return ink
}

// distances samples the picture's field of distances in the middle of each master pixel: 128 on the outline, and
// glyphs.Slope more for each master pixel that a point lies within the ink, as much less outside, clamped to a byte.
func distances(ink []bool) []byte {
	const edge = glyphs.Edge * fine
	const reach = 128/glyphs.Slope*fine + 1
	toInk, toPaper := along(ink, true), along(ink, false)
	field := make([]byte, glyphs.Edge*glyphs.Edge)
	for i := range field {
		y, x := i/glyphs.Edge*fine+fine/2, i%glyphs.Edge*fine+fine/2
		inside, other := ink[y*edge+x], toInk
		if inside {
			other = toPaper
		}
		nearest := reach * reach
		for v := max(y-reach, 0); v < min(y+reach, edge); v++ {
			nearest = min(nearest, (v-y)*(v-y)+other[v*edge+x]*other[v*edge+x])
		}
		// The outline runs half a fine pixel before the nearest pixel of the other kind.
		distance := (math.Sqrt(float64(nearest)) - 0.5) / fine * glyphs.Slope
		if !inside {
			distance = -distance
		}
		field[i] = byte(min(max(math.Round(128+distance), 0), 255))
	}
	return field
}

// along is, for every pixel, the distance to the nearest pixel of the wanted kind in its row; a row without one is as
// far away as the picture is wide.
func along(ink []bool, wanted bool) []int {
	const edge = glyphs.Edge * fine
	far := make([]int, len(ink))
	for y := range edge {
		row, distance := far[y*edge:(y+1)*edge], edge
		for x := range row {
			if distance++; ink[y*edge+x] == wanted {
				distance = 0
			}
			row[x] = min(distance, edge)
		}
		distance = edge
		for x := edge - 1; x >= 0; x-- {
			if distance++; ink[y*edge+x] == wanted {
				distance = 0
			}
			row[x] = min(row[x], distance)
		}
	}
	return far
}
