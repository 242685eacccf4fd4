package simulation

import (
	"context"
	"fmt"
	"path"
	"slices"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/cluster"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/cluster/node"
	"ringmaster/internal/rpc"
)

// all are the coordinators that belong to the cluster, or are about to.
func (w *World) all() []*coordinator {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.coordinators)
}

// replace brings a new coordinator into the cluster in the place of an old one, as a person would: the new one asks until it
// votes, then the old one is removed and its machine thrown away. Other faults go on meanwhile. One at a time.
func (w *World) replace(old *coordinator) {
	w.mu.Lock()
	if w.replacing {
		w.mu.Unlock()
		return
	}
	w.replacing = true
	w.born++
	c := &coordinator{world: w, id: fmt.Sprintf("c%d", w.born), raft: node.NewMemory(), store: disk.NewMemory()}
	c.address = c.id + ":7070"
	w.mu.Unlock()
	w.running.Go(func() {
		if w.until(func(s *cluster.Server) bool { return w.join(c, s) }) && w.until(func(s *cluster.Server) bool {
			_, err := s.RemoveCoordinator(w.ctx, &rpc.RemoveCoordinatorRequest{Id: old.id})
			return err == nil
		}) {
			w.discard(old)
			w.log.Info("REPLACED", "old", old.id, "new", c.id)
		}
		w.mu.Lock()
		w.replacing = false
		w.mu.Unlock()
	})
}

// until asks the coordinators in turn until one has done what is wanted; false where the world ended first.
func (w *World) until(do func(*cluster.Server) bool) bool {
	for w.ctx.Err() == nil {
		for _, c := range w.all() {
			if s := c.alive(); s != nil && do(s) {
				return true
			}
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-w.ctx.Done():
		}
	}
	return false
}

// join asks a coordinator to take the new one in; true once that votes.
func (w *World) join(c *coordinator, leader *cluster.Server) bool {
	here := slices.Contains(w.all(), c)
	request := &rpc.AddCoordinatorRequest{Id: c.id, Address: c.address, Fresh: !here}
	if own := c.alive(); own != nil && here {
		request.Whole = c.target > 0 && own.Whole(c.target)
	}
	bounded, cancel := context.WithTimeout(w.ctx, 5*time.Second)
	defer cancel()
	reply, err := leader.AddCoordinator(bounded, request)
	if err != nil {
		return false
	}
	if !here {
		w.mu.Lock()
		w.coordinators = append(w.coordinators, c)
		w.mu.Unlock()
		w.restart(c)
		return false
	}
	c.target = max(c.target, 1)
	if c.target == 1 {
		c.target = max(reply.Applied, 2)
	}
	return reply.Waits == ""
}

// discard takes a coordinator's machine away for good.
func (w *World) discard(c *coordinator) {
	w.mu.Lock()
	w.coordinators = slices.DeleteFunc(slices.Clone(w.coordinators), func(other *coordinator) bool { return other == c })
	w.mu.Unlock()
	c.mu.Lock()
	c.gone = true
	c.mu.Unlock()
	c.stop()
}

// incomplete names a checkpoint of the log that a coordinator lacks; "" where all hold all.
func (w *World) incomplete() string {
	var want []fsm.Checkpoint
	w.read(func(st *fsm.State) {
		for _, j := range st.Jobs {
			want = append(want, j.Checkpoints...)
		}
	})
	for _, c := range w.all() {
		c.mu.Lock()
		store := c.store
		c.mu.Unlock()
		for _, k := range want {
			if _, err := store.Stat(path.Join("/checkpoints", k.Directory, checkpoint.ManifestName)); err != nil {
				return fmt.Sprintf("coordinator %s lacks checkpoint %s", c.id, k.Directory)
			}
		}
	}
	return ""
}

// settle waits until no replacement is under way and all coordinators hold all checkpoints.
func (w *World) settle(patience time.Duration) string {
	problem := ""
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		w.mu.Lock()
		replacing := w.replacing
		w.mu.Unlock()
		if replacing {
			problem = "a coordinator is still being replaced"
		} else if problem = w.incomplete(); problem == "" {
			return ""
		}
	}
	return problem
}
