package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
)

func listen(t testing.TB, cfg PortConfig) *Port {
	t.Helper()
	if cfg.Bind == "" {
		cfg.Bind = "127.0.0.1:0"
	}
	p, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// accepted takes one connection off a listener.
func accepted(t testing.TB, l net.Listener) net.Conn {
	t.Helper()
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		conn, err := l.Accept()
		done <- result{conn, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			t.Fatal(r.err)
		}
		t.Cleanup(func() { r.conn.Close() })
		return r.conn
	case <-time.After(patience):
		t.Fatalf("no connection in %v", patience)
		return nil
	}
}

func TestConnectionsGoWhereTheirFirstByteSays(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", secure), func(t *testing.T) {
			var cfg PortConfig
			if secure {
				cfg = newAuthority(t).port("127.0.0.1")
			}
			a, b := listen(t, cfg), listen(t, cfg)
			for k := range kinds {
				out, err := a.dial(within(t), k, b.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer out.Close()
				text := "PRI and more" // gRPC's own first byte must still be there, ours must be gone
				if _, err := io.WriteString(out, text); err != nil {
					t.Fatal(err)
				}
				in := accepted(t, b.queues[k])
				got := make([]byte, len(text))
				if _, err := io.ReadFull(in, got); err != nil || string(got) != text {
					t.Errorf("%v: read %q, %v", k, got, err)
				}
				if _, err := io.WriteString(in, "back"); err != nil {
					t.Error(err)
				}
				if _, err := io.ReadFull(out, got[:4]); err != nil || string(got[:4]) != "back" {
					t.Errorf("%v: read %q back, %v", k, got[:4], err)
				}
			}
		})
	}
}

func TestStrangersAreRefused(t *testing.T) {
	var mu sync.Mutex
	var lines []string
	p := listen(t, PortConfig{Patience: 50 * time.Millisecond, Logger: lineLogger(func(l string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, l)
	})})
	said := func(want string) {
		t.Helper()
		eventually(t, "the log says "+want, func() bool {
			mu.Lock()
			defer mu.Unlock()
			for _, l := range lines {
				if strings.Contains(l, want) {
					return true
				}
			}
			return false
		})
	}
	closedByPeer(t, dialAs(t, p, []byte("GET / HTTP/1.1\r\n\r\n")...))
	said("it begins with byte 0x47")
	closedByPeer(t, dialAs(t, p)) // says nothing
	said("waiting for its first byte")
	closedByPeer(t, dialAs(t, p, firstRaft)) // there is no Raft node here that accepts
	said("nobody here takes Raft connections")
	conn := dialAs(t, p)
	conn.Close() // a port scan: no line
	p.queues[kindGossip].Close()
	closedByPeer(t, dialAs(t, p, firstGossip))
	said("or none are taken here")
}

func TestUndecidedConnectionsAreBounded(t *testing.T) {
	p := listen(t, PortConfig{Patience: time.Hour})
	for range maxUndecided {
		dialAs(t, p)
	}
	eventually(t, "all wait", func() bool { return len(p.slots) == maxUndecided })
	closedByPeer(t, dialAs(t, p))
	p.mu.Lock()
	n := len(p.undecided)
	p.mu.Unlock()
	if n != maxUndecided {
		t.Errorf("%d connections wait, want %d", n, maxUndecided)
	}
}

func TestOpenConnectionsAreBoundedAndEndWithTheirQueue(t *testing.T) {
	q := newQueue(&net.TCPAddr{})
	var ends []net.Conn
	for range maxOpen {
		near, far := net.Pipe()
		if _, ok := q.admit(near); !ok {
			t.Fatalf("only %d connections admitted", len(ends))
		}
		ends = append(ends, far)
	}
	near, far := net.Pipe()
	defer far.Close()
	if _, ok := q.admit(near); ok {
		t.Error("one too many was admitted")
	}
	near.Close()
	q.Close()
	for _, far := range ends {
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Fatalf("a connection is open after its queue: %v", err)
		}
	}
	if len(q.open) != 0 {
		t.Errorf("%d connections still counted", len(q.open))
	}
	if _, err := q.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v", err)
	}
}

func TestPortInUseIsNamed(t *testing.T) {
	p := listen(t, PortConfig{})
	other, err := Listen(PortConfig{Bind: p.Addr().String()})
	if err == nil {
		other.Close()
		t.Fatal("one port was opened twice")
	}
	if !strings.Contains(err.Error(), p.Addr().String()) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("the error is %v", err)
	}
}

func TestAdvertise(t *testing.T) {
	p := listen(t, PortConfig{})
	port := fmt.Sprint(p.Addr().Port)
	for configured, want := range map[string]string{"127.0.0.1:0": "127.0.0.1:" + port, "host:0": "host:" + port, "host:7": "host:7",
		"[::1]:0": "[::1]:" + port, "0.0.0.0:0": "", ":7070": "", "[::]:1": "", "nonsense": ""} {
		got, err := p.Advertise(configured)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", configured, got, err, want)
		}
	}
}

// whoami is a health service that says who asks, as TLS knows it.
type whoami struct {
	healthpb.UnimplementedHealthServer
	seen chan string
}

func (w whoami) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	name := "nobody"
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok && len(info.State.PeerCertificates) > 0 {
			name = info.State.PeerCertificates[0].Subject.CommonName
		}
	}
	w.seen <- name
	return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}, nil
}

