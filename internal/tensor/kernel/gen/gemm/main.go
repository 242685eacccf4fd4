// Command gemm writes the assembly of the matrix product's tile kernels: gemm -tier avx512 -out gemm_avx512_amd64.s.
//
// A kernel of V vectors keeps an R x V tile of C in registers and continues its chains of multiply-adds along k: each
// step loads V vectors of a row of B, and for each row of the tile broadcasts one element of A and multiplies it into V
// accumulators. There is one function for each V; within it one loop for each R, since R must be known when the code is
// written. Every loop walks over the row blocks and, within a block, over the panels of B; the last vector of the last
// panel is masked. The operands come in a struct that the function also keeps its place in.
package main

import (
	"flag"
	"fmt"
	"os"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The offsets of the fields of the struct panels in gemm_tile.go.
const (
	fieldA = 8 * iota
	fieldARow
	fieldAStep
	fieldB
	fieldBStep
	fieldBPanel
	fieldC
	fieldCRow
	fieldInit
	fieldInitRow
	fieldInitPanel
	fieldK
	fieldRows
	fieldBlocks
	fieldPanels
	fieldMask
	fieldReLU
	fieldSpread
	placeB
	placeC
	placeInit
	placePanels
	fieldMain
	fieldNext
	fieldTail
	placeTail
	fieldAhead
	fieldAheadLast
	fieldAheadBlock
	fieldAheadBy
	blockAhead
	fieldSteps
	fieldCounts
	blockA
	blockC
	blockInit
	blockSteps
	blockCounts
	fieldLoop
	fieldGroups
	fieldGroupsLast
	fieldFetch
	fieldRest
)

// The registers. BP, SP and R14 (Go's g) are left alone; R15 is Go's only while a global is read, in position-independent code.
var (
	self  = reg.RSI
	bases = []reg.GPPhysical{reg.RAX, reg.RBX} // the first row of A of each eight rows of the tile
	row1  = reg.R8                             // bytes between rows of A, and multiples of it
	row3  = reg.R9
	row5  = reg.R10
	row7  = reg.R11
	aStep = reg.R12
	bStep = reg.R13
	b     = reg.RDI
	ahead = reg.R15 // bytes from the row of B in work to the one that is fetched into the cache

	// Where the steps are listed, in the place of the three before.
	later  = reg.R12 // bytes from the panel's first row to the one that is fetched into the cache
	list   = reg.R13 // where the step in work stands in the list
	step   = reg.R15 // bytes from the panel's first row to the one in work
	k      = reg.RDX
	walker = reg.RCX
)

// aheadRows is how many steps before its turn a row of B is fetched. gemm_tile.go knows it too.
const aheadRows = 16

func field(offset int) Mem { return Mem{Base: self, Disp: offset} }

// vectors is an instruction set: how wide its vectors are and how it does what a kernel needs.
type vectors interface {
	name() string
	bytes() int
	maxRows() map[int]int         // rows of the largest tile, by vectors
	unrolls() bool                // has loops of several steps at a time, see groups.go
	loadMask(bits reg.GPPhysical) // sets the mask to the lanes whose bits are set
	load(m Mem, v reg.VecPhysical, masked bool)
	store(v reg.VecPhysical, m Mem, masked bool)
	multiplyAdd(t tile, a func(row int) Mem)
	relu(acc []reg.VecPhysical)
	register(n int) reg.VecPhysical
	insert(m Mem, part int, v reg.VecPhysical) // loads four floats into a part of v; part 0 clears the others
	gather(parts []Mem, v reg.VecPhysical)     // loads four floats into each part of v
	zero(v reg.VecPhysical)
}

// tile is the register tile of one loop.
type tile struct {
	set     vectors
	rows    int
	vectors int
	listed  bool // the steps are those of a list, see listed.go
}

func (t tile) acc(row, v int) reg.VecPhysical { return t.set.register(row*t.vectors + v) }
func (t tile) rowOfB(v int) reg.VecPhysical   { return t.set.register(t.rows*t.vectors + v) }
func (t tile) spare() reg.VecPhysical         { return t.set.register((t.rows + 1) * t.vectors) }
func (t tile) last(v int) bool                { return v == t.vectors-1 }
func (t tile) label(place string) string      { return fmt.Sprintf("rows%d_%s", t.rows, place) }

func (t tile) accumulators() []reg.VecPhysical {
	var all []reg.VecPhysical
	for i := range t.rows * t.vectors {
		all = append(all, t.set.register(i))
	}
	return all
}

// rowOfA is the address of op(A)[row, k] within the tile.
func rowOfA(row int) Mem {
	m := Mem{Base: bases[row/8]}
	switch row % 8 {
	case 1:
		m.Index, m.Scale = row1, 1
	case 2:
		m.Index, m.Scale = row1, 2
	case 3:
		m.Index, m.Scale = row3, 1
	case 4:
		m.Index, m.Scale = row1, 4
	case 5:
		m.Index, m.Scale = row5, 1
	case 6:
		m.Index, m.Scale = row3, 2
	case 7:
		m.Index, m.Scale = row7, 1
	}
	return m
}

// write writes the loop over blocks, panels and k for this tile.
func (t tile) write() {
	Label(t.label("first"))
	MOVQ(field(fieldC), walker)
	t.fetchC()

	Label(t.label("block"))
	t.copyField(fieldB, placeB)
	t.copyField(blockC, placeC)
	t.copyField(blockInit, placeInit)
	t.copyField(fieldPanels, placePanels)
	if !t.listed {
		CMPQ(field(fieldBlocks), Imm(1))
		JNE(LabelRef(t.label("panel")))
		t.copyField(fieldAheadLast, blockAhead)
	}

	Label(t.label("panel"))
	if !t.listed { // those are whole
		CMPQ(field(placePanels), Imm(1))
		JNE(LabelRef(t.label("full")))
		CMPQ(field(fieldMask), Imm(0))
		JE(LabelRef(t.label("full")))
		t.compute("masked", true)
		JMP(LabelRef(t.label("next")))
		Label(t.label("full"))
	}
	t.compute("whole", false)

	Label(t.label("next"))
	t.advance(placeB, field(fieldBPanel))
	t.advance(placeC, U32(uint32(t.vectors*t.set.bytes())))
	t.advance(placeInit, field(fieldInitPanel))
	DECQ(field(placePanels))
	JNZ(LabelRef(t.label("panel")))

	if t.listed {
		t.nextList()
	} else {
		t.advanceRows(blockA, fieldARow)
		t.advance(blockAhead, field(fieldAheadBlock))
	}
	t.advanceRows(blockC, fieldCRow)
	t.advanceRows(blockInit, fieldInitRow)
	DECQ(field(fieldBlocks))
	JNZ(LabelRef(t.label("block")))
	VZEROUPPER()
	RET()
}

// compute writes the code that computes one tile; if masked, the last vector is.
func (t tile) compute(name string, masked bool) {
	t.begin(name, masked)
	if t.listed {
		t.listedSteps(name)
	} else {
		t.evenSteps(name, masked)
	}

	CMPQ(field(fieldReLU), Imm(0))
	JE(LabelRef(t.label(name + "Store")))
	t.set.relu(t.accumulators())
	Label(t.label(name + "Store"))
	t.walk(fieldCRow, placeC, func(r, v int, m Mem) { t.set.store(t.acc(r, v), m, masked && t.last(v)) })
}

// evenSteps goes through all of k.
func (t tile) evenSteps(name string, masked bool) {
	MOVQ(field(blockA), bases[0])
	if t.rows > 8 {
		LEAQ(Mem{Base: bases[0], Index: row1, Scale: 8}, bases[1])
	}
	MOVQ(field(placeB), b)
	if t.set.unrolls() && !masked {
		t.groups(name)
	}
	MOVQ(bStep, ahead)
	SHLQ(Imm(4), ahead) // aheadRows
	t.copyField(fieldTail, placeTail)
	MOVQ(field(blockAhead), walker)
	MOVQ(field(fieldMain), k)
	TESTQ(k, k)
	JZ(LabelRef(t.label(name + "Tail")))
	Label(t.label(name + "Steps")) // from here on k is where b ends, which takes one instruction a step less than to count
	IMULQ(bStep, k)
	ADDQ(b, k)
	Label(t.label(name + "Step"))
	for v := range t.vectors {
		t.set.load(Mem{Base: b, Disp: v * t.set.bytes()}, t.rowOfB(v), masked && t.last(v))
	}
	t.fetchRow(Mem{Base: b, Index: ahead, Scale: 1})
	PREFETCHT0(Mem{Base: walker})
	ADDQ(field(fieldAheadBy), walker)
	t.set.multiplyAdd(t, rowOfA)
	ADDQ(bStep, b)
	for _, base := range bases[:(t.rows+7)/8] {
		ADDQ(aStep, base)
	}
	CMPQ(b, k)
	JNE(LabelRef(t.label(name + "Step")))
	t.lastSteps(name)
}

// fetchRow asks for the row of B that begins at m: read in place, rows lie further apart than a core's own prefetchers look.
func (t tile) fetchRow(m Mem) {
	for at := 0; at < t.vectors*t.set.bytes(); at += 64 {
		m.Disp = at
		PREFETCHT0(m)
	}
}

// begin clears the tile's chains, loads their start values or spreads one value a row.
func (t tile) begin(name string, masked bool) {
	load, spread, begun := t.label(name+"Load"), t.label(name+"Spread"), t.label(name+"Begun")
	CMPQ(field(fieldSpread), Imm(0))
	JNE(LabelRef(spread))
	CMPQ(field(fieldInitPanel), Imm(0))
	JNE(LabelRef(load))
	for _, x := range t.accumulators() { // start values that are the same for all panels are zeros
		t.set.zero(x)
	}
	JMP(LabelRef(begun))
	Label(load)
	t.walk(fieldInitRow, placeInit, func(r, v int, m Mem) { t.set.load(m, t.acc(r, v), masked && t.last(v)) })
	JMP(LabelRef(begun))
	Label(spread)
	t.walk(fieldInitRow, placeInit, func(r, v int, m Mem) {
		if v == 0 {
			VBROADCASTSS(m, t.acc(r, v))
		} else {
			VMOVAPS(t.acc(r, 0), t.acc(r, v))
		}
	})
	Label(begun)
	t.fetchNextC()
}

// fetchNextC asks for the lines of C that the next tile reads its start values from, or stores its sums to: a core waits for
// the lines that it writes to as well. The very last tile asks for its own.
func (t tile) fetchNextC() {
	MOVQ(field(fieldCRow), walker)
	IMUL3Q(Imm(uint64(t.rows)), walker, walker)
	ADDQ(field(blockC), walker)
	CMPQ(field(fieldBlocks), Imm(1))
	CMOVQEQ(field(placeC), walker)
	MOVQ(field(placeC), k)
	ADDQ(U32(uint32(t.vectors*t.set.bytes())), k)
	CMPQ(field(placePanels), Imm(1))
	CMOVQNE(k, walker)
	t.fetchC()
}

// fetchC asks for a tile's lines of C. A row that does not begin with a line has its first in common with the tile to the left.
func (t tile) fetchC() {
	for r := range t.rows {
		for at := min(64, t.vectors*t.set.bytes()); at <= t.vectors*t.set.bytes(); at += 64 {
			PREFETCHT0(Mem{Base: walker, Disp: at - 1})
		}
		if r < t.rows-1 {
			ADDQ(field(fieldCRow), walker)
		}
	}
}

// lastSteps goes through the loop once more, for the steps that have no row of this panel to fetch: they fetch the first
// rows of the next. To read beyond the end of B would do no harm to the result, but a page that is not there is looked up at
// each step, which takes ten times as long as the step.
func (t tile) lastSteps(name string) {
	Label(t.label(name + "Tail"))
	MOVQ(field(placeTail), k)
	MOVQ(I32(0), field(placeTail))
	MOVQ(field(fieldNext), ahead)
	MOVQ(field(blockA), walker)
	TESTQ(k, k)
	JNZ(LabelRef(t.label(name + "Steps")))
	Label(t.label(name + "Done"))
}

// walk calls visit for the address of each vector of the tile, in a matrix that starts at a place.
func (t tile) walk(stride, place int, visit func(r, v int, m Mem)) {
	MOVQ(field(place), walker)
	for r := range t.rows {
		for v := range t.vectors {
			visit(r, v, Mem{Base: walker, Disp: v * t.set.bytes()})
		}
		if r < t.rows-1 {
			ADDQ(field(stride), walker)
		}
	}
}

func (t tile) copyField(from, to int) { t.copyThrough(walker, from, to) }

func (t tile) copyThrough(register reg.GPPhysical, from, to int) {
	MOVQ(field(from), register)
	MOVQ(register, field(to))
}

func (t tile) advance(place int, by Op) {
	if by, ok := by.(Mem); ok {
		MOVQ(by, walker)
		ADDQ(walker, field(place))
		return
	}
	ADDQ(by, field(place))
}

// advanceRows moves a field down by the tile's rows.
func (t tile) advanceRows(place, stride int) {
	MOVQ(field(stride), walker)
	IMUL3Q(Imm(uint64(t.rows)), walker, walker)
	ADDQ(walker, field(place))
}

// dispatch jumps to the loop for the number of rows in k by bisection.
func dispatch(low, high int) {
	if low == high {
		JMP(LabelRef(tile{rows: low}.label("first")))
		return
	}
	middle := (low + high) / 2
	lower := fmt.Sprintf("upTo%d", middle)
	CMPQ(k, Imm(uint64(middle)))
	JLE(LabelRef(lower))
	dispatch(middle+1, high)
	Label(lower)
	dispatch(low, middle)
}

func writeFunction(set vectors, count int) {
	TEXT(fmt.Sprintf("gemm%sx%d", set.name(), count), NOSPLIT|NOFRAME, "func(p *uint64)")
	Doc(fmt.Sprintf("gemm%sx%d computes row blocks of up to %d rows in panels of %d columns.",
		set.name(), count, set.maxRows()[count], count*set.bytes()/4))
	writeTiles(tile{set: set, vectors: count})
}

// writeTiles writes the body of a function: tiles like t, of any number of rows.
func writeTiles(t tile) {
	Load(Param("p"), self)
	// The pointers themselves stay as they are: moved along they would end behind what they point into, where a garbage
	// collection that comes before the struct is filled again must not find them.
	t.copyField(fieldA, blockA)
	t.copyField(fieldC, blockC)
	t.copyField(fieldInit, blockInit)
	if t.listed {
		t.copyField(fieldSteps, blockSteps)
		t.copyField(fieldCounts, blockCounts)
	} else {
		t.copyField(fieldAhead, blockAhead)
	}
	MOVQ(field(fieldARow), row1)
	LEAQ(Mem{Base: row1, Index: row1, Scale: 2}, row3)
	LEAQ(Mem{Base: row1, Index: row1, Scale: 4}, row5)
	LEAQ(Mem{Base: row3, Index: row1, Scale: 4}, row7)
	if !t.listed {
		MOVQ(field(fieldAStep), aStep)
		MOVQ(field(fieldBStep), bStep)
	}
	MOVQ(field(fieldMask), walker)
	t.set.loadMask(walker)
	MOVQ(field(fieldRows), k)
	rows := t.set.maxRows()[t.vectors]
	dispatch(1, rows)
	for t.rows = 1; t.rows <= rows; t.rows++ {
		t.write()
	}
}

func main() {
	tier := flag.String("tier", "avx512", "instruction set: avx512 or avx2")
	flag.Parse()
	var set vectors
	switch *tier {
	case "avx512":
		set = avx512{}
	case "avx2":
		set = avx2{}
	default:
		fmt.Fprintf(os.Stderr, "gemm: no kernels for tier %q\n", *tier)
		os.Exit(2)
	}
	for count := 1; count <= len(set.maxRows()); count++ {
		writeFunction(set, count)
	}
	writeListed(set)
	if *tier == "avx2" {
		writeKeep()
	}
	writeTranspose(set)
	writeCopy(set)
	ConstraintExpr("amd64,!purego")
	Generate()
}
