package cluster

import (
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/rpc"
)

// watchStalls looks who holds the jobs up, and logs it when that changes. The caller holds the lock.
func (s *Server) watchStalls(now time.Time) {
	s.held = map[string]*rpc.Stall{}
	if s.leader == nil {
		return
	}
	s.log.Read(func(st *fsm.State) {
		for _, job := range s.leader.Stalls(st, now) {
			by := job.Stall
			if by != nil {
				s.held[job.Job] = by
			}
			switch {
			case !job.News:
			case by == nil:
				s.cfg.Log.Info("nobody holds the job up any more", "job", job.Job)
			default:
				s.counts.stalled(by)
				s.cfg.Log.Warn("the job is held up", "job", job.Job, "worker", by.Worker, "host", by.Host, "doing", by.Doing, "reason", by.Reason)
			}
		}
	})
}
