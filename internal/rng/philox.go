// Package rng draws random numbers as a pure function of a key and a counter. There is no generator with a state to
// save or to share: element i of a stream is the same whoever asks for it, in any order, on any CPU.
//
// The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3, SC'11). It
// maps a key of two words and a counter of four to four random words. Draws use counters whose high two words are 0:
// word j of block b is element 4b+j of the key's stream. Keys are derived with counters whose high words are not 0, so
// that the numbers of a stream never are those that keys were made of.
package rng

import "math/bits"

// The multipliers and key increments of Philox4x32.
const (
	multiplier0 = 0xD2511F53
	multiplier1 = 0xCD9E8D57
	increment0  = 0x9E3779B9
	increment1  = 0xBB67AE85
	rounds      = 10
)

// Key names a stream of random numbers. The zero Key is no stream of its own: callers use it to say "draw nothing"
// (evaluation). NewKey and Derive give it with a chance of 2^-64.
type Key [2]uint32

// IsZero reports whether the key is the zero key.
func (k Key) IsZero() bool { return k == Key{} }

// philox is the bijection itself.
func philox(key Key, counter [4]uint32) [4]uint32 {
	c0, c1, c2, c3 := counter[0], counter[1], counter[2], counter[3]
	k0, k1 := key[0], key[1]
	for range rounds {
		high0, low0 := bits.Mul32(multiplier0, c0)
		high1, low1 := bits.Mul32(multiplier1, c2)
		c0, c1, c2, c3 = high1^c1^k0, low1, high0^c3^k1, low0
		k0 += increment0
		k1 += increment1
	}
	return [4]uint32{c0, c1, c2, c3}
}

// Block is block b of the key's stream: elements 4b to 4b+3.
func (k Key) Block(b uint64) [4]uint32 {
	return philox(k, [4]uint32{uint32(b), uint32(b >> 32)})
}

// Uint32 is element i of the key's stream. For many neighbouring elements use Blocks, or a Fill function.
func (k Key) Uint32(i uint64) uint32 {
	return k.Block(i / 4)[i%4]
}
