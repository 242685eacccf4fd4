//go:build !purego

package kernel

// The assembly of this file takes whole blocks only; each function below leaves the rest to the plain-Go form.

//go:noescape
func sumSquaresAVX512(l *[lanes]float64, x *float32, n int)

//go:noescape
func sumSquaresAVX2(l *[lanes]float64, x *float32, n int)

//go:noescape
func encodeBFloat16AVX512(dst *uint16, x *float32, n int)

//go:noescape
func encodeBFloat16AVX2(dst *uint16, x *float32, n int)

//go:noescape
func decodeBFloat16AVX512(dst *float32, x *uint16, n int)

//go:noescape
func decodeBFloat16AVX2(dst *float32, x *uint16, n int)

//go:noescape
func encodeFloat16AVX512(dst *uint16, x *float32, n int)

//go:noescape
func encodeFloat16AVX2(dst *uint16, x *float32, n int)

//go:noescape
func decodeFloat16AVX512(dst *float32, x *uint16, n int)

//go:noescape
func decodeFloat16AVX2(dst *float32, x *uint16, n int)

//go:noescape
func roundFloat16AVX512(dst, x *float32, n int)

//go:noescape
func roundFloat16AVX2(dst, x *float32, n int)

//go:noescape
func unitBytesAVX512(dst *float32, src *byte, n int, next *byte)

//go:noescape
func unitBytesAVX2(dst *float32, src *byte, n int, next *byte)

//go:noescape
func dropoutAVX512(dst, x *float32, n int, keys *[2 * philoxRounds]uint32, counter uint64, threshold uint32, scale float32)

//go:noescape
func dropoutAVX2(dst, x *float32, n int, keys *[2 * philoxRounds]uint32, counter uint64, threshold uint32, scale float32)

func sumSquaresVec(l *[lanes]float64, x []float32) {
	done := 0
	switch Current() {
	case AVX512:
		done = blocks(len(x), func(at, n int) { sumSquaresAVX512(l, &x[at], n) })
	case AVX2:
		done = blocks(len(x), func(at, n int) { sumSquaresAVX2(l, &x[at], n) })
	}
	sumSquaresGo(l, x[done:])
}

func encodeBFloat16Vec(dst []uint16, x []float32) {
	done := 0
	switch Current() {
	case AVX512:
		done = blocks(len(x), func(at, n int) { encodeBFloat16AVX512(&dst[at], &x[at], n) })
	case AVX2:
		done = blocks(len(x), func(at, n int) { encodeBFloat16AVX2(&dst[at], &x[at], n) })
	}
	encodeBFloat16Go(dst[done:], x[done:])
}

func decodeBFloat16Vec(dst []float32, x []uint16) {
	done := 0
	switch Current() {
	case AVX512:
		done = blocks(len(x), func(at, n int) { decodeBFloat16AVX512(&dst[at], &x[at], n) })
	case AVX2:
		done = blocks(len(x), func(at, n int) { decodeBFloat16AVX2(&dst[at], &x[at], n) })
	}
	decodeBFloat16Go(dst[done:], x[done:])
}

func encodeFloat16Vec(dst []uint16, x []float32) {
	done := 0
	switch Current() {
	case AVX512:
		done = blocks(len(x), func(at, n int) { encodeFloat16AVX512(&dst[at], &x[at], n) })
	case AVX2:
		done = blocks(len(x), func(at, n int) { encodeFloat16AVX2(&dst[at], &x[at], n) })
	}
	encodeFloat16Go(dst[done:], x[done:])
}

func decodeFloat16Vec(dst []float32, x []uint16) {
	done := 0
	switch Current() {
	case AVX512:
		done = blocks(len(x), func(at, n int) { decodeFloat16AVX512(&dst[at], &x[at], n) })
	case AVX2:
		done = blocks(len(x), func(at, n int) { decodeFloat16AVX2(&dst[at], &x[at], n) })
	}
	decodeFloat16Go(dst[done:], x[done:])
}

func roundFloat16Vec(dst, x []float32) {
	done := 0
	switch Current() {
	case AVX512:
		done = blocks(len(x), func(at, n int) { roundFloat16AVX512(&dst[at], &x[at], n) })
	case AVX2:
		done = blocks(len(x), func(at, n int) { roundFloat16AVX2(&dst[at], &x[at], n) })
	}
	roundFloat16Go(dst[done:], x[done:])
}

func unitBytesVec(dst []float32, src, next []byte) {
	done := 0
	switch Current() {
	case AVX512:
		done = blocks(len(src), func(at, n int) { unitBytesAVX512(&dst[at], &src[at], n, &next[at]) })
	case AVX2:
		done = blocks(len(src), func(at, n int) { unitBytesAVX2(&dst[at], &src[at], n, &next[at]) })
	}
	unitBytesGo(dst[done:], src[done:])
}

// dropoutVec begins at the next whole Philox block; AVX-512 takes 32 elements a turn, AVX2 16.
func dropoutVec(dst, x []float32, key [2]uint32, offset uint64, threshold uint32, scale float32) {
	tier := Current()
	if tier == PlainGo {
		dropoutGo(dst, x, key, offset, threshold, scale)
		return
	}
	head := min(int(-offset&3), len(x))
	dropoutGo(dst[:head], x[:head], key, offset, threshold, scale)
	keys := philoxKeys(key)
	turn := 2 * lanes
	if tier == AVX2 {
		turn = lanes
	}
	end := head + (len(x)-head)/turn*turn
	for at := head; at < end; at += blockLen {
		n, counter := min(blockLen, end-at), (offset+uint64(at))/4
		if tier == AVX2 {
			dropoutAVX2(&dst[at], &x[at], n, &keys, counter, threshold, scale)
		} else {
			dropoutAVX512(&dst[at], &x[at], n, &keys, counter, threshold, scale)
		}
	}
	dropoutGo(dst[end:], x[end:], key, offset+uint64(end), threshold, scale)
}
