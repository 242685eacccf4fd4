package dataset

import (
	"fmt"

	"ringmaster/internal/rng"
)

// pixels is a set of images of one size that lie decoded in memory, a byte a value.
type pixels struct {
	schema Schema
	values []byte   // N x channels x rows x columns
	labels []uint16 // N
	scales []*scale // for each channel, what a byte stands for
	plane  int      // values of a channel of one image

	columns int  // of an image; needed by augmentation alone
	crop    int  // images are padded by so many pixels of value 0 on each side and cut back to size at random; 0: are not
	flip    bool // images are mirrored left to right with a chance of one half
}

// imageSchema is that of images of a shape, labelled by classes.
func imageSchema(shape []int, classes int, labels []string) Schema {
	return Schema{
		{Name: "pixels", Type: Float32, Role: Input, Shape: shape},
		{Name: "label", Type: Int32, Role: Target, Classes: classes, Labels: labels},
	}
}

// Len is the number of images.
func (p *pixels) Len() int { return len(p.labels) }

// streamAugment is the stream below a seat's key from which augmentation draws. Layers count from 0.
const streamAugment = 1 << 32

// Read implements Set. Sample j of the batch draws from block j of the augmentation's stream.
func (p *pixels) Read(b *Batch, indices []int32, key rng.Key) {
	b.Resize(len(indices), p.schema)
	inputs, labels := b.Columns[0].Floats, b.Columns[1].Ints
	width := p.schema[0].Width()
	augment := !key.IsZero() && (p.crop > 0 || p.flip)
	if augment {
		key = key.Derive(streamAugment)
	}
	for j, index := range indices {
		dst, src := inputs[j*width:(j+1)*width], p.image(index)
		labels[j] = int32(p.labels[index])
		if augment {
			p.readAugmented(dst, src, key.Block(uint64(j)))
			continue
		}
		p.decode(dst, src, p.image(indices[min(j+readAhead, len(indices)-1)]))
	}
}

// readAhead is how many images before its turn an image is fetched into the cache: they come in random order, which no
// prefetcher foresees.
const readAhead = 2

// image is the bytes of an image.
func (p *pixels) image(index int32) []byte {
	if index < 0 || int(index) >= len(p.labels) {
		panic(fmt.Sprintf("dataset: sample %d of %d", index, len(p.labels)))
	}
	width := p.schema[0].Width()
	return p.values[int(index)*width : (int(index)+1)*width]
}

// decode is an image as it is. Meanwhile next is fetched.
func (p *pixels) decode(dst []float32, src, next []byte) {
	for c, scale := range p.scales {
		begin, end := c*p.plane, (c+1)*p.plane
		scale.decode(dst[begin:end], src[begin:end], next[begin:end])
	}
}

// readAugmented reads an image shifted by the first two words of the draw and mirrored by the lowest bit of the third.
func (p *pixels) readAugmented(dst []float32, src []byte, draw [4]uint32) {
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

// shiftRow sets out[x] to what src[x+right] stands for, and to what byte 0 stands for where src has nothing.
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

// shift is none: an epoch takes the images as they are.
func (p *pixels) shift(rng.Key) int32 { return 0 }

func (p *pixels) rowLength() int { return p.columns }
