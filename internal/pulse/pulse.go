// Package pulse notices that the other end of a gRPC connection is gone. gRPC's own keepalive compares readings of the wall clock:
// one that is set back makes everything that is read seem older than the last ping, so every living connection is closed. Here an
// end that has read nothing for a while sends an HTTP/2 ping of its own between gRPC's frames, which the other end's gRPC answers, and
// closes the connection where nothing comes. Only the monotonic clock counts.
package pulse

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
)

// Credentials are inner ones whose connections have a pulse: a ping after quiet without a byte read, and the end after patience
// without one since the ping.
func Credentials(inner credentials.TransportCredentials, quiet, patience time.Duration) credentials.TransportCredentials {
	return watching{inner, quiet, patience}
}

type watching struct {
	credentials.TransportCredentials
	quiet, patience time.Duration
}

func (w watching) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := w.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		return conn, info, err
	}
	return newConn(conn, w.quiet, w.patience, len(preface)), info, nil
}

func (w watching) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := w.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return conn, info, err
	}
	return newConn(conn, w.quiet, w.patience, 0), info, nil
}

func (w watching) Clone() credentials.TransportCredentials {
	return watching{w.TransportCredentials.Clone(), w.quiet, w.patience}
}

// HTTP/2, RFC 9113.
const (
	preface     = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" // a client's first bytes
	frameHeader = 9                                  // payload length (3) | type (1) | flags (1) | stream (4)
	pingPayload = 8

	frameHeaders      = 1
	framePing         = 6
	frameContinuation = 9
	flagEndHeaders    = 4
)

// ping is a frame whose answer gRPC ignores: it knows its own pings by their payload.
var ping = [frameHeader + pingPayload]byte{2: pingPayload, 3: framePing, frameHeader: 'p', 'u', 'l', 's', 'e'}

// ErrSilent is the error of a read or write after the other end has fallen silent.
var ErrSilent = errors.New("the other end does not answer")

var origin = time.Now() // monotonic times count from it

// conn is a connection with a pulse.
type conn struct {
	net.Conn
	quiet, patience time.Duration
	heard           atomic.Int64 // when something was read last, since origin
	silent          atomic.Bool

	beating sync.Mutex // guards timer, ended, and what beat alone uses
	timer   *time.Timer
	ended   bool
	asked   int64 // when the ping was sent that nothing has followed yet; 0: there is none

	writing sync.Mutex // guards what is written
	frames  frames
}

func newConn(inner net.Conn, quiet, patience time.Duration, skip int) *conn {
	c := &conn{Conn: inner, quiet: quiet, patience: patience, frames: frames{rest: skip, begun: skip == 0}}
	c.heard.Store(int64(time.Since(origin)))
	c.beating.Lock()
	defer c.beating.Unlock()
	c.timer = time.AfterFunc(quiet, c.beat)
	return c
}

// Read notes that the other end is there.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.heard.Store(int64(time.Since(origin)))
	}
	return n, c.explain(err)
}

// Write keeps account of where frames end.
func (c *conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	n, err := c.Conn.Write(p)
	c.frames.pass(p[:n])
	return n, c.explain(err)
}

func (c *conn) explain(err error) error {
	if err != nil && c.silent.Load() {
		return ErrSilent
	}
	return err
}

// Close closes the connection.
func (c *conn) Close() error {
	c.beating.Lock()
	c.ended = true
	c.timer.Stop()
	c.beating.Unlock()
	return c.Conn.Close()
}

// beat looks whether the other end was heard of, asks it, or gives it up.
func (c *conn) beat() {
	c.beating.Lock()
	defer c.beating.Unlock()
	if c.ended {
		return
	}
	now, heard := int64(time.Since(origin)), c.heard.Load()
	if c.asked != 0 && heard > c.asked {
		c.asked = 0
	}
	idle, left := time.Duration(now-heard), c.patience-time.Duration(now-c.asked)
	switch {
	case c.asked != 0 && left > 0:
		c.timer.Reset(min(c.quiet, left))
	case c.asked != 0:
		c.silent.Store(true)
		c.ended = true
		c.Conn.Close()
	case idle < c.quiet:
		c.timer.Reset(c.quiet - idle)
	default:
		c.asked = max(now, 1)
		go c.ask()
		c.timer.Reset(min(c.quiet, c.patience))
	}
}

// ask sends a ping. While gRPC is in the middle of a frame it cannot; then either that goes on, and is answered, or it does not,
// and nothing else could be sent either.
func (c *conn) ask() {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.frames.between() {
		_, _ = c.Conn.Write(ping[:]) // whoever reads or writes next finds out
	}
}

// frames follows the frames in what is written.
type frames struct {
	begun  bool // the preface is written
	rest   int  // bytes of the preface or of a payload to come
	header [frameHeader]byte
	have   int  // bytes of the header
	any    bool // a frame was written
	open   bool // a header block goes on in the next frame, and nothing may come between
}

// between reports whether a whole number of frames was written, and one at least: the first must be gRPC's settings.
func (f *frames) between() bool { return f.begun && f.any && !f.open && f.rest == 0 && f.have == 0 }

func (f *frames) pass(p []byte) {
	for len(p) > 0 {
		if f.rest > 0 {
			n := min(f.rest, len(p))
			p, f.rest = p[n:], f.rest-n
			f.begun = f.begun || f.rest == 0
			continue
		}
		n := copy(f.header[f.have:], p)
		p, f.have = p[n:], f.have+n
		if f.have == frameHeader {
			f.rest = int(f.header[0])<<16 | int(f.header[1])<<8 | int(f.header[2])
			f.have, f.any = 0, true
			kind, flags := f.header[3], f.header[4]
			f.open = (kind == frameHeaders || kind == frameContinuation) && flags&flagEndHeaders == 0
		}
	}
}
