package allreduce

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// wireRoom is how many bytes may be on their way in a wire, where the system allows it: a worker can write a bucket and compute on.
const wireRoom = 4 << 20

// readAhead is the size of the buffer behind the payload that a read is for: the next frame's header comes with it, and small frames whole.
const readAhead = 4 << 10

// iovMax is the largest number of pieces that the system writes at once.
const iovMax = 1024

// wire is a socket that carries a link's frames: a unix socket between two processes of one host, else TCP, encrypted where members have certificates. Nothing of it blocks; poll waits. The scheduler of Go does not
// know the socket: it would wake a thread more for all that arrives. So whoever needs a frame waits for it in the system, and reads it
// to where it belongs. A frame on a wire is its header and its payload.
//
// Writing has one caller at a time, and so has reading.
type wire struct {
	fd     int
	conn   net.Conn // what the socket was taken from, of which only the count of open connections is left
	unix   bool
	sealed *sealed      // nil: no TLS
	held   func() bool  // a fault: nothing can be written now; nil: there is none
	boards bool         // its workers may share a board
	using  sync.RWMutex // held for writing while the socket is closed
	ended  bool
	once   sync.Once

	batch    []syscall.Iovec   // what is to be written
	headers  [][headerLen]byte // of the batch's frames
	framed   int               // how many of them are used
	unsent   atomic.Int64      // bytes of the batch
	rejected atomic.Bool       // the other end takes nothing more

	ahead      [readAhead]byte
	begin, end int // of what ahead holds
	head       [headerLen]byte
	have       int // bytes of the header
	header     Header
	located    bool
	place      []byte // of the payload
	filled     int
	pieces     [2]syscall.Iovec
}

// wireOf takes a connection over; nil: it cannot be a wire.
func wireOf(conn net.Conn, secure bool) (*wire, error) {
	l, ok := layersOf(conn, secure)
	if !ok {
		return nil, nil
	}
	w := &wire{conn: conn, held: l.held}
	raw, err := l.socket.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("take a socket over: %w", err)
	}
	errno := syscall.Errno(0)
	err = raw.Control(func(fd uintptr) {
		var copied uintptr
		copied, _, errno = syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_DUPFD_CLOEXEC, 0)
		w.fd = int(copied)
	})
	if err == nil && errno != 0 {
		err = errno
	}
	if err != nil {
		return nil, fmt.Errorf("take a socket over: %w", err)
	}
	_ = l.socket.Close() // the copy stays open
	_ = syscall.SetNonblock(w.fd, true)
	if w.unix = l.socket.LocalAddr().Network() == "unix"; w.unix {
		_ = syscall.SetsockoptInt(w.fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, wireRoom) // less costs time alone; TCP finds out by itself
	}
	if l.tls != nil {
		if w.sealed, err = newSealed(l.tls, w.fd); err != nil {
			w.close()
			return nil, err
		}
	}
	return w, nil
}

// wireable reports whether wireOf takes such a connection.
func wireable(conn net.Conn, secure bool) bool {
	_, ok := layersOf(conn, secure)
	return ok
}

// local reports whether the wire is a unix socket.
func (w *wire) local() bool { return w.unix }

// frame adds a frame to what is to be written; the payload follows by add.
func (w *wire) frame(h *Header) {
	if w.framed == len(w.headers) { // those in use stay where they are
		w.headers, w.framed = make([][headerLen]byte, max(16, 2*len(w.headers))), 0
	}
	b := &w.headers[w.framed]
	w.framed++
	h.encode(b)
	w.add(b[:])
}

// add adds bytes to what is to be written. They must stay as they are until that is done.
func (w *wire) add(b []byte) {
	if len(b) == 0 {
		return
	}
	piece := syscall.Iovec{Base: &b[0]}
	piece.SetLen(len(b))
	w.batch = append(w.batch, piece)
	w.unsent.Add(int64(len(b)))
}

// write writes as much as the system takes. io.EOF: the other end takes nothing more.
func (w *wire) write() error {
	w.using.RLock()
	defer w.using.RUnlock()
	if w.sealed != nil {
		return w.writeSealed()
	}
	first := 0
	for {
		if w.rejected.Load() || w.ended {
			w.drop()
			return io.EOF
		}
		if first == len(w.batch) {
			break
		}
		if w.held != nil && w.held() {
			break
		}
		part := w.batch[first:min(first+iovMax, len(w.batch))]
		n, errno := transfer(syscall.SYS_WRITEV, w.fd, part)
		if errno == syscall.EAGAIN {
			break
		}
		if errno != 0 && errno != syscall.EINTR {
			w.rejected.Store(true)
			continue
		}
		w.unsent.Add(-int64(n))
		first += passed(part, n)
	}
	w.keep(first)
	return nil
}

