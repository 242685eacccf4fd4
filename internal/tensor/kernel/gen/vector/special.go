package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The kernels of this file do not fit the programs: their elements are not all 32 bits wide. They take whole blocks only,
// n being a multiple of the block; Go does the rest.

// counted emits body for every turn of block elements, with the index of the turn's first element.
func counted(block int, n reg.GPVirtual, body func(index reg.GPVirtual)) {
	index := GP64()
	XORQ(index, index)
	Label("block")
	CMPQ(index, n)
	JGE(operand.LabelRef("done"))
	body(index)
	ADDQ(operand.U32(uint32(block)), index)
	JMP(operand.LabelRef("block"))
	Label("done")
}

func element(base reg.Register, index reg.GPVirtual, size uint8, offset int) operand.Mem {
	return operand.Mem{Base: base, Index: index, Scale: size, Disp: int(size) * offset}
}

// sumSquares adds the squares, which are exact in float64, to sixteen float64 lanes. Blocks of 16.
func (x *x86) sumSquares() {
	TEXT("sumSquares"+x.set.suffix(), NOSPLIT, "func(l *[16]float64, x *float32, n int)")
	l, src, n := Load(Param("l"), GP64()), Load(Param("x"), GP64()), Load(Param("n"), GP64()).(reg.GPVirtual)
	each := x.width() / 2 // float64 in a register
	var acc []reg.VecVirtual
	for j := 0; j < lanes; j += each {
		a := x.vector()
		VMOVUPD(operand.Mem{Base: l, Disp: 8 * j}, a)
		acc = append(acc, a)
	}
	counted(lanes, n, func(index reg.GPVirtual) {
		for j, a := range acc {
			v := x.vector()
			VCVTPS2PD(element(src, index, 4, j*each), v)
			VFMADD231PD(v, v, a)
		}
	})
	for j, a := range acc {
		VMOVUPD(a, operand.Mem{Base: l, Disp: 8 * j * each})
	}
	VZEROUPPER()
	RET()
}

// The bits of 1/255 in two parts, the second what rounding took from the first.
const (
	perByte     = 0x3b808081
	perByteRest = 0xaf7efeff
)

// halfBlock is the number of elements that the conversions take a turn.
const halfBlock = 16

// encodeBFloat16 rounds the bits and keeps the upper halves.
func (x *x86) encodeBFloat16() {
	TEXT("encodeBFloat16"+x.set.suffix(), NOSPLIT, "func(dst *uint16, x *float32, n int)")
	dst, src, n := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("n"), GP64()).(reg.GPVirtual)
	bias, one, quiet := x.word(0x7fff), x.word(1), x.word(0x400000)
	counted(halfBlock, n, func(index reg.GPVirtual) {
		var halves []reg.VecVirtual
		for j := 0; j < halfBlock; j += x.width() {
			v, r := x.vector(), x.vector()
			VMOVUPS(element(src, index, 4, j), v)
			VPSRLD(operand.U8(16), v, r)
			if x.set == avx512 {
				VPANDD(one, r, r)
			} else {
				VPAND(one, r, r)
			}
			VPADDD(bias, r, r)
			VPADDD(v, r, r)
			const unordered = 3
			if x.set == avx512 {
				nan := K()
				VCMPPS(operand.U8(unordered), v, v, nan)
				VPORD(quiet, v, nan, r)
			} else {
				nan, q := YMM(), YMM()
				VCMPPS(operand.U8(unordered), v, v, nan)
				VPOR(quiet, v, q)
				VBLENDVPS(nan, q, r, r)
			}
			VPSRLD(operand.U8(16), r, r)
			halves = append(halves, r)
		}
		if x.set == avx512 {
			y := YMM()
			VPMOVDW(halves[0], y)
			VMOVDQU(y, element(dst, index, 2, 0))
			return
		}
		packed := YMM()
		VPACKUSDW(halves[1], halves[0], packed) // by 128-bit halves: put them in order
		VPERMQ(operand.U8(0xd8), packed, packed)
		VMOVDQU(packed, element(dst, index, 2, 0))
	})
	VZEROUPPER()
	RET()
}

// word is a register with x in every 32-bit lane.
func (x *x86) word(bits uint32) reg.VecVirtual {
	g := GP32()
	MOVL(operand.U32(bits), g)
	return x.spread(g)
}

// spread is a register with g in every 32-bit lane.
func (x *x86) spread(g reg.Register) reg.VecVirtual {
	s, v := XMM(), x.vector()
	VMOVD(g, s)
	VPBROADCASTD(s, v)
	return v
}

