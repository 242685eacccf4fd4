// Package raftnode replicates the coordinator's state machine by Raft, and keeps its log and snapshots on disk. It knows nothing of
// jobs and views.
package raftnode

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"ringmaster/internal/logs"
	"ringmaster/internal/port"
)

// Machine is a replicated state machine. The node calls it under a lock, from one goroutine at a time: it needs none of
// its own. It must be pure: equal commands in equal order give equal states on every replica.
type Machine interface {
	// Apply carries a command out. The result goes to who proposed it.
	Apply(command []byte) (result any)
	// Snapshot writes the whole state.
	Snapshot() ([]byte, error)
	// Restore replaces the state by one that Snapshot wrote. After an error the state is as before.
	Restore(snapshot []byte) error
}

// Bounds.
const (
	MaxCommand  = 16 << 20  // bytes of one command
	MaxSnapshot = 512 << 20 // bytes of a snapshot that Restore is given
)

// Config describes a Raft node.
type Config struct {
	ID string
	// Address is the host:port that the others dial; default: as in Peers. Port 0 means the port's.
	Address string
	// Peers are the replicas that found the cluster, this one too: id to host:port; 1, 3 or 5, and the same on all of
	// them. Once there is a log it knows the replicas, and Peers counts no more. Without Peers a replica whose log is
	// empty waits until the leader of a cluster sends it one.
	Peers map[string]string
	// Elsewhere says where a replica is that the log knows at another address, "" where that address is right. It is how
	// replicas that have moved are found before the log has been told. May be nil.
	Elsewhere func(id, known string) string
	Dir       string // holds raft.db and snapshots/; made where missing
	// Mark is a file outside Dir that says that there has been a log in Dir (see Begun); default: none.
	Mark string
	Port *port.Port
	// ElectionTimeout: a replica that does not hear of the leader for this long (to twice it) calls an election, and a
	// leader that does not hear of a majority for this long steps down. Default 400 ms. A single replica leads at once.
	ElectionTimeout time.Duration
	// SnapshotEvery is the number of log entries after which the state is written to a snapshot. Default 1024.
	SnapshotEvery uint64
	Logger        *slog.Logger // default: none

	// Memory and Transport take the place of Dir and Port in tests and simulations.
	Memory    *Memory
	Transport raft.Transport

	turn time.Duration // see turnLength
}

var noLog = slog.New(slog.DiscardHandler)

// Errors of a proposal. NotLeaderError is another.
var (
	// ErrUnknown: leadership or patience was lost while the command was under way. It may be applied yet, or never.
	ErrUnknown = errors.New("it is not known whether the command will be applied")
	// ErrClosed: the node was shut down.
	ErrClosed = errors.New("this coordinator is shutting down")
	// ErrTransferring: this replica is handing its leadership over; it applied nothing.
	ErrTransferring = errors.New("this coordinator is handing leadership over")
	// ErrBusy: the command was not taken in time; it was not applied.
	ErrBusy = errors.New("the log did not take the command in time")
)

// NotLeaderError says that another replica leads. Nothing was applied.
type NotLeaderError struct {
	ID, Address string // of the leader; empty where none is known
}

// Error names the leader.
func (e *NotLeaderError) Error() string {
	if e.ID == "" {
		return "this coordinator does not lead, and no leader is known"
	}
	return fmt.Sprintf("this coordinator does not lead, %s at %s does", e.ID, e.Address)
}

// Node is one replica of the log.
type Node struct {
	cfg       Config
	raft      *raft.Raft
	transport raft.Transport
	store     *store // nil in memory
	address   string
	log       *slog.Logger

	machineMu sync.RWMutex
	applied   atomic.Uint64 // see Applied; changes under machineMu
	machine   Machine

	changed  chan struct{} // capacity 1
	leaders  chan struct{} // capacity 1
	observer *raft.Observer
	events   chan raft.Observation
	stop     chan struct{}
	changing chan struct{} // capacity 1: held while the set of replicas is changed

	newLeader   chan struct{} // capacity 1: for succeed
	brokenConns chan struct{} // capacity 1: a connection of another replica was closed

	up      atomic.Bool // Raft runs
	running sync.WaitGroup
	once    sync.Once
	result  error
	damage  chan error // capacity 1

	mu            sync.Mutex
	unstored      error // of the last write to the log, which is tried again; nil: it succeeded
	unstoredSince time.Time

	transferring time.Time // since when proposals fail with ErrTransferring; zero: they don't
	settled      time.Time // from then on the voters may be changed
}

