package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// columns is a kernel that runs down the columns of matrices: blocks of columns from left to right, and in each block the
// rows from the first to the last, with the sums and the columns' operands in registers.
type columns struct {
	*emission
	sums, operands []reg.Register // pointers
	first          reg.GPVirtual  // column of the block
}

func (x *x86) emitColumns(p *program) {
	TEXT(p.name+x.set.suffix(), NOSPLIT, p.signature())
	e := &emission{x86: x, p: p, hoisted: map[value]reg.VecVirtual{}}
	c := &columns{emission: e}
	for _, s := range p.sums {
		c.sums = append(c.sums, Load(Param(s), GP64()))
	}
	for _, s := range p.columns {
		c.operands = append(c.operands, Load(Param(s), GP64()))
	}
	for _, s := range p.streams {
		e.base = append(e.base, Load(Param(s), GP64()).(reg.GPVirtual))
	}
	e.left = Load(Param("cols"), GP64()).(reg.GPVirtual)
	e.index, c.first = GP64(), GP64()
	XORQ(c.first, c.first)
	for v, n := range p.nodes {
		if n.op == opConst {
			e.hoisted[value(v)] = e.broadcast(n)
		}
	}
	// As many columns at once as leave half of the registers for the program and its constants.
	wide := e.registers() / 2 / (len(p.sums) + len(p.columns)) / 2 * 2
	if wide >= 4 {
		c.blocks("wide", 4)
	}
	c.blocks("double", 2)
	c.blocks("narrow", 1)
	VZEROUPPER()
	RET()
}

// blocks takes the columns in blocks of so many vectors; single vectors are under a mask, for the last columns.
func (c *columns) blocks(name string, vectors int) {
	masked, size := vectors == 1, vectors*c.width()
	Label(name)
	if masked {
		TESTQ(c.left, c.left)
		JLE(operand.LabelRef(name + "End"))
		c.loadMask()
	} else {
		CMPQ(c.left, operand.U32(uint32(size)))
		JLT(operand.LabelRef(name + "End"))
	}
	c.acc = nil
	for _, s := range c.sums {
		c.acc = append(c.acc, c.load(s, vectors, masked))
	}
	var operands [][]reg.VecVirtual
	for _, o := range c.operands {
		operands = append(operands, c.load(o, vectors, masked))
	}
	MOVQ(c.first, c.index)
	rows, stride := Load(Param("rows"), GP64()), Load(Param("stride"), GP64())
	Label(name + "Row")
	for part := range vectors {
		for v, n := range c.p.nodes {
			if n.op == opColumn {
				c.hoisted[value(v)] = operands[n.index][part]
			}
		}
		c.body(part, masked)
	}
	ADDQ(stride, c.index)
	DECQ(rows)
	JNZ(operand.LabelRef(name + "Row"))
	for i, s := range c.sums {
		for part, a := range c.acc[i] {
			switch {
			case !masked:
				VMOVUPS(a, c.at(s, part))
			case c.set == avx512:
				VMOVUPS(a, c.mask[0], c.at(s, part))
			default:
				VMASKMOVPS(a, c.mask[0], c.at(s, part))
			}
		}
	}
	ADDQ(operand.U32(uint32(size)), c.first)
	SUBQ(operand.U32(uint32(size)), c.left)
	JMP(operand.LabelRef(name))
	Label(name + "End")
}

func (c *columns) at(base reg.Register, part int) operand.Mem {
	return operand.Mem{Base: base, Index: c.first, Scale: 4, Disp: 4 * c.width() * part}
}

// load loads a block's part of a vector with an element for each column.
func (c *columns) load(base reg.Register, vectors int, masked bool) (loaded []reg.VecVirtual) {
	for part := range vectors {
		v := c.vector()
		switch {
		case !masked:
			VMOVUPS(c.at(base, part), v)
		case c.set == avx512:
			VMOVUPS_Z(c.at(base, part), c.mask[0], v)
		default:
			VMASKMOVPS(c.at(base, part), c.mask[0], v)
		}
		loaded = append(loaded, v)
	}
	return loaded
}

// loadMask sets the mask of the columns that are left, fewer than two vectors.
func (c *columns) loadMask() {
	if c.set == avx512 {
		bits, k := GP64(), K()
		MOVQ(operand.I32(-1), bits)
		BZHIQ(c.left, bits, bits)
		KMOVW(bits.As32(), k)
		c.mask = []operand.Op{k}
		return
	}
	// Eight of the table's words from number 16-left on are set for the first left lanes; all are where left is 8 or more.
	table, offset, m := GP64(), GP64(), YMM()
	LEAQ(c.masks, table)
	MOVQ(operand.U32(lanes), offset)
	SUBQ(c.left, offset)
	VMOVUPS(operand.Mem{Base: table, Index: offset, Scale: 4}, m)
	c.mask = []operand.Op{m}
}
