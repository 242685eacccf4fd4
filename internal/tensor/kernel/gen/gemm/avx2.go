package main

import (
	"sync"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// avx2 keeps tiles of up to 6 x 16 and 12 x 8 in its 16 registers of 8 floats; the last register holds the mask.
type avx2 struct{}

var ymm = []reg.VecPhysical{
	reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13,
	reg.Y14, reg.Y15,
}

var laneMask = ymm[15]

func (avx2) name() string                   { return "AVX2" }
func (avx2) bytes() int                     { return 32 }
func (avx2) maxRows() map[int]int           { return map[int]int{1: 12, 2: 6} }
func (avx2) unrolls() bool                  { return true }
func (avx2) register(n int) reg.VecPhysical { return ymm[n] }

// bitOfLane holds 1<<i in lane i.
var bitOfLane = sync.OnceValue(func() Mem {
	m := GLOBL("gemmBitOfLane", RODATA|NOPTR)
	for i := range 8 {
		DATA(4*i, U32(1<<i))
	}
	return m
})

func (avx2) loadMask(bits reg.GPPhysical) {
	lane := bitOfLane()
	VMOVD(bits.As32(), laneMask.(reg.Vec).AsX())
	VPBROADCASTD(laneMask.(reg.Vec).AsX(), laneMask)
	VPAND(lane, laneMask, laneMask)
	VPCMPEQD(lane, laneMask, laneMask)
}

func (avx2) load(m Mem, v reg.VecPhysical, masked bool) {
	if masked {
		VMASKMOVPS(m, laneMask, v)
		return
	}
	VMOVUPS(m, v)
}

func (avx2) store(v reg.VecPhysical, m Mem, masked bool) {
	if masked {
		VMASKMOVPS(v, laneMask, m)
		return
	}
	VMOVUPS(v, m)
}

func (avx2) multiplyAdd(t tile, a func(row int) Mem) {
	for r := range t.rows {
		VBROADCASTSS(a(r), t.spare())
		for v := range t.vectors {
			VFMADD231PS(t.rowOfB(v), t.spare(), t.acc(r, v))
		}
	}
}

// relu selects 0 where 0 > x, else x. The row of B is not needed any more and gives its register for the zero.
func (avx2) relu(acc []reg.VecPhysical) {
	zero := ymm[14]
	VXORPS(zero, zero, zero)
	for _, x := range acc {
		VMAXPS(x, zero, x)
	}
}

func (avx2) insert(m Mem, half int, v reg.VecPhysical) {
	if half == 0 {
		VMOVUPS(m, v.(reg.Vec).AsX())
		return
	}
	VINSERTF128(Imm(1), m, v, v)
}

func (s avx2) gather(halves []Mem, v reg.VecPhysical) {
	s.insert(halves[0], 0, v)
	s.insert(halves[1], 1, v)
}

func (avx2) zero(v reg.VecPhysical) { VXORPS(v, v, v) }
