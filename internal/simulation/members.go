package simulation

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/cluster"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/cluster/raftnode"
	"ringmaster/internal/rpc"
	"ringmaster/internal/sleep"
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
	c := &coordinator{world: w, id: fmt.Sprintf("c%d", w.born), raft: raftnode.NewMemory(), store: disk.NewMemFS()}
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
		sleep.For(w.ctx, 200*time.Millisecond)
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

// incomplete names what is wrong with a coordinator's store: a checkpoint of the log that it lacks, or that is not what the log says,
// or a folder that no job needs; "" where all is well with all.
func (w *World) incomplete() string {
	want := map[string]fsm.Checkpoint{}
	of := map[string]*fsm.Job{}
	problem := ""
	w.read(func(st *fsm.State) {
		for _, j := range all(st) {
			for _, k := range j.Checkpoints {
				if other := of[k.Directory]; other != nil {
					problem = fmt.Sprintf("jobs %s and %s share the checkpoint %s", other.ID, j.ID, k.Directory)
				}
				want[k.Directory], of[k.Directory] = k, j
			}
		}
	})
	for _, c := range w.all() {
		c.mu.Lock()
		disk := c.store
		c.mu.Unlock()
		store, err := checkpoint.Open(disk, "/checkpoints")
		if err != nil {
			return err.Error()
		}
		entries, err := store.List()
		if err != nil {
			return err.Error()
		}
		held := 0
		for _, e := range entries {
			k, named := want[e.Folder()]
			switch e = e.Verify(); {
			case !named:
				return fmt.Sprintf("coordinator %s keeps %s, which no job needs", c.id, e.Folder())
			case e.Err != nil:
				return fmt.Sprintf("coordinator %s: %v", c.id, e.Err)
			case e.Manifest.Incarnation != of[e.Folder()].Incarnation || !bytes.Equal(e.Manifest.Digest[:], k.Digest):
				return fmt.Sprintf("coordinator %s: %s is not what job %s saved", c.id, e.Folder(), of[e.Folder()].ID)
			}
			held++
		}
		if held < len(want) {
			return fmt.Sprintf("coordinator %s holds %d of %d checkpoints", c.id, held, len(want))
		}
	}
	return problem
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
