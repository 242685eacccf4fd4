package gossip

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"

	"ringmaster/internal/logs"
	"ringmaster/internal/plan"
	"ringmaster/internal/port"
	"ringmaster/internal/test/support"
)

func TestMain(m *testing.M) { support.Main(m) }

func listen(t testing.TB) *port.Port {
	t.Helper()
	p, err := port.Listen(port.Config{Bind: "127.0.0.1:0", Logger: support.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func gossipAt(t testing.TB, p *port.Port, cfg Config) *Gossip {
	t.Helper()
	if p != nil {
		cfg.Port, cfg.Advertise, cfg.API = p, p.Addr().String(), p.Addr().String()
	}
	cfg.Logger = support.Log(t).With("at", cfg.ID)
	g, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Shutdown() })
	return g
}

func ids(members []Node) (list []string) {
	for _, m := range members {
		list = append(list, m.ID)
	}
	return list
}

func sees(t testing.TB, g *Gossip, role Role, want ...string) {
	t.Helper()
	support.Eventually(t, fmt.Sprintf("%s sees the %vs %v", g.cfg.ID, role, want), func() bool { return slices.Equal(ids(g.Members(role)), want) })
}

func TestMembersFindEachOther(t *testing.T) {
	pc, p1, p2 := listen(t), listen(t), listen(t)
	seed := []string{pc.Addr().String()}
	w1 := gossipAt(t, p1, Config{ID: "w1", Role: Worker, Incarnation: 11, Seeds: seed}) // before its seed is there
	c := gossipAt(t, pc, Config{ID: "c1", Role: Coordinator, Incarnation: 1})
	w2 := gossipAt(t, p2, Config{ID: "w2", Role: Worker, Incarnation: 12, Seeds: seed})
	for _, g := range []*Gossip{c, w1, w2} {
		sees(t, g, Coordinator, "c1")
		sees(t, g, Worker, "w1", "w2")
	}
	want := Node{ID: "w2", Role: Worker, Incarnation: 12, API: p2.Addr().String()}
	if got := w1.Members(Worker)[1]; got != want {
		t.Errorf("w1 knows %+v, want %+v", got, want)
	}
	select { // what came before
	case <-c.Changed():
	default:
	}
	if err := w2.Shutdown(); err != nil {
		t.Fatal(err)
	}
	sees(t, c, Worker, "w1")
	select {
	case <-c.Changed():
	case <-support.Within(t).Done():
		t.Error("c1 was not told that w2 left")
	}
	p2.Close()
	p3 := listen(t) // the same id in another life and at another place, no conflict
	gossipAt(t, p3, Config{ID: "w2", Role: Worker, Incarnation: 13, Seeds: seed})
	sees(t, c, Worker, "w1", "w2")
	if got := c.Members(Worker)[1].Incarnation; got != 13 {
		t.Errorf("the incarnation of w2 is %d, want 13", got)
	}
}

func TestClustersStartedApartMergeByTheirSeeds(t *testing.T) {
	pa, pb := listen(t), listen(t)
	a := gossipAt(t, pa, Config{ID: "a", Role: Coordinator, Incarnation: 1})
	b := gossipAt(t, pb, Config{ID: "b", Role: Coordinator, Incarnation: 2})
	sees(t, a, Coordinator, "a")
	sees(t, b, Coordinator, "b")
	b.SetSeeds([]string{"localhost:" + fmt.Sprint(pa.Addr().Port), "no.such.host.invalid:1"})
	sees(t, a, Coordinator, "a", "b")
	sees(t, b, Coordinator, "a", "b")
}

// TestSilentMemberIsForgottenAndComesBack cuts two members apart, in fake time, for longer than gossip remembers the dead:
// only their seeds can bring them together again.
func TestSilentMemberIsForgottenAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network memberlist.MockNetwork
		var cut atomic.Bool
		ta, tb := network.NewTransport("a"), network.NewTransport("b")
		ip, port, err := ta.FinalAdvertiseAddr("", 0)
		if err != nil {
			t.Fatal(err)
		}
		a := gossipAt(t, nil, Config{ID: "a", Role: Worker, Incarnation: 1, Transport: severable{ta, &cut}})
		b := gossipAt(t, nil, Config{ID: "b", Role: Worker, Incarnation: 2, Transport: severable{tb, &cut},
			Seeds: []string{fmt.Sprintf("%v:%d", ip, port)}})
		expect := func(when string, after time.Duration, want ...string) {
			t.Helper()
			time.Sleep(after)
			for _, g := range []*Gossip{a, b} {
				if got := ids(g.Members(Worker)); !slices.Contains(got, g.cfg.ID) || len(got) != len(want) {
					t.Errorf("%s: %s sees %v, want %v", when, g.cfg.ID, got, want)
				}
			}
		}
		expect("at the start", 2*time.Second, "a", "b")
		cut.Store(true)
		expect("cut apart", 10*time.Second, "itself")
		time.Sleep(time.Minute)
		cut.Store(false)
		expect("together again", rejoinLatest+3*time.Second, "a", "b")
		if err := errors.Join(a.Shutdown(), b.Shutdown()); err != nil {
			t.Error(err)
		}
	})
}

