//go:build netns

package netns

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"ringmaster/internal/allreduce"
	"ringmaster/internal/certs"
	"ringmaster/internal/plan"
	"ringmaster/internal/port"
	"ringmaster/internal/tensor/kernel"
	"ringmaster/internal/test/support"
)

var measure = flag.Bool("measure", false, "measure rings over shaped links; the machine must have nothing else to do")

// The links that are measured, and what a ring over them must reach of a raw TCP ring.
const (
	shapedRate  = "1gbit"
	shapedDelay = time.Millisecond
	shapedShare = 0.97
	shapedBytes = 16 << 20
)

// A ring over links of 1 Gbit/s and 1 ms is as fast as a textbook ring over bare TCP connections.
func TestShapedLinks(t *testing.T) {
	if !*measure {
		t.Skip("measures: -measure")
	}
	for _, workers := range []int{2, 3} {
		n := newRelayedNetwork(t, weather{Delay: shapedDelay})
		var stations []*station
		for i := range workers {
			s := n.add(fmt.Sprintf("h%d", i+1), shapedRate)
			for _, device := range [][2]string{{s.namespace, "eth0"}, {n.router, s.link}} {
				n.ip("-n", device[0], "link", "set", device[1], "mtu", "9000")
			}
			stations = append(stations, s)
		}
		n.ip("-n", n.router, "link", "set", relayDevice, "mtu", "9000")
		raw := rawRing(t, stations, shapedBytes/4)
		ideal := time.Duration(float64(2*shapedBytes*8*(workers-1)/workers) / 1e9 * float64(time.Second))
		t.Logf("%d workers: a raw ring takes %v, and the wire alone %v", workers, raw, ideal)
		for _, kind := range []string{"plain", "plain over gRPC", "TLS", "TLS over gRPC"} {
			took := realRing(t, stations, shapedBytes/4, kind)
			share := float64(raw) / float64(took)
			t.Logf("%d workers, %s: %v, %.1f %% of the raw ring", workers, kind, took, 100*share)
			if share < shapedShare && kind == "TLS" {
				t.Errorf("%d workers, %s: %.1f %% of the raw ring", workers, kind, 100*share)
			}
		}
	}
}

