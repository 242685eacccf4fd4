package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"ringmaster/internal/allreduce"
	"ringmaster/internal/certs"
	"ringmaster/internal/launch"
	"ringmaster/internal/plan"
	"ringmaster/internal/port"
)

// AllReduceOptions say what AllReduce measures.
type AllReduceOptions struct {
	Workers int           // from 2 to mostWorkers
	Seats   int           // 0: one for each worker
	TCP     bool          // over TCP on this machine instead of unix sockets
	TLS     bool          // over TCP under mutual TLS, as between machines
	GRPC    bool          // frames go over gRPC streams, as to a peer that has no wires
	Time    time.Duration // for each size
}

// mostWorkers bounds a measurement of the ring: each worker has a server and buffers of its own in this process.
const mostWorkers = 64

// check settles the defaults and says what cannot be measured.
func (o *AllReduceOptions) check() error {
	if o.Seats == 0 {
		o.Seats = o.Workers
	}
	switch {
	case o.Workers < 2 || o.Workers > mostWorkers:
		return fmt.Errorf("--workers must be from 2 to %d", mostWorkers)
	case o.Time <= 0:
		return fmt.Errorf("--time must be above 0, not %v", o.Time)
	case o.Seats < o.Workers || o.Seats > 8*mostWorkers:
		return fmt.Errorf("--seats must be from the number of workers to %d", 8*mostWorkers)
	}
	return nil
}

// AllReduceResult is the speed of summing vectors of one size.
type AllReduceResult struct {
	Case string `json:"case"` // the size as it was written
	// GiBPerS is bus bandwidth as nccl-tests define it: bytes / time x 2(n-1)/n, which a ring puts on every link.
	GiBPerS float64 `json:"gib_per_s"`
	Us      float64 `json:"us"` // the median round: all buckets ready at once, until the gradients may be overwritten
	Bytes   int     `json:"bytes"`
	Workers int     `json:"workers"`
	Seats   int     `json:"seats"`
	Rounds  int     `json:"rounds"`
}

func (r AllReduceResult) row() []string {
	return []string{r.Case, fmt.Sprintf("%.3f", r.GiBPerS), fmt.Sprintf("%.1f", r.Us)}
}

func (r AllReduceResult) sample() sample {
	return sample{name: fmt.Sprintf("AllReduce/%s/workers=%d/seats=%d", r.Case, r.Workers, r.Seats), n: r.Rounds,
		values: []value{{r.Us * 1e3, "ns/op"}, {r.GiBPerS, "GiB/s"}}}
}

// AllReduce measures the ring all-reduce of vectors of the given sizes (64, 1MiB) between workers in this process, each with a
// gRPC server of its own: what goes between them is what would go between processes.
func AllReduce(ctx context.Context, o AllReduceOptions, sizes []string) (report *Report, err error) {
	if err := o.check(); err != nil {
		return nil, &launch.UsageError{Err: err}
	}
	bytes := make([]int, len(sizes))
	for i, size := range sizes {
		if bytes[i], err = parseBytes(size); err != nil {
			return nil, &launch.UsageError{Err: fmt.Errorf("--bytes: %w", err)}
		}
	}
	view, err := plan.Seat(1, o.Seats, make([]plan.Member, o.Workers))
	if err != nil {
		return nil, err
	}
	transports, stop, err := startTransports(view.Members, &o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	report = &Report{Columns: []string{"CASE", "GIB/S", "US"}}
	for i, size := range bytes {
		view.Generation = plan.Generation(i + 1)
		times, err := measureRing(ctx, view, transports, size/4, o.Time)
		if err != nil {
			return nil, fmt.Errorf("all-reduce of %d bytes: %w", size, err)
		}
		middle := times[len(times)/2]
		links := 2 * float64(o.Workers-1) / float64(o.Workers)
		report.Results = append(report.Results, AllReduceResult{Case: sizes[i], GiBPerS: float64(size) / middle.Seconds() * links / (1 << 30),
			Us: float64(middle.Nanoseconds()) / 1e3, Bytes: size, Workers: o.Workers, Seats: o.Seats, Rounds: len(times)})
	}
	return report, nil
}

// maxBytes bounds a vector: every seat of every worker holds one.
const maxBytes = 1 << 30

// parseBytes reads a number of bytes with an optional unit: 64, 1KiB, 16MiB, 1GiB. It must be a multiple of 4.
func parseBytes(s string) (int, error) {
	number, unit := s, 1
	for suffix, factor := range map[string]int{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			number, unit = rest, factor
		}
	}
	v, err := strconv.Atoi(number)
	if err != nil || v < 1 || v > maxBytes/unit {
		return 0, fmt.Errorf("%q is not a size from 4 to 1GiB; write 64, 1KiB, 16MiB", s)
	}
	if v*unit%4 != 0 {
		return 0, errors.New("a vector of float32 has a multiple of 4 bytes, not " + s)
	}
	return v * unit, nil
}

