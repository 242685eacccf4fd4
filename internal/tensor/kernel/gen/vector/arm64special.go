package main

import "fmt"

// The NEON forms of the kernels in special.go. All take blocks of sixteen elements. Pointers are in R0 (and R1, R2), the
// elements left in R14.

// Further instructions. Those on two 64-bit lanes have D in their name, those that read or write the upper half of the
// narrower register have 2.
const (
	neonXor         = 0x6e201c00 // EOR
	neonNotLess     = 0x6ea03c00 // CMHS, unsigned
	neonFMLAD       = 0x4e60cc00
	neonWidenD      = 0x0e617800 // FCVTL, float32 to float64
	neonWidenD2     = 0x4e617800
	neonWidenHalf   = 0x0e217800 // FCVTL, float16 to float32
	neonWidenHalf2  = 0x4e217800
	neonNarrowHalf  = 0x0e216800 // FCVTN, float32 to float16
	neonNarrowHalf2 = 0x4e216800
	neonUpper       = 0x0f108400 // SHRN by 16: the upper halves
	neonUpper2      = 0x4f108400
	neonRaise       = 0x2e613800 // SHLL by 16: 16-bit elements become upper halves
	neonRaise2      = 0x6e613800
	neonBytes       = 0x2f08a400 // USHLL by 0: bytes to 16 bits
	neonBytes2      = 0x6f08a400
	neonWords       = 0x2f10a400 // USHLL by 0: 16 bits to 32
	neonWords2      = 0x6f10a400
	neonProduct     = 0x2ea0c000 // UMULL, of the lower two lanes
	neonProduct2    = 0x6ea0c000
	neonEvenWords   = 0x4e801800 // UZP1
	neonOddWords    = 0x4e805800 // UZP2
)

func init() {
	for op, name := range map[uint32]string{neonXor: "EOR", neonNotLess: "CMHS", neonFMLAD: "FMLA.D", neonWidenD: "FCVTL.D",
		neonWidenD2: "FCVTL2.D", neonWidenHalf: "FCVTL", neonWidenHalf2: "FCVTL2", neonNarrowHalf: "FCVTN", neonNarrowHalf2: "FCVTN2",
		neonUpper: "SHRN", neonUpper2: "SHRN2", neonRaise: "SHLL", neonRaise2: "SHLL2", neonBytes: "USHLL.H", neonBytes2: "USHLL2.H",
		neonWords: "USHLL.S", neonWords2: "USHLL2.S", neonProduct: "UMULL", neonProduct2: "UMULL2",
		neonEvenWords: "UZP1", neonOddWords: "UZP2"} {
		neonName[op] = name
	}
}

// special writes a function whose arguments, 8 bytes each, go to R0 and on, the third to R14; body is one block of it.
func (a *arm) special(name, signature string, bytes int, args [3]string, before, body, after func()) {
	fmt.Fprintf(&a.out, "\n// func %sNEON(%s)\nTEXT ·%sNEON(SB), NOSPLIT, $0-%d\n", name, signature, name, bytes)
	for i, r := range []int{0, 1, counter} {
		a.line("MOVD %s+%d(FP), R%d", args[i], 8*i, r)
	}
	before()
	fmt.Fprintf(&a.out, "\nblock:\n")
	a.line("CBZ R%d, done", counter)
	body()
	a.line("SUB $%d, R%d", lanes, counter)
	a.line("B block")
	fmt.Fprintf(&a.out, "\ndone:\n")
	after()
	a.line("RET")
}

func nothing() {}

// spread loads a constant into every lane.
func (a *arm) spread(bits uint32, register int) {
	a.line("MOVW $0x%08x, R%d", bits, scratch)
	a.one(neonDup, register, scratch)
}

// load and store move 16 bytes, number part from the pointer on.
func (a *arm) load(part, pointer, register int) {
	a.line("FMOVQ %d(R%d), F%d", 16*part, pointer, register)
}

func (a *arm) store(register, part, pointer int) {
	a.line("FMOVQ F%d, %d(R%d)", register, 16*part, pointer)
}

