//go:build (!amd64 && !arm64) || purego

package kernel

import "runtime"

// spinWait lets others run: without a pause instruction, waiting is done by the scheduler.
func spinWait() { runtime.Gosched() }
