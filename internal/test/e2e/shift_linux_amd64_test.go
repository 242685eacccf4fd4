package e2e

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// Go reads the clocks by a function that the kernel gives every process, and keeps its address in a variable. As a debugger does, a
// running process is changed so that the variable points to a few instructions of ours: they call the kernel's function and add to the
// seconds of the wall clock. The monotonic clock, the program's file and other processes stay as they are.
const (
	kernelVariable = "runtime.vdsoClockgettimeSym"
	startFunction  = "runtime.rt0_go.abi0" // runs only when a process begins: its place is taken
)

// shiftingCode is func(di clock, si *timespec) by the C calling convention; two words follow it.
var shiftingCode = []byte{
	0x57,                   //  0 push di
	0x56,                   //  1 push si
	0x48, 0x83, 0xec, 0x08, //  2 sub 8, sp: the stack of a call is aligned to 16 bytes
	0xff, 0x15, 28, 0, 0, 0, //  6 call *40(code)
	0x48, 0x83, 0xc4, 0x08, // 12 add 8, sp
	0x5e,       // 16 pop si
	0x5f,       // 17 pop di
	0x85, 0xff, // 18 test di, di: the wall clock is 0
	0x75, 10, // 20 jne 32
	0x48, 0x8b, 0x15, 19, 0, 0, 0, // 22 mov 48(code), dx
	0x48, 0x01, 0x16, // 29 add dx, (si)
	0xc3,                // 32 ret
	0, 0, 0, 0, 0, 0, 0, // to 40
}

// wallClock is that of one running process.
type wallClock struct {
	t     *testing.T
	pid   int
	shift uintptr // where the seconds are that are added
}

// wallClockOf prepares a process of a program under test.
func wallClockOf(t *testing.T, pid int64, program string) *wallClock {
	t.Helper()
	code, size := symbol(t, program, startFunction)
	variable, _ := symbol(t, program, kernelVariable)
	if need := uint64(len(shiftingCode) + 16); size < need {
		t.Fatalf("%s has %d bytes, %d are needed", startFunction, size, need)
	}
	w := &wallClock{t: t, pid: int(pid), shift: code + uintptr(len(shiftingCode)) + 8}
	w.change(func() error {
		var kernel [8]byte
		if _, err := syscall.PtracePeekData(w.pid, variable, kernel[:]); err != nil {
			return err
		}
		if binary.LittleEndian.Uint64(kernel[:]) == 0 {
			return fmt.Errorf("the kernel gives no function that reads the clock")
		}
		text := append(append(append([]byte{}, shiftingCode...), kernel[:]...), make([]byte, 8)...)
		if _, err := syscall.PtracePokeText(w.pid, code, text); err != nil {
			return err
		}
		_, err := syscall.PtracePokeData(w.pid, variable, binary.LittleEndian.AppendUint64(nil, uint64(code)))
		return err
	})
	return w
}

// set makes the wall clock differ from the machine's.
func (w *wallClock) set(by time.Duration) {
	w.t.Helper()
	w.change(func() error {
		_, err := syscall.PtracePokeData(w.pid, w.shift, binary.LittleEndian.AppendUint64(nil, uint64(by/time.Second)))
		return err
	})
}

// change stops the process's first thread for a moment, as whoever changes its memory must.
func (w *wallClock) change(memory func() error) {
	w.t.Helper()
	runtime.LockOSThread() // one thread traces
	defer runtime.UnlockOSThread()
	if err := syscall.PtraceAttach(w.pid); err != nil {
		w.t.Fatalf("trace process %d: %v", w.pid, err)
	}
	var status syscall.WaitStatus
	_, err := syscall.Wait4(w.pid, &status, syscall.WALL, nil)
	if err == nil {
		err = memory()
	}
	if err := syscall.PtraceDetach(w.pid); err != nil {
		w.t.Fatalf("let process %d go: %v", w.pid, err)
	}
	if err != nil {
		w.t.Fatalf("change process %d: %v", w.pid, err)
	}
}

// symbol is the address and the size of a variable or function.
func symbol(t *testing.T, program, name string) (uintptr, uint64) {
	t.Helper()
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	symbols, err := file.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		if s.Name == name {
			return uintptr(s.Value), s.Size
		}
	}
	t.Fatalf("%s has no %s", filepath.Base(program), name)
	return 0, 0
}
