package raftnode

import (
	"runtime"
	"time"

	"github.com/hashicorp/raft"
)

// patient is a store whose disk may refuse a write for a while: no space, a quota, a file system that has become read-only. Raft
// panics where its term cannot be stored, and a single replica that gives up leadership because of an entry has nobody to give it to.
// So such writes are tried again until they succeed: a replica that cannot store its term is silent meanwhile, and the others go on
// without it. One of several that cannot store an entry says so at once, and another one leads.
type patient struct {
	raft.LogStore
	raft.StableStore
	n *Node
}

// Pauses between two attempts.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// StoreLog stores one entry.
func (p patient) StoreLog(entry *raft.Log) error { return p.StoreLogs([]*raft.Log{entry}) }

// StoreLogs stores entries.
func (p patient) StoreLogs(entries []*raft.Log) error {
	return p.n.insist(func() error { return p.LogStore.StoreLogs(entries) }, func() bool { return p.n.IsLeader() && p.n.voters() == 1 })
}

// DeleteRange deletes entries.
func (p patient) DeleteRange(first, last uint64) error {
	return p.n.insist(func() error { return p.LogStore.DeleteRange(first, last) }, func() bool { return false })
}

// Set stores a stable value.
func (p patient) Set(key, value []byte) error {
	return p.n.insist(func() error { return p.StableStore.Set(key, value) }, func() bool { return true })
}

// SetUint64 stores a stable number.
func (p patient) SetUint64(key []byte, value uint64) error {
	return p.n.insist(func() error { return p.StableStore.SetUint64(key, value) }, func() bool { return true })
}

// insist writes until that succeeds, as long as again says so. When the node is shut down meanwhile, Raft's goroutine ends instead of
// returning: Raft would panic, and what was not stored was not promised to anybody.
func (n *Node) insist(write func() error, again func() bool) error {
	for wait := firstPause; ; wait = min(2*wait, lastPause) {
		err := write()
		n.noteStored(err)
		if err == nil || !n.up.Load() || !again() {
			return err
		}
		select {
		case <-n.stop:
			runtime.Goexit()
		case <-time.After(wait):
		}
	}
}

// noteStored remembers whether the last write succeeded.
func (n *Node) noteStored(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case err == nil:
		if n.unstored != nil {
			n.log.Info("the log can be written again", "dir", n.cfg.Dir)
		}
		n.unstored = nil
	default:
		if n.unstored == nil {
			n.unstoredSince = time.Now()
			n.log.Error("the log cannot be written; it is tried again", "dir", n.cfg.Dir, "reason", err)
		}
		n.unstored = err
	}
}

// Unstored is what keeps this replica from writing its log, and since when; nil where nothing does.
func (n *Node) Unstored() (since time.Time, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.unstoredSince, n.unstored
}
