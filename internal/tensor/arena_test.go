package tensor

import (
	"math/rand/v2"
	"testing"
)

// It lays out random lives and checks that no two buffers share place and time, and that the arena is not much
// longer than the most that is alive at one time.
func TestNoTwoLivingBuffersShareAPlace(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		times := 1 + r.IntN(60)
		buffers := make([]*buffer, 1+r.IntN(60))
		alive := make([]int, times)
		for i := range buffers {
			first := r.IntN(times)
			b := &buffer{size: r.IntN(5000), first: first, last: min(times-1, first+r.IntN(12))}
			for at := b.first; at <= b.last; at++ {
				alive[at] += aligned(b.size)
			}
			buffers[i] = b
		}
		length := place(buffers)
		most := 0
		for _, n := range alive {
			most = max(most, n)
		}
		if length < most || float64(length) > 1.5*float64(most) {
			t.Fatalf("arena of %d floats where %d are alive at once", length, most)
		}
		for i, a := range buffers {
			if a.offset%alignment != 0 || a.offset+a.size > length {
				t.Fatalf("buffer at %d of %d in an arena of %d", a.offset, a.size, length)
			}
			for _, b := range buffers[:i] {
				apart := a.last < b.first || b.last < a.first || a.offset+a.size <= b.offset || b.offset+b.size <= a.offset
				if !apart {
					t.Fatalf("buffers %+v and %+v overlap", a, b)
				}
			}
		}
	}
}
