package main

import (
	"fmt"
	"math"
	"slices"
)

// A kernel is described once, as a straight-line program on one vector of elements; the back ends turn it into a loop over
// slices for each instruction set. An operation of a program is one correctly rounded instruction of every set, so that
// the bits cannot differ.

type operation int

const (
	opLoad              operation = iota // stream[index]
	opStore                              // stream[index] = a
	opConst                              // bits in every lane
	opScalar                             // scalar parameter index in every lane
	opColumn                             // columns[index]
	opAdd                                // a + b
	opSub                                // a - b
	opMul                                // a * b
	opDiv                                // a / b
	opSqrt                               // sqrt(a)
	opFMA                                // a*b + c
	opFNMA                               // -a*b + c
	opFMS                                // a*b - c
	opMax                                // a if a > b, else b
	opMin                                // a if a < b, else b
	opAnd                                // bitwise
	opOr                                 //
	opAndNot                             // a &^ b
	opIntAdd                             // 32-bit integers
	opIntSub                             //
	opShiftLeft                          // by index bits
	opShiftRight                         // arithmetic, by index bits
	opShiftRightLogical                  // by index bits
	opIntToFloat                         //
	opLess                               // mask a < b
	opLessEqual                          // mask a <= b
	opEqual                              // mask a == b
	opSelect                             // b where the mask a is set, else c
	opScaleExponent                      // a * 2^b, b an integer as a float (AVX-512 only)
	opAccAdd                             // sum index += a
	opAccFMA                             // sum index = a*b + sum index
	opAccMax                             // sum index = a if a > sum index
)

// value is the number of the node that computes it.
type value int

type node struct {
	op    operation
	args  []value
	index int
	bits  uint32
}

// isa is an instruction set.
type isa int

const (
	avx512 isa = iota
	avx2
	neon
)

func (s isa) suffix() string { return [...]string{"AVX512", "AVX2", "NEON"}[s] }

// kernel is a Go function name(lanes..., streams..., scalars...): the loop over the streams of the program that body
// builds. dst streams may be written, in any order.
//
// With sums or columns it is name(sums..., columns..., streams..., rows, stride): the streams are then matrices, which are
// run through row by row; sums and columns have an element for each column.
type kernel struct {
	name    string
	lanes   []string // *[16]float32 parameters, sums by the lane rule
	sums    []string // []float32 parameters, sums down the columns
	columns []string // []float32 parameters, read for each column
	streams []string // []float32 parameters
	scalars []string // float32 parameters
	unroll  int      // copies of the program in the main loop; 0 is 1
	abreast int      // AVX2: copies in the main loop that go on side by side, each filling the other's latencies; 0 is 1
	past    bool     // has a form for long vectors whose stores go past the caches
	rows    *rowwise // has a form for the rows of matrices (amd64)
	body    func(b *builder)
}

// rowwise describes the form nameRows(sums..., streams..., rows, cols, stride, scalars...) of a kernel, which does with each row of
// its streams what the kernel does with a vector, in one call. Lanes are folded: sums have an element for each row, and so have
// scalars.
type rowwise struct {
	shared []string // streams that are one vector, the same for all rows
	common []string // scalars that are one number, the same for all rows
}

// each reports whether every row has a scalar of its own.
func (r *rowwise) each(scalar string) bool { return !slices.Contains(r.common, scalar) }

// columnar reports whether the kernel runs down columns.
func (k kernel) columnar() bool { return len(k.sums)+len(k.columns) > 0 }

// vectors are the []float32 parameters in order.
func (k kernel) vectors() []string {
	return append(append(append([]string(nil), k.sums...), k.columns...), k.streams...)
}

// program is a kernel's body for one instruction set.
type program struct {
	kernel
	nodes  []node
	uses   []int // how often each node's value is read
	stages []int // where the second stage begins, if there is one
}

type builder struct {
	program
	set       isa
	constants map[uint32]value
	scalarOf  map[int]value
}

func build(k kernel, set isa) *program {
	b := &builder{program: program{kernel: k}, set: set, constants: map[uint32]value{}, scalarOf: map[int]value{}}
	k.body(b)
	b.uses = make([]int, len(b.nodes))
	for _, n := range b.nodes {
		for _, a := range n.args {
			b.uses[a]++
		}
	}
	return &b.program
}

func (b *builder) emit(op operation, index int, args ...value) value {
	b.nodes = append(b.nodes, node{op: op, args: args, index: index})
	return value(len(b.nodes) - 1)
}

// nextStage begins the second stage: what waits for long for the unit that divides, while the first stage of the vectors that
// follow can go on.
func (b *builder) nextStage() { b.stages = append(b.stages, len(b.nodes)) }

func indexOf(kind, name string, in []string) int {
	for i, s := range in {
		if s == name {
			return i
		}
	}
	panic(fmt.Sprintf("no %s %q", kind, name))
}

