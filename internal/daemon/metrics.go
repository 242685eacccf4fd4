package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"ringmaster/internal/cli"
	"ringmaster/internal/cluster"
	"ringmaster/internal/cluster/raftnode"
	"ringmaster/internal/config"
	"ringmaster/internal/telemetry"
	"ringmaster/internal/tensor/kernel"
	"ringmaster/internal/worker"
)

// sight is what a daemon shows those who watch it: figures, whether it lives and is ready, and profiles, each at an address of its own.
// It is there from the daemon's first moment on, so that a start that takes long can be told from a process that hangs.
type sight struct {
	figures, profiles net.Listener // nil: not asked for
	registry          *telemetry.Registry
	calls             calls
	up                atomic.Pointer[checks] // nil: the daemon starts
	log               *slog.Logger
}

// checks are a daemon's.
type checks struct{ health, ready telemetry.Check }

// openSight listens where the configuration says. An address that cannot be listened on is a wrong configuration.
func openSight(figures, profiles string, log *slog.Logger) (*sight, error) {
	s := &sight{registry: telemetry.NewRegistry(), log: log}
	for _, a := range []struct {
		key, address string
		to           *net.Listener
	}{{"metrics", figures, &s.figures}, {"pprof", profiles, &s.profiles}} {
		if a.address == "" {
			continue
		}
		l, err := telemetry.Listen(a.address)
		if err != nil {
			s.close()
			if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EACCES) {
				return nil, &config.Problem{Text: fmt.Sprintf("%s: %v; name another address by --%s", a.key, err, a.key)}
			}
			return nil, fmt.Errorf("%s: %w", a.key, err)
		}
		*a.to = l
	}
	telemetry.Register(s.registry, buildFamilies, func() *struct{} { return nil })
	telemetry.Register(s.registry, callFamilies, func() *calls { return &s.calls })
	return s, nil
}

// begin answers until the returned function is called.
func (s *sight) begin(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // who drains a daemon wants to see it
	var serving sync.WaitGroup
	if s.figures != nil {
		handler := telemetry.Handler(s.registry, s.check(func(c *checks) telemetry.Check { return c.health }, nil),
			s.check(func(c *checks) telemetry.Check { return c.ready }, errors.New("starting")))
		serving.Go(func() { s.complain(ctx, telemetry.Serve(ctx, s.figures, handler, false, s.log)) })
		s.log.Info("metrics are served", "address", s.figures.Addr().String())
	}
	if s.profiles != nil {
		serving.Go(func() { s.complain(ctx, telemetry.Serve(ctx, s.profiles, telemetry.Profiles(), true, s.log)) })
		s.log.Info("profiles are served", "address", s.profiles.Addr().String())
	}
	return func() {
		cancel()
		s.close()
		serving.Wait()
	}
}

// complain logs why nobody can watch any more although the daemon's work goes on.
func (s *sight) complain(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		s.log.Error("metrics are served no more", "reason", err)
	}
}

// check is one of the daemon's checks once it is up; before, it fails with starting, or succeeds where that is nil.
func (s *sight) check(of func(*checks) telemetry.Check, starting error) telemetry.Check {
	return func(ctx context.Context) (string, error) {
		if up := s.up.Load(); up != nil {
			return of(up)(ctx)
		}
		return "starting", starting
	}
}

func (s *sight) close() {
	for _, l := range []net.Listener{s.figures, s.profiles} {
		if l != nil {
			_ = l.Close() // it may be closed already
		}
	}
}

// silence is for how long a coordinator's main loop may not come round: a proposal may take seconds without a majority.
const silence = 30 * time.Second

// ofCoordinator shows a coordinator from now on.
func (s *sight) ofCoordinator(server *cluster.Server, n *raftnode.Node, dir string) {
	telemetry.Register(s.registry, coordinatorFamilies, func() *coordinatorFigures { return coordinatorFiguresOf(server, n, dir) })
	s.up.Store(&checks{
		health: func(context.Context) (string, error) {
			if since, begun := server.Silent(); begun && since > silence {
				return "", fmt.Errorf("the main loop has not come round for %v", since.Round(time.Second))
			}
			return "alive", nil
		},
		ready: func(context.Context) (string, error) {
			f := n.Figures()
			if err := f.Ready(); err != nil {
				return "", err
			}
			id, _, _ := n.Leader()
			return fmt.Sprintf("ready: coordinator %s leads, and the log is applied", id), nil
		},
	})
}

// ofWorker shows a worker from now on.
func (s *sight) ofWorker(w *worker.Worker) {
	telemetry.Register(s.registry, workerFamilies, w.Figures)
	s.up.Store(&checks{
		health: func(ctx context.Context) (string, error) { return "alive", w.Alive(ctx) },
		ready:  func(context.Context) (string, error) { return "ready: attached to the leading coordinator", w.Ready() },
	})
}

var buildFamilies = []telemetry.Family[struct{}]{
	telemetry.Many("ringmaster_build_info", "The program: the revision it was built from, the Go version, the numerics contract. Always 1.", telemetry.Gauge, []string{"revision", "go_version", "contract"}, func(_ *struct{}, put telemetry.Put) {
		put.Value(1, cli.Revision(), runtime.Version(), fmt.Sprint(config.ContractVersion))
	}),
	telemetry.Many("ringmaster_kernel_info", "The tier of the computing kernels in use. Always 1.", telemetry.Gauge, []string{"tier"}, func(_ *struct{}, put telemetry.Put) {
		put.Value(1, kernel.Current().String())
	}),
}

// calls count the gRPC calls that a daemon has answered. The methods are those of its services, the codes gRPC's.
type calls struct{ by sync.Map } // call -> *atomic.Uint64

type call struct{ method, code string }

func (c *calls) note(method string, err error) {
	key := call{method, status.Code(err).String()}
	n, ok := c.by.Load(key)
	if !ok {
		n, _ = c.by.LoadOrStore(key, new(atomic.Uint64))
	}
	n.(*atomic.Uint64).Add(1)
}

// options make a server count its calls, those that it refuses too.
func (c *calls) options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			reply, err := handler(ctx, request)
			c.note(info.FullMethod, err)
			return reply, err
		}),
		grpc.ChainStreamInterceptor(func(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			err := handler(server, stream)
			c.note(info.FullMethod, err)
			return err
		}),
	}
}

var callFamilies = []telemetry.Family[calls]{
	telemetry.Many("ringmaster_rpc_calls_total", "gRPC calls that have been answered, by method and status code. A stream counts when it ends.", telemetry.Counter, []string{"method", "code"}, func(c *calls, put telemetry.Put) {
		type counted struct {
			call
			n uint64
		}
		var all []counted
		c.by.Range(func(key, n any) bool {
			all = append(all, counted{key.(call), n.(*atomic.Uint64).Load()})
			return true
		})
		sort.Slice(all, func(i, j int) bool { return all[i].method+all[i].code < all[j].method+all[j].code })
		for _, a := range all {
			put.Value(float64(a.n), a.method, a.code)
		}
	}),
}
