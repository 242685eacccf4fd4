package allreduce

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"ringmaster/internal/certs"
)

// byWire is the kind of a hello that offers a wire, and of an accept that takes it. Then the caller connects once more, and that connection begins with
// the same hello, without gRPC, and the same answer. HTTP/2 begins with another letter.
//
// Kind 1 was a wire without the frames of a board.
const byWire = 2

// wireGreeting bounds how long a wire's connection may take to say hello, and to be answered.
const wireGreeting = 5 * time.Second

// splitting are credentials that keep the connections of wires from gRPC.
type splitting struct {
	credentials.TransportCredentials
	transport *Transport
}

// ServerHandshake looks at the first byte where a connection could be a wire.
func (s splitting) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secure := s.transport.secure()
	if s.transport.options.NoWires || !wireable(raw, secure) {
		return s.TransportCredentials.ServerHandshake(raw)
	}
	if secure && overTLS(raw) != nil {
		s.transport.splits.Store(true)
	}
	var first [1]byte
	if _, err := io.ReadFull(raw, first[:]); err != nil {
		return nil, nil, fmt.Errorf("read the first byte: %w", err)
	}
	if first[0] == wireMagic {
		s.transport.takeWire(raw)
		return nil, nil, credentials.ErrConnDispatched
	}
	return s.TransportCredentials.ServerHandshake(&begun{Conn: raw, first: first[:]})
}

// Clone is a copy.
func (s splitting) Clone() credentials.TransportCredentials {
	return splitting{s.TransportCredentials.Clone(), s.transport}
}

// begun is a connection of which some bytes have been read.
type begun struct {
	net.Conn
	first []byte
}

// NetConn is the connection below.
func (b *begun) NetConn() net.Conn { return b.Conn }

// Read reads these bytes again, then goes on.
func (b *begun) Read(p []byte) (int, error) {
	if len(b.first) == 0 {
		return b.Conn.Read(p)
	}
	n := copy(p, b.first)
	b.first = b.first[n:]
	return n, nil
}

// secure reports whether members show certificates to each other.
func (t *Transport) secure() bool {
	return t.options.Credentials != nil && t.options.Credentials.Info().SecurityProtocol != "insecure"
}

// wires reports whether the stream's caller can make a wire to this worker: TLS must be below gRPC, where the port puts it.
func (t *Transport) wires(stream grpc.ServerStream) bool {
	p, ok := peer.FromContext(stream.Context())
	switch {
	case !ok || t.options.NoWires || !wireable(&net.UnixConn{}, false):
		return false
	case p.Addr.Network() == "unix":
		return true
	}
	return p.Addr.Network() == "tcp" && (!t.secure() || t.splits.Load())
}

// takeWire answers a connection whose first byte says that it is to be a wire, and gives it to the link that waits for it.
func (t *Transport) takeWire(conn net.Conn) {
	hello, err := readHello(conn, []byte{wireMagic})
	if err != nil || t.joinWire(conn, &hello) != nil {
		_ = conn.Close() // the caller sees it
	}
}

func (t *Transport) joinWire(conn net.Conn, hello *Header) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.jobs[hello.Job]
	if p == nil || p.wireless == nil || p.ended || hello.Phase != phaseHello || hello.check(&p.hello) != nil || hello.Step != p.hello.Step {
		return fmt.Errorf("no link waits for this wire")
	}
	if secure := overTLS(conn); secure != nil {
		if who, err := certs.Caller(secure.ConnectionState()); err != nil || who.Role != certs.Worker || who.ID != p.caller {
			return fmt.Errorf("the wire of worker %s is opened by another", p.caller)
		}
	}
	answer := *hello
	answer.From, answer.To, answer.Phase, answer.Step = hello.To, hello.From, phaseAccept, 0
	if err := writeHeader(conn, &answer); err != nil {
		return err
	}
	w, err := wireOf(conn, t.secure())
	if err != nil || w == nil {
		return fmt.Errorf("make a wire: %w", err)
	}
	w.boards = !t.options.NoBoards
	in := p.wireless
	p.wireless = nil
	p.arrivals <- &wireIncoming{in, w}
	return nil
}

// gone is closed when a link that waits for its wire has ended before that came.
func (t *Transport) gone(stream grpc.ServerStream, in *grpcIncoming) <-chan struct{} {
	t.mu.Lock()
	waits := in.place.wireless == in
	t.mu.Unlock()
	if !waits {
		return nil
	}
	gone := make(chan struct{})
	context.AfterFunc(stream.Context(), func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if in.place.wireless == in {
			in.place.wireless, in.place.connected = nil, false
			close(gone)
		}
	})
	return gone
}

// dialWire connects to the next worker once more.
func (t *Transport) dialWire(ctx context.Context, id *Identity) (*wire, error) {
	bounded, cancel := context.WithTimeout(ctx, wireGreeting)
	defer cancel()
	conn, err := t.options.Dial(bounded, id.next())
	if err != nil {
		return nil, err
	}
	err = greetWire(conn, id)
	var w *wire
	if err == nil {
		if w, err = wireOf(conn, t.secure()); err == nil && w == nil {
			err = fmt.Errorf("a second connection is of another kind than the first")
		}
	}
	if err == nil {
		w.boards = !t.options.NoBoards
	}
	if err != nil {
		_ = conn.Close() // nothing was sent
		return nil, fmt.Errorf("open the wire: %w", err)
	}
	return w, nil
}

// The system may give a wire's connection up, as after a reset, without the other end being told: it only reads.
const brokenInterval = 500 * time.Millisecond

// watchWire ends the link when its wire's connection is broken. What the next worker may have said of it has had the time to come.
func watchWire(out *wireOutgoing) {
	var look func()
	look = func() {
		switch {
		case out.wire.broken():
			time.AfterFunc(lingerFailed, out.Close)
		case !out.closed.Load():
			time.AfterFunc(brokenInterval, look)
		}
	}
	time.AfterFunc(brokenInterval, look)
}

func greetWire(conn net.Conn, id *Identity) error {
	hello := id.hello(id.own(), id.next())
	if err := writeHeader(conn, &hello); err != nil {
		return err
	}
	answer, err := readHello(conn, nil)
	if err != nil {
		return err
	}
	return accepts(&answer, id)
}

// writeHeader writes a frame without payload to a connection that is to be a wire.
func writeHeader(conn net.Conn, h *Header) error {
	var head [headerLen]byte
	h.encode(&head)
	if err := conn.SetDeadline(time.Now().Add(wireGreeting)); err != nil {
		return err
	}
	_, err := conn.Write(head[:])
	return err
}

// readHello reads a frame without payload, of which some bytes have been read.
func readHello(conn net.Conn, first []byte) (h Header, err error) {
	var head [headerLen]byte
	n := copy(head[:], first)
	if err := conn.SetDeadline(time.Now().Add(wireGreeting)); err != nil {
		return h, err
	}
	if _, err := io.ReadFull(conn, head[n:]); err != nil {
		return h, err
	}
	if err := h.decode(&head); err != nil {
		return h, err
	}
	if h.Length != 0 {
		return h, fmt.Errorf("a %v frame with a payload begins a wire", h.Phase)
	}
	return h, nil
}
