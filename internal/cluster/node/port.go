package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// The first byte of a TCP connection says what it carries. gRPC's clients begin with HTTP/2's preface "PRI * HTTP/2.0";
// our own dialers send one byte that begins no text and no TLS handshake, so that a stranger's HTTP, TLS or SSH client
// is never taken for Raft or gossip. The low bits are the version: an incompatible protocol gets a new byte.
const (
	firstRPC    = 'P'
	firstRaft   = 0xD1
	firstGossip = 0xE1
)

// kind is what a connection carries.
type kind int

const (
	kindRPC kind = iota
	kindRaft
	kindGossip
	kinds
)

func (k kind) String() string { return [kinds]string{"gRPC", "Raft", "gossip"}[k] }

// Bounds on connections from outside. An undecided one has not sent its first byte, or has not been accepted.
const (
	maxUndecided = 256
	maxOpen      = 512 // Raft and gossip connections, each; gRPC's server has limits of its own
)

// PortConfig describes a daemon's port.
type PortConfig struct {
	Bind     string        // host:port, TCP and UDP; port 0: a free one
	Patience time.Duration // for a connection's TLS handshake and first byte, and for its being accepted; default 5 s

	// ServerTLS and ClientTLS put TLS under everything that goes over TCP. Both nil: plain TCP. UDP is not covered: give
	// the gossip a key.
	ServerTLS, ClientTLS *tls.Config

	Logger *slog.Logger // default: none
}

// Port is the one port of a daemon: a TCP listener whose connections go to gRPC, Raft or gossip by their first byte, and
// a UDP socket of the same number for gossip packets. What nobody knows is closed with a line in the log.
type Port struct {
	cfg     PortConfig
	tcp     net.Listener
	udp     *net.UDPConn
	address *net.TCPAddr
	queues  [kinds]*queue
	slots   chan struct{} // one for each undecided connection
	done    chan struct{}
	running sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	undecided map[net.Conn]struct{}
}

// Listen opens the port. The error names the address.
func Listen(cfg PortConfig) (*Port, error) {
	if cfg.Patience <= 0 {
		cfg.Patience = 5 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	tcp, udp, err := listenBoth(cfg.Bind)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", cfg.Bind, err)
	}
	p := &Port{cfg: cfg, tcp: tcp, udp: udp, address: tcp.Addr().(*net.TCPAddr), slots: make(chan struct{}, maxUndecided),
		done: make(chan struct{}), undecided: map[net.Conn]struct{}{}}
	for k := range p.queues {
		p.queues[k] = newQueue(tcp.Addr())
	}
	p.running.Go(p.accept)
	return p, nil
}

// listenBoth opens TCP and UDP on one port number. Where any will do, one that is free for both is looked for.
func listenBoth(bind string) (net.Listener, *net.UDPConn, error) {
	var lc net.ListenConfig
	address, err := net.ResolveTCPAddr("tcp", bind)
	if err != nil {
		return nil, nil, err
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

// Close closes the port, its listeners and the Raft and gossip connections that came in through it.
func (p *Port) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	close(p.done)
	for c := range p.undecided {
		c.Close()
	}
	p.mu.Unlock()
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
		select {
		case p.slots <- struct{}{}:
		default:
			p.refuse(conn, "too many connections have not said what they carry")
			continue
		}
		if !p.track(conn) {
			conn.Close()
			<-p.slots
			return
		}
		p.running.Go(func() {
			defer func() { <-p.slots }()
			p.decide(conn)
		})
	}
}

func (p *Port) track(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.undecided[conn] = struct{}{}
	return true
}

func (p *Port) untrack(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.undecided, conn)
}

func (p *Port) refuse(conn net.Conn, reason string) {
	conn.Close()
	select {
	case <-p.done: // it is we who hang up
	default:
		p.cfg.Logger.Warn("refused a connection", "from", conn.RemoteAddr().String(), "reason", reason)
	}
}

// decide reads a connection's first byte and hands it on.
func (p *Port) decide(raw net.Conn) {
	defer p.untrack(raw)
	conn := raw
	deadline := time.Now().Add(p.cfg.Patience)
	raw.SetDeadline(deadline)
	if p.cfg.ServerTLS != nil {
		conn = tls.Server(raw, p.cfg.ServerTLS)
	}
	var first [1]byte
	if _, err := io.ReadFull(conn, first[:]); err != nil {
		if errors.Is(err, io.EOF) { // somebody only looked whether the port is open
			raw.Close()
			return
		}
		p.refuse(raw, fmt.Sprintf("waiting for its first byte: %v", err))
		return
	}
	raw.SetDeadline(noDeadline)
	k, ok := recognise(first[0])
	if !ok {
		p.refuse(raw, fmt.Sprintf("it begins with byte %#02x, which is neither gRPC, Raft nor gossip", first[0]))
		return
	}
	if k == kindRPC { // HTTP/2 wants its first byte back, and gRPC's server bounds and closes its own connections
		conn = &prefixed{Conn: conn, first: first[0], pending: true}
	} else if conn, ok = p.queues[k].admit(conn); !ok {
		p.refuse(raw, fmt.Sprintf("more than %d %v connections, or none are taken here", maxOpen, k))
		return
	}
	if !p.queues[k].push(conn, time.Until(deadline)) {
		conn.Close()
		p.refuse(raw, fmt.Sprintf("nobody here takes %v connections", k))
	}
}

func recognise(first byte) (kind, bool) {
	switch first {
	case firstRPC:
		return kindRPC, true
	case firstRaft:
		return kindRaft, true
	case firstGossip:
		return kindGossip, true
	}
	return 0, false
}
