// Package port opens the one port of a daemon, over which gRPC, Raft and gossip go, each told by its first byte, over TLS.
package port

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"ringmaster/internal/certs"
	"ringmaster/internal/lobby"
	"ringmaster/internal/logs"
)

// The first byte of a TCP connection says what it carries. gRPC's clients begin with HTTP/2's preface "PRI * HTTP/2.0", and the ring's frames beside
// gRPC, which its server's credentials take, with their magic "RMR"; our own dialers send one byte that begins no text and no TLS handshake, so that a stranger's HTTP, TLS or SSH client
// is never taken for Raft or gossip. The low bits are the version: an incompatible protocol gets a new byte.
const (
	firstRPC    = 'P'
	firstFrame  = 'R'
	firstRaft   = 0xD1
	firstGossip = 0xE1
	firstSelf   = 0xF1 // a port that looks whether an address leads to itself, see Reach
)

// kind is what a connection carries.
type kind int

const (
	kindRPC kind = iota
	kindRaft
	kindGossip
	kindEnroll // a machine without a certificate that asks for one; recognised by TLS, it has no first byte
	kinds
)

func (k kind) String() string { return [kinds]string{"gRPC", "Raft", "gossip", "enrolment"}[k] }

// mayOpen reports whether the holder of a certificate may open a connection of the kind. What it may ask for over gRPC
// is for the server to say, method by method.
func (k kind) mayOpen(role certs.Role) bool {
	switch k {
	case kindRaft:
		return role == certs.Coordinator
	case kindGossip:
		return role.Member()
	}
	return k == kindRPC
}

// want is the role that the other end must have when this process opens a connection of the kind; "": any member.
func (k kind) want() certs.Role {
	if k == kindRaft {
		return certs.Coordinator
	}
	return ""
}

// Bounds on connections from outside. An undecided one has not sent its first byte, or has not been accepted.
const (
	maxUndecided = 256
	maxOfSource  = 64   // undecided ones of one machine
	maxOpen      = 512  // Raft and gossip connections, each
	maxRPC       = 4096 // gRPC connections,
	maxOfHolder  = 64   // and those of one certificate
)

// Refusals is the log of connections that were refused: bounded, for strangers write it.
func (p *Port) Refusals() *slog.Logger { return p.refused }

// Config describes a daemon's port.
type Config struct {
	Bind     string        // host:port, TCP and UDP; port 0: a free one
	Patience time.Duration // for a connection's TLS handshake and first byte, and for its being accepted; default 5 s

	// Identity puts mutual TLS under everything that goes over TCP. Without it the port speaks plain TCP, and for that
	// reason only over loopback. UDP is not covered: give the gossip a key.
	Identity *certs.Identity

	Logger *slog.Logger // default: none
}

// Port is the one port of a daemon: a TCP listener whose connections go to gRPC, Raft or gossip by their first byte, and
// a UDP socket of the same number for gossip packets. What nobody knows is closed with a line in the log.
type Port struct {
	cfg     Config
	tcp     net.Listener
	udp     *net.UDPConn
	address *net.TCPAddr
	tls     *tls.Config // of the server; nil: plain TCP
	self    [16]byte    // random: by it the port knows itself
	queues  [kinds]*queue
	lobby   *lobby.Lobby // the undecided connections
	refused *slog.Logger // of connections: strangers write it, so it is bounded
	done    chan struct{}
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
}

// Listen opens the port. The error names the address.
func Listen(cfg Config) (*Port, error) {
	if cfg.Patience <= 0 {
		cfg.Patience = 5 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	tcp, udp, err := listenBoth(cfg.Bind, cfg.Identity != nil)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", cfg.Bind, err)
	}
	p := &Port{cfg: cfg, tcp: tcp, udp: udp, address: tcp.Addr().(*net.TCPAddr), lobby: lobby.New(maxUndecided, maxOfSource),
		refused: logs.Bounded(cfg.Logger), done: make(chan struct{})}
	_, _ = rand.Read(p.self[:]) // never fails, see crypto/rand
	if cfg.Identity != nil {
		p.tls = cfg.Identity.Server(cfg.Identity.Issuer != nil)
	}
	for k := range p.queues {
		p.queues[k] = newQueue(tcp.Addr())
	}
	p.running.Go(p.accept)
	return p, nil
}

// listenBoth opens TCP and UDP on one port number. Where any will do, one that is free for both is looked for.
// An insecure port may only listen on loopback.
func listenBoth(bind string, secure bool) (net.Listener, *net.UDPConn, error) {
	var lc net.ListenConfig
	address, err := net.ResolveTCPAddr("tcp", bind)
	if err != nil {
		return nil, nil, err
	}
	if !secure && !address.IP.IsLoopback() {
		return nil, nil, certs.ErrInsecure
	}
	for try := 1; ; try++ {
		tcp, err := lc.Listen(context.Background(), "tcp", bind)
		if err != nil {
			return nil, nil, err
		}
		at := tcp.Addr().(*net.TCPAddr)
		udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: at.IP, Port: at.Port, Zone: at.Zone})
		if err == nil {
			return tcp, udp, nil
		}
		tcp.Close()
		if address.Port != 0 || try == 20 {
			return nil, nil, err
		}
	}
}

// Addr is the address the port listens on, with the real port number.
func (p *Port) Addr() *net.TCPAddr { return p.address }

