package cluster

import (
	"math"
	"slices"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
)

// claimedFolders are what the jobs of the log need of a replica's store. Unclaimed folders are deleted only where it is certain that
// no job can ever need it: it belongs to a job of the log that is past it, or to the earlier launches of such a job.
type claimedFolders struct {
	whole    []claimed                         // must stand whole
	named    map[string]bool                   // folders that stay
	released map[string]bool                   // folders of older checkpoints that no longer count
	bounds   map[plan.Incarnation]claimedAbove // by job of the log
}

// claimedAbove says which folders of a job may still become checkpoints: those of its generation or a newer one, from its newest
// checkpoint on. The log takes checkpoints in this order alone, so also a replica that lags deletes nothing that will be one.
type claimedAbove struct {
	generation plan.Generation
	step       uint64
}

// foldersClaimed collects the claims. It reads the manifests of those checkpoints that are not known to stand whole.
func foldersClaimed(st *fsm.State, known map[string]bool) *claimedFolders {
	c := &claimedFolders{named: map[string]bool{}, released: map[string]bool{}, bounds: map[plan.Incarnation]claimedAbove{}}
	for _, j := range st.Jobs {
		c.add(j, known)
	}
	for _, e := range st.Past {
		for _, k := range e.Checkpoints {
			c.claim(&fsm.Job{}, k, known)
		}
	}
	return c
}

// claimed is a checkpoint that must stand whole.
type claimed struct {
	fsm.Checkpoint
	manifest   *checkpoint.Manifest // nil: it is known to stand, or the log does not hold its manifest any more
	unreadable error
}

func (c *claimedFolders) claim(j *fsm.Job, k fsm.Checkpoint, known map[string]bool) {
	c.named[k.Directory] = true
	one := claimed{Checkpoint: k}
	if !known[k.Directory] && len(k.Manifest) > 0 {
		one.manifest, one.unreadable = wholeManifest(j, &k)
	}
	c.whole = append(c.whole, one)
}

func (c *claimedFolders) add(j *fsm.Job, known map[string]bool) {
	if j.Origin != nil && len(j.Checkpoints) == 0 {
		c.claim(j, *j.Origin, known)
	}
	for _, k := range j.Checkpoints {
		c.claim(j, k, known)
	}
	still := j.Inherited()
	for _, folder := range still {
		c.named[folder] = true
	}
	for _, folder := range j.Earlier {
		if !slices.Contains(still, folder) {
			c.released[folder] = true
		}
	}
	bound := claimedAbove{generation: j.Generation}
	if n := len(j.Checkpoints); n > 0 {
		bound.step = j.Checkpoints[n-1].Step
	}
	if j.Phase.Ended() {
		bound.generation = math.MaxUint64
	}
	c.bounds[j.Incarnation] = bound
}

// needless reports whether no job can need a folder any more.
func (c *claimedFolders) needless(n checkpoint.Name) bool {
	if c.named[n.Folder()] {
		return false
	}
	bound, known := c.bounds[n.Job]
	if !known || n.Job == 0 {
		return c.released[n.Folder()]
	}
	return n.Generation < bound.generation || n.Step < bound.step
}

// sweep deletes the folders that no job can need any more, once for every change of the log and of the store.
func (s *Server) sweep(applied uint64, all *claimedFolders) {
	if s.sweptAt.Load() == max(applied, 1) {
		return
	}
	s.sweptAt.Store(max(applied, 1)) // before it looks: what is stored meanwhile is looked at again
	names, err := s.store.Names()
	if err != nil {
		s.cfg.Log.Warn("needless checkpoints could not be looked for", "reason", err)
		return
	}
	for folder := range s.kept {
		if !all.named[folder] {
			delete(s.kept, folder)
			s.holds.Delete(folder)
		}
	}
	for _, n := range names {
		if !all.needless(n) {
			continue
		}
		switch deleted, err := s.store.Retire(n); {
		case err != nil:
			s.sweptAt.Store(0)
			if folder := n.Folder(); s.blamed != folder {
				s.blamed = folder
				s.cfg.Log.Warn("checkpoint that no job needs could not be deleted", "checkpoint", folder, "reason", err)
			}
		case deleted:
			s.cfg.Log.Info("deleted a checkpoint's folder that no job needs any more", "checkpoint", n.Folder())
		}
	}
}