func (x *x86) decodeBFloat16() {
	TEXT("decodeBFloat16"+x.set.suffix(), NOSPLIT, "func(dst *float32, x *uint16, n int)")
	dst, src, n := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("n"), GP64()).(reg.GPVirtual)
	counted(halfBlock, n, func(index reg.GPVirtual) {
		for j := 0; j < halfBlock; j += x.width() {
			v := x.vector()
			VPMOVZXWD(element(src, index, 2, j), v)
			VPSLLD(operand.U8(16), v, v)
			VMOVUPS(v, element(dst, index, 4, j))
		}
	})
	VZEROUPPER()
	RET()
}

// unitBytes multiplies by 1/255 in two parts. It asks for the bytes at next too, which lie where no prefetcher looks.
func (x *x86) unitBytes() {
	TEXT("unitBytes"+x.set.suffix(), NOSPLIT, "func(dst *float32, src *byte, n int, next *byte)")
	dst, src, n := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("n"), GP64()).(reg.GPVirtual)
	next := Load(Param("next"), GP64())
	whole, rest := x.word(perByte), x.word(perByteRest)
	counted(lanes, n, func(index reg.GPVirtual) {
		PREFETCHT0(element(next, index, 1, 0))
		for j := 0; j < lanes; j += x.width() {
			v, r := x.vector(), x.vector()
			VPMOVZXBD(element(src, index, 1, j), v)
			VCVTDQ2PS(v, v)
			VMULPS(rest, v, r)
			VFMADD231PS(whole, v, r)
			VMOVUPS(r, element(dst, index, 4, j))
		}
	})
	VZEROUPPER()
	RET()
}

// narrow is the register of half the size that holds as many 16-bit elements as a vector holds floats.
func (x *x86) narrow() reg.VecVirtual {
	if x.set == avx512 {
		return YMM()
	}
	return XMM()
}

const toNearestEven = 0

func (x *x86) encodeFloat16() {
	TEXT("encodeFloat16"+x.set.suffix(), NOSPLIT, "func(dst *uint16, x *float32, n int)")
	dst, src, n := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("n"), GP64()).(reg.GPVirtual)
	counted(halfBlock, n, func(index reg.GPVirtual) {
		for j := 0; j < halfBlock; j += x.width() {
			v, h := x.vector(), x.narrow()
			VMOVUPS(element(src, index, 4, j), v)
			VCVTPS2PH(operand.U8(toNearestEven), v, h)
			VMOVDQU(h, element(dst, index, 2, j))
		}
	})
	VZEROUPPER()
	RET()
}

func (x *x86) decodeFloat16() {
	TEXT("decodeFloat16"+x.set.suffix(), NOSPLIT, "func(dst *float32, x *uint16, n int)")
	dst, src, n := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("n"), GP64()).(reg.GPVirtual)
	counted(halfBlock, n, func(index reg.GPVirtual) {
		for j := 0; j < halfBlock; j += x.width() {
			v := x.vector()
			VCVTPH2PS(element(src, index, 2, j), v)
			VMOVUPS(v, element(dst, index, 4, j))
		}
	})
	VZEROUPPER()
	RET()
}

func (x *x86) roundFloat16() {
	TEXT("roundFloat16"+x.set.suffix(), NOSPLIT, "func(dst, x *float32, n int)")
	dst, src, n := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("n"), GP64()).(reg.GPVirtual)
	counted(halfBlock, n, func(index reg.GPVirtual) {
		for j := 0; j < halfBlock; j += x.width() {
			v, h := x.vector(), x.narrow()
			VMOVUPS(element(src, index, 4, j), v)
			VCVTPS2PH(operand.U8(toNearestEven), v, h)
			VCVTPH2PS(h, v)
			VMOVUPS(v, element(dst, index, 4, j))
		}
	})
	VZEROUPPER()
	RET()
}

