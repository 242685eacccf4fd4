package raftnode

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// fullDisk is a replica's disk in memory that has no space while full.
type fullDisk struct {
	*raft.InmemStore
	full  atomic.Bool
	tries atomic.Int64
}

func (d *fullDisk) StoreLogs(entries []*raft.Log) error {
	if d.full.Load() {
		d.tries.Add(1)
		return syscall.ENOSPC
	}
	return d.InmemStore.StoreLogs(entries)
}

func (d *fullDisk) Set(key, value []byte) error {
	if d.full.Load() {
		d.tries.Add(1)
		return syscall.ENOSPC
	}
	return d.InmemStore.Set(key, value)
}

func newNode() *Node { return &Node{log: noLog, stop: make(chan struct{})} }

// A term that the disk does not take is stored when it does: Raft panics where that fails. The reason can be asked for meanwhile.
func TestTermWaitsForSpace(t *testing.T) {
	d, n := &fullDisk{InmemStore: raft.NewInmemStore()}, newNode()
	p := patient{d, d, n}
	d.full.Store(true)
	if err := p.Set([]byte("CurrentTerm"), []byte("1")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("before Raft runs: %v, want the error", err)
	}
	n.up.Store(true)
	stored := make(chan error)
	go func() { stored <- p.Set([]byte("CurrentTerm"), []byte("2")) }()
	for d.tries.Load() < 4 {
		time.Sleep(time.Millisecond)
	}
	if since, err := n.Unstored(); !errors.Is(err, syscall.ENOSPC) || since.IsZero() {
		t.Errorf("meanwhile: %v since %v", err, since)
	}
	d.full.Store(false)
	if err := <-stored; err != nil {
		t.Error(err)
	}
	if _, err := n.Unstored(); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if value, err := d.Get([]byte("CurrentTerm")); err != nil || string(value) != "2" {
		t.Errorf("%s, %v", value, err)
	}
}

// One of several replicas says at once that it cannot store an entry, so that another one leads. A single one keeps leading: the entry is
// stored when there is space, and whoever proposed it is told that it is not known.
func TestEntryOfSingleReplicaWaitsForSpace(t *testing.T) {
	d := &fullDisk{InmemStore: raft.NewInmemStore()}
	_, transport := raft.NewInmemTransport("c1")
	n := single(t, d, transport)
	for !n.IsLeader() {
		time.Sleep(time.Millisecond)
	}
	if _, err := n.Propose(t.Context(), []byte("a")); err != nil {
		t.Fatal(err)
	}
	d.full.Store(true)
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := n.Propose(short, []byte("b")); !errors.Is(err, ErrUnknown) {
		t.Errorf("proposed to a full disk: %v", err)
	}
	if _, err := n.Unstored(); !errors.Is(err, syscall.ENOSPC) || !n.IsLeader() {
		t.Errorf("meanwhile: %v, leads: %v", err, n.IsLeader())
	}
	d.full.Store(false)
	if _, err := n.Propose(t.Context(), []byte("c")); err != nil {
		t.Error(err)
	}
	if err := n.raft.Shutdown().Error(); err != nil {
		t.Error(err)
	}
}

// A replica whose disk takes nothing, not even its term, can be shut down all the same.
func TestShutdownOfFullReplica(t *testing.T) {
	d := &fullDisk{InmemStore: raft.NewInmemStore()}
	_, transport := raft.NewInmemTransport("c1")
	n := single(t, d, transport)
	for !n.IsLeader() {
		time.Sleep(time.Millisecond)
	}
	d.full.Store(true)
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := n.Propose(short, []byte("b")); err == nil {
		t.Error("a full disk took an entry")
	}
	close(n.stop)
	if err := n.raft.Shutdown().Error(); err != nil {
		t.Error(err)
	}
}

// single is a cluster of one replica on the disk.
func single(t *testing.T, d *fullDisk, transport raft.Transport) *Node {
	t.Helper()
	n := &Node{cfg: Config{ID: "c1", ElectionTimeout: 50 * time.Millisecond, SnapshotEvery: 1024, Logger: noLog}, log: noLog, machine: &register{},
		changed: make(chan struct{}, 1), stop: make(chan struct{}), transport: transport}
	p := patient{d, d, n}
	conf := n.raftConfig()
	if err := raft.BootstrapCluster(conf, p, p, raft.NewInmemSnapshotStore(), transport, raft.Configuration{Servers: []raft.Server{{ID: "c1", Address: "c1"}}}); err != nil {
		t.Fatal(err)
	}
	var err error
	if n.raft, err = raft.NewRaft(conf, fsm{n}, p, p, raft.NewInmemSnapshotStore(), transport); err != nil {
		t.Fatal(err)
	}
	n.up.Store(true)
	return n
}

// register is a state machine that takes everything.
type register struct{}

func (*register) Apply([]byte) any          { return nil }
func (*register) Snapshot() ([]byte, error) { return nil, nil }
func (*register) Restore([]byte) error      { return nil }
