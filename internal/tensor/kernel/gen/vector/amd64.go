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
	constants map[uint32]operand.Mem // each four bytes, to be broadcast
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
		params = append(params, "rows int", "cols int", "stride int")
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
	unroll := max(1, p.unroll)
	e.loop("unrolled", unroll*parts, unroll > 1)
	e.loop("single", parts, true)
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

// hoist keeps the scalars, and as many constants as there is room for, in registers; the others are broadcast from memory
// where they are used.
func (e *emission) hoist() {
	room := e.registers() - e.p.pressure() - 3
	for _, acc := range e.acc {
		room -= len(acc)
	}
	if e.set == avx2 {
		room -= max(1, len(e.p.lanes)*2/max(1, len(e.p.lanes))) // tail masks
	}
	for v, n := range e.p.nodes {
		if n.op == opScalar {
			e.hoisted[value(v)] = e.broadcast(n)
			room--
		}
	}
	for v, n := range e.p.nodes {
		if n.op == opConst && room > 0 {
			e.hoisted[value(v)] = e.broadcast(n)
			room--
		}
	}
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

// loop takes copies vectors a turn while there are as many elements.
func (e *emission) loop(name string, copies int, wanted bool) {
	if !wanted {
		return
	}
	step := copies * e.width()
	end := name + "End"
	Label(name)
	CMPQ(e.left, operand.U32(uint32(step)))
	JLT(operand.LabelRef(end))
	for c := range copies {
		e.body(c, false)
	}
	ADDQ(operand.U32(uint32(step)), e.index)
	SUBQ(operand.U32(uint32(step)), e.left)
	JMP(operand.LabelRef(name))
	Label(end)
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
	b := &body{emission: e, part: part, tail: tail, at: map[value]reg.Register{}}
	b.left = append([]int(nil), e.p.uses...)
	for v, n := range e.p.nodes {
		if !n.hoisted() {
			b.node(value(v), n)
		}
	}
}

// body is one copy of the program.
type body struct {
	*emission
	part int
	tail bool
	at   map[value]reg.Register
	left []int // uses of each value still to come
}

// use gives the register of a value that is read once more.
func (b *body) use(v value) reg.Register {
	b.left[v]--
	if r, ok := b.hoisted[v]; ok {
		return r
	}
	if n := b.p.nodes[v]; n.op == opConst {
		return b.broadcast(n)
	}
	return b.at[v]
}

// free reports whether the value's register may be overwritten after use: nobody reads it again.
func (b *body) free(v value) bool {
	_, kept := b.hoisted[v]
	return !kept && b.left[v] == 0
}

func (b *body) memory(stream int) operand.Mem {
	return operand.Mem{Base: b.base[stream], Index: b.index, Scale: 4, Disp: 4 * b.width() * b.part}
}

func (b *body) maskOf() operand.Op {
	if b.set == avx512 {
		return b.mask[0]
	}
	return b.mask[b.part]
}

func (b *body) node(v value, n node) {
	switch n.op {
	case opLoad:
		d := b.vector()
		switch {
		case !b.tail:
			VMOVUPS(b.memory(n.index), d)
		case b.set == avx512:
			VMOVUPS_Z(b.memory(n.index), b.maskOf(), d)
		default:
			VMASKMOVPS(b.memory(n.index), b.maskOf(), d)
		}
		b.at[v] = d
	case opStore:
		s := b.use(n.args[0])
		switch {
		case b.past:
			VMOVNTPS(s, b.memory(n.index))
		case !b.tail:
			VMOVUPS(s, b.memory(n.index))
		case b.set == avx512:
			VMOVUPS(s, b.maskOf(), b.memory(n.index))
		default:
			VMASKMOVPS(s, b.maskOf(), b.memory(n.index))
		}
	case opAccAdd, opAccFMA, opAccMax:
		b.accumulate(n)
	case opFMA, opFNMA, opFMS:
		b.at[v] = b.fused(n)
	case opLess, opLessEqual, opEqual:
		b.at[v] = b.compare(n)
	case opSelect:
		b.at[v] = b.choose(n)
	default:
		b.at[v] = b.plain(n)
	}
}

// plain emits an operation of one or two operands.
func (b *body) plain(n node) reg.Register {
	a := b.use(n.args[0])
	var c reg.Register
	if len(n.args) == 2 {
		c = b.use(n.args[1])
	}
	d := b.vector()
	wide := b.set == avx512
	switch n.op {
	case opAdd:
		VADDPS(c, a, d)
	case opSub:
		VSUBPS(c, a, d)
	case opMul:
		VMULPS(c, a, d)
	case opDiv:
		VDIVPS(c, a, d)
	case opSqrt:
		VSQRTPS(a, d)
	case opMax:
		VMAXPS(c, a, d)
	case opMin:
		VMINPS(c, a, d)
	case opIntAdd:
		VPADDD(c, a, d)
	case opIntSub:
		VPSUBD(c, a, d)
	case opShiftLeft:
		VPSLLD(operand.U8(n.index), a, d)
	case opShiftRight:
		VPSRAD(operand.U8(n.index), a, d)
	case opShiftRightLogical:
		VPSRLD(operand.U8(n.index), a, d)
	case opIntToFloat:
		VCVTDQ2PS(a, d)
	case opScaleExponent:
		VSCALEFPS(c, a, d)
	case opAnd:
		if wide {
			VPANDD(c, a, d)
		} else {
			VPAND(c, a, d)
		}
	case opOr:
		if wide {
			VPORD(c, a, d)
		} else {
			VPOR(c, a, d)
		}
	case opAndNot: // the instruction inverts its first source
		if wide {
			VPANDND(a, c, d)
		} else {
			VPANDN(a, c, d)
		}
	default:
		panic(fmt.Sprintf("operation %d", n.op))
	}
	return d
}

// fused emits a fused multiply-add. It overwrites a source that nobody reads again, where there is one.
func (b *body) fused(n node) reg.Register {
	x, y, z := b.use(n.args[0]), b.use(n.args[1]), b.use(n.args[2])
	form231, form213 := VFMADD231PS, VFMADD213PS
	switch n.op {
	case opFNMA:
		form231, form213 = VFNMADD231PS, VFNMADD213PS
	case opFMS:
		form231, form213 = VFMSUB231PS, VFMSUB213PS
	}
	switch {
	case b.free(n.args[2]):
		form231(y, x, z)
		return z
	case b.free(n.args[0]) && n.args[0] != n.args[1]:
		form213(z, y, x)
		return x
	case b.free(n.args[1]) && n.args[0] != n.args[1]:
		form213(z, x, y)
		return y
	}
	d := b.vector()
	VMOVAPS(z, d)
	form231(y, x, d)
	return d
}

func (b *body) compare(n node) reg.Register {
	const less, lessEqual, equal = 0x11, 0x12, 0x00 // ordered, quiet
	predicate := operand.U8(less)
	switch n.op {
	case opLessEqual:
		predicate = lessEqual
	case opEqual:
		predicate = equal
	}
	x, y := b.use(n.args[0]), b.use(n.args[1])
	if b.set == avx512 {
		k := K()
		VCMPPS(predicate, y, x, k)
		return k
	}
	d := YMM()
	VCMPPS(predicate, y, x, d)
	return d
}

func (b *body) choose(n node) reg.Register {
	orZero := b.p.nodes[n.args[2]].op == opConst && b.p.nodes[n.args[2]].bits == 0
	m, x := b.use(n.args[0]), b.use(n.args[1])
	d := b.vector()
	switch {
	case orZero && b.set == avx512:
		VMOVAPS_Z(x, m, d)
		return d
	case orZero:
		VANDPS(m, x, d)
		return d
	}
	y := b.use(n.args[2])
	if b.set == avx2 {
		VBLENDVPS(m, x, y, d)
		return d
	}
	// Not VBLENDMPS: avo takes its destination for a source, which then occupies a register from the beginning.
	if b.free(n.args[2]) {
		d = y.(reg.VecVirtual)
	} else {
		VMOVAPS(y, d)
	}
	VMOVAPS(x, m, d)
	return d
}

// accumulate adds to the lanes; in the tail, the lanes that have no element keep their bits.
func (b *body) accumulate(n node) {
	acc := b.acc[n.index][b.part%len(b.acc[n.index])]
	x := b.use(n.args[0])
	var y reg.Register
	if n.op == opAccFMA {
		y = b.use(n.args[1])
	}
	if b.tail && b.set == avx512 {
		k := b.maskOf()
		switch n.op {
		case opAccAdd:
			VADDPS(x, acc, k, acc)
		case opAccFMA:
			VFMADD231PS(y, x, k, acc)
		case opAccMax:
			VMAXPS(acc, x, k, acc)
		}
		return
	}
	d := acc
	if b.tail {
		d = YMM()
		VMOVAPS(acc, d)
	}
	switch n.op {
	case opAccAdd:
		VADDPS(x, d, d)
	case opAccFMA:
		VFMADD231PS(y, x, d)
	case opAccMax:
		VMAXPS(d, x, d)
	}
	if b.tail {
		VBLENDVPS(b.maskOf(), d, acc, acc)
	}
}
