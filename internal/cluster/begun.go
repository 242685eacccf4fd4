package cluster

import (
	"fmt"
	"slices"
	"sync"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
)

// maxBegun bounds the checkpoints of a job that a worker may have begun here and not finished. A job saves one at a time, so more than two
// are none that are due: a worker that invents steps would fill the disk.
const maxBegun = 4

// begun remembers which unfinished checkpoints each worker stores shares of. After a restart it is empty.
type begun struct {
	mu      sync.Mutex
	folders map[begunBy][]checkpoint.Name
}

type begunBy struct {
	worker string
	job    plan.Incarnation
}

// note counts a checkpoint that a worker stores a share of; the error says that it has begun too many. Those that the log is past count
// no more: what was finished of them stays, and the rest is deleted.
func (b *begun) note(st *fsm.State, worker string, n checkpoint.Name) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.folders == nil {
		b.folders = map[begunBy][]checkpoint.Name{}
	}
	for key, names := range b.folders {
		if names = slices.DeleteFunc(names, func(n checkpoint.Name) bool { return !open(st, n) }); len(names) == 0 {
			delete(b.folders, key)
		} else {
			b.folders[key] = names
		}
	}
	key := begunBy{worker, n.Job}
	if !open(st, n) || slices.Contains(b.folders[key], n) {
		return nil
	}
	if len(b.folders[key]) >= maxBegun {
		return fmt.Errorf("worker %s has begun %d checkpoints of the job that are not finished", worker, maxBegun)
	}
	b.folders[key] = append(b.folders[key], n)
	return nil
}

// open reports whether a folder may still become a checkpoint of its job.
func open(st *fsm.State, n checkpoint.Name) bool {
	for _, j := range st.Jobs {
		if j.Incarnation != n.Job {
			continue
		}
		saved := uint64(0)
		if k := len(j.Checkpoints); k > 0 {
			saved = j.Checkpoints[k-1].Step
		}
		current := j.View != nil && j.View.Generation == n.Generation || j.StartedView != nil && j.StartedView.Generation == n.Generation
		return current && n.Step > saved
	}
	return false
}
