//go:build (!amd64 && !arm64) || purego

package kernel

func sumSquaresVec(l *[lanes]float64, x []float32) { sumSquaresGo(l, x) }
func encodeBFloat16Vec(dst []uint16, x []float32)  { encodeBFloat16Go(dst, x) }
func decodeBFloat16Vec(dst []float32, x []uint16)  { decodeBFloat16Go(dst, x) }
func encodeFloat16Vec(dst []uint16, x []float32)   { encodeFloat16Go(dst, x) }
func decodeFloat16Vec(dst []float32, x []uint16)   { decodeFloat16Go(dst, x) }
func roundFloat16Vec(dst, x []float32)             { roundFloat16Go(dst, x) }
func unitBytesVec(dst []float32, src, _ []byte)    { unitBytesGo(dst, src) }
func dropoutVec(dst, x []float32, key [2]uint32, offset uint64, threshold uint32, scale float32) {
	dropoutGo(dst, x, key, offset, threshold, scale)
}
