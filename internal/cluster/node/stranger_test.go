package node

import (
	"crypto/tls"
	"errors"
	"net"
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
			cfg.Identity.Issuer.ServeEnroll(port.Enroll(), cfg.Logger, port.Refusals(), time.Now)
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