func TestGRPCOverThePort(t *testing.T) {
	ca := newAuthority(t)
	for name, cfg := range map[string]PortConfig{"nobody": {}, "127.0.0.1": ca.port("127.0.0.1")} {
		server, client := listen(t, cfg), listen(t, cfg)
		who := whoami{seen: make(chan string, 1)}
		s := grpc.NewServer(grpc.Creds(server.Credentials()))
		healthpb.RegisterHealthServer(s, who)
		served := make(chan error, 1)
		go func() { served <- s.Serve(server.RPC()) }()
		conn, err := grpc.NewClient("passthrough:///"+server.Addr().String(), grpc.WithTransportCredentials(client.Credentials()),
			grpc.WithContextDialer(client.DialRPC))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := healthpb.NewHealthClient(conn).Check(within(t), &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true)); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := <-who.seen; got != name {
			t.Errorf("the caller is taken for %q, want %q", got, name)
		}
		conn.Close()
		s.Stop()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
}

func TestTLSRefusesStrangers(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	cfg := ours.port("127.0.0.1")
	cfg.Patience = 100 * time.Millisecond
	server := listen(t, cfg)
	for name, p := range map[string]*Port{
		"another authority":   listen(t, theirs.port("127.0.0.1")),
		"another host's name": listen(t, ours.port("127.0.0.1")),
	} {
		if name == "another host's name" {
			p.cfg.ClientTLS.ServerName = "somebody.else"
		}
		if conn, err := p.dial(within(t), kindRaft, server.Addr().String()); err == nil {
			conn.Close()
			t.Errorf("%s: connected", name)
		} else if !strings.Contains(err.Error(), "TLS with "+server.Addr().String()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	closedByPeer(t, dialAs(t, server, firstRaft)) // without TLS
	plain := listen(t, PortConfig{})
	conn, err := plain.dial(within(t), kindGossip, server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	closedByPeer(t, conn)
}

func TestReplicasAndGossipOverTLS(t *testing.T) {
	ca := newAuthority(t)
	peers := map[string]string{}
	ports := map[string]*Port{}
	for i := range 3 {
		id := fmt.Sprintf("c%d", i+1)
		ports[id] = listen(t, ca.port("127.0.0.1"))
		peers[id] = ports[id].Addr().String()
	}
	var nodes []*Node
	var gossips []*Gossip
	for id, p := range ports {
		n, err := Start(Config{ID: id, Peers: peers, Dir: t.TempDir(), Port: p, ElectionTimeout: 200 * time.Millisecond}, &journal{})
		if err != nil {
			t.Fatal(err)
		}
		defer n.end()
		nodes = append(nodes, n)
		gossips = append(gossips, gossipAt(t, p, GossipConfig{ID: id, Role: Coordinator, Seeds: []string{peers["c1"]}, Key: []byte("0123456789abcdef")}))
	}
	for _, g := range gossips {
		sees(t, g, Coordinator, "c1", "c2", "c3")
	}
	propose(t, nodes, "secret")
}

// authority is a CA made for a test.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t, pool: x509.NewCertPool()}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour)}
	a.cert, a.key = a.sign(template, template, nil)
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) sign(template, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if by == nil {
		by = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// port is the configuration of a daemon at an IP address, both sides of a connection authenticated.
func (a *authority) port(ip string) PortConfig {
	cert, key := a.sign(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: ip}, IPAddresses: []net.IP{net.ParseIP(ip)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, NotAfter: time.Now().Add(time.Hour)}, a.cert, a.key)
	own := []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}
	return PortConfig{Logger: testLog(a.t),
		ServerTLS: &tls.Config{Certificates: own, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.pool, MinVersion: tls.VersionTLS13},
		ClientTLS: &tls.Config{Certificates: own, RootCAs: a.pool, MinVersion: tls.VersionTLS13}}
}

// FuzzStranger sends bytes to a port with a replica and gossip behind it, by TCP and UDP: neither may crash or stop working.
func FuzzStranger(f *testing.F) {
	port := listen(f, PortConfig{Patience: time.Second})
	n, err := Start(Config{ID: "c1", Peers: map[string]string{"c1": "127.0.0.1:0"}, Memory: NewMemory(), Port: port}, &journal{})
	if err != nil {
		f.Fatal(err)
	}
	g := gossipAt(f, port, GossipConfig{ID: "c1", Role: Coordinator})
	f.Cleanup(func() {
		g.Shutdown()
		n.end()
	})
	for _, b := range [][]byte{{}, {firstRaft}, {firstRaft, 0, 0x81, 0xa1, 'a'}, {firstRaft, 2, 0xdf, 0xff, 0xff, 0xff, 0xff}, {firstGossip, 0},
		{firstGossip, 6, 0x80}, {firstGossip, 244, 3, 'a'}, {firstGossip, 10}, []byte("PRI * HTTP/2.0"), {0x16, 3, 1, 0, 5}} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		conn := dialAs(t, port, b...)
		if udp, err := net.Dial("udp", port.Addr().String()); err == nil {
			udp.Write(b)
			udp.Close()
		}
		if c, ok := conn.(*net.TCPConn); ok {
			c.CloseWrite()
		}
		if _, err := n.Propose(within(t), []byte("x")); err != nil && !errors.As(err, new(*NotLeaderError)) {
			t.Errorf("after a stranger's bytes: %v", err)
		}
		if len(g.Members(Coordinator)) == 0 {
			t.Error("after a stranger's bytes the gossip has forgotten itself")
		}
	})
}
