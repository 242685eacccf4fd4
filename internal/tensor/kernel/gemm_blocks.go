package kernel

import "ringmaster/internal/caches"

// This file says how a product is cut on a CPU with given caches, and when its operands are copied first. It follows T. M. Low,
// F. D. Igual, T. M. Smith, E. S. Quintana-Orti, "Analytical Modeling Is Enough for High-Performance BLIS" (TOMS 43, 2016): each
// part of an operand that is used again is given the ways of the level of the cache that it is used from. What differs: the kernels
// fetch their panel of B sixteen steps ahead, so it need not stay in the first level, and B can be read where it is. No
// choice shows in the results.

// blocking is the sizes that a tier's products are cut at on a CPU: lengths of k, numbers of columns, and floats.
type blocking struct {
	inPlace int          // of k, where B is read in place
	turned  int          // of k, where A is read in place as its transpose
	packed  int          // of k, where B is packed
	width   int          // of columns packed at a time
	few     int          // of columns packed at a time where all rows of op(A) use them at once
	whole   int          // floats of op(A) up to which they do
	rowsA   int          // floats of op(A), whose rows a panel of B is used for in turn
	own     int          // floats of B that the first level holds beside what else is read
	near    int          // floats of B that the second level does
	way     int          // bytes of one way of the first level
	sets    int          // of the first level
	free    int          // ways of it for one operand
	pays    [reaches]int // rows of op(A) from which packing B pays, by the model
}

// reach is how far B, read in place, is from the core. It decides from how many rows of op(A) on packing it pays.
type reach int

const (
	nearB     reach = iota // the second level holds it
	tightB                 // likewise, but its rows are so far apart that the first level barely keeps those fetched ahead
	farB                   // the second level does not hold it, or each row is on a page of its own
	clashingB              // rows fetched ahead drive each other out of the first level
	reaches
)

// rowsPaid are the rows of op(A) from which packing B pays where a core needs six cycles for a line of a panel, as AVX2 does: copying
// a line takes about six cycles from the second level and twice as many from the third, and reading it in place takes more than packed by
// a twentieth of a cycle, a tenth, an eighth and more than half a cycle for each row.
var rowsPaid = [reaches]int{nearB: 256, tightB: 64, farB: 96, clashingB: 18}

// Bounds of the sizes: what they are rounded to, and what more of brings nothing.
const (
	depthUnit = 16
	mostDepth = 1024
	mostWidth = 2048
	mostRowsA = 256 << 10
)

// fit sets the sizes of s for a CPU. The CPU's values are within bounds.
func (s *shape) fit(c caches.CPU) *shape {
	const float = 4
	wide, tall := s.lanes*s.vectors, s.rows[s.vectors]
	l1, l2 := c.L1, c.Share(c.L2)/float
	lines := wide * float / min(l1.Line, wide*float) // of a step of B
	s.sets, s.way, s.free = l1.Sets(), l1.Size/l1.Ways, l1.Ways-max(1, l1.Ways/4)

	// A tile's rows of A take three eighths of the ways of the first level; the lines of B that are fetched and C have the others.
	rowsOfA := depthOf(max(1, 3*l1.Ways/8) * s.way / float / tall)
	s.inPlace = rowsOfA
	// Read as its transpose each step of A is a line; three quarters of the first level are for these and B's.
	s.turned = depthOf(l1.Size / l1.Line * 3 / 4 / (1 + lines))
	// A packed panel takes a quarter of the second level at most.
	s.packed = min(rowsOfA, depthOf(l2/4/wide))

	// The second level has a third for the rows of A that use a panel, or half if they are all, then a quarter for several panels.
	s.rowsA, s.whole = min(l2/3, mostRowsA), l2/2
	s.few = min(max(wide, l2/4/s.packed/wide*wide), mostWidth)
	// Packed panels stay in the third level, or in half of the second, and within half of the pages that can be found without a look
	// at the page table.
	last := max(c.Share(c.L3)/float, l2/2)
	s.width = min(last, c.FarPages*pageFloats/2) / s.packed / wide * wide
	s.width = min(max(s.width, s.few), mostWidth)

	s.own, s.near = l1.Size/2/float, l2/2
	for r, rows := range rowsPaid {
		s.pays[r] = rows * s.copying / copyingAVX2
	}
	s.pages = c.Pages
	return s
}

const pageFloats = 4096 / 4

// copyingAVX2 is the copying of the tiles that rowsPaid is about.
const copyingAVX2 = 6

// depthOf rounds a length of k down to whole lines, within bounds.
func depthOf(k int) int { return min(max(k&^(depthUnit-1), 4*depthUnit), mostDepth) }

// kept is how many lines, ld floats apart, the first level keeps for one operand that reads count lines side by side each time.
func (b *blocking) kept(ld, count int) int {
	sets := min(b.sets, b.way/gcd(b.way, 4*ld))
	return max(1, min(sets, b.sets/count)) * b.free
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// reach says how far away B is, if it is read in place.
func (p *MatMul) reach(s *shape) reach {
	depth := min(p.K, s.inPlace)
	kept := s.kept(p.LDB, max(1, s.lanes*s.vectors/columnUnit))
	switch {
	case kept < aheadRows+2 && depth > kept:
		return clashingB
	case depth*p.N > s.near || p.LDB >= pageFloats && depth > s.pages:
		return farB
	case kept < 2*aheadRows && depth > kept:
		return tightB
	}
	return nearB
}

// packsB reports whether B, not transposed, is worth packing.
func (p *MatMul) packsB(s *shape) bool {
	if p.K*p.N <= s.own {
		return false
	}
	return p.M >= s.rowsThatPay(p.reach(s), p.M)
}

// turnsA reports whether a transposed A is worth packing. Read in place, each step of k is a line of its own, which the first level must
// keep until the next rows of the same line are in turn; there must be some panels to repay the copy.
func (p *MatMul) turnsA(s *shape) bool {
	if !p.TransA || p.K <= s.lanes || p.M < s.lanes || p.N < s.turnWide {
		return false
	}
	return p.K > min(s.turned, s.kept(p.LDA, 1))
}

// rowsClash reports whether the rows of A that a tile of the given vectors reads in place, and those it fetches for the next, drive each other
// out of the first level.
func (p *MatMul) rowsClash(s *shape, vectors int) bool {
	return !p.TransA && p.M > 8 && s.kept(p.LDA, 1) < 2*s.rows[vectors]
}

// manyColumns of a packed B repay copying rows of A that clash.
const manyColumns = 1024

// packsA reports whether op(A) is worth packing, given the number of columns of B and whether B is packed.
func (p *MatMul) packsA(s *shape, columns int, packed bool) bool {
	switch {
	case p.TransA:
		return p.turnsA(s)
	case columns <= 2*s.lanes: // tall tiles
		return p.rowsClash(s, (columns+s.lanes-1)>>s.log)
	}
	return packed && columns >= manyColumns && p.rowsClash(s, s.vectors)
}
