//go:build race

package kernel

import (
	"runtime"
	"unsafe"
)

// raceMatrix tells the race detector, which does not see into assembly, that a matrix is read or written.
func raceMatrix(s []float32, rows, cols, ld int, trans, write bool) {
	if trans {
		rows, cols = cols, rows
	}
	for i := range rows {
		row := unsafe.Pointer(&s[i*ld])
		if write {
			runtime.RaceWriteRange(row, 4*cols)
		} else {
			runtime.RaceReadRange(row, 4*cols)
		}
	}
}
