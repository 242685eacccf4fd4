package rng

import (
	"fmt"
	"math/bits"
)

// Float32 is element i as a number in [0, 1): the element's 24 high bits times 2^-24, every one of which float32 holds.
func (k Key) Float32(i uint64) float32 { return unit(k.Uint32(i)) }

func unit(word uint32) float32 { return float32(word>>8) * 0x1p-24 }

// Uniform is element i as a number in [low, high]: low + Float32(i)*(high-low), computed in float64 and rounded once.
// That rounding may reach high itself.
func (k Key) Uniform(i uint64, low, high float32) float32 { return between(k.Uint32(i), low, high) }

func between(word uint32, low, high float32) float32 {
	width := float64(high) - float64(low)
	return float32(float64(low) + float64(float64(unit(word))*width))
}

// Below is element pair i (elements 2i and 2i+1, low word first, as a 64-bit number u) as an integer in [0, n):
// floor(u*n / 2^64). It never draws again, so each i costs the same; the price is that the chances of two values
// differ by up to 2^-64, which for n up to 2^32 is less than one part in 2^32 of each. It panics for n = 0.
func (k Key) Below(i uint64, n uint64) uint64 {
	if n == 0 {
		panic("rng: an integer below 0")
	}
	block := k.Block(i / 2)
	at := i % 2 * 2
	high, _ := bits.Mul64(uint64(block[at+1])<<32|uint64(block[at]), n)
	return high
}

// FillUniform sets dst[j] = Uniform(offset+j, low, high).
func (k Key) FillUniform(dst []float32, offset uint64, low, high float32) {
	for j := 0; j < len(dst); {
		block := k.Block((offset + uint64(j)) / 4)
		for _, word := range block[(offset+uint64(j))%4:] {
			if j == len(dst) {
				break
			}
			dst[j] = between(word, low, high)
			j++
		}
	}
}

// FillNormal sets dst[j] = Normal(offset+j) times deviation, plus mean, in float64 and rounded once.
func (k Key) FillNormal(dst []float32, offset uint64, mean, deviation float32) {
	for j := 0; j < len(dst); {
		block := k.Block((offset + uint64(j)) / 4)
		for _, word := range block[(offset+uint64(j))%4:] {
			if j == len(dst) {
				break
			}
			dst[j] = float32(float64(mean) + float64(normal(word)*float64(deviation)))
			j++
		}
	}
}

// Shuffle fills dst with the numbers 0 to len(dst)-1 in random order (Fisher and Yates' shuffle in Durstenfeld's form:
// position i, from the last down, is swapped with the position that element pair i of the stream picks at or below it).
// It panics for more than 2^31-1 numbers.
func (k Key) Shuffle(dst []int32) {
	if uint64(len(dst)) > 1<<31-1 {
		panic(fmt.Sprintf("rng: cannot number %d positions with int32", len(dst)))
	}
	for i := range dst {
		dst[i] = int32(i)
	}
	for i := len(dst) - 1; i > 0; {
		// One block serves positions i and i-1 where i is odd.
		block := k.Block(uint64(i) / 2)
		for at := i % 2 * 2; at >= 0 && i > 0; at, i = at-2, i-1 {
			j, _ := bits.Mul64(uint64(block[at+1])<<32|uint64(block[at]), uint64(i)+1)
			dst[i], dst[j] = dst[j], dst[i]
		}
	}
}
