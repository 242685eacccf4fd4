package jpeg

// The inverse cosine transform of Loeffler, Ligtenberg and Moschytz (1989, "Practical fast 1-D DCT algorithms with 11 multiplications"), with 12 multiplications, on whole
// numbers: constants have 13 bits behind the point, and between columns and rows values keep 2 bits more than samples. These widths are part of the bits that come out: they
// are those of libjpeg's accurate transform.
const (
	constBits = 13
	passBits  = 2
)

// rotation constants: sums of cosines c(k) = cos(k pi / 16) times the root of 2, rounded to constBits.
const (
	c6           = 4433  // 0.541196100
	c2minusC6    = 6270  // 0.765366865
	c2plusC6     = 15137 // 1.847759065
	c3           = 9633  // 1.175875602
	odd7         = 2446  // 0.298631336
	odd5         = 16819 // 2.053119869
	odd3         = 25172 // 3.072711026
	odd1         = 12299 // 1.501321110
	sum17        = 7373  // 0.899976223
	sum35        = 20995 // 2.562915447
	c3plusC5     = 16069 // 1.961570560
	c3minusC5    = 3196  // 0.390180644
	sampleMiddle = 128
)

// inverse makes the 8 x 8 samples of a block's coefficients.
func inverse(block *[blockSize]int32, dst []byte, stride int) {
	for x := range 8 {
		in := (*[blockSize - 7]int32)(block[x:])
		if in[8]|in[16]|in[24]|in[32]|in[40]|in[48]|in[56] == 0 {
			v := in[0] << passBits
			in[0], in[8], in[16], in[24], in[32], in[40], in[48], in[56] = v, v, v, v, v, v, v, v
			continue
		}
		v := transform(in[0], in[8], in[16], in[24], in[32], in[40], in[48], in[56])
		for y := range v {
			in[8*y] = round(v[y], constBits-passBits)
		}
	}
	for y := range 8 {
		in := (*[8]int32)(block[8*y:])
		out := (*[8]byte)(dst[y*stride:])
		v := transform(in[0], in[1], in[2], in[3], in[4], in[5], in[6], in[7])
		for x := range v {
			out[x] = uint8(min(max(round(v[x], constBits+passBits+3)+sampleMiddle, 0), 255))
		}
	}
}

func round(v int32, bits uint) int32 { return (v + 1<<(bits-1)) >> bits }

// transform is the transform of eight values, times the root of 8.
func transform(v0, v1, v2, v3, v4, v5, v6, v7 int32) (out [8]int32) {
	// Even part.
	z := (v2 + v6) * c6
	e2, e3 := z-v6*c2plusC6, z+v2*c2minusC6
	e0, e1 := (v0+v4)<<constBits, (v0-v4)<<constBits
	a0, a3, a1, a2 := e0+e3, e0-e3, e1+e2, e1-e2

	// Odd part.
	z1, z2, z3, z4 := v7+v1, v5+v3, v7+v3, v5+v1
	z5 := (z3 + z4) * c3
	z1, z2, z3, z4 = -z1*sum17, -z2*sum35, z5-z3*c3plusC5, z5-z4*c3minusC5
	b0 := v7*odd7 + z1 + z3
	b1 := v5*odd5 + z2 + z4
	b2 := v3*odd3 + z2 + z3
	b3 := v1*odd1 + z1 + z4

	return [8]int32{a0 + b3, a1 + b2, a2 + b1, a3 + b0, a3 - b0, a2 - b1, a1 - b2, a0 - b3}
}
