package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The loops that take groupSteps steps at a time. Where another thread of the same core takes half of the instructions that it can
// begin, those that do not multiply count: a step of the largest tile with AVX2 has 22.75 of them, where the loop of single steps has 26.
// gemm_tile.go says which loop a call takes.
const (
	loopSingle = iota // step by step, with any strides
	loopAlong         // elements of a row of A lie side by side
	loopAcross        // elements of a column of A lie side by side
)

// groupSteps is the steps of a group. gemm_tile.go knows it too.
const groupSteps = 4

// groups writes the loops that take a group of steps at a time; what remains of k is left to single steps.
func (t tile) groups(name string) {
	rest, single := t.label(name+"Rest"), t.label(name+"Single")
	CMPQ(field(fieldLoop), Imm(loopAlong))
	JL(LabelRef(single))
	JNE(LabelRef(t.label(name + "Across")))
	t.along(name + "Along")
	MOVQ(U32(4), aStep)
	JMP(LabelRef(rest))

	Label(t.label(name + "Across"))
	t.across(name + "Across")
	MOVQ(U32(4), row1)
	MOVQ(U32(12), row3)
	MOVQ(U32(28), row7)
	if t.rows > 8 {
		LEAQ(Mem{Base: bases[0], Disp: 32}, bases[1])
	}

	Label(rest)
	MOVQ(field(fieldRest), k)
	TESTQ(k, k)
	JZ(LabelRef(t.label(name + "Done")))
	MOVQ(I32(0), field(placeTail))
	XORQ(ahead, ahead)
	MOVQ(bases[0], walker)
	JMP(LabelRef(t.label(name + "Steps")))
	Label(single)
}

// along goes through the groups where the elements of a row of A lie side by side.
func (t tile) along(name string) {
	var by Op = row7
	if t.rows >= 8 {
		by = field(fieldAheadBy)
	}
	t.eachGroup(name, aStep, by, func(row, u int) Mem {
		m := rowOfA(row)
		m.Disp = 4 * u
		return m
	}, func() {
		for _, base := range bases[:(t.rows+7)/8] {
			ADDQ(Imm(4*groupSteps), base)
		}
	})
}

// across goes through the groups where the elements of a column of A lie side by side.
func (t tile) across(name string) {
	LEAQ(Mem{Base: aStep, Index: aStep, Scale: 2}, row3)
	t.eachGroup(name, row1, row7, func(row, u int) Mem {
		m := stepOf(bases[0], u, aStep, row3)
		m.Disp = 4 * row
		return m
	}, func() { LEAQ(Mem{Base: bases[0], Index: aStep, Scale: groupSteps}, bases[0]) })
}

// eachGroup writes the loops over groups: those that fetch rows of B of the same panel, and those that fetch the first of the
// next. What comes next is fetched from next on.
func (t tile) eachGroup(name string, next reg.GPPhysical, by Op, a func(row, u int) Mem, advance func()) {
	LEAQ(Mem{Base: bStep, Index: bStep, Scale: 2}, walker)
	MOVQ(field(blockAhead), next)
	if by == row7 {
		MOVQ(field(fieldAheadBy), row7)
	}
	t.copyThrough(k, fieldGroupsLast, placeTail)
	MOVQ(field(fieldFetch), ahead)
	ADDQ(b, ahead)
	MOVQ(field(fieldGroups), k)
	TESTQ(k, k)
	JZ(LabelRef(t.label(name + "Tail")))

	Label(t.label(name + "Groups"))
	SHLQ(Imm(2), k) // groupSteps
	IMULQ(bStep, k)
	ADDQ(b, k)
	Label(t.label(name + "Group"))
	for u := range groupSteps {
		for v := range t.vectors {
			m := stepOf(b, u, bStep, walker)
			m.Disp = v * t.set.bytes()
			t.set.load(m, t.rowOfB(v), false)
		}
		t.fetchRow(stepOf(ahead, u, bStep, walker))
		if at := 64 * u; at < 4*groupSteps*t.rows {
			PREFETCHT0(Mem{Base: next, Disp: at})
		}
		t.set.multiplyAdd(t, func(row int) Mem { return a(row, u) })
	}
	LEAQ(Mem{Base: b, Index: bStep, Scale: groupSteps}, b)
	LEAQ(Mem{Base: ahead, Index: bStep, Scale: groupSteps}, ahead)
	ADDQ(by, next)
	advance()
	CMPQ(b, k)
	JNE(LabelRef(t.label(name + "Group")))

	Label(t.label(name + "Tail"))
	MOVQ(field(placeTail), k)
	MOVQ(I32(0), field(placeTail))
	MOVQ(field(placeB), ahead)
	ADDQ(field(fieldBPanel), ahead)
	TESTQ(k, k)
	JNZ(LabelRef(t.label(name + "Groups")))
}

// stepOf is the address u steps after base, given the bytes between steps and three times as many.
func stepOf(base reg.GPPhysical, u int, by, threefold reg.GPPhysical) Mem {
	m := Mem{Base: base}
	switch u {
	case 1, 2:
		m.Index, m.Scale = by, uint8(u)
	case 3:
		m.Index, m.Scale = threefold, 1
	}
	return m
}
