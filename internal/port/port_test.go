package port

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"

	"ringmaster/internal/certs"
	"ringmaster/internal/test/support"
)

func TestMain(m *testing.M) { support.Main(m) }

func listen(t testing.TB, cfg Config) *Port {
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
	case <-time.After(support.Patience):
		t.Fatalf("no connection in %v", support.Patience)
		return nil
	}
}

func TestConnectionsGoWhereTheirFirstByteSays(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", secure), func(t *testing.T) {
			var cfg Config
			if secure {
				cfg = member(t, support.Authority(t), certs.Coordinator, "c1")
			}
			a, b := listen(t, cfg), listen(t, cfg)
			for _, k := range []kind{kindRPC, kindRaft, kindGossip} {
				out, err := a.dial(support.Within(t), k, b.Addr().String())
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
	p := listen(t, Config{Patience: 50 * time.Millisecond, Logger: support.LineLogger(func(l string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, l)
	})})
	said := func(want string) {
		t.Helper()
		support.Eventually(t, "the log says "+want, func() bool {
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
	said("nobody here takes")
}

// Connections that say nothing keep nobody out: the oldest gives way, and whoever speaks is heard.
func TestUndecidedConnectionsAreBounded(t *testing.T) {
	said := make(chan string, 1000)
	p := listen(t, Config{Patience: time.Hour, Logger: support.LineLogger(func(l string) { said <- l })})
	oldest := dialAs(t, p)
	support.Eventually(t, "it waits", func() bool { return p.lobby.Len() == 1 })
	for range 300 {
		dialAs(t, p)
	}
	closedByPeer(t, oldest)
	if l := <-said; !strings.Contains(l, "gives way to newer connections") {
		t.Errorf("the log says %s", l)
	}
	support.Eventually(t, "as many wait as may of one machine", func() bool { return p.lobby.Len() == maxOfSource })
	honest := dialAs(t, p, firstRaft)
	defer honest.Close()
	if c := accepted(t, p.queues[kindRaft]); c.RemoteAddr().String() != honest.LocalAddr().String() {
		t.Errorf("%v was let in", c.RemoteAddr())
	}
}

// One certificate's connections are bounded; others' are let in beside them.
func TestConnectionsOfOneHolderAreBounded(t *testing.T) {
	q := newQueue(&net.TCPAddr{})
	defer q.Close()
	var first net.Conn
	for i := range maxOfHolder {
		c, err := q.admit(&net.TCPConn{}, kindRPC, "client flood")
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		if i == 0 {
			first = c
		}
	}
	if _, err := q.admit(&net.TCPConn{}, kindRPC, "client flood"); err == nil || !strings.Contains(err.Error(), "client flood has more than 64 gRPC connections") {
		t.Errorf("one too many: %v", err)
	}
	if _, err := q.admit(&net.TCPConn{}, kindRPC, "worker w1"); err != nil {
		t.Errorf("another holder: %v", err)
	}
	first.Close()
	first.Close() // counts once
	if _, err := q.admit(&net.TCPConn{}, kindRPC, "client flood"); err != nil {
		t.Errorf("after one has gone: %v", err)
	}
	if _, err := q.admit(&net.TCPConn{}, kindRPC, "client flood"); err == nil {
		t.Error("closing twice has made room for two")
	}
}

func TestOpenConnectionsAreBoundedAndEndWithTheirQueue(t *testing.T) {
	q := newQueue(&net.TCPAddr{})
	var ends []net.Conn
	for range maxOpen {
		near, far := net.Pipe()
		if _, err := q.admit(near, kindRaft, ""); err != nil {
			t.Fatalf("only %d connections admitted", len(ends))
		}
		ends = append(ends, far)
	}
	near, far := net.Pipe()
	defer far.Close()
	if _, err := q.admit(near, kindRaft, ""); err == nil {
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
	p := listen(t, Config{})
	other, err := Listen(Config{Bind: p.Addr().String()})
	if err == nil {
		other.Close()
		t.Fatal("one port was opened twice")
	}
	if !strings.Contains(err.Error(), p.Addr().String()) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("the error is %v", err)
	}
}

func TestAnAddressForAllInterfacesIsNotAdvertised(t *testing.T) {
	p := listen(t, Config{})
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
	ca := support.Authority(t)
	for name, cfg := range map[string]Config{"nobody": {}, "w1": member(t, ca, certs.Worker, "w1")} {
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
		if _, err := healthpb.NewHealthClient(conn).Check(support.Within(t), &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true)); err != nil {
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

// TestTLSRefusesStrangers: a caller that has no certificate of the authority, or one of the wrong role, is refused with a line in
// the log, whatever it says first.
func TestTLSRefusesStrangers(t *testing.T) {
	ours, theirs := support.Authority(t), support.Authority(t)
	var mu sync.Mutex
	var lines []string
	cfg := member(t, ours, certs.Coordinator, "c1")
	cfg.Patience = 2 * time.Second
	cfg.Logger = support.LineLogger(func(l string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, l)
	})
	server := listen(t, cfg)
	worker, client := listen(t, member(t, ours, certs.Worker, "w1")), listen(t, member(t, ours, certs.Client, "me"))
	plain := listen(t, Config{})
	for _, test := range []struct {
		name string
		from *Port
		to   *Port
		kind kind
		says string // in the caller's error; "": connected, and then hung up on
		log  string // of the server
	}{
		{"another authority", listen(t, member(t, theirs, certs.Coordinator, "c1")), server, kindRaft, server.Addr().String() + ": it belongs to another cluster", "TLS: it does not accept the certificate shown to it"},
		{"Raft to a worker", server, worker, kindRaft, "is that of worker w1, and a coordinator is asked for", ""},
		{"a worker's Raft", worker, server, kindRaft, "", "it has the certificate of worker w1, and may not speak Raft here"},
		{"a client's Raft", client, server, kindRaft, "", "it has the certificate of client me, and may not speak Raft here"},
		{"a client's gossip", client, server, kindGossip, "", "it has the certificate of client me, and may not speak gossip here"},
		{"plain Raft", plain, server, kindRaft, "", "TLS: tls: first record does not look like a TLS handshake"},
		{"plain gossip", plain, server, kindGossip, "", "TLS: tls: first record does not look like a TLS handshake"},
	} {
		conn, err := test.from.dial(support.Within(t), test.kind, test.to.Addr().String())
		if test.says != "" {
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s: %v, want %q", test.name, err, test.says)
			}
		} else if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if err == nil {
			if test.from == plain {
				conn.Write(make([]byte, 64)) // so that it is no handshake that has not ended
			}
			closedByPeer(t, conn)
			conn.Close()
		}
		if test.log == "" {
			continue
		}
		support.Eventually(t, "the log says "+test.log, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return strings.Contains(strings.Join(lines, "\n"), test.log)
		})
	}
	bare := tls.Client(dialAs(t, server), &tls.Config{InsecureSkipVerify: true})
	bare.Write([]byte("PRI * HTTP/2.0"))
	closedByPeer(t, bare)
	if conn, err := worker.RPCDialer(certs.Worker)(support.Within(t), server.Addr().String()); err == nil {
		conn.Close()
		t.Error("a coordinator was taken for a worker")
	}
}

// TestOnlyLoopbackWithoutCertificates: a port without an identity neither listens beyond loopback nor dials there.
func TestOnlyLoopbackWithoutCertificates(t *testing.T) {
	for _, bind := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0"} {
		p, err := Listen(Config{Bind: bind})
		if err == nil {
			p.Close()
		}
		if !errors.Is(err, certs.ErrInsecure) || !strings.Contains(err.Error(), bind) {
			t.Errorf("%s: %v", bind, err)
		}
	}
	p := listen(t, Config{})
	for k := range kinds {
		if _, err := p.dial(support.Within(t), k, "192.0.2.1:7"); !errors.Is(err, certs.ErrInsecure) {
			t.Errorf("%v: %v", k, err)
		}
	}
	secure := listen(t, Config{Bind: "0.0.0.0:0", Identity: member(t, support.Authority(t), certs.Worker, "w1").Identity})
	if err := secure.Reach(support.Within(t), fmt.Sprintf("127.0.0.1:%d", secure.Addr().Port)); err != nil {
		t.Errorf("with certificates: %v", err)
	}
}

// A port knows whether an address is its own.
func TestAPortKnowsItsOwnAddress(t *testing.T) {
	ca := support.Authority(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for name, cfg := range map[string]Config{"plain": {}, "TLS": member(t, ca, certs.Worker, "w1")} {
		p, other := listen(t, cfg), listen(t, cfg)
		if err := p.Reach(support.Within(t), p.Addr().String()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := p.Reach(support.Within(t), other.Addr().String()); !errors.Is(err, ErrElsewhere) {
			t.Errorf("%s, another port: %v", name, err)
		}
		gone := listen(t, cfg)
		gone.Close()
		if err := p.Reach(support.Within(t), gone.Addr().String()); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%s, nobody: %v", name, err)
		}
		ctx, cancel := context.WithTimeout(support.Within(t), 20*time.Millisecond)
		if err := p.Reach(ctx, silent.Addr().String()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s, silence: %v", name, err)
		}
		cancel()
	}
}

// TestMachinesEnrolThroughThePort: a connection without a certificate reaches the listener made for it, and nothing else.
func TestMachinesEnrolThroughThePort(t *testing.T) {
	a := support.Authority(t)
	cfg := member(t, a, certs.Coordinator, "c1")
	p := listen(t, cfg)
	served := make(chan struct{})
	go func() {
		defer close(served)
		cfg.Identity.Issuer.ServeEnroll(p.Enroll(), cfg.Logger, p.Refusals(), time.Now, nil)
	}()
	token, err := a.Token(certs.Peer{Role: certs.Worker}, time.Minute, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "w5")
	got, err := certs.Enroll(support.Within(t), []string{p.Addr().String()}, token, "w5", dir, time.Now())
	if err != nil || got != (certs.Peer{Role: certs.Worker, ID: "w5"}) {
		t.Fatalf("%v, %v", got, err)
	}
	i, err := certs.Load(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := listen(t, Config{Identity: i}).dial(support.Within(t), kindGossip, p.Addr().String()); err != nil {
		t.Error(err)
	} else {
		conn.Close()
	}
	p.Close()
	<-served
}

// member is the configuration of a member's port; coordinators admit machines.
func member(t testing.TB, a *certs.Authority, role certs.Role, id string) Config {
	return Config{Logger: support.Log(t), Identity: support.Identity(t, a, role, id)}
}

// dialAs connects to a port with the given first bytes.
func dialAs(t testing.TB, p *Port, first ...byte) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := conn.Write(first); err != nil {
		t.Fatal(err)
	}
	return conn
}

// closedByPeer waits for the other side to hang up.
func closedByPeer(t testing.TB, conn net.Conn) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(support.Patience))
	if _, err := io.Copy(io.Discard, conn); err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the connection is still open after %v", support.Patience)
	}
}
