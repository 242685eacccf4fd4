package main

import (
	"fmt"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// x86 emits kernels for AVX-512 or AVX2.
type x86 struct {
	set       isa
	constants map[uint32]operand.Mem // each four bytes, to be broadcast; AVX2: in every lane
	masks     operand.Mem            // AVX2's tail masks: 16 times -1, then 16 times 0
}

// width is the number of elements in a vector register.
func (x *x86) width() int {
	if x.set == avx512 {
		return 16
	}
	return 8
}

func (x *x86) registers() int { return 2 * x.width() }

func (x *x86) vector() reg.VecVirtual {
	if x.set == avx512 {
		return ZMM()
	}
	return YMM()
}

// emission is one kernel being emitted.
type emission struct {
	*x86
	p       *program
	past    bool
	byRow   bool            // it is the form for rows
	base    []reg.GPVirtual // of each stream
	index   reg.GPVirtual   // elements done
	left    reg.GPVirtual   // elements to do
	hoisted map[value]reg.VecVirtual
	acc     [][]reg.VecVirtual // of each sum, by part of its lanes or columns
	mask    []operand.Op       // of the tail, by part
}

// signature is the Go signature of the kernel's assembly.
func (p *program) signature() string {
	var params []string
	for _, l := range p.lanes {
		params = append(params, l+" *[16]float32")
	}
	for _, s := range p.vectors() {
		params = append(params, s+" *float32")
	}
	if p.columnar() {
		params = append(params, "rows int", "cols int", "stride int", "ahead int")
	} else {
		params = append(params, "n int")
	}
	for _, s := range p.scalars {
		params = append(params, s+" float32")
	}
	return "func(" + strings.Join(params, ", ") + ")"
}

// emit writes a kernel. In the form whose stores go past the caches, the destination is aligned and n a multiple of
// pastBlock.
func (x *x86) emit(p *program, past bool) {
	name := p.name
	if past {
		name += "Past"
	}
	TEXT(name+x.set.suffix(), NOSPLIT, p.signature())
	e := &emission{x86: x, p: p, past: past, hoisted: map[value]reg.VecVirtual{}}
	e.prologue()
	// Kernels with lanes take sixteen elements a turn, so that a register always holds the same lanes.
	parts := 1
	if len(p.lanes) > 0 {
		parts = lanes / e.width()
	}
	e.loops(parts)
	if past {
		SFENCE()
		VZEROUPPER()
		RET()
		return
	}
	Label("tail")
	TESTQ(e.left, e.left)
	JZ(operand.LabelRef("done"))
	e.tail(parts)
	Label("done")
	for i := range p.lanes {
		at := Load(Param(p.lanes[i]), GP64())
		for j, a := range e.acc[i] {
			VMOVUPS(a, operand.Mem{Base: at, Disp: 4 * e.width() * j})
		}
	}
	VZEROUPPER()
	RET()
}

// loops takes whole turns of the elements that are left.
func (e *emission) loops(parts int) {
	switch {
	case e.abreast() > 1:
		e.loop("abreast", e.abreast(), e.sideBySide)
	case e.p.unroll > 1:
		e.loop("unrolled", e.p.unroll*parts, e.inTurn)
	}
	e.loop("single", parts, e.inTurn)
}

// abreast is how many copies of the program go on side by side. AVX-512's kernels have none: their constants lie in
// registers, and the processors that run them look further ahead.
func (e *emission) abreast() int {
	if e.set == avx2 {
		return max(1, e.p.abreast)
	}
	return 1
}

// lanes is the number of partial sums of the lane rule.
const lanes = 16

func (e *emission) prologue() {
	for _, s := range e.p.streams {
		e.base = append(e.base, Load(Param(s), GP64()).(reg.GPVirtual))
	}
	e.left = Load(Param("n"), GP64()).(reg.GPVirtual)
	e.index = GP64()
	XORQ(e.index, e.index)
	for _, l := range e.p.lanes {
		at := Load(Param(l), GP64())
		var acc []reg.VecVirtual
		for j := 0; j < lanes/e.width(); j++ {
			a := e.vector()
			VMOVUPS(operand.Mem{Base: at, Disp: 4 * e.width() * j}, a)
			acc = append(acc, a)
		}
		e.acc = append(e.acc, acc)
	}
	e.hoist()
}

// hoist keeps the scalars, and as many constants as there is room for, in registers, those first that no instruction would
// take from memory; the others are read where they are used.
func (e *emission) hoist() {
	room := e.registers() - e.abreast()*e.p.pressure() - 3
	for _, acc := range e.acc {
		room -= len(acc)
	}
	if e.set == avx2 {
		room -= max(1, len(e.p.lanes)*2/max(1, len(e.p.lanes))) // tail masks
	}
	for v, n := range e.p.nodes {
		if n.op == opScalar {
			if e.byRow && e.p.rows.each(e.p.scalars[n.index]) {
				e.hoisted[value(v)] = e.vector()
			} else {
				e.hoisted[value(v)] = e.broadcast(n)
			}
			room--
		}
	}
	needed := e.needed()
	for _, first := range []bool{true, false} {
		for v, n := range e.p.nodes {
			if n.op == opConst && room > 0 && needed[value(v)] == first {
				e.hoisted[value(v)] = e.broadcast(n)
				room--
			}
		}
	}
}

// needed are the constants that somewhere must be in a register. AVX-512's all must.
func (e *emission) needed() map[value]bool {
	needed := map[value]bool{}
	for _, n := range e.p.nodes {
		for k, a := range n.args {
			if e.p.nodes[a].op == opConst && (e.set == avx512 || !e.fromMemory(n, k)) {
				needed[a] = true
			}
		}
	}
	return needed
}

// fromMemory reports whether an operation can take a constant from memory as the operand of that number.
func (e *emission) fromMemory(n node, operand int) bool {
	if e.p.nodes[n.args[operand]].bits == 0 {
		return false
	}
	switch n.op {
	case opAdd, opSub, opMul, opDiv, opMax, opMin, opIntAdd, opIntSub, opAnd, opOr:
		return operand == 1
	case opFMA, opFNMA, opFMS:
		return true // a second constant of the same operation is loaded for it
	}
	return false
}

// broadcast loads a constant or scalar parameter into every lane of a new register.
func (e *emission) broadcast(n node) reg.VecVirtual {
	v := e.vector()
	if n.op == opScalar {
		p, err := Param(e.p.scalars[n.index]).Resolve()
		if err != nil {
			panic(err)
		}
		VBROADCASTSS(p.Addr, v)
		return v
	}
	if n.bits == 0 {
		e.xor(v)
		return v
	}
	at, ok := e.constants[n.bits]
	if !ok {
		panic(fmt.Sprintf("constant %#x is not in the table", n.bits))
	}
	if e.set == avx2 {
		VMOVUPS(at, v)
		return v
	}
	VBROADCASTSS(at, v)
	return v
}

func (x *x86) xor(v reg.VecVirtual) {
	if x.set == avx512 {
		VPXORD(v, v, v)
		return
	}
	VPXOR(v, v, v)
}

// loop takes copies vectors a turn while there are as many elements. Within it, left is less by a turn's.
func (e *emission) loop(name string, copies int, emit func(copies int)) {
	step := copies * e.width()
	end := name + "End"
	SUBQ(operand.U32(uint32(step)), e.left)
	JLT(operand.LabelRef(end))
	Label(name)
	emit(copies)
	ADDQ(operand.U32(uint32(step)), e.index)
	SUBQ(operand.U32(uint32(step)), e.left)
	JGE(operand.LabelRef(name))
	Label(end)
	ADDQ(operand.U32(uint32(step)), e.left)
}

// tail takes the last elements, fewer than a turn, under masks.
func (e *emission) tail(parts int) {
	if e.set == avx512 {
		bits, k := GP64(), K()
		MOVQ(operand.I32(-1), bits)
		BZHIQ(e.left, bits, bits)
		KMOVW(bits.As32(), k)
		e.mask = []operand.Op{k}
		e.body(0, true)
		return
	}
	table := GP64()
	LEAQ(e.masks, table)
	offset := GP64()
	MOVQ(operand.U32(lanes), offset)
	SUBQ(e.left, offset)
	for j := range parts {
		m := YMM()
		VMOVUPS(operand.Mem{Base: table, Index: offset, Scale: 4, Disp: 4 * e.width() * j}, m)
		e.mask = append(e.mask, m)
	}
	for j := range parts {
		e.body(j, true)
	}
}

// body emits the program for vector number part from the index on.
func (e *emission) body(part int, tail bool) {
	b := e.copyOf(part, tail)
	for v, n := range e.p.nodes {
		if !n.hoisted() {
			b.node(value(v), n)
		}
	}
}

// inTurn emits the program for a number of vectors, one after another; of a program of two stages the first stage of all, then the
// second of all.
func (e *emission) inTurn(copies int) {
	all := e.copies(copies)
	from := 0
	for _, to := range append(e.p.stages, len(e.p.nodes)) {
		for _, b := range all {
			for v := from; v < to; v++ {
				if n := e.p.nodes[v]; !n.hoisted() {
					b.node(value(v), n)
				}
			}
		}
		from = to
	}
}

// sideBySide emits the program for a number of vectors, one operation of each in turn.
func (e *emission) sideBySide(copies int) {
	all := e.copies(copies)
	for v, n := range e.p.nodes {
		if n.hoisted() {
			continue
		}
		for _, b := range all {
			b.node(value(v), n)
		}
	}
}

func (e *emission) copies(count int) []*body {
	var all []*body
	for part := range count {
		all = append(all, e.copyOf(part, false))
	}
	return all
}

func (e *emission) copyOf(part int, tail bool) *body {
	return &body{emission: e, part: part, tail: tail, at: map[value]reg.Register{}, left: append([]int(nil), e.p.uses...)}
}