// keep forgets the first pieces of the batch, which are written.
func (w *wire) keep(first int) {
	rest := copy(w.batch, w.batch[first:])
	clear(w.batch[rest:])
	w.batch = w.batch[:rest]
	if rest == 0 {
		w.framed = 0
	}
}

// drop forgets what was to be written.
func (w *wire) drop() {
	clear(w.batch)
	w.batch, w.framed = w.batch[:0], 0
	w.unsent.Store(0)
}

// await waits until something more can be written; false: that will never be.
func (w *wire) await() bool {
	w.using.RLock()
	defer w.using.RUnlock()
	if w.ended || w.rejected.Load() {
		return false
	}
	fd := pollFd{fd: int32(w.fd), events: pollOut}
	timeout := syscall.Timespec{Nsec: longPoll}
	if w.held != nil && w.held() {
		fd.fd, timeout.Nsec = -1, heldPoll
	}
	_, _, _ = syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&fd)), 1, uintptr(unsafe.Pointer(&timeout)), 0, 0, 0)
	return true
}

// passed takes the first n bytes away from the pieces, and says how many pieces are used up.
func passed(pieces []syscall.Iovec, n int) (used int) {
	for n > 0 {
		piece := &pieces[used]
		length := int(piece.Len)
		if n < length {
			piece.Base = (*byte)(unsafe.Add(unsafe.Pointer(piece.Base), n))
			piece.SetLen(length - n)
			break
		}
		n -= length
		used++
	}
	return used
}

// pending reports whether there is something that has not been written.
func (w *wire) pending() bool { return w.unsent.Load() > 0 }

// transfer reads or writes pieces. It does not block, so the scheduler need not know.
func transfer(call uintptr, fd int, pieces []syscall.Iovec) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(pieces))), uintptr(len(pieces)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// read reads once. moved: something has come. blocked: it may not be taken yet. errWireEnded: nothing more will come.
func (w *wire) read(t taker) (moved, blocked bool, err error) {
	w.using.RLock()
	defer w.using.RUnlock()
	if blocked, err = w.take(t); blocked || err != nil {
		return false, blocked, err
	}
	if w.ended {
		return false, false, errWireEnded
	}
	straight, n, err := w.fill()
	if n == 0 || err != nil {
		return false, false, err
	}
	if err = w.landed(t, straight); err == nil {
		blocked, err = w.take(t)
	}
	return true, blocked, err
}

// take goes through what ahead holds.
func (w *wire) take(t taker) (blocked bool, err error) {
	for {
		if w.have < headerLen {
			n := copy(w.head[w.have:], w.ahead[w.begin:w.end])
			w.have, w.begin = w.have+n, w.begin+n
			if w.have < headerLen {
				return false, nil
			}
			if err := w.header.decode(&w.head); err != nil {
				return false, err
			}
		}
		if !w.located {
			place, ready, err := t.locate(&w.header)
			if err != nil || !ready {
				return !ready, err
			}
			w.located, w.place, w.filled = true, place, 0
		}
		n := copy(w.place[w.filled:], w.ahead[w.begin:w.end])
		w.begin += n
		if n == 0 && w.filled < len(w.place) {
			return false, nil
		}
		if err := w.landed(t, n); err != nil {
			return false, err
		}
	}
}

// landed counts bytes that are in the payload's place. After the last one the next frame begins.
func (w *wire) landed(t taker, n int) error {
	whole := w.filled+n == len(w.place)
	if n == 0 && !(whole && w.located) {
		return nil
	}
	from := w.filled
	w.filled += n
	if whole {
		w.have, w.located = 0, false
	}
	return t.landed(&w.header, from, w.filled)
}

// fill reads what is there: straight bytes to the payload's place, the others to ahead, which is empty.
func (w *wire) fill() (straight, n int, err error) {
	if w.sealed != nil {
		return w.fillSealed()
	}
	pieces := w.pieces[:0]
	if w.located {
		piece := syscall.Iovec{Base: &w.place[w.filled]}
		straight = len(w.place) - w.filled
		piece.SetLen(straight)
		pieces = append(pieces, piece)
	}
	piece := syscall.Iovec{Base: &w.ahead[0]}
	piece.SetLen(readAhead)
	pieces = append(pieces, piece)
	n, errno := transfer(syscall.SYS_READV, w.fd, pieces)
	switch {
	case errno == syscall.EAGAIN || errno == syscall.EINTR:
		return 0, 0, nil
	case errno != 0:
		return 0, 0, errWireEnded
	case n == 0:
		return 0, 0, errWireEnded
	}
	straight = min(straight, n)
	w.begin, w.end = 0, n-straight
	return straight, n, nil
}

// close closes the wire. What was written still arrives.
func (w *wire) close() {
	w.once.Do(func() {
		_ = syscall.Shutdown(w.fd, syscall.SHUT_RDWR) // ends poll
		w.using.Lock()
		defer w.using.Unlock()
		w.ended = true
		_ = syscall.Close(w.fd)
		_ = w.conn.Close() // its socket is closed already
	})
}

// broken reports whether the system has given the connection up, as after a reset.
func (w *wire) broken() bool {
	w.using.RLock()
	defer w.using.RUnlock()
	if w.ended {
		return false
	}
	fd, timeout := pollFd{fd: int32(w.fd)}, syscall.Timespec{}
	_, _, _ = syscall.RawSyscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&fd)), 1, uintptr(unsafe.Pointer(&timeout)), 0, 0, 0)
	return fd.revents != 0
}

