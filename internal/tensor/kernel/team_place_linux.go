package kernel

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// processor is the CPU that the calling thread runs on, -1 if it is not known.
func processor() int {
	var cpu uint32
	if _, _, err := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0); err != 0 {
		return -1
	}
	return int(cpu)
}

// changeCPU moves the calling thread to another of the CPUs that it may run on, if there is one.
func changeCPU() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	here := processor()
	var all unix.CPUSet
	if here < 0 || unix.SchedGetaffinity(0, &all) != nil {
		return
	}
	others := all
	others.Clear(here)
	if others.Count() == 0 || unix.SchedSetaffinity(0, &others) != nil {
		return
	}
	// The thread is elsewhere now, and may run anywhere again. If this failed, it would keep away from one CPU, no more.
	_ = unix.SchedSetaffinity(0, &all)
}
