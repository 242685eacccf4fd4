package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// writeListed writes the function for row blocks that leave steps out: for each block there is a list of the steps that
// remain. A holds the elements of these steps alone, listedRows a step; of B the list says where the step's row is.
func writeListed(set vectors) {
	name, count := fmt.Sprintf("gemm%sListed", set.name()), len(set.maxRows())
	TEXT(name, NOSPLIT|NOFRAME, "func(p *uint64)")
	Doc(fmt.Sprintf("%s computes row blocks of up to %d rows, each with a list of its steps, in panels of %d columns.",
		name, set.maxRows()[count], count*set.bytes()/4))
	writeTiles(tile{set: set, vectors: count, listed: true})
}

// listedRows is the number of elements of A that belong to a step, of which the tile uses as many as it has rows.
const listedRows = 8

// listedSteps goes through the steps of the block's list, at least one.
func (t tile) listedSteps(name string) {
	MOVQ(field(blockA), bases[0])
	MOVQ(field(placeB), b)
	MOVQ(field(blockSteps), list)
	MOVQ(field(blockCounts), walker)
	MOVL(Mem{Base: walker}, k.As32())

	Label(t.label(name + "Step"))
	MOVL(Mem{Base: list}, step.As32())
	for v := range t.vectors {
		t.set.load(Mem{Base: b, Index: step, Scale: 1, Disp: v * t.set.bytes()}, t.rowOfB(v), false)
	}
	MOVL(Mem{Base: list, Disp: 4 * aheadRows}, later.As32())
	t.fetchRow(Mem{Base: b, Index: later, Scale: 1})
	t.set.multiplyAdd(t, rowOfA)
	ADDQ(Imm(4*listedRows), bases[0])
	ADDQ(Imm(4), list)
	DECQ(k)
	JNZ(LabelRef(t.label(name + "Step")))
}

// nextList goes on to the next block's elements of A and list, which follow the last's.
func (t tile) nextList() {
	MOVQ(bases[0], field(blockA))
	MOVQ(list, field(blockSteps))
	ADDQ(Imm(4), field(blockCounts))
}

// writeKeep writes the function that finds the steps of a block and brings its elements of A together. It has no branch for an
// element, since nobody could foresee it.
func writeKeep() {
	TEXT("gemmKeepAVX2", NOSPLIT, "func(dst *float32, steps *uint32, src *float32, srcRow, rows, bStep int, mask uint64) int")
	Doc("gemmKeepAVX2 copies those of rows rows of eight floats, srcRow bytes apart, whose elements in mask are not all zero without",
		"gaps, the other elements as zeros; it lists the multiples of bStep at which they stood, and returns how many they are.")
	dst, steps, src := Load(Param("dst"), reg.RDI), Load(Param("steps"), reg.RSI), Load(Param("src"), reg.RAX)
	row, left, by := Load(Param("srcRow"), reg.RBX), Load(Param("rows"), reg.RDX), Load(Param("bStep"), reg.R8)
	Load(Param("mask"), reg.RCX)
	avx2{}.loadMask(reg.RCX)
	magnitude, x := ymm[14], ymm[0]
	VPCMPEQD(magnitude, magnitude, magnitude)
	VPSRLD(Imm(1), magnitude, magnitude)
	place, kept, begin := reg.R9, reg.R10, reg.R11
	XORQ(place, place)
	MOVQ(steps, begin)

	Label("row")
	VANDPS(Mem{Base: src}, laneMask, x)
	PREFETCHT0(Mem{Base: src, Disp: 64}) // the next blocks' elements
	XORQ(kept, kept)
	VMOVUPS(x, Mem{Base: dst})
	MOVL(place.As32(), Mem{Base: steps})
	VPTEST(magnitude, x)
	SETNE(kept.As8())
	ADDQ(row, src)
	ADDQ(by, place)
	LEAQ(Mem{Base: steps, Index: kept, Scale: 4}, steps)
	SHLQ(Imm(5), kept)
	ADDQ(kept, dst)
	DECQ(left)
	JNZ(LabelRef("row"))

	SUBQ(begin, steps)
	SHRQ(Imm(2), steps)
	Store(steps, ReturnIndex(0))
	VZEROUPPER()
	RET()
}
