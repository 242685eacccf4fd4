//go:build !amd64 || purego

package tensor

func (r *tapRun) forwardVectors() (done int)  { return 0 }
func (r *tapRun) gradientVectors() (done int) { return 0 }

// vectorBytes is the size of a vector of the tier in use, 0 without any.
func vectorBytes() int { return 0 }
