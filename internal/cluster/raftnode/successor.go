package raftnode

import (
	"context"
	"errors"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/hashicorp/raft"

	"ringmaster/internal/sleep"
)

// Raft's followers notice a dead leader by its silence, and agree only when all their timers have run out: one to two
// election timeouts. But a leader whose process died says so: its connections break, and its port refuses new ones.
// Then the followers need not wait. One after another, so that they do not split the votes, they stand for election the
// way Raft's leadership transfer makes them: without a pre-vote, which followers refuse while they remember a leader.
// Raft's rules of voting stay as they are: at worst a leader that lives is put out for a moment.

const (
	probeTimeout = 200 * time.Millisecond
	probes       = 3                     // a dying process does not close everything at the same moment
	probePause   = 10 * time.Millisecond // between them
	// turnLength is how long an heir has before the next one becomes a candidate: enough to write its vote to a busy disk, and the
	// others theirs. Where the votes are split all the same, Raft's timers decide.
	turnLength = 250 * time.Millisecond
)

// succeed waits for connections to break and looks whether it was the leader's death.
func (n *Node) succeed() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-n.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	var leader, address string // the last one known: an heir that is already a candidate makes Raft forget it
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.newLeader:
		case <-n.brokenConns:
			if id, at, known := n.Leader(); known {
				leader, address = id, at
			}
			if leader != "" && leader != n.cfg.ID && n.refuses(ctx, address) {
				n.inherit(ctx, leader, address)
			}
		}
		if id, at, known := n.Leader(); known {
			leader, address = id, at
		}
	}
}

// refuses reports whether an address refuses connections: the machine is there, and no process listens. Anything else
// may be the network's fault.
func (n *Node) refuses(ctx context.Context, address string) bool {
	d := net.Dialer{Timeout: probeTimeout}
	for try := range probes {
		if try > 0 && !sleep.For(ctx, probePause) {
			return false
		}
		conn, err := d.DialContext(ctx, "tcp", address)
		if err == nil {
			conn.Close()
			continue
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	}
	return false
}

// inherit stands for election when the others of lower id have had the time to.
func (n *Node) inherit(ctx context.Context, dead, address string) {
	f := n.raft.GetConfiguration()
	if f.Error() != nil {
		return
	}
	var heirs []string
	for _, s := range f.Configuration().Servers {
		if s.Suffrage == raft.Voter && string(s.ID) != dead {
			heirs = append(heirs, string(s.ID))
		}
	}
	slices.Sort(heirs)
	turn := slices.Index(heirs, n.cfg.ID)
	if turn < 0 || !sleep.For(ctx, time.Duration(turn)*n.cfg.turn) {
		return
	}
	// By now another heir may lead, or stand; or the dead one is back.
	if id, _, known := n.Leader(); known && id != dead || n.raft.State() != raft.Follower || turn > 0 && !n.refuses(ctx, address) {
		return
	}
	n.log.Info("the leader's process is gone; standing for election", "leader", dead)
	if err := n.stand(); err != nil {
		n.log.Warn("could not stand for election", "error", err)
	}
}

// stand makes this replica a candidate at once.
func (n *Node) stand() error { return n.bid(n.cfg.ID, n.address) }

// bid makes a replica a candidate at once.
func (n *Node) bid(id, address string) error {
	self, at := raft.ServerID(n.cfg.ID), raft.ServerAddress(n.address)
	request := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax,
		ID: []byte(self), Addr: n.transport.EncodePeer(self, at)}}
	return n.transport.TimeoutNow(raft.ServerID(id), raft.ServerAddress(address), request, &raft.TimeoutNowResponse{})
}
