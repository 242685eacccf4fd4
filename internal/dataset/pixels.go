package dataset

import (
	"fmt"
	"io"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset/picture"
)

// pixels is the transform that makes numbers of the bytes of pictures of one size, channel by channel, and in training shifts and mirrors
// them at random.
type pixels struct {
	shape   []int    // of the numbers: [channels rows columns], or [values] for one channel
	scales  []*scale // for each channel, the value of a byte
	plane   int      // values of a channel of one picture
	columns int

	fit *picture.Fit // how photos are brought to the size; nil: see ReadPhoto

	crop int  // pictures are padded by this many pixels of value 0 on each side and cropped back to size at random; 0: no crop
	flip bool // pictures are mirrored left to right with a chance of one half

	entries []config.Augmentation // of data.augment
}

// The fields of labelled pictures.
const (
	pixelsField = "pixels"
	labelField  = "label"
)

// Fields implements Transform.
func (p *pixels) Fields(Schema) ([]string, []Field, error) {
	return []string{pixelsField}, []Field{{Name: pixelsField, Type: Float32, Role: Input, Shape: p.shape}}, nil
}

// Apply implements Transform.
func (p *pixels) Apply(out, in []Value, draw Draw) {
	dst, src := out[0].Floats, in[0].Bytes
	if !draw.Off() && (p.crop > 0 || p.flip) {
		p.augment(dst, src, draw.Block(streamAugment))
		return
	}
	p.decode(dst, src, in[0].Ahead)
}

// decode is a picture as it is. Meanwhile next is fetched.
func (p *pixels) decode(dst []float32, src, next []byte) {
	for c, scale := range p.scales {
		begin, end := c*p.plane, (c+1)*p.plane
		scale.decode(dst[begin:end], src[begin:end], next[begin:end])
	}
}

// augment reads a picture shifted by the first two words of the draw and mirrored by the lowest bit of the third.
func (p *pixels) augment(dst []float32, src []byte, draw [4]uint32) {
	span := uint64(2*p.crop + 1)
	down := int(uint64(draw[0])*span>>32) - p.crop
	right := int(uint64(draw[1])*span>>32) - p.crop
	mirror := p.flip && draw[2]&1 == 1
	rows := p.plane / p.columns
	for c, scale := range p.scales {
		plane := src[c*p.plane : (c+1)*p.plane]
		for y := range rows {
			out := dst[c*p.plane+y*p.columns:][:p.columns]
			if y+down < 0 || y+down >= rows {
				fill(out, scale.table[0])
				continue
			}
			shiftRow(out, plane[(y+down)*p.columns:][:p.columns], right, scale)
			if mirror {
				reverse(out)
			}
		}
	}
}

// shiftRow sets out[x] to the value of src[x+right], and to the value of byte 0 beyond src.
func shiftRow(out []float32, src []byte, right int, scale *scale) {
	begin := min(max(-right, 0), len(out))
	end := max(min(len(out)-right, len(out)), begin)
	fill(out[:begin], scale.table[0])
	if begin < end {
		from := src[begin+right : end+right]
		scale.decode(out[begin:end], from, from)
	}
	fill(out[end:], scale.table[0])
}

func fill(dst []float32, v float32) {
	for i := range dst {
		dst[i] = v
	}
}

func reverse(row []float32) {
	for i, j := 0, len(row)-1; i < j; i, j = i+1, j-1 {
		row[i], row[j] = row[j], row[i]
	}
}

// pictures is the reader of labelled pictures of one size, in memory or in a file of their own.
type pictures struct {
	schema Schema
	width  int    // bytes of a picture
	values []byte // N x width; nil where they are in the file
	file   io.ReaderAt
	labels []int32 // N
}

// pictureSchema is that of records of pictures of a shape, labelled by classes.
func pictureSchema(shape []int, classes int, labels []string) Schema {
	return Schema{
		{Name: pixelsField, Type: Uint8, Role: Input, Shape: shape},
		labelOf(classes, labels),
	}
}

// labelOf is the field of a class.
func labelOf(classes int, labels []string) Field {
	return Field{Name: labelField, Type: Int32, Role: Target, Classes: classes, Labels: labels}
}

// Schema implements Reader.
func (p *pictures) Schema() Schema { return p.schema }

// Len implements Reader.
func (p *pictures) Len() int { return len(p.labels) }

// Resident implements Reader.
func (p *pictures) Resident() bool { return p.file == nil }

// Read implements Reader.
func (p *pictures) Read(r Record, number int) error {
	if number < 0 || number >= len(p.labels) {
		panic(fmt.Sprintf("dataset: sample %d of %d", number, len(p.labels)))
	}
	r[1].Ints = p.labels[number : number+1]
	if p.file == nil {
		r[0].Bytes = p.values[number*p.width : (number+1)*p.width]
		return nil
	}
	if _, err := p.file.ReadAt(r[0].OwnBytes(p.width), int64(number)*int64(p.width)); err != nil {
		return unspilled(err)
	}
	return nil
}
