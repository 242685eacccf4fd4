package tensor

import (
	"cmp"
	"slices"
)

// alignment of buffers in the arena, in floats: a cache line, and the widest vector.
const alignment = 16

// place gives every buffer an offset in one arena such that buffers alive at the same time never overlap, and returns the
// arena's length. Large buffers choose first and each takes the tightest gap that is free during its life; for layered
// networks this comes within a few percent of the lower bound, the most that is alive at one time.
func place(buffers []*buffer) int {
	order := slices.Clone(buffers)
	slices.SortStableFunc(order, func(a, b *buffer) int {
		return cmp.Or(cmp.Compare(b.size, a.size), cmp.Compare(a.first, b.first))
	})
	var placed []*buffer // by offset
	length := 0
	for _, b := range order {
		b.offset = gap(placed, b)
		length = max(length, b.offset+aligned(b.size))
		at, _ := slices.BinarySearchFunc(placed, b.offset, func(p *buffer, offset int) int { return cmp.Compare(p.offset, offset) })
		placed = slices.Insert(placed, at, b)
	}
	return length
}

// gap is the offset of the smallest gap that fits b between the placed buffers (sorted by offset) that live with it.
func gap(placed []*buffer, b *buffer) int {
	need := aligned(b.size)
	best, bestSize, end := -1, 0, 0
	for _, p := range placed {
		if p.last < b.first || b.last < p.first {
			continue
		}
		if size := p.offset - end; size >= need && (best < 0 || size < bestSize) {
			best, bestSize = end, size
		}
		end = max(end, p.offset+aligned(p.size))
	}
	if best >= 0 {
		return best
	}
	return end
}

func aligned(n int) int { return (n + alignment - 1) / alignment * alignment }
