//go:build !purego

package kernel

// The assembly of this file takes whole blocks only; each function below leaves the rest to the plain-Go form.

//go:noescape
func sumSquaresNEON(l *[lanes]float64, x *float32, n int)

//go:noescape
func encodeBFloat16NEON(dst *uint16, x *float32, n int)

//go:noescape
func decodeBFloat16NEON(dst *float32, x *uint16, n int)

//go:noescape
func encodeFloat16NEON(dst *uint16, x *float32, n int)

//go:noescape
func decodeFloat16NEON(dst *float32, x *uint16, n int)

//go:noescape
func roundFloat16NEON(dst, x *float32, n int)

//go:noescape
func unitBytesNEON(dst *float32, src *byte, n int, next *byte)

//go:noescape
func dropoutNEON(dst, x *float32, n int, keys *[2 * philoxRounds]uint32, counter uint64, threshold uint32, scale float32)

func sumSquaresVec(l *[lanes]float64, x []float32) {
	done := 0
	if Current() == NEON {
		done = blocks(len(x), func(at, n int) { sumSquaresNEON(l, &x[at], n) })
	}
	sumSquaresGo(l, x[done:])
}

func encodeBFloat16Vec(dst []uint16, x []float32) {
	done := 0
	if Current() == NEON {
		done = blocks(len(x), func(at, n int) { encodeBFloat16NEON(&dst[at], &x[at], n) })
	}
	encodeBFloat16Go(dst[done:], x[done:])
}

func decodeBFloat16Vec(dst []float32, x []uint16) {
	done := 0
	if Current() == NEON {
		done = blocks(len(x), func(at, n int) { decodeBFloat16NEON(&dst[at], &x[at], n) })
	}
	decodeBFloat16Go(dst[done:], x[done:])
}

func encodeFloat16Vec(dst []uint16, x []float32) {
	done := 0
	if Current() == NEON {
		done = blocks(len(x), func(at, n int) { encodeFloat16NEON(&dst[at], &x[at], n) })
	}
	encodeFloat16Go(dst[done:], x[done:])
}

func decodeFloat16Vec(dst []float32, x []uint16) {
	done := 0
	if Current() == NEON {
		done = blocks(len(x), func(at, n int) { decodeFloat16NEON(&dst[at], &x[at], n) })
	}
	decodeFloat16Go(dst[done:], x[done:])
}

func roundFloat16Vec(dst []float32, x []float32) {
	done := 0
	if Current() == NEON {
		done = blocks(len(x), func(at, n int) { roundFloat16NEON(&dst[at], &x[at], n) })
	}
	roundFloat16Go(dst[done:], x[done:])
}

func unitBytesVec(dst []float32, src, next []byte) {
	done := 0
	if Current() == NEON {
		done = blocks(len(src), func(at, n int) { unitBytesNEON(&dst[at], &src[at], n, &next[at]) })
	}
	unitBytesGo(dst[done:], src[done:])
}

// dropoutVec begins at the next whole Philox block.
func dropoutVec(dst, x []float32, key [2]uint32, offset uint64, threshold uint32, scale float32) {
	if Current() == PlainGo {
		dropoutGo(dst, x, key, offset, threshold, scale)
		return
	}
	head := min(int(-offset&3), len(x))
	dropoutGo(dst[:head], x[:head], key, offset, threshold, scale)
	keys := philoxKeys(key)
	end := head + blocks(len(x)-head, func(at, n int) {
		dropoutNEON(&dst[head+at], &x[head+at], n, &keys, (offset+uint64(head+at))/4, threshold, scale)
	})
	dropoutGo(dst[end:], x[end:], key, offset+uint64(end), threshold, scale)
}