func (b *builder) load(stream string) value {
	return b.emit(opLoad, indexOf("stream", stream, b.streams))
}

// column is the element of a columns parameter.
func (b *builder) column(name string) value {
	return b.emit(opColumn, indexOf("columns", name, b.columns))
}

func (b *builder) store(stream string, v value) {
	b.emit(opStore, indexOf("stream", stream, b.streams), v)
}

func (b *builder) bits(x uint32) value {
	if v, ok := b.constants[x]; ok {
		return v
	}
	v := b.emit(opConst, 0)
	b.nodes[v].bits = x
	b.constants[x] = v
	return v
}

func (b *builder) float(x float32) value { return b.bits(math.Float32bits(x)) }

func (b *builder) scalar(name string) value {
	i := indexOf("scalar", name, b.scalars)
	if v, ok := b.scalarOf[i]; ok {
		return v
	}
	v := b.emit(opScalar, i)
	b.scalarOf[i] = v
	return v
}

func (b *builder) add(x, y value) value       { return b.emit(opAdd, 0, x, y) }
func (b *builder) sub(x, y value) value       { return b.emit(opSub, 0, x, y) }
func (b *builder) mul(x, y value) value       { return b.emit(opMul, 0, x, y) }
func (b *builder) div(x, y value) value       { return b.emit(opDiv, 0, x, y) }
func (b *builder) sqrt(x value) value         { return b.emit(opSqrt, 0, x) }
func (b *builder) fma(x, y, z value) value    { return b.emit(opFMA, 0, x, y, z) }
func (b *builder) fnma(x, y, z value) value   { return b.emit(opFNMA, 0, x, y, z) }
func (b *builder) fms(x, y, z value) value    { return b.emit(opFMS, 0, x, y, z) }
func (b *builder) max(x, y value) value       { return b.emit(opMax, 0, x, y) }
func (b *builder) min(x, y value) value       { return b.emit(opMin, 0, x, y) }
func (b *builder) and(x, y value) value       { return b.emit(opAnd, 0, x, y) }
func (b *builder) or(x, y value) value        { return b.emit(opOr, 0, x, y) }
func (b *builder) andNot(x, y value) value    { return b.emit(opAndNot, 0, x, y) }
func (b *builder) iadd(x, y value) value      { return b.emit(opIntAdd, 0, x, y) }
func (b *builder) isub(x, y value) value      { return b.emit(opIntSub, 0, x, y) }
func (b *builder) shl(x value, n int) value   { return b.emit(opShiftLeft, n, x) }
func (b *builder) sar(x value, n int) value   { return b.emit(opShiftRight, n, x) }
func (b *builder) shr(x value, n int) value   { return b.emit(opShiftRightLogical, n, x) }
func (b *builder) toFloat(x value) value      { return b.emit(opIntToFloat, 0, x) }
func (b *builder) less(x, y value) value      { return b.emit(opLess, 0, x, y) }
func (b *builder) lessEqual(x, y value) value { return b.emit(opLessEqual, 0, x, y) }
func (b *builder) equal(x, y value) value     { return b.emit(opEqual, 0, x, y) }
func (b *builder) sel(m, x, y value) value    { return b.emit(opSelect, 0, m, x, y) }

// sumOf is the number of a lanes or sums parameter.
func (b *builder) sumOf(name string) int {
	return indexOf("sum", name, append(append([]string(nil), b.lanes...), b.sums...))
}

func (b *builder) accAdd(sum string, x value)    { b.emit(opAccAdd, b.sumOf(sum), x) }
func (b *builder) accFMA(sum string, x, y value) { b.emit(opAccFMA, b.sumOf(sum), x, y) }
func (b *builder) accMax(sum string, x value)    { b.emit(opAccMax, b.sumOf(sum), x) }

// horner evaluates a polynomial in x, coefficients from the highest power down, in fused multiply-adds.
func (b *builder) horner(x value, coefficients ...float32) value {
	p := b.float(coefficients[0])
	for _, c := range coefficients[1:] {
		p = b.fma(p, x, b.float(c))
	}
	return p
}

// hoisted reports whether the node's value is the same in every iteration (of a column, for kernels that run down them).
func (n node) hoisted() bool { return n.op == opConst || n.op == opScalar || n.op == opColumn }

// stores reports whether the node has no value.
func (n node) stores() bool {
	return n.op == opStore || n.op == opAccAdd || n.op == opAccFMA || n.op == opAccMax
}

// pressure is the largest number of values, hoisted ones aside, alive at once. Masks count as values.
func (p *program) pressure() int {
	left := append([]int(nil), p.uses...)
	live, most := 0, 0
	for _, n := range p.nodes {
		if n.hoisted() {
			continue
		}
		if !n.stores() {
			live++
		}
		most = max(most, live)
		for _, a := range n.args {
			if left[a]--; left[a] == 0 && !p.nodes[a].hoisted() {
				live--
			}
		}
	}
	return most
}
