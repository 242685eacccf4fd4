package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

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
	if b.inMemory(n, k) {
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
	case b.free(n.args[0]):
		form213(z, y, x)
		return x
	case b.free(n.args[1]):
		form213(z, x, y)
		return y
	}
	d := b.copied(z)
	form231(y, x, d)
	return d
}

// fusedWithMemory emits a fused multiply-add of which a constant lies in memory: the summand, else one of the factors. nil:
// none does.
func (b *body) fusedWithMemory(n node, form231, form213 func(...operand.Op)) reg.Register {
	x, y := 0, 1
	if b.inMemory(n, x) {
		x, y = y, x
	}
	switch {
	case b.inMemory(n, 2):
		d, other := b.factors(n)
		form213(b.operand(n, 2), other, d)
		return d
	case b.inMemory(n, y):
		factor, constant, d := b.use(n.args[x]), b.operand(n, y), b.use(n.args[2])
		if !b.free(n.args[2]) {
			d = b.copied(d)
		}
		form231(constant, factor, d)
		return d
	}
	return nil
}

// inMemory reports whether the operand of that number is a constant that has no register, and needs none.
func (b *body) inMemory(n node, operand int) bool {
	return b.set == avx2 && b.loose(n.args[operand]) && b.fromMemory(n, operand)
}

// loose reports whether the value is a constant that has no register.
func (b *body) loose(v value) bool {
	_, hoisted := b.hoisted[v]
	return !hoisted && b.p.nodes[v].op == opConst
}

// factors gives the first two operands in registers, in an order in which the first may be overwritten: nobody reads it again,
// or it has been loaded or copied for that.
func (b *body) factors(n node) (spoilt, other reg.Register) {
	x, y := n.args[0], n.args[1]
	a, c := b.use(x), b.use(y)
	switch {
	case x == y:
		return b.copied(a), c
	case b.loose(x) || b.free(x):
		return a, c
	case b.loose(y) || b.free(y):
		return c, a
	}
	return b.copied(a), c
}

func (b *body) copied(r reg.Register) reg.Register {
	d := b.vector()
	VMOVAPS(r, d)
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
