package kernel

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func TestChangeCPU(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, after unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	if before.Count() < 2 {
		t.Skip("there is only one CPU to run on")
	}
	moved := false
	for try := 0; try < 50 && !moved; try++ { // the kernel may bring the thread back before we look
		here := processor()
		changeCPU()
		moved = processor() != here
	}
	if !moved {
		t.Error("50 calls left the thread on its CPU")
	}
	if err := unix.SchedGetaffinity(0, &after); err != nil {
		t.Fatal(err)
	}
	if after != before {
		t.Errorf("the thread may run on %d CPUs now, on %d before", after.Count(), before.Count())
	}
}
