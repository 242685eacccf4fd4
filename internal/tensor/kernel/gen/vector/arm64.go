package main

import (
	"bytes"
	"fmt"
	"strings"
)

// arm writes kernels for NEON as Go assembly. The Go assembler knows few of its floating-point instructions, so all of them
// are written as words. Kernels take whole vectors only (whole blocks of sixteen elements where they have lanes).
type arm struct {
	out      bytes.Buffer
	p        *program
	hoisted  map[value]int // register of a constant or scalar
	acc      [][]int       // registers of each sum, by part
	streams  int           // the general register that the streams' pointers begin at
	at       map[value]int // register of a value
	left     []int         // uses of each value still to come
	vacant   []int         // vector registers
	borrowed []int         // registers of constants loaded for one operation
}

// Instructions on four 32-bit lanes: destination in bits 0-4, first source from bit 5, second from bit 16.
const (
	neonAdd         = 0x4e20d400 // FADD
	neonSub         = 0x4ea0d400 // FSUB
	neonMul         = 0x6e20dc00 // FMUL
	neonDiv         = 0x6e20fc00 // FDIV
	neonSqrt        = 0x6ea1f800 // FSQRT
	neonNegate      = 0x6ea0f800 // FNEG
	neonFMLA        = 0x4e20cc00 // destination += product
	neonFMLS        = 0x4ea0cc00 // destination -= product
	neonGreater     = 0x6ea0e400 // FCMGT
	neonGreaterSame = 0x6e20e400 // FCMGE
	neonEqual       = 0x4e20e400 // FCMEQ
	neonAnd         = 0x4e201c00
	neonOr          = 0x4ea01c00
	neonAndNot      = 0x4e601c00 // BIC
	neonSelect      = 0x6e601c00 // BSL: destination is the mask
	neonIntAdd      = 0x4ea08400
	neonIntSub      = 0x6ea08400
	neonToFloat     = 0x4e21d800 // SCVTF
	neonShiftLeft   = 0x4f005400 // SHL, 32+bits from bit 16
	neonShiftRight  = 0x4f000400 // SSHR, 64-bits from bit 16
	neonLogical     = 0x6f000400 // USHR, 64-bits from bit 16
	neonDup         = 0x4e040c00 // DUP from a general register
)

var neonName = map[uint32]string{
	neonAdd: "FADD", neonSub: "FSUB", neonMul: "FMUL", neonDiv: "FDIV", neonSqrt: "FSQRT", neonNegate: "FNEG", neonFMLA: "FMLA",
	neonFMLS: "FMLS", neonGreater: "FCMGT", neonGreaterSame: "FCMGE", neonEqual: "FCMEQ", neonAnd: "AND", neonOr: "ORR",
	neonAndNot: "BIC", neonSelect: "BSL", neonIntAdd: "ADD", neonIntSub: "SUB", neonToFloat: "SCVTF", neonShiftLeft: "SHL",
	neonShiftRight: "SSHR", neonLogical: "USHR", neonDup: "DUP",
}

const (
	neonWidth     = 4
	neonRegisters = 32

	// General registers; those from 0 on hold pointers.
	rowPointer  = 9 // of the first stream, in kernels that run down columns
	strideBytes = 12
	rowsLeft    = 13
	counter     = 14 // elements or columns left
	scratch     = 15
)

func (a *arm) line(format string, args ...any) { fmt.Fprintf(&a.out, "\t"+format+"\n", args...) }

// word writes the instruction op with destination d and sources n and m.
func (a *arm) word(op uint32, d, n, m int) {
	a.line("WORD $0x%08x // %s V%d, V%d, V%d", op|uint32(m)<<16|uint32(n)<<5|uint32(d), neonName[op], d, n, m)
}

// one writes an instruction with one source.
func (a *arm) one(op uint32, d, n int) {
	a.line("WORD $0x%08x // %s V%d, V%d", op|uint32(n)<<5|uint32(d), neonName[op], d, n)
}