// bell ends a poll.
type bell struct {
	fd    int
	using sync.RWMutex
	ended bool
}

func newBell() (*bell, error) {
	fd, _, errno := syscall.Syscall(syscall.SYS_EVENTFD2, 0, syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if errno != 0 {
		return nil, fmt.Errorf("make an event: %w", errno)
	}
	return &bell{fd: int(fd)}, nil
}

// ring ends the poll under way, or the next one.
func (b *bell) ring() {
	b.using.RLock()
	defer b.using.RUnlock()
	if !b.ended {
		one := [8]byte{1}
		_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(b.fd), uintptr(unsafe.Pointer(&one)), 8)
	}
}

func (b *bell) silence() {
	var count [8]byte
	_, _, _ = syscall.RawSyscall(syscall.SYS_READ, uintptr(b.fd), uintptr(unsafe.Pointer(&count)), 8)
}

// close closes the bell. Later polls end at once.
func (b *bell) close() {
	b.ring()
	b.using.Lock()
	defer b.using.Unlock()
	b.ended = true
	_ = syscall.Close(b.fd)
}

// pollFd is the system's struct pollfd.
type pollFd struct {
	fd              int32
	events, revents int16
}

const (
	pollIn  = 1
	pollOut = 4
)

// How long a poll lasts at most, in nanoseconds: one of which the scheduler does not know, so that it can have the thread for something else
// before long, and one of which it does. A wire that a fault holds is looked at again soon.
const (
	shortPoll = 1e6
	longPoll  = 100e6
	heldPoll  = 5e6
)

// poll waits until the bell rings, something can be read from in (nil: not asked), or written to out (nil: nothing is to be). A short poll keeps the thread. happened: it was not
// for nothing.
func (b *bell) poll(in, out *wire, short bool) (happened bool) {
	b.using.RLock()
	defer b.using.RUnlock()
	if b.ended {
		return true
	}
	fds := [3]pollFd{{fd: int32(b.fd), events: pollIn}, {fd: -1, events: pollIn}, {fd: -1, events: pollOut}}
	timeout := syscall.Timespec{Nsec: longPoll}
	if short {
		timeout.Nsec = shortPoll
	}
	if in != nil {
		in.using.RLock()
		defer in.using.RUnlock()
		if in.ended {
			return true
		}
		fds[1].fd = int32(in.fd)
	}
	if out != nil {
		out.using.RLock()
		defer out.using.RUnlock()
		switch {
		case out.held != nil && out.held():
			timeout.Nsec = min(timeout.Nsec, heldPoll)
		case !out.ended && !out.rejected.Load():
			fds[2].fd = int32(out.fd)
		}
	}
	call := syscall.Syscall6
	if short {
		call = syscall.RawSyscall6
	}
	n, _, errno := call(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&fds)), uintptr(len(fds)), uintptr(unsafe.Pointer(&timeout)), 0, 0, 0)
	if errno == 0 && fds[0].revents != 0 {
		b.silence()
	}
	return errno != 0 || n > 0
}
