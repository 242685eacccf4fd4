package dataset

import (
	"fmt"
	"image"
	"image/color"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ringmaster/internal/dataset/picture"
)

// PictureFormats are the formats of the picture files that are read, for messages.
const PictureFormats = picture.Formats

// maxPhotoPixels bounds the pixels of a photo, which may be much larger than a sample.
const maxPhotoPixels = 1 << 27

// ReadPhoto makes the batch one sample from a photo of any size, for a model that was trained on this
// data's images: brought to their size as data.resize says; without it the middle of the photo with the samples' aspect, brought to their size by averaging the pixels that
// fall on each, and mapped as they are. Where samples have a single channel the photo is made grey, and reversed if it
// shows dark ink on light paper, since digits are light on dark. The target is 0 and means nothing. notes say what is odd about the file.
func (d *Data) ReadPhoto(b *Batch, path string) (notes []string, err error) {
	p := d.pixels
	if p == nil {
		return nil, fmt.Errorf("photo %s: the model was not trained on images; give it a text to continue by --prompt", path)
	}
	raw, err := readBounded("photo", path, maxImageFile)
	if err != nil {
		return nil, err
	}
	photo, err := decodePhoto(raw, "name a whole picture file")
	if err != nil {
		return nil, fmt.Errorf("photo %s %w", path, err)
	}
	if photo.Note != "" {
		notes = append(notes, fmt.Sprintf("photo %s %s", path, photo.Note))
	}
	b.Resize(1, d.Schema)
	for k := range b.Columns {
		if d.Schema[k].Role == Input && k != 0 {
			return nil, fmt.Errorf("photo %s: the model reads %s beside the picture, which no photo has", path, d.Schema[k].Name)
		}
		clear(b.Columns[k].Ints)
		clear(b.Columns[k].Floats)
	}
	values, err := p.ofPhoto(photo)
	if err != nil {
		return nil, fmt.Errorf("photo %s %w", path, err)
	}
	p.decode(b.Columns[0].Floats, values, values)
	return notes, nil
}

// ShowsPictures reports whether the model's inputs are pictures, which it reads from files.
func (d *Data) ShowsPictures() bool { return d.pixels != nil }

// maxPhotoList bounds a list of photos in bytes.
const maxPhotoList = 64 << 20

// ListPhotos lists the pictures that a path denotes: a folder's, by their names; the files that a text lists, one a line, or stdin's for
// the path -; or the one picture that it is.
func ListPhotos(path string, stdin io.Reader) ([]string, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return photosIn(path)
	}
	if slices.Contains(picture.Endings, strings.ToLower(filepath.Ext(path))) {
		return []string{path}, nil
	}
	var raw []byte
	var err error
	if path == "-" {
		path = "standard input"
		if raw, err = io.ReadAll(io.LimitReader(stdin, maxPhotoList+1)); err == nil && len(raw) > maxPhotoList {
			err = fmt.Errorf("more than %d bytes", maxPhotoList)
		}
	} else {
		raw, err = readBounded("list", path, maxPhotoList)
	}
	if err != nil {
		return nil, err
	}
	var files []string
	for line := range strings.Lines(string(raw)) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			files = append(files, line)
		}
	}
	if len(files) == 0 || strings.ContainsRune(string(raw), 0) {
		return nil, fmt.Errorf("%s is no list of picture files, one a line", path)
	}
	return files, nil
}

// photosIn lists the pictures of a folder.
func photosIn(dir string) (files []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if _, is := hidden(e.Name()); !is && !e.IsDir() && slices.Contains(picture.Endings, strings.ToLower(filepath.Ext(e.Name()))) {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there are no pictures (%s) in %s", PictureFormats, dir)
	}
	return files, nil
}

// ofPhoto is a photo as the bytes of a sample.
func (p *pixels) ofPhoto(photo *picture.Picture) ([]byte, error) {
	if p.fit == nil {
		return p.shrink(photo), nil
	}
	values := make([]byte, len(p.scales)*p.plane)
	return values, p.fit.Planes(values, photo)
}

// shrink is the middle of a photo as the bytes of a sample.
func (p *pixels) shrink(photo *picture.Picture) []byte {
	rows := p.plane / p.columns
	middle := middleOf(image.Rectangle{Max: photo.Size}, p.columns, rows)
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
func meanColour(m *picture.Picture, part image.Rectangle) (mean [3]byte) {
	var sum [3]uint64
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for x := part.Min.X; x < part.Max.X; x++ {
			r, g, b := m.At(x, y)
			sum[0], sum[1], sum[2] = sum[0]+uint64(r), sum[1]+uint64(g), sum[2]+uint64(b)
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

// Picture is what a model gives for a sample's pixels as a picture: of one channel grey, of three in colours. Values beyond those of a
// picture are the nearest ones, and what is no number is black.
func (d *Data) Picture(values []float32) image.Image {
	p := d.pixels
	bytes := make([]byte, len(values))
	for i, v := range values {
		table := &p.scales[i/p.plane].table
		if share := (v - table[0]) / (table[255] - table[0]); share > 0 {
			bytes[i] = byte(float32(min(share, 1)*255) + 0.5)
		}
	}
	area := image.Rect(0, 0, p.columns, p.plane/p.columns)
	if len(p.scales) == 1 {
		return &image.Gray{Pix: bytes, Stride: p.columns, Rect: area}
	}
	picture := image.NewRGBA(area)
	for i := range p.plane {
		picture.Set(i%p.columns, i/p.columns, color.RGBA{bytes[i], bytes[p.plane+i], bytes[2*p.plane+i], 255})
	}
	return picture
}
