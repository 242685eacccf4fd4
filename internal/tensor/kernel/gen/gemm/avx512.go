package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// avx512 keeps tiles of up to 6 x 64, 8 x 48, 14 x 32 and 16 x 16 in its 32 registers of 16 floats.
type avx512 struct{}

var zmm = []reg.VecPhysical{
	reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13,
	reg.Z14, reg.Z15, reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26,
	reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
}

func (avx512) name() string                   { return "AVX512" }
func (avx512) bytes() int                     { return 64 }
func (avx512) maxRows() map[int]int           { return map[int]int{1: 16, 2: 14, 3: 8, 4: 6} }
func (avx512) unrolls() bool                  { return false }
func (avx512) register(n int) reg.VecPhysical { return zmm[n] }
func (avx512) loadMask(bits reg.GPPhysical)   { KMOVW(bits.As32(), reg.K1) }

func (avx512) load(m Mem, v reg.VecPhysical, masked bool) {
	if masked {
		VMOVUPS_Z(m, reg.K1, v)
		return
	}
	VMOVUPS(m, v)
}

func (avx512) store(v reg.VecPhysical, m Mem, masked bool) {
	if masked {
		VMOVUPS(v, reg.K1, m)
		return
	}
	VMOVUPS(v, m)
}

// multiplyAdd broadcasts each element of A once. With a single vector of B the multiply-add broadcasts by itself.
func (avx512) multiplyAdd(t tile, a func(row int) Mem) {
	for r := range t.rows {
		if t.vectors == 1 {
			VFMADD231PS_BCST(a(r), t.rowOfB(0), t.acc(r, 0))
			continue
		}
		VBROADCASTSS(a(r), t.spare())
		for v := range t.vectors {
			VFMADD231PS(t.rowOfB(v), t.spare(), t.acc(r, v))
		}
	}
}

// relu selects 0 where 0 > x, else x: the maximum instruction returns its second source for NaN and for equal zeros.
func (avx512) relu(acc []reg.VecPhysical) {
	zero := zmm[31]
	VPXORD(zero, zero, zero)
	for _, x := range acc {
		VMAXPS(x, zero, x)
	}
}

func (avx512) insert(m Mem, quarter int, v reg.VecPhysical) {
	if quarter == 0 {
		VMOVUPS(m, v.(reg.Vec).AsX())
		return
	}
	VINSERTF32X4(Imm(uint64(quarter)), m, v, v)
}

// gather builds two halves from memory and joins them, which takes less than inserting into whole vectors.
func (s avx512) gather(quarters []Mem, v reg.VecPhysical) {
	low, high := v.(reg.Vec), s.register(31).(reg.Vec)
	VMOVUPS(quarters[0], low.AsX())
	VINSERTF128(Imm(1), quarters[1], low.AsY(), low.AsY())
	VMOVUPS(quarters[2], high.AsX())
	VINSERTF32X4(Imm(1), quarters[3], high.AsY(), high.AsY())
	VINSERTF64X4(Imm(1), high.AsY(), v, v)
}

func (avx512) zero(v reg.VecPhysical) { VPXORD(v, v, v) }
