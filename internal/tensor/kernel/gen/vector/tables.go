package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
)

// tables emits the constants of all kernels and the tail masks. AVX2 takes constants as operands in memory, so there each
// fills a vector.
func (x *x86) tables(programs []*program) {
	x.constants = map[uint32]operand.Mem{}
	table := GLOBL("vectorConstants"+x.set.suffix(), RODATA|NOPTR)
	for _, p := range programs {
		for _, n := range p.nodes {
			if n.op != opConst || n.bits == 0 {
				continue
			}
			if _, ok := x.constants[n.bits]; !ok {
				copies := 1
				if x.set == avx2 {
					copies = x.width()
				}
				at := 4 * copies * len(x.constants)
				for i := range copies {
					DATA(at+4*i, operand.U32(n.bits))
				}
				x.constants[n.bits] = table.Offset(at)
			}
		}
	}
	if x.set == avx2 {
		x.masks = GLOBL("vectorTailMasks", RODATA|NOPTR)
		for i := range 2 * lanes {
			word := uint32(0)
			if i < lanes {
				word = 0xffffffff
			}
			DATA(4*i, operand.U32(word))
		}
	}
}
