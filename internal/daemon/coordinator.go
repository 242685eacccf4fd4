// Package daemon puts the parts of a process together: a coordinator is a port, a Raft node, gossip and the
// coordinator's server; a worker is a port, gossip, the ring's transport and a worker's life.
package daemon

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	grpccredentials "google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"ringmaster/internal/certs"
	"ringmaster/internal/checkpoint"
	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/cluster"
	"ringmaster/internal/cluster/decide"
	"ringmaster/internal/cluster/raftnode"
	"ringmaster/internal/config"
	"ringmaster/internal/folderlock"
	"ringmaster/internal/gossip"
	"ringmaster/internal/host"
	"ringmaster/internal/logs"
	"ringmaster/internal/plan"
	"ringmaster/internal/port"
	"ringmaster/internal/pulse"
	"ringmaster/internal/rpc"
)

// shutdownPatience bounds how long a process takes to shut down gracefully.
const shutdownPatience = 3 * time.Second

// Coordinator runs one coordinator replica until ctx ends. An error says what it could not open.
func Coordinator(ctx context.Context, c *config.Coordinator, log *slog.Logger) error {
	owner, err := ownFolder(c.Dir)
	if err != nil {
		return err
	}
	defer owner.Release()
	identity, err := loadIdentity(c.Certs, certs.Coordinator, log)
	if err == nil {
		err = checkID(identity, c.ID)
	}
	if err != nil {
		return err
	}
	seen, err := openSight(c.Metrics, c.Pprof, log)
	if err != nil {
		return err
	}
	defer seen.begin(ctx)()
	store, err := openStore(c.Dir, log)
	if err != nil {
		return err
	}
	port, err := listen(c.Bind, identity, log)
	if err != nil {
		return err
	}
	defer port.Close()
	address, err := advertise(ctx, port, c.Advertise, seeds(c), log)
	if err == nil {
		err = checkReachable(ctx, address, seeds(c))
	}
	if err != nil {
		return err
	}
	gossip, err := gossip.Start(gossip.Config{ID: c.ID, Role: gossip.Coordinator, Incarnation: plan.Incarnation(randomWord() | 1),
		API: address, Advertise: address, Port: port, Seeds: seeds(c), Key: gossipKey(identity), Logger: log})
	if err != nil {
		return err
	}
	defer closeGossip(gossip, log)
	conns := &connections{port: port}
	defer conns.Close()
	members := &membership{id: c.ID, address: address, seeds: seeds(c), gossip: gossip, conns: conns, log: log}
	peers, err := members.join(ctx, c)
	if err != nil {
		return err
	}
	n, err := raftnode.Start(raftnode.Config{ID: c.ID, Address: address, Peers: peers, Elsewhere: elsewhere(gossip), Dir: c.RaftDir, Mark: mark(c), Port: port,
		ElectionTimeout: c.ElectionTimeout, Logger: log}, cluster.NewMachine())
	if err != nil {
		return err
	}
	defer shutdown(n, log)
	members.node = n
	timing := decide.DefaultTiming()
	timing.Silence = c.WorkerTimeout
	server := cluster.New(cluster.Config{ID: c.ID, Address: address, Machine: host.ID(), PID: os.Getpid(), Timing: timing, Log: log,
		Random: randomWord, Fetch: conns.fetch, OpenBucket: copiesIn(log), Recent: logs.RecentOf(log), AskLogs: conns.logs}, &cluster.Replicated{Node: n}, store)
	seen.ofCoordinator(server, n, c.Dir)
	log.Info("coordinator is up", "id", c.ID, "address", address, "dir", c.Dir)
	return live(ctx, port, identity, server, &seen.calls, members.spend(server), log,
		func(ctx context.Context) error { return server.Run(ctx) },
		func(ctx context.Context) error { return members.stay(ctx, server) },
		func(ctx context.Context) error { return readable(ctx, n) })
}

