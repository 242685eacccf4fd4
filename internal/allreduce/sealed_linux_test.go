package allreduce

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"ringmaster/internal/certs"
	"ringmaster/internal/plan"
	"ringmaster/internal/port"
	"ringmaster/internal/test/support"
)

// startSecure starts a host for every member behind a daemon's port, with certificates.
func startSecure(t testing.TB, authority *certs.Authority, members []plan.Member, options func(i int, o *Options)) (hosts []*host) {
	for i := range members {
		p, err := port.Listen(port.Config{Bind: "127.0.0.1:0", Identity: support.Identity(t, authority, certs.Worker, members[i].Worker)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		members[i].Address = p.Addr().String()
		o := Options{Worker: members[i].Worker, Credentials: p.Credentials(), Dial: func(ctx context.Context, m plan.Member) (net.Conn, error) {
			return p.RPCDialer(certs.Worker)(ctx, m.Address)
		}}
		if options != nil {
			options(i, &o)
		}
		hosts = append(hosts, startHost(t, o, p.RPC()))
	}
	return hosts
}

func init() {
	networks["tls"] = func(t testing.TB, members []plan.Member, options Options) []*host {
		return startSecure(t, support.Authority(t), members, func(_ int, o *Options) { o.Silence, o.Hold = options.Silence, options.Hold })
	}
}

// secureWorld is an open ring over TLS.
func secureWorld(t testing.TB, authority *certs.Authority, seats, workers int, buckets []plan.Interval, options func(i int, o *Options)) (*world, []*host) {
	members := cut(rand.New(rand.NewPCG(5, 5)), seats, workers)
	hosts := startSecure(t, authority, members, options)
	w := newWorld(members, seats, buckets)
	w.open(t, func(i int) Links { return hosts[i].transport })
	return w, hosts
}

// Between hosts the frames go by wires, too, under TLS; and over gRPC to a worker that has none.
func TestWiresUnderTLS(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	for without := range 1 << 2 {
		t.Run(fmt.Sprintf("without %02b", without), func(t *testing.T) {
			w, _ := secureWorld(t, support.Authority(t), 5, 3, []plan.Interval{{Begin: 0, End: 7}, {Begin: 7, End: 300000}, {Begin: 300000, End: 400000}},
				func(i int, o *Options) { o.NoWires = without>>i&1 == 1 })
			for i, r := range w.rings {
				next := (i + 1) % 3
				wired := without>>i&1 == 0 && without>>next&1 == 0
				if (r.wires.out != nil) != wired || (w.rings[next].wires.in != nil) != wired {
					t.Errorf("worker %d: a wire to the next is %v, want %v", i, r.wires.out != nil, wired)
				}
				if out := r.wires.out; out != nil && (out.sealed == nil || out.local()) {
					t.Errorf("worker %d: the wire to the next is not encrypted", i)
				}
			}
			for step := uint64(1); step < 4; step++ {
				w.step(t, step, rng)
			}
		})
	}
}

// A wire is taken from the worker alone whose link waits for it: another one that knows the hello is refused, and so is a connection without TLS.
func TestAnothersWireIsRefused(t *testing.T) {
	authority := support.Authority(t)
	members := cut(rand.New(rand.NewPCG(5, 5)), 2, 2)
	thief, err := port.Listen(port.Config{Bind: "127.0.0.1:0", Identity: support.Identity(t, authority, certs.Worker, "thief")})
	if err != nil {
		t.Fatal(err)
	}
	defer thief.Close()
	stolen := make(chan struct{}, 8)
	hosts := startSecure(t, authority, members, func(i int, o *Options) {
		own, first := o.Dial, true
		if i != 0 {
			return
		}
		o.Dial = func(ctx context.Context, m plan.Member) (net.Conn, error) {
			if first { // the link; then comes its wire
				first = false
				return own(ctx, m)
			}
			stolen <- struct{}{}
			return thief.RPCDialer(certs.Worker)(ctx, m.Address)
		}
	})
	w := newWorld(members, 2, plan.Interval{Begin: 0, End: 1000}.Parts(1))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		r, err := Open(ctx, w.identity(1), hosts[1].transport, w.flat[members[0].Arc.Len():], w.buckets)
		if err == nil {
			r.Close()
		}
		done <- err
	}()
	_, err = Open(ctx, w.identity(0), hosts[0].transport, w.flat[:members[0].Arc.Len()], w.buckets)
	if lost, ok := errors.AsType[*PeerLostError](err); !ok || lost.Culprit != "w2" || len(stolen) != 1 {
		t.Errorf("got %v after %d attempts, want no link", err, len(stolen))
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("worker w2 has opened a ring with a thief's wire")
	}
}

// Where members show certificates, a connection without any is never a wire, in either direction.
func TestNoPlainWireWhereCertificatesAre(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if wireable(conn, true) || !wireable(conn, false) || !wireable(tls.Client(conn, &tls.Config{ServerName: "w"}), true) {
		t.Error("a TCP connection is a wire only without certificates, and one under TLS always")
	}
}

// recordsClose is a link that tells when it is closed.
type recordsClose struct {
	Outgoing
	closed chan struct{}
}

func (r recordsClose) Close() { close(r.closed) }

// A wire that the network resets ends its link, though nothing is written to it: the receiver may not have been told.
func TestBrokenWireEndsItsLink(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	w, err := wireOf(conn, false)
	if err != nil || w == nil || w.broken() {
		t.Fatalf("got %v, %v", w, err)
	}
	link := recordsClose{closed: make(chan struct{})}
	watchWire(&wireOutgoing{Outgoing: link, wire: w})
	if err := errors.Join(far.(*net.TCPConn).SetLinger(0), far.Close()); err != nil { // a reset
		t.Fatal(err)
	}
	<-link.closed
}

// sealedPair are both sides of an encrypted wire, over a socket pair, with records that renew their key soon.
func sealedPair(t *testing.T) (out, in *wire) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	side := func(fd int) *wire {
		k := &keys{secret: make([]byte, 32)}
		if err := k.renew(); err != nil {
			t.Fatal(err)
		}
		w := &wire{fd: fd, conn: &net.UnixConn{}, sealed: &sealed{fd: fd, keys: k, coming: make([]byte, 256<<10), text: make([]byte, 0, maxText)}}
		t.Cleanup(w.close)
		return w
	}
	return side(fds[0]), side(fds[1])
}

