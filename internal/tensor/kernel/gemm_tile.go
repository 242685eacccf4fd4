package kernel

// This file cuts a product into the row blocks and panels that the tile kernels of a tier take. None of its choices
// shows in the results: a chain that is cut in two is stored and loaded again in between.

// panels is what a tile kernel works on: blocks of rows rows, each with panels of the kernel's width. The assembly knows
// the fields by their offsets. Strides are in bytes.
type panels struct {
	a                    *float32 // op(A)[0, 0]
	aRow, aStep          int      // from row to row, from k to k
	b                    *float32
	bStep, bPanel        int // from k to k, from panel to panel
	c                    *float32
	cRow                 int
	start                *float32   // where the chains start from
	startRow, startPanel int        // of panels that are 0 apart all are zeros, unless spread
	k                    int        // length of the chains, at least 1
	rows, blocks, panels int        // at least 1 each
	mask                 int        // the lanes of the last vector of the last panel, 0 for all
	relu                 int        // not 0: the activation is ReLU
	spread               int        // not 0: there is one start value for each row
	_                    [4]uintptr // the kernel keeps its place in the loops here
	first                int        // of k, the steps that fetch the row of B aheadRows steps later into the cache;
	next                 int        // the others prefetch what is this many bytes from theirs: the first rows of the next panel
	last                 int        // k - first
	_                    uintptr    // the kernel's, again

	// While a block is computed, what comes after it is fetched: from the address ahead on, aheadBlock bytes further for each block, in
	// the last block from aheadLast on; aheadBy bytes further in each of the first steps. See gemm_fetch.go.
	ahead, aheadLast    uintptr
	aheadBlock, aheadBy int
	_                   uintptr // the kernel's

	// Of row blocks whose steps are listed: A then has the elements of these steps alone, listedRows a step.
	steps, counts *uint32    // block by block, the steps' places in a panel of B, in bytes; and how many
	_             [5]uintptr // the kernel's: where the block in work has its part of a, c, start, steps and counts

	// Whole panels may take groups of groupSteps steps at a time, see gemm_groups.go: groups of them fetch what is fetch bytes from their rows of
	// B, groupsLast of them the first rows of the next panel; rest steps remain.
	loop               loop
	groups, groupsLast int
	fetch, rest        int
}

// shape describes the tile kernels of a tier.
type shape struct {
	tier    Tier
	lanes   int    // floats in a vector
	log     int    // its logarithm to base 2
	vectors int    // vectors in the widest panel
	rows    [5]int // rows of the tallest tile, by vectors
	halves  int    // time of a vector's multiply-add, in halves of a wide vector's
	masked  int    // time of storing a vector in part, in the same unit, where it is worth counting
	narrow  *shape // tiles of narrower vectors that the tier has as well, or nil
	lists   bool   // has a kernel for row blocks whose steps are listed

	groups   bool // has kernels that take groups of steps at a time
	copying  int  // cost of copying a line of B beside that of a tile's work on it
	turnWide int  // columns from which packing a transposed A pays
	pages    int  // that the CPU remembers the places of

	blocking // for the caches of a CPU, see fit
	choice   choice
}

const (
	packedRows = 16      // of B, copied to all panels before the next rows
	callWork   = 1 << 25 // multiply-adds of one call of a kernel: it cannot be preempted, this is a millisecond at most
)

// aheadRows is how many steps before its turn a kernel fetches a row of B. The assembly knows it.
const aheadRows = 16

var zeroStart [64]float32

// multiplyTiles is the product with the tiles of s.
func (p *MatMul) multiplyTiles(s *shape, m *scratch) {
	raceMatrix(p.A, p.M, p.K, p.LDA, p.TransA, false)
	raceMatrix(p.C, p.M, p.N, p.LDC, false, true)
	if p.Panels != nil {
		p.multiplyPanels(s, m)
		return
	}
	raceMatrix(p.B, p.K, p.N, p.LDB, p.TransB, false)
	if p.multiplySparse(s, m) {
		return
	}
	flipped := p.flips(s)
	switch {
	case flipped != nil:
		for i := 0; i < p.M; i += flippedRows {
			q := *p
			q.window(i, min(i+flippedRows, p.M), 0, p.N)
			q.multiplyFlipped(flipped, m)
		}
	case p.TransB || p.packsB(s):
		p.multiplyPacked(s, m)
	default:
		p.multiplyInPlace(s, m)
	}
}

// stridesA returns the elements between rows and between columns of op(A).
func (p *MatMul) stridesA() (row, step int) {
	if p.TransA {
		return 1, p.LDA
	}
	return p.LDA, 1
}

