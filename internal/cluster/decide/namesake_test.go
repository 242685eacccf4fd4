package decide

import (
	"strings"
	"testing"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// claims is a leader with worker w1, process 1, attached just now.
func claims() (*observations, time.Time) {
	now := time.Unix(1000, 0)
	return &observations{since: now.Add(-time.Minute), workers: map[plan.Incarnation]*seen{
		1: {connected: true, heard: now, report: &rpc.Report{Worker: "w1", Pid: 17, Host: "a"}},
		3: {connected: true, heard: now, report: &rpc.Report{Worker: "w2"}},
	}}, now
}

func TestLivingWorkerKeepsItsID(t *testing.T) {
	o, now := claims()
	timing := DefaultTiming()
	for at := now; at.Before(now.Add(time.Minute)); at = at.Add(100 * time.Millisecond) {
		o.workers[1].heard = at
		taken := o.claimID(nil, 2, "w1", at, timing)
		if taken == nil {
			t.Fatalf("the newcomer got the id after %v", at.Sub(now))
		}
		if final := at.Sub(now) > proofOfLife; taken.Final != final {
			t.Errorf("after %v the refusal is final: %v, want %v", at.Sub(now), taken.Final, final)
		}
		if taken.Final && !strings.Contains(taken.Error(), "worker w1 is process 17 on host a") {
			t.Errorf("refused with %q", taken.Error())
		}
		if back := o.claimID(nil, 1, "w1", at, timing); back != nil {
			t.Fatalf("the worker itself comes back: %v", back)
		}
	}
	if o.workers[1].stale || o.workers[3].stale {
		t.Error("a living worker counts as replaced")
	}
}

func TestDeadWorkerGivesItsIDAway(t *testing.T) {
	for name, die := range map[string]func(*seen){
		"its line closed": func(w *seen) { w.connected = false },
		"silent":          func(w *seen) { w.heard = w.heard.Add(-DefaultTiming().Silence - 1) },
	} {
		o, now := claims()
		if taken := o.claimID(nil, 2, "w1", now, DefaultTiming()); taken == nil {
			t.Fatal("the newcomer got a living worker's id")
		}
		die(o.workers[1])
		if taken := o.claimID(nil, 2, "w1", now, DefaultTiming()); taken != nil || !o.workers[1].stale || o.workers[3].stale {
			t.Errorf("%s: %v, %+v", name, taken, o.workers[1])
		}
		o.workers[2] = &seen{connected: true, heard: now, report: &rpc.Report{Worker: "w1"}}
		if taken := o.claimID(nil, 1, "w1", now, DefaultTiming()); taken == nil {
			t.Errorf("%s: who was replaced came back beside its successor", name)
		}
		delete(o.workers, 2)
		if taken := o.claimID(nil, 1, "w1", now, DefaultTiming()); taken != nil || o.workers[1].stale {
			t.Errorf("%s: who was replaced comes back after its successor: %v", name, taken)
		}
	}
}

// A new leader does not know yet who lives: members of the view have the first claim to their ids.
func TestNewLeaderWaitsForMembers(t *testing.T) {
	now := time.Unix(1000, 0)
	o := &observations{since: now, workers: map[plan.Incarnation]*seen{}}
	j := &fsm.Job{View: &fsm.View{View: plan.View{Members: []plan.Member{{Worker: "w1", Incarnation: 1, Host: "a"}}}}}
	silence := DefaultTiming().Silence
	if taken := o.claimID(j, 2, "w1", now.Add(silence), DefaultTiming()); taken == nil || taken.Final {
		t.Errorf("a newcomer came before the member: %v", taken)
	}
	if taken := o.claimID(j, 1, "w1", now, DefaultTiming()); taken != nil {
		t.Errorf("the member itself: %v", taken)
	}
	if taken := o.claimID(j, 2, "w1", now.Add(silence+1), DefaultTiming()); taken != nil {
		t.Errorf("a newcomer after the member's time: %v", taken)
	}
}
