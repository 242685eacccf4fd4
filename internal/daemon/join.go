package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"ringmaster/internal/cluster/raftnode"
	"ringmaster/internal/config"
	"ringmaster/internal/rpc"
	"ringmaster/internal/setaside"
	"ringmaster/internal/sleep"
)

// aloneAfter is how long a coordinator whose log is damaged or gone listens for others before it counts as alone.
const aloneAfter = 3 * time.Second

// join decides this replica's initial role before its Raft may send anything. It returns the founders of the cluster that it founds, or
// whose log it has; a replica without a log that founds none has become a member of its cluster when join returns.
func (m *membership) join(ctx context.Context, c *config.Coordinator) (peers map[string]string, err error) {
	fresh, err := raftnode.Fresh(c.RaftDir)
	var damaged *raftnode.DamagedError
	switch {
	case errors.As(err, &damaged):
		return nil, m.recover(ctx, c, damaged)
	case err != nil:
		return nil, err
	case !fresh:
		return founders(c, m.address), raftnode.Found(c.RaftDir)
	case raftnode.Lost(c.RaftDir):
		return nil, m.enter(ctx, true)
	case len(c.Peers) == 0:
		return nil, m.enter(ctx, false)
	}
	begun, err := raftnode.Begun(mark(c), c.RaftDir)
	if err != nil {
		return nil, err
	}
	if begun {
		return m.returned(ctx, c)
	}
	return founders(c, m.address), nil
}

// mark is the file that shows that a coordinator's folder has held a Raft log.
func mark(c *config.Coordinator) string { return filepath.Join(c.Dir, "begun") }

// returned decides how a founder whose whole log is gone starts: the others withdraw its vote and admit it as a new replica.
// If there are no others, nothing that it has forgotten matters any more.
func (m *membership) returned(ctx context.Context, c *config.Coordinator) (peers map[string]string, err error) {
	others, err := m.findOthers(ctx)
	switch {
	case err != nil:
		return nil, err
	case !others:
		m.log.Warn("the log of this coordinator is gone, and no other is known: it founds the cluster again, without its jobs", "folder", c.RaftDir)
		return founders(c, m.address), nil
	}
	m.log.Error("the log of this coordinator is gone; it asks the others to take it in as a new one. Where all have lost their logs, found the cluster again, "+
		"without its jobs, by deleting the mark of each", "folder", c.RaftDir, "mark", mark(c))
	return nil, m.enter(ctx, true)
}

// findOthers listens for other coordinators for a while, and reports whether any is known.
func (m *membership) findOthers(ctx context.Context) (bool, error) {
	for end := time.Now().Add(aloneAfter); !m.others(); {
		if time.Now().After(end) {
			return false, nil
		}
		if !sleep.For(ctx, memberLook) {
			return false, ctx.Err()
		}
	}
	return true, nil
}

// recover repairs a damaged log from the other replicas: the leader admits this one as a new replica, then the log is set aside. If
// there are no others, nothing is touched.
func (m *membership) recover(ctx context.Context, c *config.Coordinator, damaged *raftnode.DamagedError) error {
	if others, err := m.findOthers(ctx); err != nil {
		return err
	} else if !others {
		return alone(c, damaged)
	}
	m.log.Error("the log is damaged; asking the other coordinators for theirs", "reason", damaged)
	if err := m.enter(ctx, true); err != nil {
		return err
	}
	aside, err := raftnode.SetAside(c.RaftDir)
	if err != nil {
		return err
	}
	m.log.Warn("set the damaged log aside; the other coordinators send theirs", "folder", aside)
	if dropped, err := setaside.Drop(c.RaftDir); err != nil || len(dropped) > 0 {
		m.log.Warn("deleted damaged logs that were set aside before; the newest stay", "folders", dropped, "keep", setaside.Keep, "error", err)
	}
	return nil
}

// others reports whether other coordinators are known.
func (m *membership) others() bool {
	for _, address := range m.known() {
		if address != m.address {
			return true
		}
	}
	return false
}

// alone says what to do about a damaged log of which there is no other copy.
func alone(c *config.Coordinator, damaged *raftnode.DamagedError) error {
	return fmt.Errorf("%w, and no other coordinator is known that could heal it: move %s elsewhere and start again, which founds the cluster again without its jobs. "+
		"A job of ringmaster launch goes on from its newest checkpoint by --resume; another one does so once %s is copied to RUN/coordinators/c1/checkpoints (ringmaster launch JOB --dir RUN --resume)",
		damaged, c.RaftDir, filepath.Join(c.Dir, "checkpoints"))
}

// readable fails when the log turns out to be damaged while it is in use. Started again, the coordinator heals it.
func readable(ctx context.Context, n *raftnode.Node) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-n.Damaged():
		return err
	}
}

// enter asks the cluster to admit this replica, which has no log yet, until it does or refuses. Only then
// may its Raft send anything: a replica that had a vote and lost its log must not vote again. One whose log was damaged keeps asking when
// refused, since the leader may yet get what it waits for: a majority without this replica.
func (m *membership) enter(ctx context.Context, lost bool) error {
	request := &rpc.AddCoordinatorRequest{Id: m.id, Address: m.address, Fresh: true, Lost: lost}
	for wait := enterFirst; ; wait = min(2*wait, enterLast) {
		err := m.lead(ctx, func(ctx context.Context, leader rpc.CoordinatorClient) error {
			_, err := leader.AddCoordinator(ctx, request)
			return err
		})
		var refused *refusal
		switch {
		case err == nil:
			return nil
		case errors.As(err, &refused) && (!lost || refused.lives):
			return &config.Problem{Text: fmt.Sprintf("join: %v", err)}
		}
		m.say("asks to join the cluster", "addresses", m.known(), "reason", err)
		if !sleep.For(ctx, wait) {
			return ctx.Err()
		}
	}
}