// pass sends pieces through an encrypted wire, and reads until as much has come: into places of the lengths that want draws.
func pass(t *rapid.T, out, in *wire, pieces [][]byte, want func(left int) int) (got []byte) {
	total := 0
	for _, p := range pieces {
		out.add(p)
		total += len(p)
	}
	for len(got) < total {
		if err := out.write(); err != nil {
			t.Fatal(err)
		}
		in.located, in.filled, in.place = false, 0, nil
		if n := want(total - len(got)); n > 0 {
			in.located, in.place = true, make([]byte, n)
		}
		straight, _, err := in.fill()
		if err != nil {
			t.Fatal(err)
		}
		got = append(append(got, in.place[:straight]...), in.ahead[in.begin:in.end]...)
	}
	return got
}

// What goes in comes out, whatever the pieces are and wherever they are read to, beyond the life of a key.
func TestSealedWiresKeepTheBytes(t *testing.T) {
	out, in := sealedPair(t)
	out.sealed.keys.count, in.sealed.keys.count = keyRecords-3, keyRecords-3
	rapid.Check(t, func(t *rapid.T) {
		var pieces [][]byte
		for range rapid.IntRange(1, 6).Draw(t, "pieces") {
			p := make([]byte, rapid.SampledFrom([]int{1, headerLen, ownRecord - 1, ownRecord, maxText, maxText + 1, 3*maxText + 5}).Draw(t, "length"))
			for i := range p {
				p[i] = byte(rand.Uint32())
			}
			pieces = append(pieces, p)
		}
		got := pass(t, out, in, pieces, func(left int) int {
			return min(left, rapid.SampledFrom([]int{0, 1, 1000, maxText, 4 * maxText}).Draw(t, "place"))
		})
		if !bytes.Equal(got, bytes.Join(pieces, nil)) {
			t.Fatal("other bytes came out")
		}
		if out.pending() || out.sealed.keys.count != in.sealed.keys.count {
			t.Fatalf("%v is pending after %d and %d records", out.unsent.Load(), out.sealed.keys.count, in.sealed.keys.count)
		}
	})
	if !bytes.Equal(out.sealed.keys.secret, in.sealed.keys.secret) || bytes.Equal(out.sealed.keys.secret, sealedSecret(t)) {
		t.Error("the key was not renewed")
	}
}

// sealedSecret is what the first key of a sealedPair leaves.
func sealedSecret(t *testing.T) []byte {
	k := &keys{secret: make([]byte, 32)}
	if err := k.renew(); err != nil {
		t.Fatal(err)
	}
	return k.secret
}

// Records that were changed, moved or repeated on the way end the wire, and so do lengths that no record has.
func TestForgedRecordsAreRefused(t *testing.T) {
	text := []byte("the gradient")
	for name, forge := range map[string]func(records []byte, n int) []byte{
		"a bit":     func(r []byte, _ int) []byte { r[recordHead+3] ^= 1; return r },
		"a length":  func(r []byte, _ int) []byte { r[0]--; return r },
		"no length": func(r []byte, _ int) []byte { copy(r, make([]byte, recordHead)); return r },
		"too long":  func(r []byte, _ int) []byte { r[3] = 1; return r },
		"repeated":  func(r []byte, n int) []byte { return append(append([]byte(nil), r[:n]...), r[:n]...) },
		"exchanged": func(r []byte, n int) []byte { return append(append([]byte(nil), r[n:]...), r[:n]...) },
	} {
		out, in := sealedPair(t)
		if err := errors.Join(out.sealed.record(text), out.sealed.record(text)); err != nil {
			t.Fatal(err)
		}
		forged := forge(out.sealed.going, len(out.sealed.going)/2)
		if _, err := syscall.Write(out.fd, forged); err != nil {
			t.Fatal(err)
		}
		var err error
		for i := 0; i < 3 && err == nil; i++ {
			_, _, err = in.fill()
		}
		if !errors.Is(err, errForged) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Arbitrary bytes in place of records end the wire with an error, and nothing else happens.
func FuzzSealed(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0})
	f.Add(make([]byte, 100))
	f.Add(bytes.Repeat([]byte{0, 0, 1, 0}, 30000))
	f.Fuzz(func(t *testing.T, data []byte) {
		out, in := sealedPair(t)
		n, _ := syscall.Write(out.fd, data)
		for range 3 {
			if straight, got, err := in.fill(); straight+got > 0 && n > 0 {
				t.Fatalf("%d bytes were taken from what nobody has sealed: %v", got, err)
			}
		}
	})
}
