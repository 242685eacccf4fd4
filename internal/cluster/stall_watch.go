package cluster

import (
	"time"

	"ringmaster/internal/cluster/fsm"
)

// stallHold is how long a stall is shown after it was seen last: a worker whose every step is late would come and go.
const stallHold = 500 * time.Millisecond

// stallWatch is what is shown and logged of stalls.
type stallWatch struct {
	job    string // whose
	shown  *stall
	began  time.Time // when a slow one was first seen
	found  time.Time // when it was seen last
	logged *stall
}

// watchStalls looks who holds the active job up, and logs it when that changes. The caller holds the lock.
func (s *Server) watchStalls(now time.Time) {
	if s.obs == nil {
		s.stall = stallWatch{}
		return
	}
	var found *stall
	s.log.Read(func(st *fsm.State) {
		j := st.Active()
		if s.stall.job = ""; j != nil {
			s.stall.job = j.ID
		}
		s.obs.noteView(j, now)
		found = findStall(j, s.obs, now, s.cfg.Timing, s.stall.shown)
	})
	s.stall.take(found, now)
	if found != nil && (found.doing == notAnswering || found.doing == partitioned) {
		// What the others waited meanwhile says nothing about anybody's pace.
		for _, w := range s.obs.workers {
			w.paces = nil
		}
	}
	switch shown := s.stall.shown; {
	case shown == nil && s.stall.logged != nil:
		s.cfg.Log.Info("nobody holds the job up any more")
	case shown != nil && !shown.same(s.stall.logged):
		attributes := []any{"worker", shown.culprit.Worker, "host", shown.culprit.Host, "doing", shown.doing, "reason", shown.reason()}
		s.cfg.Log.Warn("the job is held up", attributes...)
	}
	s.stall.logged = s.stall.shown
}

// noteView remembers when the job's newest view was first seen.
func (o *observations) noteView(j *fsm.Job, now time.Time) {
	if j != nil && j.Generation != o.viewed {
		o.viewed, o.viewSince = j.Generation, now
	}
}

// take notes what was found.
func (w *stallWatch) take(found *stall, now time.Time) {
	if found == nil {
		if now.Sub(w.found) > stallHold {
			w.shown = nil
		}
		return
	}
	if !found.same(w.shown) || found.slow && !w.shown.slow {
		w.began = now.Add(-found.since)
	}
	if found.slow {
		found.since = now.Sub(w.began)
	}
	w.shown, w.found = found, now
}