// strip is the part of a product that has the depth [k0, k1).
type strip struct {
	*MatMul
	shape   *shape
	scratch *scratch
	k0, k1  int

	// If ldPacked is not 0, scratch.a holds the rows of op(A) from row packedFrom on, of depth [k0, k1), ldPacked apart.
	// The slice itself is not used here, or the compiler would conclude that strips escape to the heap.
	packedFrom, ldPacked int

	next int // the depth of the strip that comes next, if its operands are to be fetched meanwhile; else 0

	panelAhead *float32 // where a panel of Panels is to be fetched meanwhile; else nil
	panelNext  *float32 // where the next packed panel is; nil if B is not packed
}

// block is the number of rows that are worked on together: as many as keep what is packed of op(A) in the second level of the cache.
func (t *strip) block() int { return t.wholeTiles(t.shape.rowsA / (t.k1 - t.k0)) }

// wholeTiles rounds rows down to a multiple of the tallest tile's, at least one.
func (t *strip) wholeTiles(rows int) int {
	tile := t.shape.rows[t.shape.vectors]
	return max(1, rows/tile) * tile
}

// packA packs the rows [i0, i1) of the strip. A row is a little longer than the strip is deep: with a power of two, the
// same columns of all rows would compete for one set of the first level of the cache.
func (t *strip) packA(i0, i1 int) {
	depth := t.k1 - t.k0
	t.packedFrom, t.ldPacked = i0, t.shape.wholeLanes(depth)+16
	packed := grow(&t.scratch.a, (i1-i0)*t.ldPacked)
	if t.TransA {
		t.shape.transpose(packed, t.ldPacked, t.A[t.k0*t.LDA+i0:], t.LDA, depth, i1-i0)
		return
	}
	for i := i0; i < i1; i++ {
		copy(packed[(i-i0)*t.ldPacked:][:depth], t.A[i*t.LDA+t.k0:])
	}
}

// describe fills in q for the rows from i and the columns from j of the strip, but for B and the numbers of blocks and
// panels.
func (t *strip) describe(q *panels, i, j, width int) {
	if t.ldPacked != 0 {
		q.a, q.aRow, q.aStep = &t.scratch.a[(i-t.packedFrom)*t.ldPacked], 4*t.ldPacked, 4
	} else {
		row, step := t.stridesA()
		q.a, q.aRow, q.aStep = &t.A[i*row+t.k0*step], 4*row, 4*step
	}
	q.c, q.cRow = &t.C[i*t.LDC+j], 4*t.LDC
	q.k = t.k1 - t.k0
	q.spread = 0
	switch {
	case t.k0 > 0 || t.Accumulate:
		q.start, q.startRow, q.startPanel = q.c, q.cRow, 4*width
	case t.RowBias != nil:
		q.start, q.startRow, q.startPanel, q.spread = &t.RowBias[i], 4, 0, 1
	case t.Bias != nil:
		q.start, q.startRow, q.startPanel = &t.Bias[j], 0, 4*width
	default:
		q.start, q.startRow, q.startPanel = &zeroStart[0], 0, 0
	}
	if t.k1 == t.K && t.Act == ReLUActivation {
		q.relu = 1
	}
}

// columns computes the rows [i0, i1) of count panels of the given width from column j. The rows are cut into blocks about
// evenly, since a short last block would use the registers badly.
func (t *strip) columns(i0, i1, j, width, count int, b *float32, bStep, bPanel int) {
	vectors := (width + t.shape.lanes - 1) >> t.shape.log
	tallest := t.shape.rows[vectors]
	blocks := int(uint32(i1-i0+tallest-1) / uint32(tallest))
	rows := int(uint32(i1-i0) / uint32(blocks))
	taller := i1 - i0 - rows*blocks
	var q panels
	q.b, q.bStep, q.bPanel = b, 4*bStep, 4*bPanel
	q.panels, q.mask = count, 1<<(width&(t.shape.lanes-1))-1
	if depth := t.k1 - t.k0; depth > aheadRows {
		q.first, q.last, q.next = depth-aheadRows, aheadRows, q.bPanel-(depth-aheadRows)*q.bStep
	} else {
		q.last = depth
	}
	for i := i0; i < i1; {
		t.describe(&q, i, j, width)
		q.rows, q.blocks = rows, blocks-taller
		if taller > 0 {
			q.rows, q.blocks = rows+1, taller
		}
		if work := q.rows * q.k * width * count; work*q.blocks > callWork {
			q.blocks = min(q.blocks, max(1, callWork/work))
		}
		t.chooseLoop(&q)
		t.fetchAhead(&q, i, i0, i1)
		if taller > 0 {
			taller -= q.blocks
		}
		blocks -= q.blocks
		i += q.rows * q.blocks
		t.shape.run(&q, vectors)
	}
}

