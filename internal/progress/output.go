package progress

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"
)

// Output writes to a terminal, a pipe or a file beside its callers. Whoever reads it may be slow (a pager), stopped (Ctrl-S) or
// gone: no caller ever waits for it or fails because of it.
type Output struct {
	file *os.File
	gone chan struct{} // closed when the pipe has no reader any more

	mu      sync.Mutex
	more    *sync.Cond
	pending []byte
	writing bool
	dead    bool // nothing that is written arrives any more
	closed  bool
}

// outputRoom bounds what waits for a slow reader; what does not fit is dropped.
const outputRoom = 256 << 10

// NewOutput makes an output to a file that stays open. Close ends it.
func NewOutput(file *os.File) *Output {
	o := &Output{file: file, gone: make(chan struct{})}
	o.more = sync.NewCond(&o.mu)
	go o.deliver()
	return o
}

// Fd is the file's descriptor, by which terminals are recognized.
func (o *Output) Fd() uintptr { return o.file.Fd() }

// Gone is closed when the output is a pipe that nobody reads any more.
func (o *Output) Gone() <-chan struct{} { return o.gone }

// Write takes the text to be written and always succeeds.
func (o *Output) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.dead && !o.closed && len(o.pending)+len(text) <= outputRoom {
		o.pending = append(o.pending, text...)
		o.more.Broadcast()
	}
	return len(text), nil
}

// deliver writes what is pending until the output is closed.
func (o *Output) deliver() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		for len(o.pending) == 0 && !o.closed {
			o.more.Wait()
		}
		if len(o.pending) == 0 {
			return
		}
		text := o.pending
		o.pending, o.writing = nil, true
		o.mu.Unlock()
		_, err := o.file.Write(text)
		o.mu.Lock()
		o.writing = false
		switch {
		case errors.Is(err, syscall.EPIPE):
			close(o.gone)
			o.dead = true
		case errors.Is(err, syscall.EIO): // the terminal is gone
			o.dead = true
		}
		if o.dead {
			o.pending, o.closed = nil, true
		}
		o.more.Broadcast()
	}
}

// Close waits until everything is written, but no longer than patience for a reader that does not take it.
func (o *Output) Close(patience time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.more.Broadcast()
	late := false
	timer := time.AfterFunc(patience, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		late = true
		o.more.Broadcast()
	})
	defer timer.Stop()
	for (len(o.pending) > 0 || o.writing) && !late {
		o.more.Wait()
	}
}