// startTransports starts a server for every member and writes its address down.
func startTransports(members []plan.Member, o *AllReduceOptions) (transports []*allreduce.Transport, stop func() error, err error) {
	dir, err := os.MkdirTemp("", "ringmaster-bench-")
	if err != nil {
		return nil, nil, err
	}
	var serving errgroup.Group
	var ends []func() error
	stop = func() error {
		var errs []error
		for _, end := range ends {
			errs = append(errs, end())
		}
		return errors.Join(append(errs, serving.Wait(), os.RemoveAll(dir))...)
	}
	var authority *certs.Authority
	if o.TLS {
		if authority, err = certs.Init(filepath.Join(dir, "ca"), time.Now()); err != nil {
			return nil, nil, errors.Join(err, stop())
		}
	}
	for i := range members {
		m := &members[i]
		m.Worker, m.Incarnation = fmt.Sprintf("w%d", i+1), plan.Incarnation(i+1)
		e, err := openEnd(m.Worker, filepath.Join(dir, m.Worker), authority, o)
		if err != nil {
			return nil, nil, errors.Join(err, stop())
		}
		m.Address = e.listener.Addr().String()
		t := allreduce.NewTransport(allreduce.Options{Worker: m.Worker, NoWires: o.GRPC, Credentials: e.credentials,
			Dial: func(ctx context.Context, m plan.Member) (net.Conn, error) { return e.dial(ctx, m.Address) }})
		s := grpc.NewServer(t.ServerOptions()...)
		t.Register(s)
		serving.Go(func() error { return s.Serve(e.listener) })
		transports = append(transports, t)
		ends = append(ends, func() error {
			s.Stop()
			return e.close()
		})
	}
	return transports, stop, nil
}

// end is where a worker listens, and how it dials the others.
type end struct {
	listener    net.Listener
	credentials credentials.TransportCredentials // nil: none
	dial        func(ctx context.Context, address string) (net.Conn, error)
	close       func() error
}

// openEnd opens a worker's end; path is for its socket, or for its certificate, which authority makes where it is not nil.
func openEnd(worker, path string, authority *certs.Authority, o *AllReduceOptions) (*end, error) {
	if authority != nil {
		if err := authority.Node(path, certs.Peer{Role: certs.Worker, ID: worker}, false, 1, time.Now()); err != nil {
			return nil, err
		}
		identity, err := certs.Load(path, time.Now())
		if err != nil {
			return nil, err
		}
		p, err := port.Listen(port.Config{Bind: "127.0.0.1:0", Identity: identity})
		if err != nil {
			return nil, err
		}
		return &end{p.RPC(), p.Credentials(), p.RPCDialer(certs.Worker), p.Close}, nil
	}
	network, address := "unix", path
	if o.TCP {
		network, address = "tcp", "127.0.0.1:0"
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context, address string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}
	return &end{l, nil, dial, func() error { return nil }}, nil
}

// measureRing measures one size. It returns the first worker's times in ascending order.
func measureRing(ctx context.Context, view plan.View, transports []*allreduce.Transport, params int, duration time.Duration) ([]time.Duration, error) {
	var times []time.Duration
	group, ctx := errgroup.WithContext(ctx)
	for i, m := range view.Members {
		group.Go(func() error {
			seats := make([][]float32, m.Arc.Len())
			for s := range seats {
				seats[s] = make([]float32, params)
			}
			buckets := plan.Buckets(params)
			r, err := allreduce.Open(ctx, allreduce.Identity{Cluster: 1, Job: "bench", View: view, Self: i}, transports[i], seats, buckets)
			if err != nil {
				return err
			}
			defer r.Close()
			defer context.AfterFunc(ctx, func() { r.Close() })()
			own, err := rounds(r, m.Arc.Len(), len(buckets), duration)
			if i == 0 {
				times = own
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	slices.Sort(times)
	return times, nil
}

// The rounds before the measured ones, and the most of those.
const (
	warmupRounds = 4
	mostRounds   = 20000
)

// rounds goes through some rounds to learn how long they take, agrees with the others on how many fit into the duration, and
// measures those.
func rounds(r *allreduce.Ring, seats, buckets int, duration time.Duration) ([]time.Duration, error) {
	var times []time.Duration
	for step := range uint64(warmupRounds) {
		took, err := round(r, buckets, step)
		if err != nil {
			return nil, err
		}
		times = append(times, took)
	}
	wanted := min(max(int64(duration/slices.Min(times)), 3), mostRounds)
	record := binary.LittleEndian.AppendUint64(nil, uint64(wanted))
	r.Contribute(0, slices.Repeat([][]byte{record}, seats))
	all, err := r.Collect(0)
	if err != nil {
		return nil, err
	}
	agreed := binary.LittleEndian.Uint64(all) // the first seat's wish is everybody's
	times = times[:0]
	for step := range agreed {
		took, err := round(r, buckets, warmupRounds+step)
		if err != nil {
			return nil, err
		}
		times = append(times, took)
	}
	return times, nil
}

// round sums all buckets once and says how long that took.
func round(r *allreduce.Ring, buckets int, step uint64) (time.Duration, error) {
	begin := time.Now()
	r.Begin(step)
	for b := buckets - 1; b >= 0; b-- {
		r.Ready(b)
	}
	for b := buckets - 1; b >= 0; b-- {
		if err := r.Wait(b); err != nil {
			return 0, err
		}
	}
	err := r.End(step)
	return time.Since(begin), err
}
