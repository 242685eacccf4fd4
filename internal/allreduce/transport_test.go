package allreduce

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"ringmaster/internal/plan"
)

// host is one worker's server and transport.
type host struct {
	transport *Transport
	server    *grpc.Server
}

func startHost(t testing.TB, options Options, l net.Listener) *host {
	h := &host{transport: NewTransport(options)}
	h.server = grpc.NewServer(h.transport.ServerOptions()...)
	h.transport.Register(h.server)
	done := make(chan struct{})
	go func() {
		_ = h.server.Serve(l)
		close(done)
	}()
	t.Cleanup(func() {
		h.server.Stop()
		<-done
	})
	return h
}

// networks are the transports between the workers of a test. Each starts a host for every member.
var networks = map[string]func(t testing.TB, members []plan.Member, options Options) []*host{
	"bufconn": func(t testing.TB, members []plan.Member, options Options) (hosts []*host) {
		listeners := map[plan.Incarnation]*bufconn.Listener{}
		options.Dial = func(ctx context.Context, m plan.Member) (net.Conn, error) {
			return listeners[m.Incarnation].DialContext(ctx)
		}
		for _, m := range members {
			l := bufconn.Listen(1 << 16)
			listeners[m.Incarnation] = l
			options.Worker = m.Worker
			hosts = append(hosts, startHost(t, options, l))
		}
		return hosts
	},
	"unix": func(t testing.TB, members []plan.Member, options Options) []*host {
		dir := t.TempDir()
		return startHosts(t, members, options, "unix", func(i int) string { return filepath.Join(dir, fmt.Sprint(i)) })
	},
	"unix over gRPC": func(t testing.TB, members []plan.Member, options Options) []*host {
		dir := t.TempDir()
		options.NoWires = true
		return startHosts(t, members, options, "unix", func(i int) string { return filepath.Join(dir, fmt.Sprint(i)) })
	},
	"unix without boards": func(t testing.TB, members []plan.Member, options Options) []*host {
		dir := t.TempDir()
		options.NoBoards = true
		return startHosts(t, members, options, "unix", func(i int) string { return filepath.Join(dir, fmt.Sprint(i)) })
	},
	"tcp over gRPC": func(t testing.TB, members []plan.Member, options Options) []*host {
		options.NoWires = true
		return startHosts(t, members, options, "tcp", func(int) string { return "127.0.0.1:0" })
	},
	"tcp": func(t testing.TB, members []plan.Member, options Options) []*host {
		return startHosts(t, members, options, "tcp", func(int) string { return "127.0.0.1:0" })
	},
}

// startHosts starts a host for every member on a network of the operating system.
func startHosts(t testing.TB, members []plan.Member, options Options, network string, address func(i int) string) (hosts []*host) {
	if options.Dial == nil {
		options.Dial = dialOver(network)
	}
	for i := range members {
		l, err := net.Listen(network, address(i))
		if err != nil {
			t.Fatal(err)
		}
		members[i].Address, options.Worker = l.Addr().String(), members[i].Worker
		hosts = append(hosts, startHost(t, options, l))
	}
	return hosts
}

func TestSumsOverEveryNetwork(t *testing.T) {
	for name, network := range networks {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			for seats := 2; seats <= 6; seats++ {
				workers := 2 + rng.IntN(min(4, seats)-1)
				members := cut(rng, seats, workers)
				t.Run(fmt.Sprintf("%d seats %d workers", seats, workers), func(t *testing.T) {
					hosts := network(t, members, Options{})
					w := newWorld(members, seats, []plan.Interval{{Begin: 0, End: 3}, {Begin: 3, End: 9001}, {Begin: 9001, End: 9001 + frameLen + seats*rng.IntN(frameLen/2)}})
					w.open(t, func(i int) Links { return hosts[i].transport })
					for step := uint64(1); step < 3; step++ {
						w.step(t, step, rng)
					}
					w.close()
				})
			}
		})
	}
}

// pair is a ring of two workers with two seats each over TCP.
func pair(t *testing.T, options Options) (*world, []*host) {
	members := cut(rand.New(rand.NewPCG(3, 3)), 2, 2)
	hosts := networks["tcp"](t, members, options)
	return newWorld(members, 2, plan.Interval{Begin: 0, End: 100000}.Parts(2)), hosts
}

func TestLinkIsHeldUntilTheSessionOpens(t *testing.T) {
	w, hosts := pair(t, Options{})
	early := make(chan error, 1)
	go func() {
		r, err := Open(context.Background(), w.identity(0), hosts[0].transport, w.flat[:1], w.buckets)
		if err == nil {
			defer r.Close()
		}
		early <- err
	}()
	for { // until the second worker holds the first one's link
		hosts[1].transport.mu.Lock()
		held := hosts[1].transport.held
		hosts[1].transport.mu.Unlock()
		if held == 1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	r, err := Open(context.Background(), w.identity(1), hosts[1].transport, w.flat[1:], w.buckets)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := <-early; err != nil {
		t.Fatal(err)
	}
}

func TestOpenIsRefused(t *testing.T) {
	cases := []struct {
		name   string
		change func(id *Identity) // what worker 0 believes
		want   string
	}{
		{"stale generation", func(id *Identity) { id.View.Generation = 3 }, "generation 3 is stale: worker w2 on here is at 7"},
		{"arcs", func(id *Identity) { id.View.Seats++; id.View.Members[1].Arc.End++ }, "the arcs or buckets of the same view differ"},
		{"cluster", func(id *Identity) { id.Cluster = 5 }, "expected cluster incarnation 0000000000000063, got 0000000000000005"},
		{"own incarnation", func(id *Identity) { id.View.Members[0].Incarnation = 17 }, "expected sender's incarnation"},
		{"the next worker's incarnation", func(id *Identity) { id.View.Members[1].Incarnation = 17 }, "expected receiver's incarnation"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w, hosts := pair(t, Options{})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			other := make(chan error, 1)
			go func() {
				_, err := Open(ctx, w.identity(1), hosts[1].transport, w.flat[1:], w.buckets)
				other <- err
			}()
			id := w.identity(0)
			id.View.Members = append([]plan.Member(nil), id.View.Members...)
			c.change(&id)
			_, err := Open(context.Background(), id, hosts[0].transport, w.flat[:1], w.buckets)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if c.name == "stale generation" {
				if stale, ok := errors.AsType[*StaleError](err); !ok || stale.Generation != 7 || stale.Own != 3 {
					t.Errorf("got %#v, want a StaleError of generation 7", err)
				}
			}
			cancel()
			if err := <-other; err == nil {
				t.Error("the other worker's session opened")
			}
		})
	}
}

