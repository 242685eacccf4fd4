//go:build (amd64 || arm64) && !purego

package kernel

// spinWait lets some tens of nanoseconds pass and tells the CPU that the thread only waits.
//
//go:noescape
func spinWait()
