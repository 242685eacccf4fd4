// Package augment changes training pictures at random.
//
// What an operation does to a picture, once its parameters are drawn, is what torchvision's transform of that name does to a Pillow image, value
// for value: bytes are rounded where Pillow rounds them. What it draws is a pure function of a key. Nothing allocates, and all of it gives the
// same bits on every CPU.
package augment

// Size is the shape of a picture: planes of bytes, one for each channel, row by row.
type Size struct {
	Channels, Rows, Columns int
}

// Plane is the number of bytes of a channel.
func (s Size) Plane() int { return s.Rows * s.Columns }

// Bytes is the number of bytes of a picture.
func (s Size) Bytes() int { return s.Channels * s.Plane() }

// box is a part of a picture.
type box struct {
	top, left, rows, columns int
}

// luminance is the brightness of a pixel as Pillow's convert("L") has it.
func luminance(r, g, b byte) byte {
	return byte((uint32(r)*19595 + uint32(g)*38470 + uint32(b)*7471 + 0x8000) >> 16)
}
