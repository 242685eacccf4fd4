package kernel

import (
	"testing"
	"unsafe"
)

// TestGroupsCoverTheSteps: what the groups leave is what single steps do, and the last groups fetch a whole turn of rows.
func TestGroupsCoverTheSteps(t *testing.T) {
	var a float32
	for _, c := range []struct {
		name        string
		k           int
		aRow, aStep int
		mask        int
		want        loop
	}{
		{"rows", 100, 400, 4, 0, loopAlong},
		{"columns", 100, 4, 400, 0, loopAcross},
		{"one of both", 100, 4, 4, 0, loopAlong},
		{"neither", 100, 400, 8, 0, loopSingle},
		{"a remainder", 103, 400, 4, 0, loopAlong},
		{"just above the rows that are fetched", aheadRows + 1, 400, 4, 0, loopAlong},
		{"no rows to fetch", aheadRows, 4, 400, 0, loopAcross},
		{"fewer than a group", groupSteps - 1, 400, 4, 0, loopSingle},
		{"masked", 100, 400, 4, 1, loopSingle},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := strip{MatMul: &MatMul{}, shape: &shape{groups: true}}
			q := panels{a: &a, aRow: c.aRow, aStep: c.aStep, bStep: 64, k: c.k, mask: c.mask, first: max(0, c.k-aheadRows)}
			s.chooseLoop(&q)
			if q.loop != c.want {
				t.Fatalf("loop %d, want %d", q.loop, c.want)
			}
			if q.loop == loopSingle {
				return
			}
			if got := groupSteps*(q.groups+q.groupsLast) + q.rest; got != c.k {
				t.Errorf("%d + %d groups and %d steps are %d, want %d", q.groups, q.groupsLast, q.rest, got, c.k)
			}
			if q.first > 0 && groupSteps*q.groupsLast != aheadRows {
				t.Errorf("%d groups fetch the next panel's first rows, want %d", q.groupsLast, aheadRows/groupSteps)
			}
			s.shape.groups = false
			if s.chooseLoop(&q); q.loop != loopSingle {
				t.Error("tiles without such kernels take groups")
			}
		})
	}
}

// TestPanelsAreFetchedOnce: the blocks' shares of the next panel follow each other, whatever calls they are cut into.
func TestPanelsAreFetchedOnce(t *testing.T) {
	const depth, rows = 200, 31
	packed := make([]float32, 16*depth)
	s := strip{MatMul: &MatMul{}, shape: &shape{groups: true, lanes: 8, vectors: 2}, ldPacked: depth, panelNext: &packed[0]}
	base, end := uintptr(unsafe.Pointer(&packed[0])), 0
	for _, call := range []struct{ i, rows, blocks int }{{0, 6, 1}, {6, 5, 3}, {21, 5, 2}} {
		q := panels{a: &packed[0], aRow: 4 * depth, aStep: 4, bStep: 64, k: depth, first: depth - aheadRows, rows: call.rows, blocks: call.blocks}
		s.chooseLoop(&q)
		s.fetchAhead(&q, call.i, 0, rows)
		for b := range q.blocks {
			at := q.ahead + uintptr(b*q.aheadBlock)
			if b == q.blocks-1 && at != q.aheadLast {
				t.Errorf("the last block begins at %d, not %d", q.aheadLast-base, at-base)
			}
			if got := int(at - base); got != end {
				t.Errorf("row %d, block %d begins at %d, not where the last ended, %d", call.i, b, got, end)
			}
			if each := q.aheadBy; each > 64*((4*groupSteps*q.rows+63)/64) || each*q.paces() < q.aheadBlock {
				t.Errorf("%d bytes a group leave lines out", each)
			}
			end += q.aheadBlock
		}
	}
	if size := 4 * len(packed); end > size || end < size-4*rows {
		t.Errorf("%d bytes of %d are fetched", end, size)
	}
}
