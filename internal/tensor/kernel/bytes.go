package kernel

// 1/255 in two parts, the second what rounding took from the first.
const (
	perByte     = 0.003921569
	perByteRest = -2.3191758e-10
)

// UnitBytes sets dst[i] = src[i]/255, rounded once. Meanwhile the bytes of next, as many, are fetched into the cache: those wanted
// soon, or src itself.
func UnitBytes(dst []float32, src, next []byte) {
	sameLength("UnitBytes", len(dst), len(src), len(next))
	unitBytesVec(dst, src, next)
}

func unitBytesGo(dst []float32, src []byte) {
	for i, v := range src {
		x := float32(v)
		dst[i] = FMA(x, perByte, float32(x*perByteRest))
	}
}
