//go:build !race

package raftnode

import (
	"maps"
	"testing"
)

// Raft v1.8.0 reads a follower's address (updateLastAppended) without the lock under which it changes it (startStopReplication). The race detector
// sees that now and then where all addresses change while entries are under way, so this test does without the detector.

// TestAllReplicasMoveAtOnce: their log knows none of the new addresses; they are found elsewhere, and then the log is told.
func TestAllReplicasMoveAtOnce(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll()
	propose(t, c.nodes(), "a")
	for id := range c.peers {
		c.crash(id)
	}
	for id := range c.peers {
		c.peers[id] = freeAddress(t)
	}
	moved := maps.Clone(c.peers)
	c.elsewhere = func(id, known string) string { return moved[id] }
	c.startAll()
	propose(t, c.nodes(), "b")
	c.agree([]string{"a", "b"})
	if id, address, _ := c.up["c1"].Leader(); address != c.peers[id] {
		t.Errorf("the leader %s is said to be at %s, it is at %s", id, address, c.peers[id])
	}
	for id := range c.peers {
		c.add(id)
	}
	for id := range c.peers {
		c.crash(id)
	}
	c.elsewhere = nil
	c.startAll()
	propose(t, c.nodes(), "c")
	c.agree([]string{"a", "b", "c"})
}
