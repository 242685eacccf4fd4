// Package picture decodes picture files into the red, green and blue that other programs see in them: transparency is dropped and not
// blended with anything, as Pillow's and torchvision's convert("RGB") do, and a picture is turned as its EXIF orientation says, as
// viewers do. The memory that a file needs is known from its header before it is decoded.
package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/png"
	"io"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"

	"ringmaster/internal/dataset/picture/jpeg"
)

// Formats are the formats that are read, for messages.
const Formats = "JPEG, PNG, GIF, BMP, TIFF or WebP"

// Endings are how the names of picture files end, in lower case.
var Endings = []string{".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp"}

// format is one format of files.
type format struct {
	name   string
	magics []string // what a file begins with; ? is any byte
	config func(raw []byte) (image.Config, error)
	decode func(raw []byte) (image.Image, string, error) // with a note on what is odd about the file
}

var formats = []format{
	{"JPEG", []string{"\xff\xd8"}, configJPEG, jpeg.Decode},
	{"PNG", []string{"\x89PNG\r\n\x1a\n"}, header(png.DecodeConfig), plainly(png.Decode)},
	{"GIF", []string{"GIF87a", "GIF89a"}, header(gif.DecodeConfig), decodeGIF},
	{"BMP", []string{"BM????\x00\x00\x00\x00"}, header(bmp.DecodeConfig), plainly(bmp.Decode)},
	{"TIFF", []string{"II\x2a\x00", "MM\x00\x2a"}, header(tiff.DecodeConfig), plainly(tiff.Decode)},
	{"WebP", []string{"RIFF????WEBPVP8"}, header(webp.DecodeConfig), decodeWebP},
}

func header(config func(io.Reader) (image.Config, error)) func([]byte) (image.Config, error) {
	return func(raw []byte) (image.Config, error) { return config(bytes.NewReader(raw)) }
}

func plainly(decode func(io.Reader) (image.Image, error)) func([]byte) (image.Image, string, error) {
	return func(raw []byte) (image.Image, string, error) {
		m, err := decode(bytes.NewReader(raw))
		return m, "", err
	}
}

// formatOf is the format of a file, by how it begins; nil: none that is read.
func formatOf(raw []byte) *format {
	for i := range formats {
		for _, magic := range formats[i].magics {
			if begins(raw, magic) {
				return &formats[i]
			}
		}
	}
	return nil
}

func begins(raw []byte, magic string) bool {
	if len(raw) < len(magic) {
		return false
	}
	for i := range len(magic) {
		if magic[i] != '?' && raw[i] != magic[i] {
			return false
		}
	}
	return true
}

// Size is the columns and rows of a picture as it is seen, from the header of its file alone. Errors are as Decode's.
func Size(raw []byte) (image.Point, error) {
	f := formatOf(raw)
	if f == nil {
		return image.Point{}, fault(nil, errUnknown, len(raw))
	}
	config, err := f.config(raw)
	if err != nil {
		return image.Point{}, fault(f, err, len(raw))
	}
	size := image.Pt(config.Width, config.Height)
	if orientationOf(f.name, raw).transposes() {
		size.X, size.Y = size.Y, size.X
	}
	return size, nil
}

// Decode decodes a file of which Size has said what it costs. An error says what is wrong in words that follow the file's name.
func Decode(raw []byte) (*Picture, error) {
	f := formatOf(raw)
	if f == nil {
		return nil, fault(nil, errUnknown, len(raw))
	}
	m, note, err := f.decode(raw)
	if err != nil {
		return nil, fault(f, err, len(raw))
	}
	return newPicture(m, orientationOf(f.name, raw), note), nil
}

var errUnknown = errors.New("unknown format")

// fault says what is wrong with a file of size bytes.
func fault(f *format, err error, size int) error {
	switch {
	case size == 0:
		return errors.New("is empty")
	case f == nil:
		return errors.New("is not in the format " + Formats)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("is cut short: it ends at byte %d, within the picture", size)
	}
	return fmt.Errorf("cannot be decoded as %s (%v)", f.name, err)
}

// configJPEG is the size of a JPEG.
func configJPEG(raw []byte) (image.Config, error) {
	columns, rows, err := jpeg.DecodeConfig(raw)
	return image.Config{Width: columns, Height: rows}, err
}
