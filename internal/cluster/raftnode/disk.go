package raftnode

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
)

// disk is what a replica keeps.
type disk struct {
	log       raft.LogStore
	stable    raft.StableStore
	snapshots raft.SnapshotStore
}

// Memory is a replica's disk in memory, for tests and simulations. It outlives the Node that uses it, as a disk does.
type Memory struct {
	store     *raft.InmemStore
	snapshots *raft.InmemSnapshotStore
}

// NewMemory is an empty disk.
func NewMemory() *Memory {
	return &Memory{store: raft.NewInmemStore(), snapshots: raft.NewInmemSnapshotStore()}
}

// The contents of a replica's folder.
const (
	logName       = "raft.db"
	snapshotsName = "snapshots"
	lostName      = "lost" // there from the moment when a damaged log is set aside until the replica has a log again
)

// lockWait is how long a replica waits for the one before it to let go of its files.
const lockWait = 2 * time.Second

func (n *Node) openDisk() (disk, error) {
	if m := n.cfg.Memory; m != nil {
		return disk{m.store, m.store, m.snapshots}, nil
	}
	if err := os.MkdirAll(n.cfg.Dir, 0o700); err != nil {
		return disk{}, fmt.Errorf("make the folder of Raft's log: %w", err)
	}
	s, err := openStore(filepath.Join(n.cfg.Dir, logName), lockWait)
	if err != nil {
		return disk{}, err
	}
	n.store = s
	s.damaged = n.noteDamage
	snapshots, err := openSnapshots(filepath.Join(n.cfg.Dir, snapshotsName))
	if err == nil {
		err = gapless(s, snapshots)
	}
	if err != nil {
		return disk{}, err
	}
	p := patient{s, s, n}
	return disk{p, p, snapshots}, nil
}

// gapless checks that the log begins where the newest snapshot ends, or before.
func gapless(s *store, kept *snapshots) error {
	all, err := kept.List()
	if err != nil {
		return err
	}
	covered := uint64(0)
	if len(all) > 0 {
		covered = all[0].Index
	}
	if first, _ := s.FirstIndex(); first > covered+1 {
		return &DamagedError{s.path, fmt.Sprintf("its entries begin at %d, and the newest snapshot ends at %d", first, covered)}
	}
	return nil
}

// release lets go of connections and files.
func (n *Node) release() error {
	if t, ok := n.transport.(persistent); ok {
		t.Close()
		t.CloseStreams() // Close leaves pooled connections open
	} else if t, ok := n.transport.(raft.WithClose); ok {
		t.Close()
	}
	if n.store == nil {
		return nil
	}
	if err := n.store.close(); err != nil {
		return fmt.Errorf("close Raft's log: %w", err)
	}
	return nil
}