// Advertise is the host:port that others dial: host and port of configured, with the real port number where that is 0.
func (p *Port) Advertise(configured string) (string, error) {
	host, number, err := net.SplitHostPort(configured)
	if err != nil {
		return "", fmt.Errorf("address to advertise %q: %w", configured, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return "", fmt.Errorf("address to advertise %q: others cannot dial it; name a host", configured)
	}
	if number == "0" {
		number = fmt.Sprint(p.address.Port)
	}
	return net.JoinHostPort(host, number), nil
}

// RPC is the listener for a gRPC server. With TLS the connections are already encrypted: give the server the port's
// Credentials, and clients DialRPC with the same.
func (p *Port) RPC() net.Listener { return p.queues[kindRPC] }

// Raft is the listener for Raft's connections. Closing it closes them too.
func (p *Port) Raft() net.Listener { return p.queues[kindRaft] }

// Gossip is the listener for gossip's connections. Closing it closes them too.
func (p *Port) Gossip() net.Listener { return p.queues[kindGossip] }

// Packets is the UDP socket of the port's number, for gossip's packets. The port closes it.
func (p *Port) Packets() net.PacketConn { return p.udp }

// Enroll is the listener of machines without a certificate that ask for one. They come only where the port's identity
// can issue certificates.
func (p *Port) Enroll() net.Listener { return p.queues[kindEnroll] }

// Close closes the port, its listeners and the Raft and gossip connections that came in through it.
func (p *Port) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	close(p.done)
	p.mu.Unlock()
	p.lobby.Close()
	err := p.tcp.Close()
	p.udp.Close()
	for _, q := range p.queues {
		q.Close()
	}
	p.running.Wait()
	return err
}

// accept takes connections until the port is closed.
func (p *Port) accept() {
	for {
		conn, err := p.tcp.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			p.cfg.Logger.Error("cannot accept a connection", "error", err)
			select {
			case <-time.After(100 * time.Millisecond): // out of file descriptors, say: do not spin
			case <-p.done:
				return
			}
			continue
		}
		var displaced atomic.Bool
		guest := p.lobby.Enter(conn.RemoteAddr(), func() {
			displaced.Store(true)
			conn.Close()
		})
		if guest == nil {
			conn.Close()
			return
		}
		p.running.Go(func() {
			defer p.lobby.Leave(guest)
			p.decide(conn, &displaced)
		})
	}
}

func (p *Port) refuse(conn net.Conn, reason string) {
	conn.Close()
	select {
	case <-p.done: // it is we who hang up
	default:
		p.refused.Warn("refused a connection", "from", conn.RemoteAddr().String(), "reason", reason)
	}
}

// decide finds out what a connection carries and hands it on, unless it is displaced by newer ones before.
func (p *Port) decide(raw net.Conn, displaced *atomic.Bool) {
	deadline := time.Now().Add(p.cfg.Patience)
	raw.SetDeadline(deadline)
	conn, k, holder, err := p.greet(raw)
	switch {
	case displaced.Load():
		p.refuse(raw, "it has not said what it carries, and gives way to newer connections: too many of its machine, or of all, say nothing")
		return
	case errors.Is(err, io.EOF), errors.Is(err, errSelf): // somebody only looked whether the port is open
		raw.Close()
		return
	case err != nil:
		p.refuse(raw, err.Error())
		return
	}
	raw.SetDeadline(noDeadline)
	if conn, err = p.queues[k].admit(conn, k, holder); err != nil {
		p.refuse(raw, err.Error())
		return
	}
	if !p.queues[k].push(conn, time.Until(deadline)) {
		conn.Close()
		p.refuse(raw, fmt.Sprintf("nobody here takes %v connections", k))
	}
}

// errSelf ends a connection that was answered on the spot.
var errSelf = errors.New("it only asked whether this is its own port")

// greet carries out the TLS handshake, reads the first byte, and checks that the caller may do what that says. holder names the caller's
// certificate, where it has shown one.
func (p *Port) greet(raw net.Conn) (conn net.Conn, k kind, holder string, err error) {
	caller := certs.Peer{}
	conn = raw
	if p.tls != nil {
		secure := tls.Server(raw, p.tls)
		if err := secure.Handshake(); err != nil {
			return nil, 0, "", fmt.Errorf("TLS: %w", certs.Explain(err))
		}
		if certs.Enrolling(secure.ConnectionState()) {
			return secure, kindEnroll, "", nil
		}
		if caller, err = certs.Caller(secure.ConnectionState()); err != nil {
			return nil, 0, "", fmt.Errorf("TLS: %w", err)
		}
		conn, holder = secure, caller.String()
	}
	var first [1]byte
	if _, err := io.ReadFull(conn, first[:]); err != nil {
		return nil, 0, "", fmt.Errorf("waiting for its first byte: %w", err)
	}
	if first[0] == firstSelf {
		return nil, 0, "", p.answerSelf(conn)
	}
	k, ok := recognise(first[0])
	if !ok {
		return nil, 0, "", fmt.Errorf("it begins with byte %#02x, which is neither gRPC, Raft nor gossip", first[0])
	}
	if p.tls != nil && !k.mayOpen(caller.Role) {
		return nil, 0, "", fmt.Errorf("it has the certificate of %v, and may not speak %v here", caller, k)
	}
	if k == kindRPC { // it wants its first byte back
		conn = &prefixed{Conn: conn, first: first[0], pending: true}
	}
	return conn, k, holder, nil
}

func recognise(first byte) (kind, bool) {
	switch first {
	case firstRPC, firstFrame:
		return kindRPC, true
	case firstRaft:
		return kindRaft, true
	case firstGossip:
		return kindGossip, true
	}
	return 0, false
}
