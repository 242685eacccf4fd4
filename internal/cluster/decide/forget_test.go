package decide

import (
	"maps"
	"slices"
	"testing"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// What a leader remembers of workers and jobs that are gone is forgotten.
func TestForget(t *testing.T) {
	now, timing := time.Unix(1000, 0), DefaultTiming()
	st := &fsm.State{Cluster: 1}
	for _, c := range []fsm.Command{
		{Submit: &fsm.Submit{ID: "job", Incarnation: 7, Name: "job", Seats: 4, Fingerprint: []byte("data")}},
		{View: &fsm.ProposeView{Job: "job", View: fsm.View{View: plan.View{Generation: 1, Seats: 4, Members: []plan.Member{{Worker: "w9", Incarnation: 9, Arc: plan.Arc{End: 4}}}}}}},
	} {
		if err := st.Apply(c); err != nil {
			t.Fatal(err)
		}
	}
	l := NewLeader(timing, nil, now)
	o := &l.obs
	o.rebuilds, o.best = map[plan.Incarnation]int{9: 1, 11: 1}, map[string]uint64{"job": 1, "old": 1}
	long := now.Add(-3 * timing.Orphan)
	o.workers[9] = &seen{heard: long, report: &rpc.Report{}}  // seated
	o.workers[10] = &seen{heard: now, report: &rpc.Report{}}  // just gone
	o.workers[11] = &seen{heard: long, report: &rpc.Report{}} // long gone
	o.workers[12] = &seen{heard: long, connected: true, report: &rpc.Report{}}
	l.Next(st, now)
	if left := slices.Sorted(maps.Keys(o.workers)); !slices.Equal(left, []plan.Incarnation{9, 10, 12}) || len(o.rebuilds) != 1 || len(o.best) != 1 {
		t.Errorf("left: workers %v, rebuilds %v, best %v", left, o.rebuilds, o.best)
	}
}
