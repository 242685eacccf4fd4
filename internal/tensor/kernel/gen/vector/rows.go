package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// rowsSignature is the Go signature of the assembly of a kernel's form for rows: sums, streams, sizes, scalars, and those that every
// row has its own of.
func (p *program) rowsSignature() string {
	var params []string
	for _, s := range append(append([]string(nil), p.lanes...), p.streams...) {
		params = append(params, s+" *float32")
	}
	params = append(params, "rows int", "cols int", "stride int")
	for _, s := range p.scalars {
		if p.rows.each(s) {
			params = append(params, s+" *float32")
		} else {
			params = append(params, s+" float32")
		}
	}
	return "func(" + strings.Join(params, ", ") + ")"
}

// emitRows writes the form of a kernel for the rows of matrices: its loops within a loop over the rows. Constants are loaded once.
func (x *x86) emitRows(p *program) {
	TEXT(p.name+"Rows"+x.set.suffix(), NOSPLIT, p.rowsSignature())
	e := &emission{x86: x, p: p, byRow: true, hoisted: map[value]reg.VecVirtual{}}
	for _, s := range p.streams {
		e.base = append(e.base, Load(Param(s), GP64()).(reg.GPVirtual))
	}
	parts := 1
	if len(p.lanes) > 0 {
		parts = lanes / e.width()
	}
	for range p.lanes {
		var acc []reg.VecVirtual
		for range parts {
			acc = append(acc, e.vector())
		}
		e.acc = append(e.acc, acc)
	}
	e.left, e.index = GP64(), GP64()
	e.hoist()
	row := GP64() // four times its number
	XORQ(row, row)

	Label("row")
	Load(Param("cols"), e.left)
	XORQ(e.index, e.index)
	at := GP64()
	for v, n := range p.nodes {
		if n.op == opScalar && p.rows.each(p.scalars[n.index]) {
			Load(Param(p.scalars[n.index]), at)
			VBROADCASTSS(operand.Mem{Base: at, Index: row, Scale: 1}, e.hoisted[value(v)])
		}
	}
	e.startSums()
	e.loops(parts)
	Label("tail")
	TESTQ(e.left, e.left)
	JZ(operand.LabelRef("done"))
	e.tail(parts)
	Label("done")
	for i, s := range p.lanes {
		Load(Param(s), at)
		VMOVSS(e.fold(i), operand.Mem{Base: at, Index: row, Scale: 1})
	}
	Load(Param("stride"), at)
	for i, s := range p.streams {
		if !slices.Contains(p.rows.shared, s) {
			LEAQ(operand.Mem{Base: e.base[i], Index: at, Scale: 4}, e.base[i])
		}
	}
	ADDQ(operand.Imm(4), row)
	Load(Param("rows"), at)
	SHLQ(operand.Imm(2), at)
	CMPQ(row, at)
	JLT(operand.LabelRef("row"))
	VZEROUPPER()
	RET()
}

// largest reports whether a sum is that of the largest element.
func (p *program) largest(sum int) bool {
	return slices.ContainsFunc(p.nodes, func(n node) bool { return n.op == opAccMax && n.index == sum })
}

// startSums gives the sums their first values: minus infinity, whose bits are ones but for the last 23, where the largest element is
// looked for, else zero.
func (e *emission) startSums() {
	for i, acc := range e.acc {
		for _, a := range acc {
			switch {
			case !e.p.largest(i):
				e.xor(a)
			case e.set == avx512:
				VPTERNLOGD(operand.U8(0xff), a, a, a)
				VPSLLD(operand.Imm(23), a, a)
			default:
				VPCMPEQD(a, a, a)
				VPSLLD(operand.Imm(23), a, a)
			}
		}
	}
}