func (a *arm) advance(pointer, bytes int) { a.line("ADD $%d, R%d", bytes, pointer) }

func (a *arm) sumSquares() {
	a.special("sumSquares", "l *[16]float64, x *float32, n int", 24, [3]string{"l", "x", "n"}, func() {
		for r := range 8 {
			a.load(r, 0, r)
		}
	}, func() {
		for part := range 4 {
			a.load(part, 1, 16)
			a.one(neonWidenD, 17, 16)
			a.one(neonWidenD2, 18, 16)
			a.word(neonFMLAD, 2*part, 17, 17)
			a.word(neonFMLAD, 2*part+1, 18, 18)
		}
		a.advance(1, 4*lanes)
	}, func() {
		for r := range 8 {
			a.store(r, r, 0)
		}
	})
}

// halves writes a conversion between 16-bit and 32-bit elements, two vectors of floats to one of halves.
func (a *arm) halves(name, dst, src string, before, pair func()) {
	narrow, wide := 1, 0 // pointers
	if src == "float32" {
		narrow, wide = 0, 1
	}
	a.special(name, "dst *"+dst+", x *"+src+", n int", 24, [3]string{"dst", "x", "n"}, before, func() {
		for range 2 {
			pair()
			a.advance(narrow, 16)
			a.advance(wide, 32)
		}
	}, nothing)
}

func (a *arm) encodeBFloat16() {
	const bias, one, quiet = 16, 17, 18
	a.halves("encodeBFloat16", "uint16", "float32", func() {
		a.spread(0x7fff, bias)
		a.spread(1, one)
		a.spread(0x400000, quiet)
	}, func() {
		for part, narrow := range []uint32{neonUpper, neonUpper2} {
			a.load(part, 1, 0)
			a.shift(neonLogical, 1, 0, 16, 64-16)
			a.word(neonAnd, 1, 1, one)
			a.word(neonIntAdd, 1, 1, bias)
			a.word(neonIntAdd, 1, 1, 0)
			a.word(neonEqual, 2, 0, 0) // not for NaN
			a.word(neonOr, 3, 0, quiet)
			a.word(neonSelect, 2, 1, 3)
			a.one(narrow, 4, 2)
		}
		a.store(4, 0, 0)
	})
}

func (a *arm) decodeBFloat16() {
	a.halves("decodeBFloat16", "float32", "uint16", nothing, func() {
		a.load(0, 1, 0)
		a.one(neonRaise, 1, 0)
		a.one(neonRaise2, 2, 0)
		a.store(1, 0, 0)
		a.store(2, 1, 0)
	})
}

func (a *arm) encodeFloat16() {
	a.halves("encodeFloat16", "uint16", "float32", nothing, func() {
		a.load(0, 1, 0)
		a.load(1, 1, 1)
		a.one(neonNarrowHalf, 2, 0)
		a.one(neonNarrowHalf2, 2, 1)
		a.store(2, 0, 0)
	})
}

func (a *arm) decodeFloat16() {
	a.halves("decodeFloat16", "float32", "uint16", nothing, func() {
		a.load(0, 1, 0)
		a.one(neonWidenHalf, 1, 0)
		a.one(neonWidenHalf2, 2, 0)
		a.store(1, 0, 0)
		a.store(2, 1, 0)
	})
}

func (a *arm) roundFloat16() {
	a.special("roundFloat16", "dst, x *float32, n int", 24, [3]string{"dst", "x", "n"}, nothing, func() {
		for part := range 4 {
			a.load(part, 1, 0)
			a.one(neonNarrowHalf, 1, 0)
			a.one(neonWidenHalf, 2, 1)
			a.store(2, part, 0)
		}
		a.advance(0, 4*lanes)
		a.advance(1, 4*lanes)
	}, nothing)
}