// shift writes a shift by the given number of bits, which the instruction holds as encoded.
func (a *arm) shift(op uint32, d, n, bits, encoded int) {
	a.line("WORD $0x%08x // %s V%d, V%d, $%d", op|uint32(encoded)<<16|uint32(n)<<5|uint32(d), neonName[op], d, n, bits)
}

func (a *arm) copy(d, n int) { a.word(neonOr, d, n, n) }

// begin resets the registers for the kernel p and writes its heading.
func (a *arm) begin(p *program, bytes int) {
	a.p, a.hoisted, a.acc, a.vacant, a.streams = p, map[value]int{}, nil, nil, 0
	for r := neonRegisters - 1; r >= 0; r-- {
		a.vacant = append(a.vacant, r)
	}
	fmt.Fprintf(&a.out, "\n// %s\nTEXT ·%sNEON(SB), NOSPLIT, $0-%d\n", strings.Replace(p.signature(), "func", "func "+p.name+"NEON", 1), p.name, bytes)
}

// emit writes the kernel p.
func (a *arm) emit(p *program) {
	offset := 8 * len(p.lanes)
	a.begin(p, offset+8*(len(p.streams)+1)+4*len(p.scalars))
	for i, s := range p.streams {
		a.line("MOVD %s+%d(FP), R%d", s, offset, a.streams+i)
		offset += 8
	}
	a.line("MOVD n+%d(FP), R%d", offset, counter)
	a.loadLanes()
	a.hoist(offset + 8)
	step := neonWidth
	if len(p.lanes) > 0 {
		step = lanes
	}
	fmt.Fprintf(&a.out, "\nloop:\n")
	a.line("CMP $%d, R%d", step, counter)
	a.line("BLT done")
	for part := range step / neonWidth {
		a.body(part)
	}
	for i := range p.streams {
		a.line("ADD $%d, R%d", 4*step, a.streams+i)
	}
	a.line("SUB $%d, R%d", step, counter)
	a.line("B loop")
	fmt.Fprintf(&a.out, "\ndone:\n")
	for i, l := range p.lanes {
		a.line("MOVD %s+%d(FP), R%d", l, 8*i, scratch)
		for part, r := range a.acc[i] {
			a.line("FMOVQ F%d, %d(R%d)", r, 16*part, scratch)
		}
	}
	a.line("RET")
}

// emitColumns writes the kernel p, which runs down columns: four at a time, a whole number of times.
func (a *arm) emitColumns(p *program) {
	vectors := p.vectors()
	end := 8 * len(vectors)
	a.begin(p, end+32)
	for i, s := range vectors {
		a.line("MOVD %s+%d(FP), R%d", s, 8*i, i)
	}
	a.line("MOVD cols+%d(FP), R%d", end+8, counter)
	a.line("MOVD stride+%d(FP), R%d", end+16, strideBytes)
	a.line("LSL $2, R%d, R%d", strideBytes, strideBytes)
	for v, n := range p.nodes {
		if n.op == opConst {
			a.hoisted[value(v)] = a.constant(n)
		}
	}
	fmt.Fprintf(&a.out, "\nloop:\n")
	a.line("CMP $%d, R%d", neonWidth, counter)
	a.line("BLT done")
	for i := range p.sums {
		a.acc = append(a.acc, []int{a.take()})
		a.line("FMOVQ (R%d), F%d", i, a.acc[i][0])
	}
	for v, n := range p.nodes {
		if n.op == opColumn {
			a.hoisted[value(v)] = a.take()
			a.line("FMOVQ (R%d), F%d", len(p.sums)+n.index, a.hoisted[value(v)])
		}
	}
	a.streams = rowPointer
	for i := range p.streams {
		a.line("MOVD R%d, R%d", len(p.sums)+len(p.columns)+i, rowPointer+i)
	}
	a.line("MOVD rows+%d(FP), R%d", end, rowsLeft)
	fmt.Fprintf(&a.out, "\nrow:\n")
	a.body(0)
	for i := range p.streams {
		a.line("ADD R%d, R%d", strideBytes, rowPointer+i)
	}
	a.line("SUBS $1, R%d", rowsLeft)
	a.line("BNE row")
	for i, r := range a.acc {
		a.line("FMOVQ F%d, (R%d)", r[0], i)
	}
	for i := range vectors {
		a.line("ADD $%d, R%d", 4*neonWidth, i)
	}
	a.line("SUB $%d, R%d", neonWidth, counter)
	a.line("B loop")
	fmt.Fprintf(&a.out, "\ndone:\n")
	a.line("RET")
}