// severable is a transport that loses everything while it is cut.
type severable struct {
	*memberlist.MockTransport
	cut *atomic.Bool
}

func (s severable) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	if s.cut.Load() {
		return time.Now(), nil
	}
	return s.MockTransport.WriteToAddress(b, to)
}

func (s severable) WriteTo(b []byte, to string) (time.Time, error) {
	return s.WriteToAddress(b, memberlist.Address{Addr: to})
}

func (s severable) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if s.cut.Load() {
		return nil, errors.New("cut")
	}
	return s.MockTransport.DialAddressTimeout(to, timeout)
}

func (s severable) DialTimeout(to string, timeout time.Duration) (net.Conn, error) {
	return s.DialAddressTimeout(memberlist.Address{Addr: to}, timeout)
}

func TestStrangersInTheGossipAreNoMembers(t *testing.T) {
	p := listen(t)
	g := gossipAt(t, p, Config{ID: "c1", Role: Coordinator})
	e := events{g}
	for _, meta := range [][]byte{nil, {1}, []byte("some other program's description"), {metaVersion, 9, 0, 0, 0, 0, 0, 0, 0, 1, 1, 'x', 0}} {
		e.NotifyJoin(&memberlist.Node{Name: "x", Meta: meta})
	}
	if got := append(g.Members(Worker), g.Members(Coordinator)...); len(got) != 1 {
		t.Errorf("members are %v", got)
	}
}

func TestImpossibleDescriptionsAreRefused(t *testing.T) {
	p := listen(t)
	long := strings.Repeat("x", 256)
	for want, cfg := range map[string]Config{
		"a member's id has 1 to 64 bytes":               {Role: Worker, Advertise: "127.0.0.1:0", Port: p},
		"a member's address has at most 255 bytes":      {ID: "w", API: long, Role: Worker, Advertise: "127.0.0.1:0", Port: p},
		"role 7 is unknown":                             {ID: "w", Role: 7, Advertise: "127.0.0.1:0", Port: p},
		"no port to gossip through":                     {ID: "w", Role: Worker},
		"others cannot dial it":                         {ID: "w", Role: Worker, Advertise: ":0", Port: p},
		"address to advertise: lookup no.such.host.inv": {ID: "w", Role: Worker, Advertise: "no.such.host.invalid:1", Port: p},
	} {
		g, err := Start(cfg)
		if err == nil {
			g.Shutdown()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want …%s…", err, want)
		}
	}
}

func TestDescriptionsFitIntoGossip(t *testing.T) {
	m := Node{ID: strings.Repeat("i", maxID), Role: Coordinator, Incarnation: ^plan.Incarnation(0), API: strings.Repeat("a", maxAddress)}
	b, err := encodeMeta(m)
	if err != nil || len(b) > memberlist.MetaMaxSize {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	if got, err := decodeMeta(append(b, "of a later version"...)); err != nil || got != m {
		t.Errorf("read %+v, %v", got, err)
	}
}

func FuzzDecodeMeta(f *testing.F) {
	b, err := encodeMeta(Node{ID: "w1", Role: Worker, Incarnation: 5, API: "127.0.0.1:7070"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMeta(b)
		if err != nil {
			return
		}
		again, err := encodeMeta(m)
		if err != nil || len(again) > len(b) || string(again) != string(b[:len(again)]) {
			t.Errorf("%x was read as %+v, which is written %x (%v)", b, m, again, err)
		}
	})
}

// TestStrangersPacketsAreAFewLines floods an encrypted gossip with packets: plain gossip, noise, and packets that it has
// received before. Its members stay what they are, and its log stays short.
func TestStrangersPacketsAreAFewLines(t *testing.T) {
	var lines atomic.Int64
	log := support.LineLogger(func(string) { lines.Add(1) })
	key := bytes.Repeat([]byte{7}, 32)
	start := func(id string, seeds ...string) (*Gossip, *port.Port) {
		p := listen(t)
		g, err := Start(Config{ID: id, Role: Coordinator, Incarnation: 1, API: p.Addr().String(), Advertise: p.Addr().String(), Seeds: seeds, Key: key, Port: p, Logger: log})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { g.Shutdown() })
		return g, p
	}
	a, pa := start("a")
	b, _ := start("b", pa.Addr().String())
	both := func() bool { return len(a.Members(Coordinator)) == 2 && len(b.Members(Coordinator)) == 2 }
	support.Eventually(t, "they know each other", both)
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
	for range 100 { // for a second neither may take the other for dead
		time.Sleep(10 * time.Millisecond)
		if !both() {
			t.Fatal("the members were disturbed")
		}
	}
	if n := lines.Load(); n == 0 || n > 2*(logs.Burst+10) {
		t.Errorf("3000 packets of a stranger made %d lines", n)
	}
}