// fold gives the register whose first element is the fold of a sum's lanes: lane i takes lane i+8, then i+4, i+2, i+1. A largest
// element that is a zero comes as +0.
func (e *emission) fold(sum int) reg.Register {
	join := func(x, y, to operand.Op) { VADDPS(x, y, to) }
	largest := e.p.largest(sum)
	if largest {
		join = func(x, y, to operand.Op) { VMAXPS(x, y, to) }
	}
	all, other := e.acc[sum][0], e.vector()
	if e.set == avx512 {
		VSHUFF64X2(operand.U8(0x4e), all, all, other)
		join(other, all, all)
		VSHUFF64X2(operand.U8(0xb1), all, all, other)
	} else {
		join(e.acc[sum][1], all, all)
		VPERM2F128(operand.U8(1), all, all, other)
	}
	join(other, all, all)
	for _, order := range []uint8{0x4e, 0xb1} {
		VPERMILPS(operand.U8(order), all, other)
		join(other, all, all)
	}
	if largest {
		e.xor(other)
		VADDPS(other, all, all)
	}
	return all.AsX()
}

// dispatchRows writes nameRowsVec, which carries a kernel's form for rows out with the current tier, row by row with nameVec where that
// has none.
func dispatchRows(out *bytes.Buffer, k kernel, sets []isa) {
	p := build(k, avx2) // sums are the same in all sets
	sets = slices.DeleteFunc(slices.Clone(sets), func(s isa) bool { return s == neon })
	for _, set := range sets {
		fmt.Fprintf(out, "\n//go:noescape\nfunc %sRows%s%s\n", k.name, set.suffix(), strings.TrimPrefix(p.rowsSignature(), "func"))
	}
	var params, all, one []string // parameters; arguments for many rows and for one
	for _, s := range k.lanes {
		params, all, one = append(params, s+" []float32"), append(all, "&"+s+"[r]"), append(one, "&"+s+"Lanes")
	}
	for _, s := range k.streams {
		params = append(params, s+" []float32")
		if slices.Contains(k.rows.shared, s) {
			all, one = append(all, "&"+s+"[0]"), append(one, s+"[:cols]")
		} else {
			all, one = append(all, "&"+s+"[r*stride]"), append(one, s+"[r*stride:][:cols]")
		}
	}
	params, all = append(params, "rows, cols, stride int"), append(all, "min(size, rows-r)", "cols", "stride")
	for _, s := range k.scalars {
		if k.rows.each(s) {
			params, all, one = append(params, s+" []float32"), append(all, "&"+s+"[r]"), append(one, s+"[r]")
		} else {
			params, all, one = append(params, s+" float32"), append(all, s), append(one, s)
		}
	}
	fmt.Fprintf(out, "\nfunc %sRowsVec(%s) {\n", k.name, strings.Join(params, ", "))
	if len(sets) > 0 {
		fmt.Fprintf(out, "if Current() != PlainGo && cols > 0 && cols <= blockLen {\n")
		fmt.Fprintf(out, "for r, size := 0, max(1, blockLen/cols); r < rows; r += size {\nswitch Current() {\n")
		for _, set := range sets {
			fmt.Fprintf(out, "case %s:\n%sRows%s(%s)\n", set.suffix(), k.name, set.suffix(), strings.Join(all, ", "))
		}
		out.WriteString("}\n}\nreturn\n}\n")
	}
	out.WriteString("for r := range rows {\n")
	for i, s := range k.lanes {
		start := "var %sLanes [lanes]float32\n"
		if p.largest(i) {
			start = "%sLanes := lowest\n"
		}
		fmt.Fprintf(out, start, s)
	}
	fmt.Fprintf(out, "%sVec(%s)\n", k.name, strings.Join(one, ", "))
	for i, s := range k.lanes {
		fold := "%s[r] = foldLanes(&%sLanes)\n"
		if p.largest(i) {
			fold = "%s[r] = foldLargest(&%sLanes) + 0\n"
		}
		fmt.Fprintf(out, fold, s, s)
	}
	out.WriteString("}\n}\n")
}