// A generation has one session on a worker, and that one link: while it is open, and after its end. Then a newer one may open.
func TestAGenerationOpensOnce(t *testing.T) {
	w, hosts := pair(t, Options{})
	w.open(t, func(i int) Links { return hosts[i].transport })
	ids := []Identity{w.identity(0), w.identity(1)}
	for i := range ids {
		ids[i].shape = shapeOf(&ids[i].View, w.buckets)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	second := func(want string) {
		t.Helper()
		if _, err := hosts[0].transport.Dial(ctx, &ids[0]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a second link: %v, want %q", err, want)
		}
	}
	open := func(g plan.Generation) error {
		id := ids[1]
		id.View.Generation = g
		ended, end := context.WithCancel(ctx)
		end() // so that one that may open does not wait for its link
		_, err := hosts[1].transport.Accept(ended, &id)
		return err
	}
	second("generation 7 already has its link")
	for _, g := range []plan.Generation{6, 7} {
		want := fmt.Sprintf("generation %d cannot open beside generation 7", g)
		if err := open(g); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a second session: %v, want %q", err, want)
		}
	}
	w.close()
	second("generation 7 has ended there")
	for _, g := range []plan.Generation{8, 7} {
		if err := open(g); errors.Is(err, context.Canceled) != (g == 8) {
			t.Errorf("generation %d after the end of 7, in this order: %v", g, err)
		}
	}
}

func TestOpenNamesAnUnreachableWorker(t *testing.T) {
	w, hosts := pair(t, Options{})
	hosts[1].server.Stop()
	_, err := Open(context.Background(), w.identity(0), hosts[0].transport, w.flat[:1], w.buckets)
	lost, ok := errors.AsType[*PeerLostError](err)
	if !ok || lost.Member.Worker != "w2" {
		t.Fatalf("got %v, want w2 lost", err)
	}
}

func TestEarlyLinkIsRetriedUntilTheContextEnds(t *testing.T) {
	w, hosts := pair(t, Options{Hold: 20 * time.Millisecond})
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err := Open(ctx, w.identity(0), hosts[0].transport, w.flat[:1], w.buckets)
	if lost, ok := errors.AsType[*PeerLostError](err); !errors.Is(err, context.DeadlineExceeded) || !ok || lost.Member.Worker != "w2" {
		t.Fatalf("got %v, want the deadline, because of w2", err)
	}
}

// The previous worker does not come, although the next one takes the link.
func TestOpenNamesAWorkerThatDoesNotCome(t *testing.T) {
	members := cut(rand.New(rand.NewPCG(3, 3)), 3, 3)
	hosts := networks["tcp"](t, members, Options{})
	w := newWorld(members, 3, plan.Interval{Begin: 0, End: 1000}.Parts(2))
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	errs := make([]error, 2)
	var opening sync.WaitGroup
	for i := range errs { // w3 does not open
		opening.Go(func() { _, errs[i] = Open(ctx, w.identity(i), hosts[i].transport, w.flat[i:i+1], w.buckets) })
	}
	opening.Wait()
	for i, err := range errs {
		if lost, ok := errors.AsType[*PeerLostError](err); !ok || lost.Member.Worker != "w3" {
			t.Errorf("worker %d: got %v, want w3 lost", i+1, err)
		}
	}
}

func TestKilledPeerWakesEverybody(t *testing.T) {
	members := cut(rand.New(rand.NewPCG(3, 3)), 5, 4)
	hosts := networks["tcp"](t, members, Options{})
	w := newWorld(members, 5, plan.Interval{Begin: 0, End: 100000}.Parts(2))
	w.open(t, func(i int) Links { return hosts[i].transport })
	errs := make(chan error, 3)
	for i, r := range w.rings {
		if i == 1 {
			continue // never makes its buckets ready
		}
		go func() {
			_, err := oneStep(r, 1, members[i].Arc)
			errs <- err
		}()
	}
	// The process's death as its neighbours see it: it says nothing any more and all its connections break.
	dead := w.rings[1]
	dead.mu.Lock()
	defer dead.mu.Unlock()
	dead.out.Close()
	hosts[1].server.Stop()
	for range 3 {
		if err := <-errs; err == nil {
			t.Error("a step ended without worker w2")
		}
	}
	for i, r := range w.rings {
		if i == 1 {
			continue
		}
		<-r.Failed()
		lost, ok := errors.AsType[*PeerLostError](r.Err())
		if !ok || lost.Culprit != "w2" {
			t.Errorf("worker %d: got %v, want w2 as the culprit", i, r.Err())
		}
	}
}

// dialOver connects to members whose addresses are of one network.
func dialOver(network string) func(context.Context, plan.Member) (net.Conn, error) {
	return func(ctx context.Context, m plan.Member) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, m.Address)
	}
}