// live answers callers and does its own work until ctx ends or something fails.
func live(ctx context.Context, port *port.Port, identity *certs.Identity, server *cluster.Server, calls *calls, spend certs.Spend, log *slog.Logger, work ...func(context.Context) error) error {
	g := grpc.NewServer(slices.Concat(calls.options(), serverOptions(port), guard(identity, coordinatorMethods, log))...)
	rpc.RegisterCoordinatorServer(g, server)
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1+len(work))
	for _, do := range work {
		running.Go(func() {
			if err := do(ctx); err != nil {
				failed <- err
			}
		})
	}
	running.Go(func() { watchExpiry(ctx, identity, log) })
	running.Go(func() {
		if err := g.Serve(port.RPC()); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			failed <- fmt.Errorf("serve on %v: %w", port.Addr(), err)
		}
	})
	defer g.Stop()
	if identity != nil && identity.Issuer != nil {
		running.Go(func() { identity.Issuer.ServeEnroll(port.Enroll(), log, port.Refusals(), time.Now, spend) })
		defer port.Enroll().Close() // before running.Wait
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// ownerPatience is how long a process waits for the previous owner of its folder to end.
const ownerPatience = 3 * time.Second

// ownFolder makes this process the owner of its folder, and refuses one that another process uses, or a dir that is not a folder.
// "" means no folder of its own.
func ownFolder(dir string) (*folderlock.Lock, error) {
	if dir == "" {
		return nil, nil
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return nil, &config.Problem{Text: fmt.Sprintf("dir: %s is no folder; name another one by --dir", dir)}
	}
	owner, err := folderlock.Own(dir, ownerPatience)
	if errors.As(err, new(*folderlock.TakenError)) {
		return nil, &config.Problem{Text: fmt.Sprintf("dir: %v; name another one by --dir, or end that process first", err)}
	}
	return owner, err
}

// openStore opens the checkpoints of a replica's folder. An incomplete checkpoint that a crash left may yet be
// completed and is kept; temporary files are removed.
func openStore(dir string, log *slog.Logger) (*checkpoint.Store, error) {
	store, err := checkpoint.Open(disk.OS{}, filepath.Join(dir, "checkpoints"))
	if err != nil {
		return nil, err
	}
	removed, err := store.Clean()
	if len(removed) > 0 {
		log.Info("removed what a crash left behind", "files", len(removed))
	}
	return store, err
}

// founders are the replicas that found the cluster, with the real address of this one.
func founders(c *config.Coordinator, address string) map[string]string {
	peers := maps.Clone(c.Peers)
	if _, ok := peers[c.ID]; ok {
		peers[c.ID] = address
	}
	return peers
}

// elsewhere finds, from gossip, replicas that have moved to another address.
func elsewhere(g *gossip.Gossip) func(id, known string) string {
	return func(id, known string) string {
		at := ""
		for _, m := range g.Members(gossip.Coordinator) {
			if m.ID == id && m.API == known {
				return ""
			}
			if m.ID == id {
				at = m.API
			}
		}
		return at
	}
}

// seeds are the addresses where the others may be, from the configuration.
func seeds(c *config.Coordinator) []string {
	var out []string
	for id, address := range c.Peers {
		if id != c.ID {
			out = append(out, address)
		}
	}
	slices.Sort(out)
	return append(out, c.Join...)
}

func shutdown(n *raftnode.Node, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownPatience)
	defer cancel()
	if err := n.Shutdown(ctx); err != nil {
		log.Warn("raft did not shut down cleanly", "reason", err)
	}
}

func closeGossip(g *gossip.Gossip, log *slog.Logger) {
	if err := g.Shutdown(); err != nil {
		log.Info("left gossip without goodbye", "reason", err)
	}
}

// credentials are the port's, with connections that end when the other end is gone.
func credentials(port *port.Port) grpccredentials.TransportCredentials {
	return pulse.Credentials(port.Credentials(), 2*time.Second, 2*time.Second)
}

// serverOptions are those of every gRPC server here: bounded requests, and detection of dead connections.
func serverOptions(port *port.Port) []grpc.ServerOption {
	return append(limits(),
		grpc.Creds(credentials(port)),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 200 * time.Millisecond, PermitWithoutStream: true}),
	)
}

// dialOptions are those of every gRPC client of a daemon; it calls holders of the role.
func dialOptions(port *port.Port, want certs.Role) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(credentials(port)),
		grpc.WithContextDialer(port.RPCDialer(want)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithConnectParams(quickReconnect()),
	}
}

// connections are a coordinator's clients of the others, opened when needed.
type connections struct {
	port *port.Port
	mu   sync.Mutex
	open map[string]*grpc.ClientConn
}

// logs asks another process for lines of its log. A worker is asked over a connection of its own: workers come and go.
func (c *connections) logs(ctx context.Context, worker bool, address string, r *rpc.LogsRequest) (*rpc.LogsReply, error) {
	if worker {
		conn, err := c.dial(address, certs.Worker)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		return rpc.NewPeerClient(conn).Logs(ctx, r)
	}
	conn, err := c.at(address)
	if err != nil {
		return nil, err
	}
	return rpc.NewCoordinatorClient(conn).Logs(ctx, r)
}

func (c *connections) dial(address string, role certs.Role) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("passthrough:///"+address, dialOptions(c.port, role)...)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	return conn, nil
}

func (c *connections) fetch(ctx context.Context, address, directory, name string, w io.Writer) error {
	conn, err := c.at(address)
	if err != nil {
		return err
	}
	return rpc.ReceiveFile(ctx, rpc.NewCoordinatorClient(conn), directory, name, w)
}

func (c *connections) at(address string) (*grpc.ClientConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if conn := c.open[address]; conn != nil {
		return conn, nil
	}
	conn, err := c.dial(address, certs.Coordinator)
	if err != nil {
		return nil, err
	}
	if c.open == nil {
		c.open = map[string]*grpc.ClientConn{}
	}
	c.open[address] = conn
	return conn, nil
}

func (c *connections) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.open {
		_ = conn.Close()
	}
	c.open = nil
}

// randomWord draws an incarnation.
func randomWord() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return binary.LittleEndian.Uint64(b[:])
}
