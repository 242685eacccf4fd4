package launch

import (
	"errors"
	"fmt"
	"time"

	"ringmaster/internal/rpc"
)

// UnsavedStatus is a coordinator or worker that cannot store something. It is tried again until the job ends.
type UnsavedStatus struct {
	ID       string `json:"id"`
	Worker   bool   `json:"worker,omitempty"` // it is a worker, else a coordinator
	What     string `json:"what"`             // "the checkpoint at step 100", "its log"
	Step     uint64 `json:"step,omitempty"`   // of the checkpoint
	Reason   string `json:"reason"`
	SinceMs  uint64 `json:"since_ms"`
	Blocking bool   `json:"blocking"`       // too few others store it
	Over     bool   `json:"over,omitempty"` // in a summary: it was stored later on
	Text     string `json:"text"`           // all that in one line
}

func unsavedOf(s *rpc.JobStatus) []UnsavedStatus {
	out := []UnsavedStatus{}
	for _, u := range s.GetUnsaved() {
		out = append(out, UnsavedStatus{ID: u.Place, Worker: u.Worker, What: u.What, Step: u.Step, Reason: u.Reason, SinceMs: u.SinceMs, Blocking: u.Blocking,
			Text: u.Sentence()})
	}
	return out
}

// same reports whether two are one trouble, at whichever checkpoint.
func (u UnsavedStatus) same(o UnsavedStatus) bool {
	return u.ID == o.ID && u.Worker == o.Worker && u.Reason == o.Reason && (u.Step != 0) == (o.Step != 0)
}

func (u UnsavedStatus) role() string {
	if u.Worker {
		return "worker"
	}
	return "coordinator"
}

// How long a launch waits for a job's end that cannot be written into the log: as long as the leader waits for checkpoints.
const (
	endPatience  = 30 * time.Second
	stopPatience = 5 * time.Second
)

// ErrUnrecorded means that the coordinators cannot write their log, so that the job's end is recorded nowhere.
var ErrUnrecorded = errors.New("the job's end cannot be recorded")

// unrecorded is the end of a launch whose job has nothing left to do but to end, while a log cannot be written; nil before that.
func (r *run) unrecorded(s *rpc.JobStatus, now time.Time) error {
	interrupted := r.interrupted()
	atEnd := s.StepsTotal > 0 && s.Step == s.StepsTotal
	if s.Ended || !atEnd && !interrupted {
		r.atEnd = time.Time{}
		return nil
	}
	if r.atEnd.IsZero() {
		r.atEnd = now
	}
	patience := endPatience
	if interrupted {
		patience = stopPatience
	}
	for _, u := range s.Unsaved {
		if u.What == rpc.UnsavedLog && now.Sub(r.atEnd) >= patience && time.Duration(u.SinceMs)*time.Millisecond >= patience {
			return fmt.Errorf("%w: %s; make room there; --resume goes on from the newest checkpoint", ErrUnrecorded, u.Sentence())
		}
	}
	return nil
}
