package decide

import (
	"maps"
	"slices"
	"testing"
	"time"

	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// What a leader remembers of workers and jobs that are gone is forgotten.
func TestALeaderForgetsWorkersThatAreGone(t *testing.T) {
	now := time.Unix(1000, 0)
	long := now.Add(-3 * DefaultTiming().Orphan)
	st := seatedJob(t, plan.Member{Worker: "seated", Incarnation: 9})
	l := NewLeader(DefaultTiming(), nil, long)
	for id, name := range map[plan.Incarnation]string{9: "seated", 10: "just gone", 11: "long gone", 12: "attached"} {
		r := worker(name, id)
		if name == "long gone" {
			r.Job, r.Progress = "old", &rpc.Progress{Step: 5}
		}
		if _, err := l.Attach(st, r, long); err != nil {
			t.Fatal(err)
		}
		if name != "attached" {
			l.Detach(id, now)
		}
	}
	if _, err := l.Attach(st, &rpc.Report{Worker: "just gone", Incarnation: 10, Job: "job", Progress: &rpc.Progress{Step: 5}}, now); err != nil {
		t.Fatal(err)
	}
	l.Detach(10, now)
	l.Confirm(Decision{job: "job", rebuilt: 9}, long)
	l.Confirm(Decision{job: "job", rebuilt: 11}, long)
	l.Next(st, now)
	o := &l.obs
	if left := slices.Sorted(maps.Keys(o.workers)); !slices.Equal(left, []plan.Incarnation{9, 10, 12}) || len(o.rebuilds) != 1 || len(o.best) != 1 || o.best["job"] != 5 {
		t.Errorf("left: workers %v, rebuilds %v, best %v", left, o.rebuilds, o.best)
	}
	if names := slices.Sorted(maps.Keys(o.named)); !slices.Equal(names, []string{"attached", "just gone", "seated"}) {
		t.Errorf("left: the names %v", names)
	}
	st.Jobs = nil
	if l.Next(st, now); len(o.rolls) != 0 {
		t.Errorf("%d views that are gone are remembered", len(o.rolls))
	}
}
