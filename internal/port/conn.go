package port

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc/credentials"

	"ringmaster/internal/certs"
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

// NetConn is the connection below.
func (c *prefixed) NetConn() net.Conn { return c.Conn }

// open connects to another daemon's port: TCP, and TLS where this port has an identity, with a holder of the role there
// ("": any member).
func (p *Port) open(ctx context.Context, address string, want certs.Role, rpc bool) (net.Conn, error) {
	if p.cfg.Identity == nil {
		return certs.DialPlain(ctx, address)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	cfg := p.cfg.Identity.Client(want)
	if rpc {
		cfg.NextProtos = []string{"h2"}
	}
	secure := tls.Client(conn, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("%s: %w", address, certs.Explain(err))
	}
	return secure, nil
}

// dial opens a connection for Raft or gossip: its first byte says so.
func (p *Port) dial(ctx context.Context, k kind, address string) (net.Conn, error) {
	conn, err := p.open(ctx, address, k.want(), k == kindRPC)
	if err != nil || k == kindRPC { // gRPC's preface is its own
		return conn, err
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

// DialRPC connects a gRPC client to another member's port; it is made for grpc.WithContextDialer.
func (p *Port) DialRPC(ctx context.Context, address string) (net.Conn, error) {
	return p.open(ctx, address, "", true)
}

// RPCDialer is DialRPC to a holder of the role only.
func (p *Port) RPCDialer(want certs.Role) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) { return p.open(ctx, address, want, true) }
}

// Credentials are the transport credentials for gRPC servers and clients over this port. TLS happens below, in the port:
// they encrypt nothing themselves, they tell gRPC who the peer is (credentials.TLSInfo), or that there is no security.
func (p *Port) Credentials() credentials.TransportCredentials {
	return portCredentials{secure: p.tls != nil}
}

type portCredentials struct{ secure bool }

// plain is the AuthInfo of a connection without TLS.
type plain struct{ credentials.CommonAuthInfo }

// AuthType names the absence of security.
func (plain) AuthType() string { return "insecure" }

func (c portCredentials) info(conn net.Conn) credentials.AuthInfo {
	for {
		if secure, ok := conn.(*tls.Conn); ok {
			return credentials.TLSInfo{State: secure.ConnectionState(),
				CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}
		}
		over, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = over.NetConn()
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

// OverrideServerName does nothing: the port knows whom it asks for.
func (c portCredentials) OverrideServerName(string) error { return nil }

// DialRaft opens a connection to the Raft of another coordinator's port.
func (p *Port) DialRaft(address string, timeout time.Duration) (net.Conn, error) {
	return p.dialWithin(kindRaft, address, timeout)
}

// DialGossip opens a connection to the gossip of another member's port.
func (p *Port) DialGossip(address string, timeout time.Duration) (net.Conn, error) {
	return p.dialWithin(kindGossip, address, timeout)
}

func (p *Port) dialWithin(k kind, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return p.dial(ctx, k, address)
}