// depth returns the length of the strips that k is cut into: the fewest of at most the given length, about even.
func depth(k, most int) int {
	if k <= most {
		return k
	}
	count := (k + most - 1) / most
	return (k + count - 1) / count
}

// multiplyInPlace computes a product without TransB, without packing B.
func (p *MatMul) multiplyInPlace(s *shape, m *scratch) {
	pack := p.packsA(s, p.N, false)
	most := s.inPlace
	if p.TransA && !pack {
		most = s.turned
	}
	length := depth(p.K, most)
	for k := 0; k < p.K; k += length {
		t := strip{MatMul: p, shape: s, scratch: m, k0: k, k1: min(k+length, p.K)}
		if p.TransA && !pack {
			t.next = min(length, p.K-t.k1)
		}
		block := t.block()
		for i := 0; i < p.M; i += block {
			if pack {
				t.packA(i, min(i+block, p.M))
			}
			t.inPlace(i, min(i+block, p.M))
		}
	}
}

// inPlace computes the rows [i0, i1) of the strip with B as it is.
func (t *strip) inPlace(i0, i1 int) {
	s := t.shape
	wide, b := s.lanes*s.vectors, t.B[t.k0*t.LDB:]
	whole := t.N &^ (wide - 1) // wide is a power of two
	if whole > 0 {
		// A call takes as many panels as its work allows for one block of rows.
		count := whole / wide
		if tile := s.rows[s.vectors] * (t.k1 - t.k0) * wide; tile*count > callWork {
			count = max(1, callWork/tile)
		}
		for j := 0; j < whole; j += count * wide {
			t.columns(i0, i1, j, wide, min(count, (whole-j)/wide), &b[j], t.LDB, wide)
		}
	}
	if whole < t.N {
		t.columns(i0, i1, whole, t.N-whole, 1, &b[whole], t.LDB, 0)
	}
}

// multiplyPacked computes a product with B packed into panels, for large B, and for TransB. If op(A) is one block, B is packed
// a few panels at a time, which are used while they are in the cache.
func (p *MatMul) multiplyPacked(s *shape, m *scratch) {
	wide := s.lanes * s.vectors
	length := depth(p.K, s.packed)
	whole, span := p.M*length <= s.whole, s.width
	if whole {
		span = s.few
	}
	packed := grow(&m.b, length*min((p.N+wide-1)/wide*wide, span))
	for j0 := 0; j0 < p.N; j0 += s.width {
		j1 := min(j0+s.width, p.N)
		pack := p.packsA(s, j1-j0, true)
		for k := 0; k < p.K; k += length {
			t := strip{MatMul: p, shape: s, scratch: m, k0: k, k1: min(k+length, p.K)}
			block := t.block()
			if whole {
				block = p.M
			}
			for j := j0; j < j1; j += span {
				t.packB(packed, j, min(j+span, j1), wide)
				for i := 0; i < p.M; i += block {
					if pack && !(whole && j > j0) {
						t.packA(i, min(i+block, p.M))
					}
					t.usePacked(packed, i, min(i+block, p.M), j, min(j+span, j1))
				}
			}
		}
	}
}

// usePacked computes the rows [i0, i1) and the columns [j0, j1) of the strip, with these columns of B packed.
func (t *strip) usePacked(packed []float32, i0, i1, j0, j1 int) {
	wide := t.shape.lanes * t.shape.vectors
	for j := j0; j < j1; j += wide {
		b, width := packed[(j-j0)*(t.k1-t.k0):], min(wide, j1-j)
		t.panelNext = &packed[0] // for the next rows
		if j+2*wide <= j1 {
			t.panelNext = &b[wide*(t.k1-t.k0)]
		}
		t.columns(i0, i1, j, width, 1, &b[0], t.shape.wholeLanes(width), 0)
	}
}

// wholeLanes rounds n up to a multiple of the lanes.
func (s *shape) wholeLanes(n int) int { return (n + s.lanes - 1) &^ (s.lanes - 1) }

