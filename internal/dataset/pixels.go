package dataset

import (
	"encoding/binary"
	"fmt"

	"ringmaster/internal/rng"
)

// pixels is a set of images of one size that lie decoded in memory, a byte a value.
type pixels struct {
	spec   Spec
	values []byte      // N x channels x rows x columns
	labels []uint16    // N
	table  [][]float32 // for each channel, what a byte stands for: 256 values
	plane  int         // values of a channel of one image

	columns int  // of an image; needed by augmentation alone
	crop    int  // images are padded by so many pixels of value 0 on each side and cut back to size at random; 0: are not
	flip    bool // images are mirrored left to right with a chance of one half
}

// Len is the number of images.
func (p *pixels) Len() int { return len(p.labels) }

// streamAugment is the stream below a seat's key from which augmentation draws. Layers count from 0.
const streamAugment = 1 << 32

// Read implements Set. Sample j of the batch draws from block j of the augmentation's stream.
func (p *pixels) Read(b *Batch, indices []int32, key rng.Key) {
	b.resize(len(indices), p.spec)
	width := p.spec.Width()
	augment := !key.IsZero() && (p.crop > 0 || p.flip)
	if augment {
		key = key.Derive(streamAugment)
	}
	for j, index := range indices {
		if index < 0 || int(index) >= len(p.labels) {
			panic(fmt.Sprintf("dataset: sample %d of %d", index, len(p.labels)))
		}
		b.Targets[j] = int32(p.labels[index])
		dst, src := b.Inputs[j*width:(j+1)*width], p.values[int(index)*width:(int(index)+1)*width]
		if augment {
			p.readAugmented(dst, src, key.Block(uint64(j)))
			continue
		}
		for c, table := range p.table {
			lookUp(dst[c*p.plane:(c+1)*p.plane], src[c*p.plane:(c+1)*p.plane], (*[256]float32)(table))
		}
	}
}

// lookUp sets dst[i] = table[src[i]], eight at a time: a seat reads all its samples so in every step.
func lookUp(dst []float32, src []byte, table *[256]float32) {
	for len(src) >= 8 && len(dst) >= 8 {
		word, out := binary.LittleEndian.Uint64(src), (*[8]float32)(dst)
		out[0], out[1], out[2], out[3] = table[byte(word)], table[byte(word>>8)], table[byte(word>>16)], table[byte(word>>24)]
		out[4], out[5], out[6], out[7] = table[byte(word>>32)], table[byte(word>>40)], table[byte(word>>48)], table[byte(word>>56)]
		src, dst = src[8:], dst[8:]
	}
	for i, v := range src {
		dst[i] = table[v]
	}
}

// readAugmented reads an image shifted by the first two words of the draw and mirrored by the lowest bit of the third.
func (p *pixels) readAugmented(dst []float32, src []byte, draw [4]uint32) {
	span := uint64(2*p.crop + 1)
	down := int(uint64(draw[0])*span>>32) - p.crop
	right := int(uint64(draw[1])*span>>32) - p.crop
	mirror := p.flip && draw[2]&1 == 1
	rows := p.plane / p.columns
	for c := range p.table {
		table := (*[256]float32)(p.table[c])
		plane := src[c*p.plane : (c+1)*p.plane]
		for y := range rows {
			out := dst[c*p.plane+y*p.columns:][:p.columns]
			if y+down < 0 || y+down >= rows {
				fill(out, table[0])
				continue
			}
			shiftRow(out, plane[(y+down)*p.columns:][:p.columns], right, table)
			if mirror {
				reverse(out)
			}
		}
	}
}

// shiftRow sets out[x] = src[x+right] through the table, and what byte 0 stands for where src has nothing.
func shiftRow(out []float32, src []byte, right int, table *[256]float32) {
	begin := min(max(-right, 0), len(out))
	end := max(min(len(out)-right, len(out)), begin)
	fill(out[:begin], table[0])
	if begin < end {
		lookUp(out[begin:end], src[begin+right:end+right], table)
	}
	fill(out[end:], table[0])
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

// unitTable maps a byte v to v/255, rounded once.
func unitTable() []float32 {
	table := make([]float32, 256)
	for v := range table {
		table[v] = float32(v) / 255
	}
	return table
}

// standardTable maps a byte v to (v/255 - mean) / deviation, in float64 and rounded once.
func standardTable(mean, deviation float64) []float32 {
	table := make([]float32, 256)
	for v := range table {
		table[v] = float32((float64(v)/255 - mean) / deviation)
	}
	return table
}
