package allreduce

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"

	"ringmaster/internal/plan"
)

// wiredWorld is an open ring over unix sockets.
func wiredWorld(t testing.TB, seats, workers int, buckets []plan.Interval, options func(i int, o *Options)) (*world, []*host) {
	members := cut(rand.New(rand.NewPCG(5, 5)), seats, workers)
	dir := t.TempDir()
	var hosts []*host
	for i := range members {
		l, err := net.Listen("unix", filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		members[i].Address = l.Addr().String()
		o := Options{Worker: members[i].Worker, Dial: dialOver("unix")}
		if options != nil {
			options(i, &o)
		}
		hosts = append(hosts, startHost(t, o, l))
	}
	w := newWorld(members, seats, buckets)
	w.open(t, func(i int) Links { return hosts[i].transport })
	return w, hosts
}

// Between processes of one host the frames go by wires.
func TestUnixSocketsAreWires(t *testing.T) {
	w, _ := wiredWorld(t, 3, 2, plan.Interval{Begin: 0, End: 100000}.Parts(2), nil)
	for i, r := range w.rings {
		if r.wires.in == nil || r.wires.out == nil {
			t.Errorf("worker %d has no wires", i)
		}
	}
	w.step(t, 1, rand.New(rand.NewPCG(1, 1)))
}

// A ring may have links of both kinds, in any order: with a worker that has no wires, or is on another machine.
func TestLinksOfBothKinds(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	for without := range 1 << 4 {
		t.Run(fmt.Sprintf("without %04b", without), func(t *testing.T) {
			w, _ := wiredWorld(t, 6, 4, []plan.Interval{{Begin: 0, End: 7}, {Begin: 7, End: 200000}, {Begin: 200000, End: 300000}},
				func(i int, o *Options) { o.NoWires = without>>i&1 == 1 })
			for i, r := range w.rings {
				next := (i + 1) % 4
				if wired := without>>i&1 == 0 && without>>next&1 == 0; (r.wires.out != nil) != wired || (w.rings[next].wires.in != nil) != wired {
					t.Errorf("worker %d: a wire to the next is %v, want %v", i, r.wires.out != nil, wired)
				}
			}
			for step := uint64(1); step < 4; step++ {
				w.step(t, step, rng)
			}
		})
	}
}

// slow is a connection of which a fault can hold what is written.
type slow struct {
	net.Conn
	held *atomic.Bool
}

func (s slow) NetConn() net.Conn { return s.Conn }
func (s slow) Held() bool        { return s.held.Load() }

// While nothing leaves a worker, the frames that it has sent have not come, and it is the one that the next worker waits for.
func TestHeldWire(t *testing.T) {
	var held atomic.Bool
	w, _ := wiredWorld(t, 2, 2, plan.Interval{Begin: 0, End: 100000}.Parts(1), func(i int, o *Options) {
		if i == 0 {
			o.Dial = func(ctx context.Context, m plan.Member) (net.Conn, error) {
				conn, err := dialOver("unix")(ctx, m)
				return slow{conn, &held}, err
			}
		}
	})
	if w.rings[0].wires.out == nil {
		t.Fatal("a connection that can be held is no wire")
	}
	w.step(t, 1, rand.New(rand.NewPCG(1, 1)))
	held.Store(true)
	done := make(chan error, 2)
	for i, r := range w.rings {
		go func() {
			_, err := oneStep(r, 2, w.view.Members[i].Arc)
			done <- err
		}()
	}
	for {
		if wait, ok := w.rings[1].WaitingFor(); ok {
			if wait.Peer.Worker != "w1" || wait.Doing != "receiving" {
				t.Errorf("worker w2 waits for %+v", wait)
			}
			if sent, _ := w.rings[0].Traffic(); sent > 0 {
				break
			}
		}
	}
	held.Store(false)
	for range w.rings {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// A connection that says hello for another link than one that waits for its wire is closed, and harms nobody.
func TestStrangersWireIsRefused(t *testing.T) {
	w, hosts := wiredWorld(t, 2, 2, plan.Interval{Begin: 0, End: 1000}.Parts(1), nil)
	id := w.identity(0)
	id.shape = shapeOf(&id.View, w.buckets)
	for name, change := range map[string]func(*Identity){"second": func(*Identity) {}, "other job": func(id *Identity) { id.Job = "other" }} {
		other := id
		change(&other)
		if wire, err := hosts[0].transport.dialWire(t.Context(), &other); err == nil {
			wire.close()
			t.Errorf("%s: it was taken", name)
		}
	}
	conn, err := net.Dial("unix", w.view.Members[1].Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(make([]byte, headerLen)); err != nil {
		t.Fatal(err)
	}
	w.step(t, 1, rand.New(rand.NewPCG(1, 1)))
}

// A worker that dies in the middle of a step ends the others' sessions, wherever they are.
func TestDeathOnAWire(t *testing.T) {
	w, hosts := wiredWorld(t, 3, 3, plan.Interval{Begin: 0, End: 100000}.Parts(2), nil)
	dead := w.rings[1]
	errs := make(chan error, 2)
	for _, i := range []int{0, 2} {
		go func() {
			_, err := oneStep(w.rings[i], 1, w.view.Members[i].Arc)
			errs <- err
		}()
	}
	dead.mu.Lock() // it says nothing any more
	dead.out.Close()
	dead.wires.in.close()
	hosts[1].server.Stop()
	for range 2 {
		err := <-errs
		if lost, ok := errors.AsType[*PeerLostError](err); !ok || lost.Culprit != "w2" {
			t.Errorf("got %v, want w2 lost", err)
		}
	}
	dead.mu.Unlock()
}
