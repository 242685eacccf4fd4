package picture

import (
	"image"
	"image/color"

	"ringmaster/internal/dataset/picture/jpeg"
)

// Picture is a decoded picture. Its corner is (0, 0).
type Picture struct {
	Size image.Point
	Note string // what is odd about the file; "": nothing

	turn   orientation
	stored image.Rectangle // as the file has it
	colour func(x, y int) (r, g, b uint8)
}

func newPicture(m image.Image, turn orientation, note string) *Picture {
	p := &Picture{Size: m.Bounds().Size(), Note: note, turn: turn, stored: m.Bounds(), colour: coloursOf(m)}
	if turn.transposes() {
		p.Size.X, p.Size.Y = p.Size.Y, p.Size.X
	}
	return p
}

// Of is the picture that an image shows.
func Of(m image.Image) *Picture { return newPicture(m, upright, "") }

// At is the colour of a pixel of the picture.
func (p *Picture) At(x, y int) (r, g, b uint8) {
	if p.turn != upright {
		x, y = p.turn.source(x, y, p.stored.Dx(), p.stored.Dy())
	}
	return p.colour(p.stored.Min.X+x, p.stored.Min.Y+y)
}

// coloursOf is the function that gives the colour of a pixel of an image. Of 16 bits the upper 8 count.
func coloursOf(m image.Image) func(x, y int) (r, g, b uint8) {
	switch m := m.(type) {
	case *image.YCbCr:
		return func(x, y int) (r, g, b uint8) {
			at, chroma := m.YOffset(x, y), m.COffset(x, y)
			return jpeg.Colour(m.Y[at], m.Cb[chroma], m.Cr[chroma])
		}
	case *image.Gray:
		return func(x, y int) (r, g, b uint8) {
			v := m.Pix[m.PixOffset(x, y)]
			return v, v, v
		}
	case *image.NRGBA:
		return func(x, y int) (r, g, b uint8) {
			p := m.Pix[m.PixOffset(x, y):]
			return p[0], p[1], p[2]
		}
	case *image.RGBA:
		return func(x, y int) (r, g, b uint8) {
			p := m.Pix[m.PixOffset(x, y):][:4:4]
			if p[3] == 255 {
				return p[0], p[1], p[2]
			}
			return solid(color.RGBA{p[0], p[1], p[2], p[3]})
		}
	case *image.Paletted:
		return palette(m)
	}
	return func(x, y int) (r, g, b uint8) { return solid(m.At(x, y)) }
}

// palette looks colours up. A pixel outside the palette has its first colour.
func palette(m *image.Paletted) func(x, y int) (r, g, b uint8) {
	var table [256][3]uint8
	for i := range table {
		if len(m.Palette) > 0 {
			c := m.Palette[0]
			if i < len(m.Palette) {
				c = m.Palette[i]
			}
			table[i][0], table[i][1], table[i][2] = solid(c)
		}
	}
	return func(x, y int) (r, g, b uint8) {
		c := &table[m.Pix[m.PixOffset(x, y)]]
		return c[0], c[1], c[2]
	}
}

// solid is a colour without its transparency.
func solid(c color.Color) (r, g, b uint8) {
	switch c := c.(type) {
	case color.NRGBA:
		return c.R, c.G, c.B
	case color.NRGBA64:
		return uint8(c.R >> 8), uint8(c.G >> 8), uint8(c.B >> 8)
	}
	red, green, blue, alpha := c.RGBA()
	if alpha != 0 && alpha != 0xffff { // the colour was multiplied by it
		red, green, blue = min(red*0xffff/alpha, 0xffff), min(green*0xffff/alpha, 0xffff), min(blue*0xffff/alpha, 0xffff)
	}
	return uint8(red >> 8), uint8(green >> 8), uint8(blue >> 8)
}
