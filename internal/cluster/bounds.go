package cluster

import (
	"maps"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// rememberedViews bounds the views that a coordinator remembers outside the log: those that jobs list.
const rememberedViews = 2048

// forget drops what nobody asks for any more. The caller holds the lock.
func (s *Server) forget(st *fsm.State) {
	maps.DeleteFunc(s.lastSeen, func(id string, _ *rpc.Progress) bool { return st.Job(id) == nil })
	maps.DeleteFunc(s.stalls, func(g plan.Generation, _ float64) bool { return g+rememberedViews < st.Generation })
}
