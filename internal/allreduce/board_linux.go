package allreduce

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// makeBoard makes the memory of a board, which nobody can make smaller, and a file descriptor to hand on.
func makeBoard(size int) (memory []byte, fd int, err error) {
	fd, err = unix.MemfdCreate("ringmaster-board", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, -1, fmt.Errorf("make a board: %w", err)
	}
	if err = unix.Ftruncate(fd, int64(size)); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, boardSeals)
	}
	if err == nil {
		memory, err = unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		return nil, -1, fmt.Errorf("make a board: %w", errors.Join(err, unix.Close(fd)))
	}
	return memory, fd, nil
}

const boardSeals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

// mapBoard maps the memory of another worker's board.
func mapBoard(fd, size int) ([]byte, error) {
	seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	var is unix.Stat_t
	if err == nil {
		err = unix.Fstat(fd, &is)
	}
	if err == nil && (seals&unix.F_SEAL_SHRINK == 0 || is.Size != int64(size)) {
		err = fmt.Errorf("%d bytes with seals %#x, expected %d that cannot shrink", is.Size, seals, size)
	}
	var memory []byte
	if err == nil {
		memory, err = unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		return nil, fmt.Errorf("take a board: %w", err)
	}
	return memory, nil
}

func unmapBoard(memory []byte) { _ = unix.Munmap(memory) }

func closeDescriptor(fd int) { _ = unix.Close(fd) }

// wakeAll wakes who sleeps until the number changes, in whatever process.
func wakeAll(number *atomic.Uint32) {
	_, _, _ = syscall.RawSyscall6(syscall.SYS_FUTEX, uintptr(unsafe.Pointer(number)), futexWake, 1<<30, 0, 0, 0)
}

// shortNap is how long a sleep lasts at most of which the scheduler does not know: where many workers share a processor, a step takes milliseconds, and telling the scheduler
// costs two wake-ups more.
const shortNap = 10e6

// sleepUntil sleeps until the number is another, or for a while. A short sleep keeps the thread.
func sleepUntil(number *atomic.Uint32, was uint32, short bool) {
	call, timeout := syscall.Syscall6, syscall.Timespec{Nsec: longPoll}
	if short {
		call, timeout.Nsec = syscall.RawSyscall6, shortNap
	}
	_, _, _ = call(syscall.SYS_FUTEX, uintptr(unsafe.Pointer(number)), futexWait, uintptr(was), uintptr(unsafe.Pointer(&timeout)), 0, 0)
}

// Operations of the system call, on memory of several processes.
const (
	futexWait = 0
	futexWake = 1
)

// hand writes a frame without payload, before all others, with a file descriptor if that is not negative.
func (w *wire) hand(h *Header, fd int) error {
	w.using.RLock()
	defer w.using.RUnlock()
	if w.ended {
		return errWireEnded
	}
	var head [headerLen]byte
	h.encode(&head)
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	if err := unix.Sendmsg(w.fd, head[:], rights, nil, unix.MSG_NOSIGNAL); err != nil { // an empty socket takes it whole
		return errWireEnded
	}
	return nil
}

// receive reads a frame that hand has written. fd is -1 if none came.
func (w *wire) receive(ctx context.Context, h *Header) (fd int, err error) {
	fd = -1
	var head [headerLen]byte
	rights := make([]byte, unix.CmsgSpace(4))
	for have := 0; have < headerLen && err == nil; {
		var n int
		var came int
		if n, came, err = w.receiveSome(ctx, head[have:], rights); err == nil && n == 0 {
			err = errWireEnded
		}
		have += n
		if came >= 0 {
			if fd >= 0 {
				closeDescriptor(fd)
			}
			fd = came
		}
	}
	if err == nil {
		err = h.decode(&head)
	}
	if err != nil && fd >= 0 {
		closeDescriptor(fd)
		fd = -1
	}
	return fd, err
}

// receiveSome waits for bytes.
func (w *wire) receiveSome(ctx context.Context, into, rights []byte) (n, fd int, err error) {
	for {
		n, fd, err = w.receiveOnce(into, rights)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return n, fd, err
		}
		if ctx.Err() != nil {
			return 0, -1, context.Cause(ctx)
		}
	}
}

// receiveOnce waits a while for bytes, then reads them.
func (w *wire) receiveOnce(into, rights []byte) (n, fd int, err error) {
	w.using.RLock()
	defer w.using.RUnlock()
	if w.ended {
		return 0, -1, errWireEnded
	}
	polled := [1]unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}
	_, _ = unix.Poll(polled[:], longPoll/1e6) // receiving says what is the matter
	n, rest, _, _, err := unix.Recvmsg(w.fd, into, rights, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return 0, -1, err
	}
	return n, descriptorIn(rights[:rest]), nil
}

// descriptorIn is the file descriptor that came with a message; -1: none.
func descriptorIn(rights []byte) int {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return -1
	}
	for i := range messages {
		if fds, err := unix.ParseUnixRights(&messages[i]); err == nil && len(fds) == 1 {
			return fds[0]
		}
	}
	return -1
}
