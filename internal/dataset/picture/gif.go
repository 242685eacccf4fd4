package picture

import (
	"bytes"
	"image"
	"image/gif"
)

// decodeGIF decodes the first frame of a file onto the whole picture. Pixels outside the frame have the colour that is
// transparent, or else the palette's first.
func decodeGIF(raw []byte) (image.Image, string, error) {
	opaque, transparent := withoutTransparency(raw)
	m, err := gif.Decode(bytes.NewReader(opaque))
	if err != nil {
		return nil, "", err
	}
	header, err := gif.DecodeConfig(bytes.NewReader(raw))
	if err != nil {
		return nil, "", err
	}
	frame, ok := m.(*image.Paletted)
	whole := image.Rect(0, 0, header.Width, header.Height)
	if !ok || frame.Rect == whole {
		return m, "", nil
	}
	canvas := image.NewPaletted(whole, frame.Palette)
	for i := range canvas.Pix {
		canvas.Pix[i] = transparent
	}
	part := frame.Rect.Intersect(whole)
	for y := part.Min.Y; y < part.Max.Y; y++ {
		copy(canvas.Pix[canvas.PixOffset(part.Min.X, y):][:part.Dx()], frame.Pix[frame.PixOffset(part.Min.X, y):])
	}
	return canvas, "", nil
}

// A GIF file is a header of 6 bytes, the screen's 7, a table of colours, and blocks: extensions (0x21, label, sub-blocks), of which the
// graphic control (0xf9) says which colour is transparent, and frames (0x2c). A sub-block is a length and that many bytes; 0 ends them.

// withoutTransparency is the file with no colour transparent in its first frame: the decoder would forget what colour it was. It
// returns the number of that colour too, 0 for none.
func withoutTransparency(raw []byte) (opaque []byte, transparent uint8) {
	at := afterColours(raw, 10, 13)
	for at+1 < len(raw) && raw[at] == 0x21 {
		control := raw[at+1] == 0xf9
		for at += 2; at < len(raw) && raw[at] != 0; at += 1 + int(raw[at]) {
			if control && raw[at] >= 4 && at+4 < len(raw) && raw[at+1]&1 != 0 {
				if opaque == nil {
					opaque = bytes.Clone(raw)
				}
				opaque[at+1] &^= 1
				transparent = raw[at+4]
			}
		}
		at++
	}
	if opaque == nil {
		return raw, 0
	}
	return opaque, transparent
}

// afterColours is where a table of colours that may begin at a place ends. A byte of flags says whether it is there.
func afterColours(raw []byte, flags, at int) int {
	if flags < len(raw) && raw[flags]&0x80 != 0 {
		at += 3 << (raw[flags]&7 + 1)
	}
	return at
}