// Start brings a replica to life: its state is that of the newest snapshot, and catches up with the log as soon as a
// leader is known. Shutdown ends it.
func Start(cfg Config, machine Machine) (*Node, error) {
	if cfg.ElectionTimeout == 0 {
		cfg.ElectionTimeout = 400 * time.Millisecond
	}
	if cfg.turn == 0 {
		cfg.turn = turnLength
	}
	if cfg.SnapshotEvery == 0 {
		cfg.SnapshotEvery = 1024
	}
	if cfg.Logger == nil {
		cfg.Logger = noLog
	}
	cfg.Peers = maps.Clone(cfg.Peers)
	n := &Node{cfg: cfg, log: cfg.Logger, machine: machine, changed: make(chan struct{}, 1), damage: make(chan error, 1), leaders: make(chan struct{}, 1),
		events: make(chan raft.Observation, 64), stop: make(chan struct{}), changing: make(chan struct{}, 1), newLeader: make(chan struct{}, 1), brokenConns: make(chan struct{}, 1)}
	if err := n.start(); err != nil {
		n.release()
		return nil, fmt.Errorf("start coordinator %s: %w", cfg.ID, err)
	}
	return n, nil
}

func (n *Node) start() error {
	n.address = cmp.Or(n.cfg.Address, n.cfg.Peers[n.cfg.ID])
	if n.address == "" {
		return fmt.Errorf("it has no address, and is not among the coordinators %v", n.founders())
	}
	if err := n.openTransport(); err != nil {
		return err
	}
	d, err := n.openDisk()
	if err != nil {
		return err
	}
	if err := n.found(d); err != nil {
		return err
	}
	if err := n.mark(d); err != nil {
		return err
	}
	if n.raft, err = raft.NewRaft(n.raftConfig(), fsm{n}, d.log, d.stable, counted{d.snapshots}, n.transport); err != nil {
		return err
	}
	n.up.Store(true)
	n.observer = raft.NewObserver(n.events, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			return true
		}
		return false
	})
	n.raft.RegisterObserver(n.observer)
	n.running.Go(n.watch)
	n.running.Go(n.succeed)
	if all := n.Replicas(); len(all) == 1 && all[0].ID == n.cfg.ID {
		n.running.Go(func() { _ = n.stand() }) // nobody could answer: waiting gains nothing. If it fails, Raft's timers do it
	}
	return nil
}

// raftConfig chooses the timeouts. CommitTimeout is how soon followers learn of a commit after which no entry follows; a
// proposal's latency does not depend on it, and three idle replicas take twice the CPU at 20 ms (4 % of a core) as at 50.
func (n *Node) raftConfig() *raft.Config {
	timeout := n.cfg.ElectionTimeout
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(n.cfg.ID)
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = timeout, timeout, timeout
	c.CommitTimeout = 50 * time.Millisecond
	c.SnapshotThreshold, c.TrailingLogs = n.cfg.SnapshotEvery, n.cfg.SnapshotEvery
	c.SnapshotInterval = 5 * time.Second
	c.ShutdownOnRemove = false
	c.NoLegacyTelemetry = true
	c.Logger = logs.Raft(n.log)
	return c
}

