package raftnode

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// Propose appends a command to the log and waits until it is applied here; the result is the machine's. Errors:
// *NotLeaderError, ErrBusy, ErrTransferring and ErrClosed (nothing was applied), ErrUnknown (it may yet be).
func (n *Node) Propose(ctx context.Context, command []byte) (result any, err error) {
	if len(command) > MaxCommand {
		return nil, fmt.Errorf("propose: the command has %d bytes, more than %d", len(command), MaxCommand)
	}
	var apply raft.ApplyFuture
	err = n.wait(ctx, func(patience time.Duration) raft.Future {
		apply = n.raft.Apply(command, patience)
		return apply
	})
	if err != nil {
		return nil, fmt.Errorf("propose: %w", err)
	}
	return apply.Response(), nil
}

// Barrier waits until everything committed before it is applied here. Only a leader can; errors as of Propose.
func (n *Node) Barrier(ctx context.Context) error {
	if err := n.wait(ctx, func(patience time.Duration) raft.Future { return n.raft.Barrier(patience) }); err != nil {
		return fmt.Errorf("barrier: %w", err)
	}
	return nil
}

// wait begins an operation and waits for its end, at most as long as ctx.
func (n *Node) wait(ctx context.Context, begin func(patience time.Duration) raft.Future) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var patience time.Duration // 0: forever
	if deadline, ok := ctx.Deadline(); ok {
		if patience = time.Until(deadline); patience <= 0 {
			return ErrBusy
		}
	}
	done := make(chan error, 1)
	go func() { done <- begin(patience).Error() }() // ends at the latest with raft.Shutdown
	select {
	case err := <-done:
		return n.explain(err)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnknown, ctx.Err())
	}
}

// stuckAfter is how long proposals may fail with ErrTransferring before it is said that this will not end.
const stuckAfter = 10 * time.Second

// explain turns Raft's errors into ours.
func (n *Node) explain(err error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !errors.Is(err, raft.ErrLeadershipTransferInProgress) {
		n.transferring = time.Time{}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader):
		id, address, _ := n.Leader()
		if id == n.cfg.ID {
			id, address = "", "" // leadership came or went just now: do not send the caller round in circles
		}
		return &NotLeaderError{ID: id, Address: address}
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrAbortedByRestore):
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	case errors.Is(err, raft.ErrRaftShutdown):
		return ErrClosed
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return ErrBusy
	case errors.Is(err, raft.ErrLeadershipTransferInProgress):
		if n.transferring.IsZero() {
			n.transferring = time.Now()
		} else if since := time.Since(n.transferring); since > stuckAfter {
			return fmt.Errorf("%w for %v, which will not end: restart it", ErrTransferring, since.Round(time.Second))
		}
		return ErrTransferring
	}
	return err
}

// Stats are figures for people and metrics.
type Stats struct {
	State         string // Follower, Candidate, Leader or Shutdown
	Term          uint64
	LastIndex     uint64 // newest entry in the log
	CommitIndex   uint64
	AppliedIndex  uint64
	Voters        int
	LeaderSilence time.Duration // since the last sign of life of the leader; 0 on the leader itself, -1 where there was none
}

// Stats reads the figures.
func (n *Node) Stats() Stats {
	s := Stats{State: n.raft.State().String(), Term: n.raft.CurrentTerm(), LastIndex: n.raft.LastIndex(),
		CommitIndex: n.raft.CommitIndex(), AppliedIndex: n.raft.AppliedIndex(), Voters: n.voters()}
	if last := n.raft.LastContact(); n.IsLeader() {
		s.LeaderSilence = 0
	} else if last.IsZero() {
		s.LeaderSilence = -1
	} else {
		s.LeaderSilence = time.Since(last)
	}
	return s
}
