package kernel

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// useLargePages asks the system for large pages under the memory of x, before it is touched: fewer translations of addresses where
// much is read once. Where it has none it is as before.
func useLargePages(x []float32) {
	const large = 2 << 20
	begin := (uintptr(unsafe.Pointer(unsafe.SliceData(x))) + large - 1) &^ (large - 1)
	skip := int(begin-uintptr(unsafe.Pointer(unsafe.SliceData(x)))) / 4
	if n := (len(x) - skip) * 4 &^ (large - 1); n > 0 {
		_ = unix.Madvise(unsafe.Slice((*byte)(unsafe.Pointer(&x[skip])), n), unix.MADV_HUGEPAGE) // a hint
	}
}
