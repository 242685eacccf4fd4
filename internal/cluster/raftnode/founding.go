package raftnode

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/raft"
)

// Fresh reports whether a folder holds no log yet: the replica that lived there has never been part of a cluster, or has
// lost all that it knew of one. The error is a *DamagedError where it holds one that is not as it was written.
func Fresh(dir string) (bool, error) {
	log := filepath.Join(dir, logName)
	if _, err := os.Stat(log); errors.Is(err, fs.ErrNotExist) {
		if left, err := os.ReadDir(filepath.Join(dir, snapshotsName)); err == nil && len(left) > 0 {
			return false, &DamagedError{log, "it is missing, though there are snapshots"}
		}
		return true, nil
	}
	n := &Node{cfg: Config{Dir: dir}, log: noLog}
	d, err := n.openDisk()
	if err != nil {
		return false, err
	}
	used, err := raft.HasExistingState(d.log, d.stable, d.snapshots)
	return !used, errors.Join(err, n.store.close())
}

func (n *Node) founders() []string { return slices.Sorted(maps.Keys(n.cfg.Peers)) }

// found begins the log with the founders of the cluster, where it is empty; else it checks them. Two lists would be two
// clusters, each with a leader of its own: a log that knows no other replicas than its founders refuses another list.
// Once replicas have come and gone, the log knows better than whoever wrote the list.
func (n *Node) found(d disk) error {
	used, err := raft.HasExistingState(d.log, d.stable, d.snapshots)
	if err != nil || len(n.cfg.Peers) == 0 {
		return err
	}
	if !used {
		return n.begin(d)
	}
	was, index, err := newestConfiguration(d)
	if err != nil || index == 0 {
		return err
	}
	var known []string
	for _, s := range was.Servers {
		known = append(known, string(s.ID))
	}
	slices.Sort(known)
	switch now := n.founders(); {
	case slices.Equal(known, now):
	case index > 1:
		n.log.Info("the coordinators are those that the log knows; the list given is only for founding a cluster", "log", known, "list", now)
	default:
		return fmt.Errorf("its log in %s was begun by the coordinators %v, not %v: name the same ones, or use a new folder", n.cfg.Dir, known, now)
	}
	return nil
}

func (n *Node) begin(d disk) error {
	if !slices.Contains([]int{1, 3, 5}, len(n.cfg.Peers)) {
		return fmt.Errorf("%d coordinators, want 1, 3 or 5", len(n.cfg.Peers))
	}
	if _, ok := n.cfg.Peers[n.cfg.ID]; !ok {
		return fmt.Errorf("it is not among the coordinators %v", n.founders())
	}
	var c raft.Configuration
	for _, id := range n.founders() {
		at := n.cfg.Peers[id]
		if id == n.cfg.ID {
			at = n.address
		}
		c.Servers = append(c.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(at)})
	}
	return raft.BootstrapCluster(n.raftConfig(), d.log, d.stable, d.snapshots, n.transport, c)
}

// newestConfiguration is the last one that the disk holds, with the index of its entry; 0: there is none.
func newestConfiguration(d disk) (raft.Configuration, uint64, error) {
	last, err := d.log.LastIndex()
	if err != nil {
		return raft.Configuration{}, 0, err
	}
	first, err := d.log.FirstIndex()
	if err != nil {
		return raft.Configuration{}, 0, err
	}
	for index := last; index >= first && index > 0; index-- {
		var entry raft.Log
		if err := d.log.GetLog(index, &entry); errors.Is(err, raft.ErrLogNotFound) {
			continue
		} else if err != nil {
			return raft.Configuration{}, 0, err
		}
		if entry.Type == raft.LogConfiguration {
			return raft.DecodeConfiguration(entry.Data), index, nil
		}
	}
	snapshots, err := d.snapshots.List()
	if err != nil || len(snapshots) == 0 {
		return raft.Configuration{}, 0, err
	}
	return snapshots[0].Configuration, snapshots[0].ConfigurationIndex, nil
}