// dropout computes four Philox blocks at once, each word of them in a register of its own; loading and storing four
// registers interleaved puts the elements beside their words.
func (a *arm) dropout() {
	const (
		m0, m1, threshold, scale = 16, 17, 18, 19
		keys, counter64, turn    = 2, 3, 4 // general registers
	)
	a.special("dropout", "dst, x *float32, n int, keys *[20]uint32, counter uint64, threshold uint32, scale float32", 48,
		[3]string{"dst", "x", "n"}, func() {
			a.line("MOVD keys+24(FP), R%d", keys)
			a.line("MOVD counter+32(FP), R%d", counter64)
			for i, name := range []string{"threshold", "scale"} {
				a.line("MOVWU %s+%d(FP), R%d", name, 40+4*i, scratch)
				a.one(neonDup, threshold+i, scratch)
			}
			a.spread(0xd2511f53, m0)
			a.spread(0xcd9e8d57, m1)
		}, func() {
			// The counters of the four blocks, which may carry into the upper word.
			for i := range 4 {
				a.line("ADD $%d, R%d, R%d", i, counter64, turn)
				a.line("VMOV R%d, V0.S[%d]", turn, i)
				a.line("LSR $32, R%d, R%d", turn, turn)
				a.line("VMOV R%d, V1.S[%d]", turn, i)
			}
			a.line("ADD $4, R%d", counter64)
			a.word(neonXor, 2, 2, 2)
			a.word(neonXor, 3, 3, 3)
			for r := range 10 {
				a.philoxRound(r, keys, m0, m1)
			}
			a.line("VLD4.P 64(R1), [V4.S4, V5.S4, V6.S4, V7.S4]")
			for i := range 4 {
				a.word(neonNotLess, i, i, threshold)
				a.word(neonMul, 4+i, 4+i, scale)
				a.word(neonAnd, 4+i, 4+i, i)
			}
			a.line("VST4.P [V4.S4, V5.S4, V6.S4, V7.S4], 64(R0)")
		}, nothing)
}

// philoxRound turns the words in V0 to V3 into those after round r.
func (a *arm) philoxRound(r, keys, m0, m1 int) {
	for i, m := range []int{m0, m1} { // products of V0 and V2: low words to V8 and V10, high words to V9 and V11
		a.word(neonProduct, 12, 2*i, m)
		a.word(neonProduct2, 13, 2*i, m)
		a.word(neonEvenWords, 8+2*i, 12, 13)
		a.word(neonOddWords, 9+2*i, 12, 13)
	}
	for i := range 2 {
		a.line("MOVWU %d(R%d), R%d", 8*r+4*i, keys, scratch)
		a.one(neonDup, 14+i, scratch)
	}
	a.word(neonXor, 0, 11, 1)
	a.word(neonXor, 0, 0, 14)
	a.word(neonXor, 2, 9, 3)
	a.word(neonXor, 2, 2, 15)
	a.copy(1, 10)
	a.copy(3, 8)
}

func (a *arm) unitBytes() {
	const whole, rest = 16, 17
	const next = 2
	a.special("unitBytes", "dst *float32, src *byte, n int, next *byte", 32, [3]string{"dst", "src", "n"}, func() {
		a.line("MOVD next+24(FP), R%d", next)
		a.spread(perByte, whole)
		a.spread(perByteRest, rest)
	}, func() {
		a.line("PRFM (R%d), PLDL1KEEP", next)
		a.load(0, 1, 0)
		a.one(neonBytes, 1, 0)
		a.one(neonBytes2, 2, 0)
		for part, widen := range []uint32{neonWords, neonWords2, neonWords, neonWords2} {
			a.one(widen, 3, 1+part/2)
			a.one(neonToFloat, 3, 3)
			a.word(neonMul, 4, 3, rest)
			a.word(neonFMLA, 4, 3, whole)
			a.store(4, part, 0)
		}
		a.advance(next, lanes)
		a.advance(1, lanes)
		a.advance(0, 4*lanes)
	}, nothing)
}

// specials writes the kernels of this file.
func (a *arm) specials() {
	a.sumSquares()
	a.encodeBFloat16()
	a.decodeBFloat16()
	a.encodeFloat16()
	a.decodeFloat16()
	a.roundFloat16()
	a.unitBytes()
	a.dropout()
}
