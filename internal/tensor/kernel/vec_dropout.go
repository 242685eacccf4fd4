package kernel

import (
	"fmt"
	"math/bits"
)

// Constants of Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3, SC'11).
const (
	philoxM0     = 0xd2511f53
	philoxM1     = 0xcd9e8d57
	philoxW0     = 0x9e3779b9
	philoxW1     = 0xbb67ae85
	philoxRounds = 10
)

// Philox is one block of Philox4x32-10: four random words from a key and a counter whose high 64 bits are 0.
func Philox(key [2]uint32, counter uint64) [4]uint32 {
	c0, c1, c2, c3 := uint32(counter), uint32(counter>>32), uint32(0), uint32(0)
	k0, k1 := key[0], key[1]
	for range philoxRounds {
		h0, l0 := bits.Mul32(philoxM0, c0)
		h1, l1 := bits.Mul32(philoxM1, c2)
		c0, c1, c2, c3 = h1^c1^k0, l1, h0^c3^k1, l0
		k0 += philoxW0
		k1 += philoxW1
	}
	return [4]uint32{c0, c1, c2, c3}
}

// Dropout sets dst[i] = 0 with probability p, else x[i]/(1-p), by the random word of element offset+i: word
// (offset+i) mod 4 of the Philox block with counter (offset+i)/4; the element is dropped where the word is below p*2^32.
// p is in [0, 1). The same call with gradients is the backward form. Parts of a vector may be computed apart, each with
// the offset of its first element.
func Dropout(dst, x []float32, key [2]uint32, offset uint64, p float32) {
	sameLength("Dropout", len(dst), len(x))
	if !(p >= 0 && p < 1) {
		panic(fmt.Sprintf("kernel: Dropout: probability %v is outside [0, 1)", p))
	}
	dropoutVec(dst, x, key, offset, uint32(float64(p)*0x1p32), 1/(1-p))
}

func dropoutGo(dst, x []float32, key [2]uint32, offset uint64, threshold uint32, scale float32) {
	var block [4]uint32
	for i, v := range x {
		at := offset + uint64(i)
		if i == 0 || at%4 == 0 {
			block = Philox(key, at/4)
		}
		v *= scale
		if block[at%4] < threshold {
			v = 0
		}
		dst[i] = v
	}
}