// watch tells of changes of leadership.
func (n *Node) watch() {
	var was string
	for {
		select {
		case <-n.stop:
			return
		case <-n.events:
		}
		id, address, known := n.Leader()
		if known && id != was {
			n.log.Info("coordinators have a leader", "leader", id, "address", address)
		} else if !known && was != "" {
			n.log.Info("coordinators have no leader", "before", was)
		}
		was = id
		if id == n.cfg.ID {
			n.settle() // the leader before may have changed the replicas just now
		}
		poke(n.newLeader)
		poke(n.leaders)
		poke(n.changed)
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Changed receives a value after the state or the leadership changed; several changes may make one value.
func (n *Node) Changed() <-chan struct{} { return n.changed }

// LeaderChanges receives a value after the leadership changed; several changes may make one value.
func (n *Node) LeaderChanges() <-chan struct{} { return n.leaders }

// Damaged receives the error that says which file of this replica turned out to be damaged while it was in use. It must
// not go on then.
func (n *Node) Damaged() <-chan error { return n.damage }

func (n *Node) noteDamage(err error) {
	select {
	case n.damage <- err:
		n.log.Error("the log cannot be read", "reason", err)
	default:
	}
}

// Leader is the leader as far as this replica knows.
func (n *Node) Leader() (id, address string, known bool) {
	at, server := n.raft.LeaderWithID()
	if server == "" {
		return "", "", false
	}
	return string(server), n.addressOf(server, at), true
}

// IsLeader reports whether this replica leads. It may have lost leadership without knowing: only a Propose or a Barrier
// that succeeds proves it.
func (n *Node) IsLeader() bool { return n.raft.State() == raft.Leader }

// Address is the host:port that this replica's peers and callers dial.
func (n *Node) Address() string { return n.address }

// View calls do with the state machine, which does not change meanwhile. do must not change or keep it.
func (n *Node) View(do func(Machine)) {
	n.machineMu.RLock()
	defer n.machineMu.RUnlock()
	do(n.machine)
}

// Applied is the entry up to which the state machine has applied the log, at least. Raft's own count is ahead of it: Raft counts what it
// hands over.
func (n *Node) Applied() uint64 { return n.applied.Load() }

// fsm gives Raft the state machine.
type fsm struct{ n *Node }

// Apply applies a committed entry.
func (f fsm) Apply(entry *raft.Log) any {
	f.n.machineMu.Lock()
	defer f.n.machineMu.Unlock()
	defer poke(f.n.changed)
	defer f.n.applied.Store(entry.Index)
	return f.n.machine.Apply(entry.Data)
}

// Snapshot writes the state to memory, so that the log goes on while it is written to disk.
func (f fsm) Snapshot() (raft.FSMSnapshot, error) {
	f.n.machineMu.RLock()
	defer f.n.machineMu.RUnlock()
	state, err := f.n.machine.Snapshot()
	if err != nil {
		return nil, err
	}
	if len(state) > MaxSnapshot {
		return nil, fmt.Errorf("the state's snapshot has %d bytes, more than %d", len(state), MaxSnapshot)
	}
	return snapshot(state), nil
}

// Restore takes a snapshot over.
func (f fsm) Restore(from io.ReadCloser) error {
	defer from.Close()
	state, err := io.ReadAll(io.LimitReader(from, MaxSnapshot+1))
	if err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	if len(state) > MaxSnapshot {
		return fmt.Errorf("the snapshot has more than %d bytes", MaxSnapshot)
	}
	f.n.machineMu.Lock()
	defer f.n.machineMu.Unlock()
	defer poke(f.n.changed)
	if err := f.n.machine.Restore(state); err != nil {
		return err
	}
	if wrapped, ok := from.(raft.ReadCloserWrapper); ok {
		from = wrapped.WrappedReadCloser()
	}
	if of, ok := from.(indexed); ok {
		f.n.applied.Store(of.index)
	}
	return nil
}

// counted are the snapshots, each of which says up to which entry it reaches when it is restored.
type counted struct{ raft.SnapshotStore }

// indexed is a snapshot's state and the entry up to which it reaches.
type indexed struct {
	io.ReadCloser
	index uint64
}

// Open opens a snapshot.
func (c counted) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	m, state, err := c.SnapshotStore.Open(id)
	if err != nil {
		return nil, nil, err
	}
	return m, indexed{state, m.Index}, nil
}

type snapshot []byte

// Persist writes the snapshot.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(s); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release has nothing to let go.
func (snapshot) Release() {}

// Shutdown ends the replica. A leader hands over first, for as long as ctx and some seconds allow: that saves the others
// the wait for an election. Acknowledged entries are on disk in any case.
func (n *Node) Shutdown(ctx context.Context) error {
	n.once.Do(func() {
		n.handOver(ctx)
		n.result = n.end()
	})
	return n.result
}

// handOver transfers leadership. It is done on shutdown only: a transfer cut short can leave a node refusing proposals
// (ErrTransferring) for good.
func (n *Node) handOver(ctx context.Context) {
	if !n.IsLeader() || n.voters() < 2 {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, 5*n.cfg.ElectionTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- n.raft.LeadershipTransfer().Error() }() // ends at the latest with raft.Shutdown
	select {
	case err := <-done:
		if err != nil {
			n.log.Warn("could not hand leadership over", "error", err)
		}
	case <-bounded.Done():
		n.log.Warn("could not hand leadership over in time")
	}
}

// end stops everything; nothing is handed over.
func (n *Node) end() error {
	n.raft.DeregisterObserver(n.observer)
	close(n.stop)
	err := n.raft.Shutdown().Error()
	n.running.Wait()
	return errors.Join(err, n.release())
}

// Kill ends the replica as a crash would: nothing is handed over.
func (n *Node) Kill() error {
	n.once.Do(func() { n.result = n.end() })
	return n.result
}
