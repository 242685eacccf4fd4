package cluster

import (
	"maps"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// What a coordinator remembers beside the log is bounded: it is about jobs that the log holds whole, about views that those list, and
// about workers that answer, are seated or were heard of lately.
const (
	rememberedViews = 2048
	forgetAfter     = 2 // times Timing.Orphan, by when a worker counts as dead in any case
)

// forget drops what nobody asks for any more. The caller holds the lock.
func (s *Server) forget(st *fsm.State, now time.Time) {
	gone := func(id string) bool { return st.Job(id) == nil }
	maps.DeleteFunc(s.lastSeen, func(id string, _ *rpc.Progress) bool { return gone(id) })
	maps.DeleteFunc(s.stalls, func(g plan.Generation, _ float64) bool { return g+rememberedViews < st.Generation })
	if s.obs == nil {
		return
	}
	maps.DeleteFunc(s.obs.best, func(id string, _ uint64) bool { return gone(id) })
	s.obs.forget(st.Active(), now, s.cfg.Timing)
}

// forget drops workers that have been silent for so long that they count as dead whether they are remembered or not.
func (o *observations) forget(j *fsm.Job, now time.Time, t Timing) {
	maps.DeleteFunc(o.workers, func(id plan.Incarnation, w *seen) bool {
		return !w.connected && now.Sub(w.heard) > forgetAfter*t.Orphan && (j == nil || !seated(j.View, id) && !seated(j.StartedView, id))
	})
	maps.DeleteFunc(o.rebuilds, func(id plan.Incarnation, _ int) bool { return o.workers[id] == nil })
}
