// Package cost measures what reading bytes from outside costs, for tests. It counts allocated bytes and not time: they are the same
// on a busy machine, and what takes time with the square of the input allocates with it in all decoders here.
package cost

import (
	"runtime"
	"testing"
)

// slack is what a decoder may allocate whatever the input: its own tables and buffers, and what else the process does meanwhile.
const slack = 8 << 20

// Bound fails the test where do allocates more than perByte bytes for each of the n bytes it reads, beyond a fixed amount. Tests that
// use it do not run in parallel with others.
func Bound(t testing.TB, n, perByte int, do func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	if got, bound := after.TotalAlloc-before.TotalAlloc, slack+uint64(perByte)*uint64(n); got > bound {
		t.Errorf("reading %d bytes allocated %d bytes, more than %d", n, got, bound)
	}
}