// dropout computes as many Philox blocks at once as a register has 64-bit lanes: the multiplication reads the lower half
// of a lane only, so the four counter words may carry rubbish in the upper halves. The blocks are numbered so that the
// final interleaving by 128-bit lanes puts their words in order. Blocks of twice the vector's elements.
func (x *x86) dropout() {
	TEXT("dropout"+x.set.suffix(), NOSPLIT,
		"func(dst, x *float32, n int, keys *[20]uint32, counter uint64, threshold uint32, scale float32)")
	dst, src, n := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("n"), GP64()).(reg.GPVirtual)
	keys := Load(Param("keys"), GP64())
	blocks := x.width() / 2
	m0, m1 := x.word(0xd2511f53), x.word(0xcd9e8d57)
	threshold, scale := x.spread(Load(Param("threshold"), GP32())), x.vector()
	VBROADCASTSS(x.param("scale"), scale)
	counter, step := x.vector(), x.vector()
	VPBROADCASTQ(x.param("counter"), counter)
	VPADDQ(x.blockNumbers(blocks), counter, counter)
	g, s := GP64(), XMM()
	MOVQ(operand.U32(uint32(blocks)), g)
	VMOVQ(g, s)
	VPBROADCASTQ(s, step)
	counted(4*blocks, n, func(index reg.GPVirtual) {
		even, odd := x.philox(counter, m0, m1, keys)
		VPADDQ(step, counter, counter)
		for j, words := range []reg.VecVirtual{even, odd} {
			v, at := x.vector(), j*x.width()
			if x.set == avx512 {
				keep := K()
				const notLess = 5
				VPCMPUD(operand.U8(notLess), threshold, words, keep)
				VMULPS_Z(element(src, index, 4, at), scale, keep, v)
			} else {
				keep := YMM()
				VPMAXUD(threshold, words, keep)
				VPCMPEQD(words, keep, keep)
				VMULPS(element(src, index, 4, at), scale, v)
				VANDPS(keep, v, v)
			}
			VMOVUPS(v, element(dst, index, 4, at))
		}
	})
	VZEROUPPER()
	RET()
}

func (x *x86) param(name string) operand.Mem {
	p, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return p.Addr
}

// blockNumbers is the number, within a turn, of the block in each 64-bit lane: the lower lane of each pair is output in
// the first half of the turn, the upper one in the second.
func (x *x86) blockNumbers(blocks int) operand.Mem {
	table := GLOBL("philoxBlocks"+x.set.suffix(), RODATA|NOPTR)
	for i := range blocks {
		DATA(8*i, operand.U64(uint64(i/2+i%2*blocks/2)))
	}
	return table
}

// philox gives the words of the blocks with the counters, in order: the first half in even, the second in odd.
func (x *x86) philox(counter, m0, m1 reg.VecVirtual, keys reg.Register) (even, odd reg.VecVirtual) {
	const rounds = 10
	c := [4]reg.VecVirtual{counter, x.vector(), x.vector(), x.vector()}
	VPSRLQ(operand.U8(32), counter, c[1])
	x.xor(c[2])
	x.xor(c[3])
	for r := range rounds {
		p0, p1, h0, h1, k0, k1 := x.vector(), x.vector(), x.vector(), x.vector(), x.vector(), x.vector()
		VPMULUDQ(m0, c[0], p0)
		VPMULUDQ(m1, c[2], p1)
		VPSRLQ(operand.U8(32), p0, h0)
		VPSRLQ(operand.U8(32), p1, h1)
		VPBROADCASTD(operand.Mem{Base: keys, Disp: 8 * r}, k0)
		VPBROADCASTD(operand.Mem{Base: keys, Disp: 8*r + 4}, k1)
		if x.set == avx512 {
			const exclusiveOr = 0x96
			VPTERNLOGD(operand.U8(exclusiveOr), k0, c[1], h1)
			VPTERNLOGD(operand.U8(exclusiveOr), k1, c[3], h0)
		} else {
			VPXOR(k0, h1, h1)
			VPXOR(c[1], h1, h1)
			VPXOR(k1, h0, h0)
			VPXOR(c[3], h0, h0)
		}
		c = [4]reg.VecVirtual{h1, p1, h0, p0}
	}
	low, high := x.pairs(c[0], c[1]), x.pairs(c[2], c[3])
	even, odd = x.vector(), x.vector()
	VPUNPCKLQDQ(high, low, even)
	VPUNPCKHQDQ(high, low, odd)
	return even, odd
}

// pairs joins the lower halves of two registers' 64-bit lanes: a below b.
func (x *x86) pairs(a, b reg.VecVirtual) reg.VecVirtual {
	joined := x.vector()
	VPSLLQ(operand.U8(32), b, b)
	if x.set == avx2 {
		VPBLENDD(operand.U8(0xaa), b, a, joined)
		return joined
	}
	VPSLLQ(operand.U8(32), a, joined)
	VPSRLQ(operand.U8(32), joined, joined)
	VPORD(b, joined, joined)
	return joined
}

// specials emits the kernels of this file.
func (x *x86) specials() {
	x.sumSquares()
	x.encodeBFloat16()
	x.decodeBFloat16()
	x.encodeFloat16()
	x.decodeFloat16()
	x.roundFloat16()
	x.unitBytes()
	x.dropout()
}