func (a *arm) take() int {
	if len(a.vacant) == 0 {
		panic(a.p.name + ": out of NEON registers")
	}
	r := a.vacant[len(a.vacant)-1]
	a.vacant = a.vacant[:len(a.vacant)-1]
	return r
}

func (a *arm) give(r int) { a.vacant = append(a.vacant, r) }

func (a *arm) loadLanes() {
	for i, l := range a.p.lanes {
		a.line("MOVD %s+%d(FP), R%d", l, 8*i, scratch)
		var acc []int
		for part := range lanes / neonWidth {
			r := a.take()
			a.line("FMOVQ %d(R%d), F%d", 16*part, scratch, r)
			acc = append(acc, r)
		}
		a.acc = append(a.acc, acc)
	}
}

// hoist loads the scalars, and as many constants as there is room for.
func (a *arm) hoist(scalars int) {
	room := len(a.vacant) - a.p.pressure() - 4
	for v, n := range a.p.nodes {
		if n.op == opScalar {
			a.hoisted[value(v)] = a.take()
			a.line("MOVWU %s+%d(FP), R%d", a.p.scalars[n.index], scalars+4*n.index, scratch)
			a.one(neonDup, a.hoisted[value(v)], scratch)
			room--
		}
	}
	for v, n := range a.p.nodes {
		if n.op == opConst && room > 0 {
			a.hoisted[value(v)] = a.constant(n)
			room--
		}
	}
}

func (a *arm) constant(n node) int {
	r := a.take()
	a.line("MOVW $0x%08x, R%d", n.bits, scratch)
	a.one(neonDup, r, scratch)
	return r
}

// body writes the program for vector number part of a turn.
func (a *arm) body(part int) {
	a.at = map[value]int{}
	a.left = append([]int(nil), a.p.uses...)
	for v, n := range a.p.nodes {
		if n.hoisted() {
			continue
		}
		a.node(value(v), n, part)
		for _, r := range a.borrowed {
			a.give(r)
		}
		a.borrowed = nil
		for i, x := range n.args {
			if r, ok := a.at[x]; ok && a.left[x] == 0 && !again(n.args[:i], x) {
				a.give(r)
				delete(a.at, x)
			}
		}
	}
}

func again(args []value, x value) bool {
	for _, a := range args {
		if a == x {
			return true
		}
	}
	return false
}

// use gives the register of a value that is read once more.
func (a *arm) use(v value) int {
	a.left[v]--
	if r, ok := a.hoisted[v]; ok {
		return r
	}
	if n := a.p.nodes[v]; n.op == opConst {
		r := a.constant(n)
		a.borrowed = append(a.borrowed, r)
		return r
	}
	return a.at[v]
}

// destination is a register for a result that begins as a copy of v, read just before: v's own where nobody reads it again.
func (a *arm) destination(v value, r int) int {
	if at, ok := a.at[v]; ok && a.left[v] == 0 {
		delete(a.at, v)
		return at
	}
	d := a.take()
	a.copy(d, r)
	return d
}

