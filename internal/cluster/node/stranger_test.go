package node

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"ringmaster/internal/certs"
)

// strangers are bytes that begin like something that is known here.
var strangers = [][]byte{{}, {firstRaft}, {firstRaft, 0, 0x81, 0xa1, 'a'}, {firstRaft, 2, 0xdf, 0xff, 0xff, 0xff, 0xff}, {firstGossip, 0},
	{firstGossip, 6, 0x80}, {firstGossip, 244, 3, 'a'}, {firstGossip, 10}, []byte("PRI * HTTP/2.0"), {0x16, 3, 1, 0, 5}, {firstSelf}, append([]byte{firstSelf}, make([]byte, 16)...),
	{0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3}, {0x16, 3, 3, 0xff, 0xff}, {0x15, 3, 3, 0, 2, 1, 0}}

// FuzzStranger sends bytes to a port with a replica and gossip behind it, by TCP and UDP: neither may crash or stop working.
func FuzzStranger(f *testing.F) {
	fuzzStranger(f, PortConfig{Patience: time.Second}, nil, func(t *testing.T, p *Port) net.Conn { return dialAs(t, p) })
}

// FuzzStrangerAgainstTLS sends the bytes to a port that speaks TLS.
func FuzzStrangerAgainstTLS(f *testing.F) {
	cfg := newAuthority(f).port(certs.Coordinator, "c1")
	cfg.Patience = time.Second
	fuzzStranger(f, cfg, cfg.Identity.GossipKey, func(t *testing.T, p *Port) net.Conn { return dialAs(t, p) })
}

// FuzzStrangerWithinTLS sends the bytes through a handshake that a stranger can carry out: that of a machine without a
// certificate.
func FuzzStrangerWithinTLS(f *testing.F) {
	cfg := newAuthority(f).port(certs.Coordinator, "c1")
	cfg.Patience = time.Second
	fuzzStranger(f, cfg, cfg.Identity.GossipKey, func(t *testing.T, p *Port) net.Conn {
		conn := tls.Client(dialAs(t, p), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"ringmaster-enroll/1"}})
		if err := conn.Handshake(); err != nil {
			t.Fatal(err)
		}
		return conn
	})
}

func fuzzStranger(f *testing.F, cfg PortConfig, key []byte, dial func(*testing.T, *Port) net.Conn) {
	port := listen(f, cfg)
	n, err := Start(Config{ID: "c1", Peers: map[string]string{"c1": "127.0.0.1:0"}, Memory: NewMemory(), Port: port}, &journal{})
	if err != nil {
		f.Fatal(err)
	}
	g := gossipAt(f, port, GossipConfig{ID: "c1", Role: Coordinator, Key: key})
	served := make(chan struct{})
	go func() {
		defer close(served)
		if cfg.Identity != nil {
			cfg.Identity.Issuer.ServeEnroll(port.Enroll(), cfg.Logger, port.Refusals(), time.Now, nil)
		}
	}()
	f.Cleanup(func() {
		g.Shutdown()
		n.end()
		port.Close()
		<-served
	})
	for _, b := range strangers {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		conn := dial(t, port)
		defer conn.Close()
		conn.Write(b)
		if udp, err := net.Dial("udp", port.Addr().String()); err == nil {
			udp.Write(b)
			udp.Close()
		}
		if c, ok := conn.(interface{ CloseWrite() error }); ok {
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

// TestStrangersPacketsAreAFewLines floods an encrypted gossip with packets: plain gossip, noise, and packets that it has
// received before. Its members stay what they are, and its log stays short.
func TestStrangersPacketsAreAFewLines(t *testing.T) {
	var lines atomic.Int64
	log := lineLogger(func(string) { lines.Add(1) })
	key := bytes.Repeat([]byte{7}, 32)
	start := func(id string, seeds ...string) (*Gossip, *Port) {
		p := listen(t, PortConfig{})
		g, err := StartGossip(GossipConfig{ID: id, Role: Coordinator, Incarnation: 1, API: p.Addr().String(), Advertise: p.Addr().String(), Seeds: seeds, Key: key, Port: p, Logger: log})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { g.Shutdown() })
		return g, p
	}
	a, pa := start("a")
	b, _ := start("b", pa.Addr().String())
	both := func() bool { return len(a.Members(Coordinator)) == 2 && len(b.Members(Coordinator)) == 2 }
	eventually(t, "they know each other", both)
	conn, err := net.Dial("udp", pa.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	packet := make([]byte, 400)
	for i := range 3000 {
		for j := range packet {
			packet[j] = byte(i * (j + 1))
		}
		packet[0] = byte(i % 16) // a kind of message of the plain protocol
		conn.Write(packet[:1+i%len(packet)])
	}
	for range 100 { // what it takes after all that
		time.Sleep(10 * time.Millisecond)
		if !both() {
			t.Fatal("the members were disturbed")
		}
	}
	if n := lines.Load(); n == 0 || n > 2*(refusalBurst+10) {
		t.Errorf("3000 packets of a stranger made %d lines", n)
	}
}
