package dataset

import (
	"encoding/binary"

	"ringmaster/internal/tensor/kernel"
)

// scale maps the bytes of a channel to values.
type scale struct {
	table [256]float32
	unit  bool // v/255: a kernel computes that faster than it is looked up
}

// unitScale maps a byte v to v/255, rounded once.
func unitScale() *scale {
	s := &scale{unit: true}
	for v := range s.table {
		s.table[v] = float32(v) / 255
	}
	return s
}

// standardScale maps a byte v to (v/255 - mean) / deviation, in float64 and rounded once.
func standardScale(mean, deviation float64) *scale {
	s := &scale{}
	for v := range s.table {
		s.table[v] = float32((float64(v)/255 - mean) / deviation)
	}
	return s
}

// decode sets dst[i] to the value of src[i]. A seat reads all its samples with it in every step. next is what it
// reads soon, as many bytes.
func (s *scale) decode(dst []float32, src, next []byte) {
	if s.unit {
		kernel.UnitBytes(dst, src, next)
		return
	}
	lookUp(dst, src, &s.table)
}

// lookUp sets dst[i] = table[src[i]], eight at a time.
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
