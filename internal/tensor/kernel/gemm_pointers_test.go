package kernel

import "testing"

// TestKernelsLeaveTheirPointers checks that what a tile kernel is given points to the same afterwards. A pointer that has been
// moved along with the blocks points behind its operand at the end; a garbage collection that finds it there ends the program.
func TestKernelsLeaveTheirPointers(t *testing.T) {
	for _, tier := range Tiers() {
		s := tileShape(tier)
		if s == nil {
			continue
		}
		defer Force(tier)()
		const blocks, k = 3, 20
		for vectors := 1; vectors <= s.vectors; vectors++ {
			rows, width := s.rows[vectors], s.lanes*vectors
			if rows == 0 {
				continue
			}
			a, b, c := sequence(blocks*rows*k, 1), sequence(k*2*width, 2), make([]float32, blocks*rows*2*width)
			q := panels{a: &a[0], aRow: 4 * k, aStep: 4, b: &b[0], bStep: 8 * width, bPanel: 4 * width, c: &c[0], cRow: 8 * width,
				start: &c[0], startRow: 8 * width, startPanel: 4 * width, k: k, rows: rows, blocks: blocks, panels: 2, last: k}
			before := q
			s.run(&q, vectors)
			if moved(&before, &q) {
				t.Errorf("%s, %d vectors: the kernel moved its pointers", tier, vectors)
			}
		}
		if !s.lists {
			continue
		}
		rows, width := s.rows[s.vectors], s.lanes*s.vectors
		a, b, c := sequence(blocks*k*listedRows, 1), sequence(k*2*width, 2), make([]float32, blocks*rows*2*width)
		steps, counts := make([]uint32, blocks*k+aheadRows), []uint32{k, k, k}
		q := panels{a: &a[0], aRow: 4, b: &b[0], bPanel: 4 * width, c: &c[0], cRow: 8 * width, start: &c[0], startRow: 8 * width,
			startPanel: 4 * width, k: k, rows: rows, blocks: blocks, panels: 2, steps: &steps[0], counts: &counts[0]}
		before := q
		s.runListed(&q)
		if moved(&before, &q) {
			t.Errorf("%s: the kernel of listed steps moved its pointers", tier)
		}
	}
}

// moved reports whether a pointer of p is another in q.
func moved(p, q *panels) bool {
	return p.a != q.a || p.b != q.b || p.c != q.c || p.start != q.start || p.steps != q.steps || p.counts != q.counts
}
