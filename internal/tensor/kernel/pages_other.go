//go:build !linux

package kernel

// useLargePages asks the system for large pages where it can be asked.
func useLargePages([]float32) {}
