package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// writeCopy writes the copying of rows as wide as the widest panel to rows without gaps. It asks for what lies ahead bytes from
// each row too: the rows of the same columns that come next are too far away for the prefetchers.
func writeCopy(set vectors) {
	TEXT(fmt.Sprintf("gemmCopy%s", set.name()), NOSPLIT|NOFRAME, "func(dst *float32, src *float32, srcRow, rows, ahead int)")
	Doc("It copies at least one row; srcRow and ahead are in bytes.")
	Load(Param("dst"), reg.RDI)
	Load(Param("src"), reg.RSI)
	Load(Param("srcRow"), row1)
	Load(Param("rows"), k)
	Load(Param("ahead"), ahead)
	count := len(set.maxRows())
	Label("row")
	for v := range count {
		set.load(Mem{Base: reg.RSI, Disp: v * set.bytes()}, set.register(v), false)
	}
	for at := 0; at < count*set.bytes(); at += 64 {
		PREFETCHT0(Mem{Base: reg.RSI, Index: ahead, Scale: 1, Disp: at})
	}
	for v := range count {
		set.store(set.register(v), Mem{Base: reg.RDI, Disp: v * set.bytes()}, false)
	}
	ADDQ(row1, reg.RSI)
	ADDQ(U32(uint32(count*set.bytes())), reg.RDI)
	DECQ(k)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// writeTranspose writes the transposition of up to L rows of at least L floats, L being the lanes of a vector. It works
// in blocks of L columns; the last block reaches back so that it is whole. Quarters of four floats are gathered from L/4
// rows by loads, so that only the transpositions of 4 x 4 within the quarters are left for the shuffle unit.
func writeTranspose(set vectors) {
	TEXT(fmt.Sprintf("gemmTranspose%s", set.name()), NOSPLIT|NOFRAME,
		"func(dst *float32, dstRow int, src *float32, srcRow, rows, cols int, mask uint64)")
	Doc("It writes cols rows of the given number of floats, dstRow bytes apart.")
	Load(Param("dst"), reg.RDI)
	Load(Param("dstRow"), reg.R12)
	Load(Param("src"), reg.RSI)
	Load(Param("srcRow"), row1)
	Load(Param("rows"), reg.R13)
	Load(Param("cols"), k)
	LEAQ(Mem{Base: row1, Index: row1, Scale: 2}, row3)
	LEAQ(Mem{Base: row1, Index: row1, Scale: 4}, row5)
	LEAQ(Mem{Base: row3, Index: row1, Scale: 4}, row7)
	Load(Param("mask"), walker)
	set.loadMask(walker)
	lanes := set.bytes() / 4

	Label("block")
	MOVQ(reg.RSI, bases[0])
	LEAQ(Mem{Base: bases[0], Index: row1, Scale: 8}, bases[1])
	CMPQ(reg.R13, Imm(uint64(lanes)))
	JNE(LabelRef("partial"))
	transposeBlock(set, lanes, false)
	JMP(LabelRef("next"))
	Label("partial")
	transposeBlock(set, lanes, true)

	Label("next")
	SUBQ(Imm(uint64(lanes)), k)
	JZ(LabelRef("done"))
	MOVQ(U32(uint32(lanes)), walker)
	CMPQ(k, walker)
	CMOVQLT(k, walker)
	// A last block of fewer columns begins lanes-k columns earlier.
	CMPQ(k, Imm(uint64(lanes)))
	JGE(LabelRef("whole"))
	MOVQ(U32(uint32(lanes)), k)
	Label("whole")
	LEAQ(Mem{Base: reg.RSI, Index: walker, Scale: 4}, reg.RSI)
	IMULQ(reg.R12, walker)
	ADDQ(walker, reg.RDI)
	JMP(LabelRef("block"))
	Label("done")
	VZEROUPPER()
	RET()
}

// transposeBlock transposes one block of lanes x lanes; if partial, of the number of rows in R13.
func transposeBlock(set vectors, lanes int, partial bool) {
	MOVQ(reg.RDI, walker)
	for j := range lanes / 4 {
		in, out := make([]reg.VecPhysical, 4), make([]reg.VecPhysical, 4)
		for i := range 4 {
			in[i], out[i] = set.register(i), set.register(4+i)
		}
		if partial {
			loadPresentRows(set, in, j, lanes)
		} else {
			for i := range 4 {
				quarters := make([]Mem, lanes/4)
				for q := range quarters {
					quarters[q] = rowOfA(4*q + i)
					quarters[q].Disp = 16 * j
				}
				set.gather(quarters, in[i])
			}
		}
		VUNPCKLPS(in[1], in[0], out[0]) // a0 b0 a1 b1
		VUNPCKHPS(in[1], in[0], out[1]) // a2 b2 a3 b3
		VUNPCKLPS(in[3], in[2], out[2]) // c0 d0 c1 d1
		VUNPCKHPS(in[3], in[2], out[3]) // c2 d2 c3 d3
		VUNPCKLPD(out[2], out[0], in[0])
		VUNPCKHPD(out[2], out[0], in[1])
		VUNPCKLPD(out[3], out[1], in[2])
		VUNPCKHPD(out[3], out[1], in[3])
		for i := range 4 {
			set.store(in[i], Mem{Base: walker}, partial)
			if j < lanes/4-1 || i < 3 {
				ADDQ(reg.R12, walker)
			}
		}
	}
}

// loadPresentRows loads four columns of the number of rows in R13; those missing become zero.
func loadPresentRows(set vectors, in []reg.VecPhysical, j, lanes int) {
	for _, v := range in {
		set.zero(v)
	}
	loaded := fmt.Sprintf("loaded%d", j)
	for r := range lanes {
		if r > 0 {
			CMPQ(reg.R13, Imm(uint64(r)))
			JLE(LabelRef(loaded))
		}
		m := rowOfA(r)
		m.Disp = 16 * j
		set.insert(m, r/4, in[r%4])
	}
	Label(loaded)
}
