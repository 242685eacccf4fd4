package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc/credentials"
)

// noDeadline takes a connection's deadline away.
var noDeadline time.Time

// prefixed gives back the byte that was read to recognise the connection. Reads are serial, so pending needs no lock.
type prefixed struct {
	net.Conn
	first   byte
	pending bool
}

// Read reads the first byte again, then goes on.
func (c *prefixed) Read(b []byte) (int, error) {
	if !c.pending || len(b) == 0 {
		return c.Conn.Read(b)
	}
	c.pending = false
	b[0] = c.first
	return 1, nil
}

// dial connects to another daemon's port: TCP, TLS where it is on, and the byte that says what follows (none for gRPC,
// whose preface is its own).
func (p *Port) dial(ctx context.Context, k kind, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if p.cfg.ClientTLS != nil {
		if conn, err = p.handshake(ctx, conn, address); err != nil {
			return nil, err
		}
	}
	if k == kindRPC {
		return conn, nil
	}
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetWriteDeadline(deadline)
	}
	first := byte(firstRaft)
	if k == kindGossip {
		first = firstGossip
	}
	if _, err := conn.Write([]byte{first}); err != nil {
		conn.Close()
		return nil, fmt.Errorf("open a %v connection to %s: %w", k, address, err)
	}
	return conn, conn.SetWriteDeadline(noDeadline)
}

func (p *Port) handshake(ctx context.Context, conn net.Conn, address string) (net.Conn, error) {
	cfg := p.cfg.ClientTLS
	if cfg.ServerName == "" && !cfg.InsecureSkipVerify {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			conn.Close()
			return nil, err
		}
		cfg = cfg.Clone()
		cfg.ServerName = host
	}
	secure := tls.Client(conn, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS with %s: %w", address, err)
	}
	return secure, nil
}

// DialRPC connects a gRPC client to another daemon's port; it is made for grpc.WithContextDialer.
func (p *Port) DialRPC(ctx context.Context, address string) (net.Conn, error) {
	return p.dial(ctx, kindRPC, address)
}

// Credentials are the transport credentials for gRPC servers and clients over this port. TLS happens below, in the port:
// they encrypt nothing themselves, they tell gRPC who the peer is (credentials.TLSInfo), or that there is no security.
func (p *Port) Credentials() credentials.TransportCredentials {
	return portCredentials{secure: p.cfg.ServerTLS != nil || p.cfg.ClientTLS != nil}
}

type portCredentials struct{ secure bool }

// plain is the AuthInfo of a connection without TLS.
type plain struct{ credentials.CommonAuthInfo }

// AuthType names the absence of security.
func (plain) AuthType() string { return "insecure" }

func (c portCredentials) info(conn net.Conn) credentials.AuthInfo {
	inner := conn
	if p, ok := conn.(*prefixed); ok {
		inner = p.Conn
	}
	if secure, ok := inner.(*tls.Conn); ok {
		return credentials.TLSInfo{State: secure.ConnectionState(),
			CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}
	}
	return plain{credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity}}
}

func (c portCredentials) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return conn, c.info(conn), nil
}

func (c portCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return conn, c.info(conn), nil
}

func (c portCredentials) Info() credentials.ProtocolInfo {
	if c.secure {
		return credentials.ProtocolInfo{SecurityProtocol: "tls"}
	}
	return credentials.ProtocolInfo{SecurityProtocol: "insecure"}
}

func (c portCredentials) Clone() credentials.TransportCredentials { return c }

// OverrideServerName does nothing: the port's ClientTLS names the server.
func (c portCredentials) OverrideServerName(string) error { return nil }

func (p *Port) dialTimeout(k kind, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return p.dial(ctx, k, address)
}
