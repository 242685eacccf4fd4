package decide

import (
	"time"

	"ringmaster/internal/cluster/fsm"
)

// stallHold is how long a stall is shown after it was last seen: otherwise a worker whose every step is late would appear and disappear.
const stallHold = 500 * time.Millisecond

// stallWatch is the stall that is shown now.
type stallWatch struct {
	shown *stall
	began time.Time // when a slow one was first seen
	found time.Time // when it was seen last
}

// view notes when the job's newest view was first seen.
func (n *notes) view(j *fsm.Job, now time.Time) {
	if j.Generation != n.viewed {
		n.viewed, n.viewSince = j.Generation, now
	}
}

// take records a finding.
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
