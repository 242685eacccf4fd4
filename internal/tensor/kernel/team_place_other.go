//go:build !linux

package kernel

// changeCPU moves the calling thread to another CPU, where that can be done.
func changeCPU() {}
