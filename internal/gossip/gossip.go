// Package gossip finds the members of a cluster by memberlist, over a daemon's port. Its news are hints: the log decides.
package gossip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"ringmaster/internal/logs"
	"ringmaster/internal/plan"
	"ringmaster/internal/port"
)

// Role is what a member of the gossip is.
type Role byte

// The roles.
const (
	Coordinator Role = 1
	Worker      Role = 2
)

func (r Role) String() string {
	switch r {
	case Coordinator:
		return "coordinator"
	case Worker:
		return "worker"
	}
	return fmt.Sprintf("role %d", byte(r))
}

// Node is a process that gossip knows and does not hold for dead. It is a hint: the process may be gone, or others be
// there that gossip has not heard of yet.
type Node struct {
	ID          string
	Role        Role
	Incarnation plan.Incarnation
	API         string // host:port of its gRPC server
}

// Config describes a member of the gossip.
type Config struct {
	ID          string // at most 64 bytes
	Role        Role
	Incarnation plan.Incarnation // random: a process started again is another member
	API         string           // host:port of the gRPC server, at most 255 bytes
	Advertise   string           // host:port that others gossip to; the host may be a name; port 0: the port's
	Seeds       []string         // host:port of members; they are joined, and joined again whenever they are not members
	Key         []byte           // encrypts the gossip: 16, 24 or 32 bytes, or nil
	Port        *port.Port
	Logger      *slog.Logger // default: none

	// Transport takes the place of Port in tests and simulations.
	Transport memberlist.Transport
}

// Gossip finds the members of the cluster.
type Gossip struct {
	cfg     Config
	list    *memberlist.Memberlist
	log     *slog.Logger
	changed chan struct{} // capacity 1
	stop    context.CancelFunc
	running sync.WaitGroup
	once    sync.Once
	result  error

	mu      sync.Mutex
	seeds   []string
	reseed  chan struct{} // capacity 1: the seeds changed
	members map[string]Node
}

// Times of the rejoin loop.
const (
	rejoinSoonest = 250 * time.Millisecond
	rejoinLatest  = 10 * time.Second
	rejoinCheck   = 2 * time.Second // while all seeds are members: a look at the own list, no message
)

