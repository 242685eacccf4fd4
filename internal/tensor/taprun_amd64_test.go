//go:build !purego

package tensor

import (
	"testing"
	"unsafe"
)

// TestTapRunLayout holds the offsets that the generator writes into the assembly.
func TestTapRunLayout(t *testing.T) {
	var r tapRun
	for name, c := range map[string][2]uintptr{
		"dst": {unsafe.Offsetof(r.dst), 0}, "src": {unsafe.Offsetof(r.src), 24}, "w": {unsafe.Offsetof(r.w), 48},
		"count": {unsafe.Offsetof(r.count), 72}, "dstStep": {unsafe.Offsetof(r.dstStep), 80}, "srcStep": {unsafe.Offsetof(r.srcStep), 88},
		"at": {unsafe.Offsetof(r.at), 96}, "blocks": {unsafe.Offsetof(r.blocks), 104}, "tail": {unsafe.Offsetof(r.tail), 112},
		"more": {unsafe.Offsetof(r.more), 120}, "offsets": {unsafe.Offsetof(r.offsets), 128}, "rows": {unsafe.Offsetof(r.rows), 200},
		"fetchDst": {unsafe.Offsetof(r.fetchDst), 272}, "fetchSrc": {unsafe.Offsetof(r.fetchSrc), 280}, "fetchLines": {unsafe.Offsetof(r.fetchLines), 288},
	} {
		if c[0] != c[1] {
			t.Errorf("%s lies at %d, the assembly looks at %d", name, c[0], c[1])
		}
	}
}
