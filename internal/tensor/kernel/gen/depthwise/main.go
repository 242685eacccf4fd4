// Depthwise writes the assembly of the depthwise convolution's two loops, for 1 to 9 taps: the forward form, whose
// weights stay in registers, and the weights' gradient, whose sums do. Its argument is a tapRun of package tensor.
package main

import (
	"fmt"
	"log"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of tapRun, in bytes. A test of package tensor compares them with the compiler's.
const (
	dst     = 0
	src     = 24
	weights = 48
	count   = 72
	dstStep = 80
	srcStep = 88
	at      = 96
	blocks  = 104
	tail    = 112
	more    = 120
	offsets = 128
	rows    = 200
	maxTaps = 9

	fetchDst   = 272
	fetchSrc   = 280
	fetchLines = 288
)

// isa is a vector width.
type isa struct {
	name   string
	bytes  int
	vector func(k int) reg.VecPhysical
}

var isas = []isa{
	{"AVX512", 64, func(k int) reg.VecPhysical {
		return []reg.VecPhysical{reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9}[k]
	}},
	{"AVX2", 32, func(k int) reg.VecPhysical {
		return []reg.VecPhysical{reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9}[k]
	}},
}

var (
	args = reg.RAX
	offs = []reg.GPPhysical{reg.RBX, reg.RCX, reg.RDX, reg.RDI, reg.RSI, reg.R8, reg.R9, reg.R10, reg.R11}
	from = reg.R12
	to   = reg.R13
	left = reg.R15
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("depthwise: ")
	ConstraintExpr("amd64,!purego")
	for _, set := range isas {
		for taps := 1; taps <= maxTaps; taps++ {
			emit(set, taps, false)
			emit(set, taps, true)
		}
	}
	Generate()
}

func field(offset int) Mem { return Mem{Base: args, Disp: offset} }

// emit writes one function: gradient says which loop.
func emit(set isa, taps int, gradient bool) {
	name := fmt.Sprintf("depthwise%d%s", taps, set.name)
	if gradient {
		name = fmt.Sprintf("depthwiseGradient%d%s", taps, set.name)
	}
	TEXT(name, attr.NOSPLIT|attr.NOFRAME, "func(r *byte)")
	f := &function{set: set, taps: taps, gradient: gradient}
	Load(Param("r"), args)
	for t := range taps {
		MOVQ(field(offsets+8*t), offs[t])
	}
	CMPQ(field(blocks), U8(0))
	JE(LabelRef("tail"))
	Label("block")
	fetch()
	f.body("full", false)
	ADDQ(U8(set.bytes), field(at))
	DECQ(field(blocks))
	JNE(LabelRef("block"))
	Label("tail")
	if set.name == "AVX512" {
		MOVQ(field(tail), left)
		TESTQ(left, left)
		JE(LabelRef("done"))
		KMOVW(left.As32(), reg.K1)
		f.body("part", true)
		Label("done")
	}
	VZEROUPPER()
	RET()
}

// fetch asks for a few lines of what comes after the run. Pixels of one vector of channels lie too far apart for the prefetchers.
func fetch() {
	MOVQ(field(fetchLines), left)
	TESTQ(left, left)
	JE(LabelRef("fetched"))
	MOVQ(field(dst), to)
	ADDQ(field(fetchDst), to)
	MOVQ(field(src), from)
	ADDQ(field(fetchSrc), from)
	Label("fetch")
	PREFETCHT0(Mem{Base: to})
	PREFETCHT0(Mem{Base: from})
	ADDQ(U8(64), to)
	ADDQ(U8(64), from)
	DECQ(left)
	JNE(LabelRef("fetch"))
	SUBQ(field(dst), to)
	MOVQ(to, field(fetchDst))
	SUBQ(field(src), from)
	MOVQ(from, field(fetchSrc))
	Label("fetched")
}

// function is what emit writes at the moment.
type function struct {
	set      isa
	taps     int
	gradient bool
}

func (f *function) vector(k int) reg.VecPhysical { return f.set.vector(k) }

// load reads a vector, or its first lanes.
func (f *function) load(m Mem, v reg.VecPhysical, part bool) {
	if part {
		VMOVUPS_Z(m, reg.K1, v)
	} else {
		VMOVUPS(m, v)
	}
}

func (f *function) store(v reg.VecPhysical, m Mem, part bool) {
	if part {
		VMOVUPS(v, reg.K1, m)
	} else {
		VMOVUPS(v, m)
	}
}

func (f *function) fma(m Mem, a, sum reg.VecPhysical, part bool) {
	if part {
		VFMADD231PS(m, a, reg.K1, sum)
	} else {
		VFMADD231PS(m, a, sum)
	}
}

// tap is the vector of a tap, in registers 1 to taps: its weights, or its sums.
func (f *function) tap(t int) reg.VecPhysical { return f.vector(1 + t) }

// body computes one vector of channels of all pixels of the run.
func (f *function) body(label string, part bool) {
	MOVQ(field(weights), from)
	ADDQ(field(at), from)
	for t := range f.taps {
		MOVQ(field(rows+8*t), to)
		f.load(Mem{Base: from, Index: to, Scale: 1}, f.tap(t), part)
	}
	MOVQ(field(src), from)
	ADDQ(field(at), from)
	MOVQ(field(dst), to)
	ADDQ(field(at), to)
	MOVQ(field(count), left)
	if f.gradient {
		f.pixels(label, part, func(value reg.VecPhysical) {
			f.load(Mem{Base: to}, value, part)
			for t := range f.taps {
				f.fma(Mem{Base: from, Index: offs[t], Scale: 1}, value, f.tap(t), part)
			}
		})
		MOVQ(field(weights), from)
		ADDQ(field(at), from)
		for t := range f.taps {
			MOVQ(field(rows+8*t), to)
			f.store(f.tap(t), Mem{Base: from, Index: to, Scale: 1}, part)
		}
		return
	}
	CMPQ(field(more), U8(0))
	JNE(LabelRef(label + "more"))
	f.pixels(label, part, func(sum reg.VecPhysical) {
		VXORPS(reg.X0, reg.X0, reg.X0)
		f.chain(sum, part)
	})
	JMP(LabelRef(label + "end"))
	Label(label + "more")
	f.pixels(label+"more", part, func(sum reg.VecPhysical) {
		f.load(Mem{Base: to}, sum, part)
		f.chain(sum, part)
	})
	Label(label + "end")
}

func (f *function) chain(sum reg.VecPhysical, part bool) {
	for t := range f.taps {
		f.fma(Mem{Base: from, Index: offs[t], Scale: 1}, f.tap(t), sum, part)
	}
	f.store(sum, Mem{Base: to}, part)
}

// pixels is the loop over the run's pixels; one works with vector 0.
func (f *function) pixels(label string, part bool, one func(v reg.VecPhysical)) {
	Label(label + "pixel")
	one(f.vector(0))
	ADDQ(field(srcStep), from)
	ADDQ(field(dstStep), to)
	DECQ(left)
	JNE(LabelRef(label + "pixel"))
}
