package cluster

import (
	"time"

	"ringmaster/internal/cluster/fsm"
)

// watchStalls looks who holds the active job up, and logs it when that changes. The caller holds the lock.
func (s *Server) watchStalls(now time.Time) {
	s.stall, s.stalledJob = nil, ""
	if s.leader == nil {
		return
	}
	news := false
	s.log.Read(func(st *fsm.State) {
		if j := st.Active(); j != nil {
			s.stalledJob = j.ID
		}
		s.stall, news = s.leader.Stall(st, now)
	})
	switch {
	case !news:
	case s.stall == nil:
		s.cfg.Log.Info("nobody holds the job up any more")
	default:
		s.counts.stalled(s.stall)
		s.cfg.Log.Warn("the job is held up", "worker", s.stall.Worker, "host", s.stall.Host, "doing", s.stall.Doing, "reason", s.stall.Reason)
	}
}
