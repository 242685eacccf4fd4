//go:build !amd64

package tensor

func (r *tapRun) forwardVectors() (done int)  { return 0 }
func (r *tapRun) gradientVectors() (done int) { return 0 }
