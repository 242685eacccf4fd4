package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"

	"google.golang.org/grpc"

	"ringmaster/internal/allreduce"
	"ringmaster/internal/certs"
	"ringmaster/internal/config"
	"ringmaster/internal/gossip"
	"ringmaster/internal/host"
	"ringmaster/internal/logs"
	"ringmaster/internal/plan"
	"ringmaster/internal/port"
	"ringmaster/internal/rpc"
	"ringmaster/internal/worker"
)

// Worker runs one worker until ctx ends; then the worker leaves gracefully. An error says what it could not open, or
// that the cluster does not want it.
func Worker(ctx context.Context, c *config.Worker, log *slog.Logger) error {
	threads := setThreads(c.Threads)
	owner, err := ownFolder(c.Dir)
	if err != nil {
		return err
	}
	defer owner.Release()
	identity, err := loadIdentity(c.Certs, certs.Worker, log)
	if err != nil {
		return err
	}
	seen, err := openSight(c.Metrics, c.Pprof, log)
	if err != nil {
		return err
	}
	defer seen.begin(ctx)()
	port, err := listen(c.Bind, identity, log)
	if err != nil {
		return err
	}
	defer port.Close()
	self, err := introduce(ctx, c, port, identity, log)
	if err != nil {
		return err
	}
	socket, err := listenLocal(&self, c.Dir)
	if err != nil {
		log.Info("no unix socket for workers on this machine; they use TCP", "reason", err)
	} else {
		defer os.Remove(self.Socket)
	}
	gossip, err := gossip.Start(gossip.Config{ID: self.Worker, Role: gossip.Worker, Incarnation: self.Incarnation,
		API: self.Address, Advertise: self.Address, Port: port, Seeds: c.Join, Key: gossipKey(identity), Logger: log})
	if err != nil {
		return err
	}
	defer closeGossip(gossip, log)

	dial, assemble := dialMember(port), worker.Assemble
	life, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	if f := watchFaults(life); f != nil {
		dial, assemble = f.dialing(dial), f.assemble
	}
	transport := allreduce.NewTransport(allreduce.Options{Worker: self.Worker, Credentials: port.Credentials(), Dial: dial})
	network := &worker.Network{Transport: transport, Options: dialOptions(port, certs.Coordinator), Peers: dialOptions(port, certs.Worker),
		Known: func() []string { return coordinators(gossip, c.Join) }}
	defer network.Close()
	w := worker.New(worker.Config{Self: self, PID: os.Getpid(), Threads: threads, Log: log, Assemble: assemble,
		Memory: worker.Memory{Machine: host.Memory(), Limit: host.MemoryLimit()}}, network)
	peers := &worker.PeerServer{Recent: logs.RecentOf(log)}
	peers.Serve(w)

	seen.ofWorker(w)
	g := grpc.NewServer(slices.Concat(seen.calls.options(), serverOptions(port), transport.ServerOptions(), guard(identity, workerMethods, log))...)
	rpc.RegisterPeerServer(g, peers)
	transport.Register(g)
	var serving sync.WaitGroup
	defer serving.Wait()
	defer cancel(nil) // the watchers end too: ctx does not end for a worker that leaves by itself
	defer g.Stop()
	serving.Go(func() { watchExpiry(life, identity, log) })
	answerOn(g, &serving, cancel, port.RPC(), socket)
	log.Info("worker is up", "id", self.Worker, "address", self.Address, "threads", threads)
	return because(life, w.Run(life, ctx.Done()))
}

// because is the cause of a life's end where that is why err came, else err; nil stays nil.
func because(life context.Context, err error) error {
	if cause := context.Cause(life); err != nil && cause != nil {
		return cause
	}
	return err
}

// answerOn serves on the listeners that are not nil until the server is stopped. A failure becomes the cause of the context's end.
func answerOn(g *grpc.Server, serving *sync.WaitGroup, end context.CancelCauseFunc, listeners ...net.Listener) {
	for _, l := range listeners {
		if l == nil {
			continue
		}
		serving.Go(func() {
			if err := g.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				end(fmt.Errorf("serve on %s: %w", l.Addr(), err))
			}
		})
	}
}

// setThreads is the number of threads that compute; the scheduler gets one more, for the network.
func setThreads(threads int) int {
	if threads == 0 {
		threads = runtime.NumCPU()
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(threads + 1)
	}
	return threads
}

// introduce makes the worker's entry for the others: its identity and where they dial it.
func introduce(ctx context.Context, c *config.Worker, port *port.Port, identity *certs.Identity, log *slog.Logger) (plan.Member, error) {
	address, err := advertise(ctx, port, c.Advertise, c.Join, log)
	if err != nil {
		return plan.Member{}, err
	}
	if err := checkReachable(ctx, address, c.Join); err != nil {
		return plan.Member{}, err
	}
	id := c.ID
	switch {
	case id != "":
	case identity != nil:
		id = identity.ID
	default:
		id = config.DefaultID(host.Host(), port.Addr().Port)
	}
	self := plan.Member{Worker: id, Incarnation: plan.Incarnation(randomWord() | 1), Address: address, Machine: host.ID(), Host: host.Host()}
	return self, checkID(identity, id)
}

// coordinators are the addresses given and those that gossip has found.
func coordinators(g *gossip.Gossip, join []string) []string {
	all := slices.Clone(join)
	for _, m := range g.Members(gossip.Coordinator) {
		if !slices.Contains(all, m.API) {
			all = append(all, m.API)
		}
	}
	return all
}