// packB packs the columns [j0, j1) of the strip of op(B) into panels of the given width, each a matrix (k, width) but for
// the last, which may be narrower.
func (t *strip) packB(packed []float32, j0, j1, wide int) {
	if t.TransB {
		for j := j0; j < j1; j += wide {
			width := min(wide, j1-j)
			t.shape.transpose(packed[(j-j0)*(t.k1-t.k0):], t.shape.wholeLanes(width), t.B[j*t.LDB+t.k0:], t.LDB, width, t.k1-t.k0)
		}
		return
	}
	for k := t.k0; k < t.k1; k += packedRows {
		rows, ahead := min(packedRows, t.k1-k), packedRows*t.LDB
		if k+2*packedRows > t.k1 {
			ahead = 0
		}
		for j := j0; j < j1; j += wide {
			to, from := packed[(j-j0)*(t.k1-t.k0):], t.B[k*t.LDB+j:]
			width := min(wide, j1-j)
			if width == wide {
				t.shape.copyPanel(to[(k-t.k0)*wide:], from, t.LDB, rows, ahead)
				continue
			}
			ld := t.shape.wholeLanes(width)
			for r := range rows {
				copy(to[(k-t.k0+r)*ld:][:width], from[r*t.LDB:])
			}
		}
	}
}

// transpose writes dst[c*dstLD+r] = src[r*srcLD+c] for r < rows and c < cols.
func (s *shape) transpose(dst []float32, dstLD int, src []float32, srcLD, rows, cols int) {
	if cols < s.lanes {
		transposeGo(dst, dstLD, src, srcLD, rows, cols)
		return
	}
	for r := 0; r < rows; r += s.lanes {
		s.transposeStrip(dst[r:], dstLD, src[r*srcLD:], srcLD, min(s.lanes, rows-r), cols)
	}
}

// flips returns the tiles to compute a product with as the transpose of op(B)^T op(A)^T, nil if it is better computed as
// it is: by an estimate of the time for the tiles and for transposing operands and result, in halves of a cycle. With
// TransB, B is then read in place; without, it pays where N fills its vectors badly.
func (p *MatMul) flips(s *shape) *shape {
	const moving = 4 // a wide vector's multiply-adds take the time of moving this many floats to their transposed place
	direct := p.M * p.K * s.cost(p.N)
	if p.N&(s.lanes-1) != 0 {
		direct += p.M * s.masked
	}
	if p.TransB {
		direct += 2 * p.K * p.N / moving
	}
	moved := 2 * p.M * p.N
	if !p.TransA {
		moved += p.K * p.M
	}
	var best *shape
	for t := s; t != nil; t = t.narrow {
		if flipped := p.N*p.K*t.cost(p.M) + 2*moved/moving; flipped < direct {
			best, direct = t, flipped
		}
	}
	return best
}

// cost is the estimated time of a step for one row of n columns, in halves of a cycle: two narrow vectors take the time
// of a wide one.
func (s *shape) cost(n int) int { return (n + s.lanes - 1) >> s.log * s.halves }

// Bounds of the scratch memory for flipped products: the rows of op(A) at a time, the floats of the transposed result.
const (
	flippedRows   = 512
	flippedFloats = 1 << 16
)

// multiplyFlipped computes a product as C^T = op(B)^T op(A)^T, some columns of C at a time.
func (p *MatMul) multiplyFlipped(s *shape, m *scratch) {
	q := MatMul{N: p.M, K: p.K, LDA: p.LDB, TransA: !p.TransB, B: p.A, LDB: p.LDA, TransB: !p.TransA, Act: p.Act,
		LDC: s.wholeLanes(p.M), Accumulate: p.Accumulate, Bias: p.RowBias}
	wide := s.lanes * s.vectors
	t := strip{MatMul: &q, shape: s, scratch: m, k1: p.K}
	var packed []float32
	if q.TransB {
		packed = grow(&m.b, p.K*((p.M+wide-1)/wide*wide))
		t.packB(packed, 0, p.M, wide)
	}
	count := max(s.lanes, flippedFloats/q.LDC)
	q.C = grow(&m.c, min(count, p.N)*q.LDC)
	for j := 0; j < p.N; j += count {
		q.M = min(count, p.N-j)
		q.A = p.B[j:]
		if p.TransB {
			q.A = p.B[j*p.LDB:]
		}
		if p.Bias != nil {
			q.RowBias = p.Bias[j:]
		}
		if p.Accumulate {
			s.transpose(q.C, q.LDC, p.C[j:], p.LDC, p.M, q.M)
		}
		if !q.TransB {
			q.multiplyInPlace(s, m)
		}
		for i0, block := 0, t.block(); i0 < q.M && q.TransB; i0 += block {
			i1 := min(i0+block, q.M)
			if q.packsA(s, q.N, true) {
				t.packA(i0, i1)
			}
			t.usePacked(packed, i0, i1, 0, p.M)
		}
		s.transpose(p.C[j:], p.LDC, q.C, q.LDC, q.M, p.M)
	}
}
