package raftnode

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/hashicorp/raft"
)

// Figures are what a replica tells of its log to those who watch it.
type Figures struct {
	Leads      bool
	HasLeader  bool
	Term       uint64
	Last       uint64 // index of the newest entry in the log,
	Committed  uint64 // of the newest one that a majority holds, as far as this replica knows,
	Applied    uint64 // and of the newest one that was handed to the state machine
	Pending    int    // entries handed over that it has not taken yet
	Replicas   int
	Unstorable bool // the newest write to the log failed; it is tried again
}

// Figures are the figures at this moment.
func (n *Node) Figures() Figures {
	_, _, known := n.Leader()
	_, unstored := n.Unstored()
	pending, _ := strconv.Atoi(n.raft.Stats()["fsm_pending"]) // Raft gives it in this form alone
	return Figures{Leads: n.raft.State() == raft.Leader, HasLeader: known, Term: n.raft.CurrentTerm(), Last: n.raft.LastIndex(),
		Committed: n.raft.CommitIndex(), Applied: n.raft.AppliedIndex(), Pending: pending, Replicas: len(n.Replicas()), Unstorable: unstored != nil}
}

// Ready says why the replica cannot answer for the cluster; nil where there is a leader and the log is applied here.
func (f *Figures) Ready() error {
	switch {
	case !f.HasLeader:
		return errors.New("the coordinators have no leader, as far as this one knows")
	case f.Applied < f.Committed || f.Pending > 0:
		return fmt.Errorf("the log is not applied here yet: %d of %d entries, %d under way", f.Applied, f.Committed, f.Pending)
	}
	return nil
}
