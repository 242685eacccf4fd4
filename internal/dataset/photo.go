package dataset

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
)

// PictureFormats are the formats of the picture files that are read, for messages.
const PictureFormats = "JPEG or PNG"

// maxPhotoPixels bounds the pixels of a photo, which may be much larger than a sample.
const maxPhotoPixels = 1 << 27

// ReadPhoto makes the batch one sample from a photo of any size (JPEG or PNG), for a model that was trained on this
// data's images: the middle of the photo with the samples' aspect, brought to their size by averaging the pixels that
// fall on each, and mapped as they are. Where samples have a single channel the photo is made grey, and reversed if it
// shows dark ink on light paper, since digits are light on dark. The target is 0 and means nothing. notes say what is odd about the file.
func (d *Data) ReadPhoto(b *Batch, path string) (notes []string, err error) {
	p, ok := d.Train.(*pixels)
	if !ok {
		return nil, fmt.Errorf("photo %s: the model was not trained on images; give it a text to continue by --prompt", path)
	}
	raw, err := readBounded("photo", path, maxImageFile)
	if err != nil {
		return nil, err
	}
	header, _, err := image.DecodeConfig(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("photo %s %s: name a whole JPEG or PNG file", path, imageFault(err, len(raw)))
	}
	if header.Width < 1 || header.Height < 1 || header.Height > maxPhotoPixels/header.Width {
		return nil, fmt.Errorf("photo %s: %d x %d pixels; it may have %d in all: scale it down", path, header.Width, header.Height, maxPhotoPixels)
	}
	photo, _, err := image.Decode(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("photo %s %s: name a whole JPEG or PNG file", path, imageFault(err, len(raw)))
	}
	b.Resize(1, p.schema)
	b.Columns[1].Ints[0] = 0
	values := p.shrink(photo)
	p.decode(b.Columns[0].Floats, values, values)
	return nil, nil
}

// shrink is the middle of a photo as the bytes of a sample.
func (p *pixels) shrink(photo image.Image) []byte {
	rows := p.plane / p.columns
	middle := middleOf(photo.Bounds(), p.columns, rows)
	values := make([]byte, len(p.scales)*p.plane)
	for y := range rows {
		top, bottom := stretch(middle.Min.Y, middle.Dy(), y, rows)
		for x := range p.columns {
			left, right := stretch(middle.Min.X, middle.Dx(), x, p.columns)
			mean := meanColour(photo, image.Rect(left, top, right, bottom))
			at := y*p.columns + x
			if len(p.scales) == 1 {
				values[at] = luminance(mean)
				continue
			}
			values[at], values[p.plane+at], values[2*p.plane+at] = mean[0], mean[1], mean[2]
		}
	}
	if len(p.scales) == 1 {
		p.lightOnDark(values)
	}
	return values
}

// middleOf is the largest part in the middle of a photo that has the aspect of columns x rows.
func middleOf(bounds image.Rectangle, columns, rows int) image.Rectangle {
	width, height := bounds.Dx(), bounds.Dy()
	if width*rows > height*columns {
		width = max(height*columns/rows, 1)
	} else {
		height = max(width*rows/columns, 1)
	}
	left, top := bounds.Min.X+(bounds.Dx()-width)/2, bounds.Min.Y+(bounds.Dy()-height)/2
	return image.Rect(left, top, left+width, top+height)
}

// stretch is what part k of n covers of length pixels from begin on: at least one.
func stretch(begin, length, k, n int) (from, to int) {
	from = begin + k*length/n
	return from, max(begin+(k+1)*length/n, from+1)
}

// meanColour is the mean of red, green and blue over a part of a picture.
func meanColour(m image.Image, part image.Rectangle) (mean [3]byte) {
	var sum [3]uint64
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for x := part.Min.X; x < part.Max.X; x++ {
			r, g, b, _ := m.At(x, y).RGBA()
			sum[0], sum[1], sum[2] = sum[0]+uint64(r>>8), sum[1]+uint64(g>>8), sum[2]+uint64(b>>8)
		}
	}
	count := uint64(part.Dx() * part.Dy())
	for c := range mean {
		mean[c] = byte((sum[c] + count/2) / count)
	}
	return mean
}

func luminance(c [3]byte) byte {
	return color.GrayModel.Convert(color.RGBA{c[0], c[1], c[2], 255}).(color.Gray).Y
}

// lightOnDark reverses a picture whose border is light on the whole.
func (p *pixels) lightOnDark(values []byte) {
	border, count := 0, 0
	for i, v := range values {
		if x := i % p.columns; i < p.columns || i >= p.plane-p.columns || x == 0 || x == p.columns-1 {
			border, count = border+int(v), count+1
		}
	}
	if border < 128*count {
		return
	}
	for i, v := range values {
		values[i] = 255 - v
	}
}
