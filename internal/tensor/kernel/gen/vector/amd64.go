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
	if e.abreast() > 1 {
		e.loop("abreast", e.abreast(), true)
	} else {
		unroll := max(1, p.unroll)
		e.loop("unrolled", unroll*parts, unroll > 1)
	}
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
			e.hoisted[value(v)] = e.broadcast(n)
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
	if x := e.x86; x.set == avx2 {
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
	if name == "abreast" {
		e.bodies(copies)
	} else {
		for c := range copies {
			e.body(c, false)
		}
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
	b := e.copyOf(part, tail)
	for v, n := range e.p.nodes {
		if !n.hoisted() {
			b.node(value(v), n)
		}
	}
}

// bodies emits the program for so many vectors, one operation of each in turn.
func (e *emission) bodies(copies int) {
	var all []*body
	for part := range copies {
		all = append(all, e.copyOf(part, false))
	}
	for v, n := range e.p.nodes {
		if n.hoisted() {
			continue
		}
		for _, b := range all {
			b.node(value(v), n)
		}
	}
}

func (e *emission) copyOf(part int, tail bool) *body {
	return &body{emission: e, part: part, tail: tail, at: map[value]reg.Register{}, left: append([]int(nil), e.p.uses...)}
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

// operand gives the register of a value that is read once more, or, where the operation can take it from there, the place in
// memory of a constant that has none.
func (b *body) operand(n node, k int) operand.Op {
	v := n.args[k]
	if _, hoisted := b.hoisted[v]; !hoisted && b.set == avx2 && b.p.nodes[v].op == opConst && b.fromMemory(n, k) {
		b.left[v]--
		return b.constants[b.p.nodes[v].bits]
	}
	return b.use(v)
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
	var c operand.Op
	if len(n.args) == 2 {
		c = b.operand(n, 1)
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
	form231, form213 := VFMADD231PS, VFMADD213PS
	switch n.op {
	case opFNMA:
		form231, form213 = VFNMADD231PS, VFNMADD213PS
	case opFMS:
		form231, form213 = VFMSUB231PS, VFMSUB213PS
	}
	if r := b.fusedWithMemory(n, form231, form213); r != nil {
		return r
	}
	x, y, z := b.use(n.args[0]), b.use(n.args[1]), b.use(n.args[2])
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

// fusedWithMemory emits a fused multiply-add of which a constant lies in memory: the summand, else one of the factors. nil:
// none does.
func (b *body) fusedWithMemory(n node, form231, form213 func(...operand.Op)) reg.Register {
	inMemory := func(k int) bool {
		_, hoisted := b.hoisted[n.args[k]]
		return b.set == avx2 && !hoisted && b.p.nodes[n.args[k]].op == opConst && b.fromMemory(n, k)
	}
	x, y := 0, 1
	if inMemory(0) && !inMemory(1) {
		x, y = y, x
	}
	switch {
	case inMemory(2):
		if !inMemory(x) && !inMemory(y) && n.args[x] != n.args[y] && b.left[n.args[y]] == 1 && b.left[n.args[x]] > 1 {
			x, y = y, x // overwrites the one that nobody reads again
		}
		if inMemory(y) {
			x, y = y, x
		}
		// x is overwritten: a constant's copy, or a register that nobody reads again, or a copy of one.
		from, other, summand := b.use(n.args[x]), b.use(n.args[y]), b.operand(n, 2)
		if d, fresh := from.(reg.VecVirtual), inMemory(x); fresh || b.free(n.args[x]) && n.args[x] != n.args[y] {
			form213(summand, other, d)
			return d
		}
		d := b.vector()
		VMOVAPS(from, d)
		form213(summand, other, d)
		return d
	case inMemory(y):
		factor, constant, summand := b.use(n.args[x]), b.operand(n, y), b.use(n.args[2])
		if b.free(n.args[2]) {
			form231(constant, factor, summand)
			return summand
		}
		d := b.vector()
		VMOVAPS(summand, d)
		form231(constant, factor, d)
		return d
	}
	return nil
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
