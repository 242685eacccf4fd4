package worker

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ringmaster/internal/certs"
	"ringmaster/internal/rpc"
)

// unsaved is what the places that could not store a share the last time say, by their ids.
type unsaved map[string]*trouble

type trouble struct {
	fact  *rpc.Unsaved
	since time.Time
	away  bool // it does not answer, which may pass
}

// awayFor is how long a coordinator may not answer before that is worth a word: another one takes over meanwhile.
const awayFor = 5 * time.Second

func checkpointAt(step uint64) string { return fmt.Sprintf("the checkpoint at step %d", step) }

// refused notes that a coordinator did not take a share of the checkpoint at a step.
func (v *saver) refused(id string, step uint64, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	t := v.unsaved[id]
	if t == nil {
		t = &trouble{since: time.Now()}
		v.unsaved[id] = t
	}
	code := status.Code(err)
	t.away = code == codes.Unavailable || code == codes.DeadlineExceeded || code == codes.Canceled
	t.fact = &rpc.Unsaved{Place: id, What: checkpointAt(step), Step: step, Reason: certs.Reason(err), Blocking: t.fact.GetBlocking()}
}

// took notes that a coordinator took a share.
func (v *saver) took(id string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.unsaved, id)
}

// describe is what cannot be stored at present, in the order of the places.
func (u unsaved) describe(now time.Time) []*rpc.Unsaved {
	var out []*rpc.Unsaved
	for _, id := range slices.Sorted(maps.Keys(u)) {
		t := u[id]
		if since := now.Sub(t.since); !t.away || since > awayFor {
			f := t.fact
			out = append(out, &rpc.Unsaved{Place: f.Place, Worker: f.Worker, What: f.What, Step: f.Step, Reason: f.Reason, Blocking: f.Blocking, Away: t.away,
				SinceMs: uint64(max(0, since.Milliseconds()))})
		}
	}
	return out
}

// failing is what cannot be stored at present.
func (v *saver) failing() []*rpc.Unsaved {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.unsaved.describe(time.Now())
}
