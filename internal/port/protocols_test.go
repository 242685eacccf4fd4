package port_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"ringmaster/internal/certs"
	"ringmaster/internal/cluster/raftnode"
	"ringmaster/internal/gossip"
	"ringmaster/internal/port"
	"ringmaster/internal/test/support"
)

// These tests see a port from outside, with a replica of the log and gossip behind it.

// nothing is a state machine that takes everything.
type nothing struct{}

func (nothing) Apply([]byte) any          { return nil }
func (nothing) Snapshot() ([]byte, error) { return nil, nil }
func (nothing) Restore([]byte) error      { return nil }

func listen(t testing.TB, cfg port.Config) *port.Port {
	t.Helper()
	cfg.Bind, cfg.Logger = "127.0.0.1:0", support.Log(t)
	p, err := port.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// gossipOver starts the gossip of a coordinator over its port.
func gossipOver(t testing.TB, p *port.Port, id, seed string, key []byte) *gossip.Gossip {
	t.Helper()
	at := p.Addr().String()
	g, err := gossip.Start(gossip.Config{ID: id, Role: gossip.Coordinator, API: at, Advertise: at, Seeds: []string{seed}, Key: key, Port: p, Logger: support.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Shutdown() })
	return g
}

// replicaOver starts a replica of the log over its port.
func replicaOver(t testing.TB, p *port.Port, id string, peers map[string]string) *raftnode.Node {
	t.Helper()
	n, err := raftnode.Start(raftnode.Config{ID: id, Peers: peers, Memory: raftnode.NewMemory(), Port: p, ElectionTimeout: 200 * time.Millisecond, Logger: support.Log(t)}, nothing{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Kill() })
	return n
}

func TestReplicasAndGossipOverTLS(t *testing.T) {
	ca := support.Authority(t)
	peers, ports := map[string]string{}, map[string]*port.Port{}
	for i := range 3 {
		id := fmt.Sprintf("c%d", i+1)
		ports[id] = listen(t, port.Config{Identity: support.Identity(t, ca, certs.Coordinator, id)})
		peers[id] = ports[id].Addr().String()
	}
	var nodes []*raftnode.Node
	var gossips []*gossip.Gossip
	for id, p := range ports {
		nodes = append(nodes, replicaOver(t, p, id, peers))
		gossips = append(gossips, gossipOver(t, p, id, peers["c1"], []byte("0123456789abcdef")))
	}
	for _, g := range gossips {
		support.Eventually(t, "all know all", func() bool { return len(g.Members(gossip.Coordinator)) == 3 })
	}
	support.Eventually(t, "the log takes a command", func() bool {
		for _, n := range nodes {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			_, err := n.Propose(ctx, []byte("secret"))
			cancel()
			if err == nil {
				return true
			}
		}
		return false
	})
}

// strangers are bytes that begin like something that is known here.
var strangers = [][]byte{{}, {port.FirstRaft}, {port.FirstRaft, 0, 0x81, 0xa1, 'a'}, {port.FirstRaft, 2, 0xdf, 0xff, 0xff, 0xff, 0xff}, {port.FirstGossip, 0},
	{port.FirstGossip, 6, 0x80}, {port.FirstGossip, 244, 3, 'a'}, {port.FirstGossip, 10}, []byte("PRI * HTTP/2.0"), {0x16, 3, 1, 0, 5}, {port.FirstSelf}, append([]byte{port.FirstSelf}, make([]byte, 16)...),
	{0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3}, {0x16, 3, 3, 0xff, 0xff}, {0x15, 3, 3, 0, 2, 1, 0}}

// FuzzStranger sends bytes to a port with a replica and gossip behind it, by TCP and UDP: neither may crash or stop working.
func FuzzStranger(f *testing.F) { fuzzStranger(f, nil, dial) }

// FuzzStrangerAgainstTLS sends the bytes to a port that speaks TLS.
func FuzzStrangerAgainstTLS(f *testing.F) {
	fuzzStranger(f, support.Identity(f, support.Authority(f), certs.Coordinator, "c1"), dial)
}

// FuzzStrangerWithinTLS sends the bytes through a handshake that a stranger can carry out: that of a machine without a
// certificate.
func FuzzStrangerWithinTLS(f *testing.F) {
	fuzzStranger(f, support.Identity(f, support.Authority(f), certs.Coordinator, "c1"), func(t testing.TB, p *port.Port) net.Conn {
		conn := tls.Client(dial(t, p), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"ringmaster-enroll/1"}})
		if err := conn.Handshake(); err != nil {
			t.Fatal(err)
		}
		return conn
	})
}

func dial(t testing.TB, p *port.Port) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func fuzzStranger(f *testing.F, identity *certs.Identity, dial func(testing.TB, *port.Port) net.Conn) {
	p := listen(f, port.Config{Patience: time.Second, Identity: identity})
	n := replicaOver(f, p, "c1", map[string]string{"c1": "127.0.0.1:0"})
	var key []byte
	served := make(chan struct{})
	if identity == nil {
		close(served)
	} else {
		key = identity.GossipKey
		go func() {
			defer close(served)
			identity.Issuer.ServeEnroll(p.Enroll(), support.Log(f), p.Refusals(), time.Now, nil)
		}()
	}
	g := gossipOver(f, p, "c1", p.Addr().String(), key)
	f.Cleanup(func() {
		p.Enroll().Close()
		<-served
	})
	for _, b := range strangers {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		conn := dial(t, p)
		defer conn.Close()
		conn.Write(b)
		if udp, err := net.Dial("udp", p.Addr().String()); err == nil {
			udp.Write(b)
			udp.Close()
		}
		if c, ok := conn.(interface{ CloseWrite() error }); ok {
			c.CloseWrite()
		}
		if _, err := n.Propose(support.Within(t), []byte("x")); err != nil && !errors.As(err, new(*raftnode.NotLeaderError)) {
			t.Errorf("after a stranger's bytes: %v", err)
		}
		if len(g.Members(gossip.Coordinator)) == 0 {
			t.Error("after a stranger's bytes the gossip has forgotten itself")
		}
	})
}