func (a *arm) node(v value, n node, part int) {
	var r [3]int
	for i, x := range n.args {
		r[i] = a.use(x)
	}
	switch n.op {
	case opLoad:
		a.at[v] = a.take()
		a.line("FMOVQ %d(R%d), F%d", 16*part, a.streams+n.index, a.at[v])
	case opStore:
		a.line("FMOVQ F%d, %d(R%d)", r[0], 16*part, a.streams+n.index)
	case opFMA, opFNMA:
		op := uint32(neonFMLA)
		if n.op == opFNMA {
			op = neonFMLS
		}
		d := a.sum(n, r)
		a.word(op, d, r[0], r[1])
		a.at[v] = d
	case opFMS:
		d := a.take()
		a.one(neonNegate, d, r[2])
		a.word(neonFMLA, d, r[0], r[1])
		a.at[v] = d
	case opAccAdd:
		acc := a.acc[n.index][part]
		a.word(neonAdd, acc, acc, r[0])
	case opAccFMA:
		a.word(neonFMLA, a.acc[n.index][part], r[0], r[1])
	case opAccMax:
		a.greatest(a.acc[n.index][part], r[0])
	case opMax, opMin:
		d := a.take()
		if n.op == opMax {
			a.word(neonGreater, d, r[0], r[1])
		} else {
			a.word(neonGreater, d, r[1], r[0])
		}
		a.word(neonSelect, d, r[0], r[1])
		a.at[v] = d
	case opSelect:
		d := a.destination(n.args[0], r[0])
		a.word(neonSelect, d, r[1], r[2])
		a.at[v] = d
	default:
		a.at[v] = a.take()
		a.plain(a.at[v], n, r)
	}
}

// sum is the register that the addend of a fused multiply-add is in and its result will be.
func (a *arm) sum(n node, r [3]int) int {
	if n.args[2] != n.args[0] && n.args[2] != n.args[1] {
		return a.destination(n.args[2], r[2])
	}
	d := a.take()
	a.copy(d, r[2])
	return d
}

// greatest sets acc to x where x > acc.
func (a *arm) greatest(acc, x int) {
	mask := a.take()
	a.word(neonGreater, mask, x, acc)
	a.word(neonSelect, mask, x, acc)
	a.copy(acc, mask)
	a.give(mask)
}

// plain writes an operation that overwrites none of its sources.
func (a *arm) plain(d int, n node, r [3]int) {
	binary := map[operation]uint32{opAdd: neonAdd, opSub: neonSub, opMul: neonMul, opDiv: neonDiv, opAnd: neonAnd, opOr: neonOr,
		opAndNot: neonAndNot, opIntAdd: neonIntAdd, opIntSub: neonIntSub, opEqual: neonEqual}
	switch n.op {
	case opSqrt:
		a.one(neonSqrt, d, r[0])
	case opIntToFloat:
		a.one(neonToFloat, d, r[0])
	case opLess:
		a.word(neonGreater, d, r[1], r[0])
	case opLessEqual:
		a.word(neonGreaterSame, d, r[1], r[0])
	case opShiftLeft:
		a.shift(neonShiftLeft, d, r[0], n.index, 32+n.index)
	case opShiftRight:
		a.shift(neonShiftRight, d, r[0], n.index, 64-n.index)
	case opShiftRightLogical:
		a.shift(neonLogical, d, r[0], n.index, 64-n.index)
	default:
		op, ok := binary[n.op]
		if !ok {
			panic(fmt.Sprintf("operation %d has no NEON form", n.op))
		}
		a.word(op, d, r[0], r[1])
	}
}

// file is the assembly of all kernels.
func (a *arm) file() []byte {
	a.out.WriteString(header + "//go:build arm64 && !purego\n\n#include \"textflag.h\"\n")
	for _, k := range kernels {
		if k.columnar() {
			a.emitColumns(build(k, neon))
		} else {
			a.emit(build(k, neon))
		}
	}
	a.specials()
	return a.out.Bytes()
}
