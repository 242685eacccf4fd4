package allreduce

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"ringmaster/internal/plan"
)

// BenchOptions say what Bench measures.
type BenchOptions struct {
	Workers int           // at least 2
	Seats   int           // 0: one for each worker
	TCP     bool          // over TCP on this machine instead of unix sockets
	Time    time.Duration // for each size; default 1 s
}

// BenchResult is the all-reduce of one size.
type BenchResult struct {
	Bytes  int           // of the summed vector
	Rounds int           // measured
	Median time.Duration // of a round: all buckets made ready at once, until the gradients may be overwritten
}

// BusBandwidth is in bytes per second as nccl-tests define it: bytes / time x 2(n-1)/n, which a ring puts on every link.
func (r BenchResult) BusBandwidth(workers int) float64 {
	return float64(r.Bytes) / r.Median.Seconds() * 2 * float64(workers-1) / float64(workers)
}

// Bench measures the all-reduce of vectors of the given numbers of bytes (multiples of 4) between workers in this process, each with a
// gRPC server of its own: what goes between them is what would go between processes.
func Bench(ctx context.Context, options BenchOptions, sizes []int) (results []BenchResult, err error) {
	if options.Seats == 0 {
		options.Seats = options.Workers
	}
	if options.Time <= 0 {
		options.Time = time.Second
	}
	if options.Workers < 2 {
		return nil, fmt.Errorf("an all-reduce takes 2 workers, not %d", options.Workers)
	}
	view, err := plan.Seat(1, options.Seats, make([]plan.Member, options.Workers))
	if err != nil {
		return nil, err
	}
	transports, stop, err := benchHosts(view.Members, options.TCP)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for i, size := range sizes {
		if size < 4 || size%4 != 0 {
			return nil, fmt.Errorf("cannot sum a vector of %d bytes: it takes a multiple of 4", size)
		}
		view.Generation = plan.Generation(i + 1)
		result, err := benchSize(ctx, view, transports, size/4, options.Time)
		if err != nil {
			return nil, fmt.Errorf("all-reduce of %d bytes: %w", size, err)
		}
		results = append(results, result)
	}
	return results, nil
}

// benchHosts starts a server for every member and writes its address down.
func benchHosts(members []plan.Member, tcp bool) (transports []*Transport, stop func() error, err error) {
	dir, err := os.MkdirTemp("", "ringmaster-bench-")
	if err != nil {
		return nil, nil, err
	}
	var serving errgroup.Group
	var servers []*grpc.Server
	stop = func() error {
		for _, s := range servers {
			s.Stop()
		}
		return errors.Join(serving.Wait(), os.RemoveAll(dir))
	}
	for i := range members {
		m := &members[i]
		m.Worker, m.Incarnation = fmt.Sprintf("w%d", i+1), plan.Incarnation(i+1)
		network, address := "unix", filepath.Join(dir, m.Worker)
		if tcp {
			network, address = "tcp", "127.0.0.1:0"
		}
		l, err := net.Listen(network, address)
		if err != nil {
			return nil, nil, errors.Join(err, stop())
		}
		m.Address = l.Addr().String()
		t := NewTransport(Options{Worker: m.Worker, Dial: dialOver(network)})
		s := grpc.NewServer(t.ServerOptions()...)
		t.Register(s)
		serving.Go(func() error { return s.Serve(l) })
		transports, servers = append(transports, t), append(servers, s)
	}
	return transports, stop, nil
}

// dialOver connects to members whose addresses are of one network.
func dialOver(network string) func(context.Context, plan.Member) (net.Conn, error) {
	return func(ctx context.Context, m plan.Member) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, m.Address)
	}
}

// benchSize measures one size, with the times of the first worker.
func benchSize(ctx context.Context, view plan.View, transports []*Transport, params int, duration time.Duration) (BenchResult, error) {
	var times []time.Duration
	group, ctx := errgroup.WithContext(ctx)
	for i, m := range view.Members {
		group.Go(func() error {
			seats := make([][]float32, m.Arc.Len())
			for s := range seats {
				seats[s] = make([]float32, params)
			}
			buckets := plan.Buckets(params)
			r, err := Open(ctx, Identity{Cluster: 1, Job: "bench", View: view, Self: i}, transports[i], seats, buckets)
			if err != nil {
				return err
			}
			defer r.Close()
			defer context.AfterFunc(ctx, func() { r.Close() })()
			own, err := benchRounds(r, duration)
			if i == 0 {
				times = own
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return BenchResult{}, err
	}
	slices.Sort(times)
	return BenchResult{Bytes: 4 * params, Rounds: len(times), Median: times[len(times)/2]}, nil
}

// The rounds before the measured ones, and the most of those.
const (
	benchWarmup = 4
	benchMost   = 20000
)

// benchRounds goes through some rounds to learn how long they take, agrees with the others on how many fit into the duration, and
// measures those.
func benchRounds(r *Ring, duration time.Duration) ([]time.Duration, error) {
	var times []time.Duration
	for step := range uint64(benchWarmup) {
		took, err := benchRound(r, step)
		if err != nil {
			return nil, err
		}
		times = append(times, took)
	}
	wanted := min(max(int64(duration/slices.Min(times)), 3), benchMost)
	record := binary.LittleEndian.AppendUint64(nil, uint64(wanted))
	r.Contribute(0, slices.Repeat([][]byte{record}, r.grad.arc.Len()))
	all, err := r.Collect(0)
	if err != nil {
		return nil, err
	}
	rounds := binary.LittleEndian.Uint64(all) // the first seat's wish is everybody's
	times = times[:0]
	for step := range rounds {
		took, err := benchRound(r, benchWarmup+step)
		if err != nil {
			return nil, err
		}
		times = append(times, took)
	}
	return times, nil
}

func benchRound(r *Ring, step uint64) (time.Duration, error) {
	begin := time.Now()
	r.Begin(step)
	for b := len(r.buckets) - 1; b >= 0; b-- {
		r.Ready(b)
	}
	for b := len(r.buckets) - 1; b >= 0; b-- {
		if err := r.Wait(b); err != nil {
			return 0, err
		}
	}
	err := r.End(step)
	return time.Since(begin), err
}