// within runs something in a namespace: sockets that are made meanwhile stay there.
func within(namespace string, do func() error) error {
	runtime.LockOSThread() // a thread that cannot go back ends with its goroutine
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer own.Close()
	there, err := os.Open(filepath.Join("/run/netns", namespace))
	if err != nil {
		return err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	done := do()
	if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	runtime.UnlockOSThread()
	return done
}

// shapedRounds are measured, after one that is not.
const shapedRounds = 7

// rawRing is the median time of the textbook ring, a worker a station: in each of 2(n-1) rounds it sends one of n chunks and receives another.
func rawRing(t *testing.T, stations []*station, params int) time.Duration {
	t.Helper()
	n := len(stations)
	in, out := make([]net.Conn, n), make([]net.Conn, n)
	for i, s := range stations {
		next := (i + 1) % n
		var l net.Listener
		err := within(stations[next].namespace, func() (err error) {
			l, err = net.Listen("tcp", stations[next].ip+":7100")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		err = within(s.namespace, func() (err error) {
			out[i], err = net.Dial("tcp", l.Addr().String())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if in[next], err = l.Accept(); err != nil {
			t.Fatal(err)
		}
		l.Close()
		defer in[next].Close()
		defer out[i].Close()
	}
	var times []time.Duration
	var all errgroup.Group
	for i := range n {
		all.Go(func() error {
			own, coming := make([]float32, params), make([]float32, params/n+1)
			for round := range 1 + shapedRounds {
				began := time.Now()
				if err := rawRound(own, coming, i, n, in[i], out[i]); err != nil {
					return err
				}
				if i == 0 && round > 0 {
					times = append(times, time.Since(began))
				}
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(times)
	return times[len(times)/2]
}

func rawRound(own, coming []float32, self, n int, in io.Reader, out io.Writer) error {
	chunks := plan.Interval{Begin: 0, End: len(own)}.Parts(n)
	for k := range 2 * (n - 1) {
		give, take := chunks[(self-k+2*n)%n], chunks[(self-k-1+2*n)%n]
		var sending errgroup.Group
		sending.Go(func() error {
			_, err := out.Write(bytesOf(own[give.Begin:give.End]))
			return err
		})
		into := own[take.Begin:take.End]
		if k < n-1 {
			into = coming[:take.Len()]
		}
		_, err := io.ReadFull(in, bytesOf(into))
		if err := errors.Join(err, sending.Wait()); err != nil {
			return err
		}
		if k < n-1 {
			kernel.AddTo(own[take.Begin:take.End], into)
		}
	}
	return nil
}

func bytesOf(f []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(f))), 4*len(f))
}

// realRing is the median time of an all-reduce between workers of one process whose sockets are on the stations.
func realRing(t *testing.T, stations []*station, params int, kind string) time.Duration {
	t.Helper()
	authority := support.Authority(t)
	members := make([]plan.Member, len(stations))
	transports := make([]*allreduce.Transport, len(stations))
	for i, s := range stations {
		members[i] = plan.Member{Worker: fmt.Sprintf("w%d", i+1), Incarnation: plan.Incarnation(i + 1), Machine: s.host}
		var identity *certs.Identity
		if strings.HasPrefix(kind, "TLS") {
			identity = support.Identity(t, authority, certs.Worker, members[i].Worker)
		}
		l, options := openOn(t, s, identity)
		options.Worker, options.NoWires = members[i].Worker, strings.HasSuffix(kind, "gRPC")
		members[i].Address, transports[i] = l.Addr().String(), allreduce.NewTransport(options)
		g := grpc.NewServer(transports[i].ServerOptions()...)
		transports[i].Register(g)
		go func() { _ = g.Serve(l) }() // until it is stopped
		defer g.Stop()
	}
	view, err := plan.Seat(1, len(members), members)
	if err != nil {
		t.Fatal(err)
	}
	var times []time.Duration
	all, ctx := errgroup.WithContext(t.Context())
	for i := range view.Members {
		all.Go(func() error {
			own, err := sums(ctx, view, i, transports[i], params)
			if i == 0 {
				times = own
			}
			return err
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(times)
	return times[len(times)/2]
}

// openOn listens on a station and dials from there, with a certificate or in plain text.
func openOn(t *testing.T, s *station, identity *certs.Identity) (l net.Listener, o allreduce.Options) {
	t.Helper()
	var d net.Dialer
	dial := func(ctx context.Context, address string) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) }
	err := within(s.namespace, func() (err error) {
		if identity == nil {
			l, err = net.Listen("tcp", s.ip+":0")
			return err
		}
		p, err := port.Listen(port.Config{Bind: s.ip + ":0", Identity: identity})
		if err == nil {
			t.Cleanup(func() { p.Close() })
			l, o.Credentials, dial = p.RPC(), p.Credentials(), p.RPCDialer(certs.Worker)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	o.Dial = func(ctx context.Context, m plan.Member) (conn net.Conn, err error) {
		err = within(s.namespace, func() (err error) {
			conn, err = dial(ctx, m.Address)
			return err
		})
		return conn, err
	}
	return l, o
}

// sums sums a vector again and again, and says how long each took.
func sums(ctx context.Context, view plan.View, self int, links allreduce.Links, params int) (times []time.Duration, err error) {
	seats, buckets := make([][]float32, view.Members[self].Arc.Len()), plan.Buckets(params)
	for k := range seats {
		seats[k] = make([]float32, params)
	}
	r, err := allreduce.Open(ctx, allreduce.Identity{Cluster: 1, Job: "shaped", View: view, Self: self}, links, seats, buckets)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for step := range uint64(1 + shapedRounds) {
		began := time.Now()
		if err := sumOnce(r, len(buckets), step); err != nil {
			return nil, err
		}
		if step > 0 {
			times = append(times, time.Since(began))
		}
	}
	return times, nil
}

func sumOnce(r *allreduce.Ring, buckets int, step uint64) error {
	r.Begin(step)
	for b := buckets - 1; b >= 0; b-- {
		r.Ready(b)
	}
	for b := range buckets {
		if err := r.Wait(b); err != nil {
			return err
		}
	}
	return r.End(step)
}
