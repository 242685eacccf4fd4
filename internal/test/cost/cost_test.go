package cost

import "testing"

// failing remembers that it was told of a failure.
type failing struct {
	testing.TB
	failed bool
}

func (f *failing) Helper()               {}
func (f *failing) Errorf(string, ...any) { f.failed = true }

var sink []byte

func TestBoundNotices(t *testing.T) {
	for _, c := range []struct {
		allocate int
		want     bool
	}{{1 << 20, false}, {64 << 20, true}} {
		f := &failing{TB: t}
		Bound(f, 1000, 1000, func() { sink = make([]byte, c.allocate) })
		if f.failed != c.want {
			t.Errorf("%d bytes: failed %v", c.allocate, f.failed)
		}
	}
}