// Start joins the gossip, and goes on trying in the background where no seed answers. Shutdown ends it.
func Start(cfg Config) (*Gossip, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	self := Node{ID: cfg.ID, Role: cfg.Role, Incarnation: cfg.Incarnation, API: cfg.API}
	meta, err := encodeMeta(self)
	if err != nil {
		return nil, fmt.Errorf("start gossip: %w", err)
	}
	g := &Gossip{cfg: cfg, log: cfg.Logger, changed: make(chan struct{}, 1), seeds: slices.Clone(cfg.Seeds),
		reseed: make(chan struct{}, 1), members: map[string]Node{}}
	c, err := g.listConfig(meta)
	if err != nil {
		return nil, fmt.Errorf("start gossip of %s: %w", cfg.ID, err)
	}
	if g.list, err = memberlist.Create(c); err != nil {
		c.Transport.Shutdown()
		return nil, fmt.Errorf("start gossip of %s: %w", cfg.ID, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	g.stop = stop
	g.running.Go(func() { g.rejoin(ctx) })
	return g, nil
}

// listConfig chooses the timings: those of a LAN, twice as quick, since clusters are small; gossip only hints, so
// declaring somebody dead early costs little.
func (g *Gossip) listConfig(meta []byte) (*memberlist.Config, error) {
	c := memberlist.DefaultLANConfig()
	c.Name = fmt.Sprintf("%s#%016x", g.cfg.ID, uint64(g.cfg.Incarnation)) // names are unique in a gossip
	c.Transport = g.cfg.Transport
	if c.Transport == nil {
		if g.cfg.Port == nil {
			return nil, errors.New("no port to gossip through")
		}
		advertise, err := g.cfg.Port.Advertise(g.cfg.Advertise)
		if err != nil {
			return nil, err
		}
		host, number, err := resolve(context.Background(), advertise)
		if err != nil {
			return nil, fmt.Errorf("address to advertise: %w", err)
		}
		c.AdvertiseAddr, c.AdvertisePort = host.String(), number
		c.Transport = newTransport(g.cfg.Port)
	}
	c.ProbeInterval, c.ProbeTimeout = 500*time.Millisecond, 250*time.Millisecond
	c.SuspicionMult = 3
	c.GossipInterval, c.GossipToTheDeadTime = 100*time.Millisecond, 10*time.Second
	c.PushPullInterval = 10 * time.Second
	c.TCPTimeout = 3 * time.Second
	c.AwarenessMaxMultiplier = 4
	c.EnableCompression = false // messages are some hundred bytes
	c.SecretKey = g.cfg.Key
	c.Delegate = metaDelegate(meta)
	c.Events = events{g}
	c.Logger = logs.Gossip(logs.Bounded(g.log)) // a stranger's packets are worth a line each
	return c, nil
}

// rejoin joins the seeds that are no members: at the start, and when a partition has made both sides forget each other,
// for clusters that were separated never merge by themselves.
func (g *Gossip) rejoin(ctx context.Context) {
	pause := rejoinSoonest
	for {
		wait := rejoinCheck
		if missing := g.missing(ctx); len(missing) > 0 {
			if n, err := g.list.Join(missing); n < len(missing) {
				if err != nil && ctx.Err() == nil {
					g.log.Debug("no seed of the gossip answers", "seeds", missing, "error", err)
				}
				wait, pause = pause, min(2*pause, rejoinLatest)
			} else {
				pause = rejoinSoonest
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-g.reseed:
			pause = rejoinSoonest
			timer.Stop()
		case <-timer.C:
		}
	}
}

// missing are the seeds, resolved, that are no members.
func (g *Gossip) missing(ctx context.Context) []string {
	g.mu.Lock()
	seeds := slices.Clone(g.seeds)
	g.mu.Unlock()
	there := map[string]bool{}
	for _, m := range g.list.Members() {
		there[net.JoinHostPort(m.Addr.String(), strconv.Itoa(int(m.Port)))] = true
	}
	var missing []string
	for _, seed := range seeds {
		host, number, err := resolve(ctx, seed)
		if err != nil {
			if ctx.Err() == nil {
				g.log.Debug("cannot resolve a seed of the gossip", "seed", seed, "error", err)
			}
			continue
		}
		if at := net.JoinHostPort(host.String(), strconv.Itoa(number)); !there[at] && !slices.Contains(missing, at) {
			missing = append(missing, at)
		}
	}
	return missing
}

// resolve finds the IP address of host:port.
func resolve(ctx context.Context, address string) (net.IP, int, error) {
	host, number, err := net.SplitHostPort(address)
	if err != nil {
		return nil, 0, err
	}
	port, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return nil, 0, fmt.Errorf("address %s: port: %w", address, err)
	}
	if ip := net.ParseIP(host); ip != nil {
		return ip, int(port), nil
	}
	bounded, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	ips, err := net.DefaultResolver.LookupIP(bounded, "ip", host)
	if err != nil {
		return nil, 0, err
	}
	for _, ip := range ips {
		if ip.To4() != nil {
			return ip, int(port), nil
		}
	}
	return ips[0], int(port), nil
}

// SetSeeds replaces the seeds, when a worker has learnt of all coordinators, say.
func (g *Gossip) SetSeeds(seeds []string) {
	g.mu.Lock()
	same := slices.Equal(g.seeds, seeds)
	g.seeds = slices.Clone(seeds)
	g.mu.Unlock()
	if !same {
		poke(g.reseed)
	}
}

// Members are the members of a role, this one too, ordered by id and incarnation.
func (g *Gossip) Members(role Role) []Node {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []Node
	for _, m := range g.members {
		if m.Role == role {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b Node) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Incarnation, b.Incarnation))
	})
	return out
}

// Changed receives a value after the members changed; several changes may make one value.
func (g *Gossip) Changed() <-chan struct{} { return g.changed }

// Shutdown says goodbye, so that the others do not have to find out, and ends the gossip.
func (g *Gossip) Shutdown() error {
	g.once.Do(func() {
		g.stop()
		g.running.Wait()
		if err := g.list.Leave(500 * time.Millisecond); err != nil {
			g.log.Debug("left the gossip without a goodbye", "error", err)
		}
		if err := g.list.Shutdown(); err != nil {
			g.result = fmt.Errorf("end gossip: %w", err)
		}
	})
	return g.result
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// events keeps the members up to date. memberlist calls it under its own lock: it must not call back.
type events struct{ g *Gossip }

func (e events) NotifyJoin(n *memberlist.Node)   { e.put(n) }
func (e events) NotifyUpdate(n *memberlist.Node) { e.put(n) }

func (e events) put(n *memberlist.Node) {
	m, err := decodeMeta(n.Meta)
	if err != nil {
		e.g.log.Warn("gossip has a member that is none of ours", "name", n.Name, "address", n.Address(), "error", err)
		return
	}
	e.g.mu.Lock()
	e.g.members[n.Name] = m
	e.g.mu.Unlock()
	poke(e.g.changed)
}

func (e events) NotifyLeave(n *memberlist.Node) {
	e.g.mu.Lock()
	delete(e.g.members, n.Name)
	e.g.mu.Unlock()
	poke(e.g.changed)
}

// metaDelegate gives memberlist the member's description; there are no messages and no state besides.
type metaDelegate []byte

func (d metaDelegate) NodeMeta(int) []byte           { return d }
func (metaDelegate) NotifyMsg([]byte)                {}
func (metaDelegate) GetBroadcasts(int, int) [][]byte { return nil }
func (metaDelegate) LocalState(bool) []byte          { return nil }
func (metaDelegate) MergeRemoteState([]byte, bool)   {}
