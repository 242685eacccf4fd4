package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// columns is a kernel that runs down the columns of matrices: a few rows at a time, and in those the columns from left to
// right, so that memory is read about in its order; rows of one column after another would leave the prefetchers behind.
type columns struct {
	*emission
	sums, operands []reg.Register // pointers
	first          reg.GPVirtual  // column of the block
	row            reg.GPVirtual  // where the rows begin
	stride         reg.Register
}

// rowsAtOnce is how many rows a sum is taken up for, in a register. More of them read memory less in its order.
const rowsAtOnce = 2

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
	c.stride = Load(Param("stride"), GP64())
	e.left, e.index, c.first, c.row = GP64(), GP64(), GP64(), GP64()
	XORQ(c.row, c.row)
	for v, n := range p.nodes {
		if n.op == opConst {
			e.hoisted[value(v)] = e.broadcast(n)
		}
	}
	rows := Load(Param("rows"), GP64())
	c.rows("few", rows, rowsAtOnce)
	c.rows("one", rows, 1)
	VZEROUPPER()
	RET()
}

// rows takes the rows, a number at a time, while that number is left.
func (c *columns) rows(name string, left reg.Register, count int) {
	Label(name)
	CMPQ(left, operand.U32(uint32(count)))
	JLT(operand.LabelRef(name + "End"))
	Load(Param("cols"), c.left)
	XORQ(c.first, c.first)
	// A cache line at once, where the registers allow it.
	if vectors := 16 / c.width(); vectors > 1 && vectors*(len(c.p.sums)+len(c.p.columns)) <= c.registers()/2 {
		c.block(name+"Line", count, vectors, false)
	}
	c.block(name+"Vector", count, 1, false)
	TESTQ(c.left, c.left)
	JZ(operand.LabelRef(name + "Next"))
	c.loadMask()
	c.block(name+"Rest", count, 1, true)
	Label(name + "Next")
	for range count {
		ADDQ(c.stride, c.row)
	}
	SUBQ(operand.U32(uint32(count)), left)
	JMP(operand.LabelRef(name))
	Label(name + "End")
}

// block takes the columns of so many rows, so many vectors at a time while there are as many left; or what is left under
// a mask.
func (c *columns) block(name string, rows, vectors int, masked bool) {
	size := vectors * c.width()
	if !masked {
		Label(name)
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
	LEAQ(operand.Mem{Base: c.row, Index: c.first, Scale: 1}, c.index)
	if rows > 1 && !masked {
		c.fetch(rows * size)
	}
	for row := range rows {
		if row > 0 {
			ADDQ(c.stride, c.index)
		}
		for part := range vectors {
			for v, n := range c.p.nodes {
				if n.op == opColumn {
					c.hoisted[value(v)] = operands[n.index][part]
				}
			}
			c.body(part, masked)
		}
	}
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
	if masked {
		return
	}
	ADDQ(operand.U32(uint32(size)), c.first)
	SUBQ(operand.U32(uint32(size)), c.left)
	JMP(operand.LabelRef(name))
	Label(name + "End")
}

// fetch asks for as many elements of each matrix as a block has, so many ahead of it. The blocks of two rows do so in the order
// in which the rows lie in memory, not in their own; that is exact where the columns are all that the rows have.
func (c *columns) fetch(elements int) {
	at := GP64()
	LEAQ(operand.Mem{Base: c.row, Index: c.first, Scale: rowsAtOnce}, at)
	ahead, err := Param("ahead").Resolve()
	if err != nil {
		panic(err)
	}
	ADDQ(ahead.Addr, at)
	for _, base := range c.base {
		for line := 0; line < elements; line += 16 {
			PREFETCHT0(operand.Mem{Base: base, Index: at, Scale: 4, Disp: 4 * line})
		}
	}
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
