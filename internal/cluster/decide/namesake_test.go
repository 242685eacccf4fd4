package decide

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// seatedJob is a state whose job has a view of these members; the first has all seats.
func seatedJob(t *testing.T, members ...plan.Member) *fsm.State {
	t.Helper()
	members[0].Arc = plan.Arc{End: 4}
	st := &fsm.State{Cluster: 1}
	for _, c := range []fsm.Command{
		{Submit: &fsm.Submit{ID: "job", Incarnation: 7, Name: "job", Seats: 4, Fingerprint: []byte("data")}},
		{View: &fsm.ProposeView{Job: "job", View: fsm.View{View: plan.View{Generation: 1, Seats: 4, Members: members}}}},
	} {
		if err := st.Apply(c); err != nil {
			t.Fatal(err)
		}
	}
	return st
}

// worker is what a worker's process reports.
func worker(id string, process plan.Incarnation) *rpc.Report {
	return &rpc.Report{Worker: id, Incarnation: uint64(process), Pid: 17, Host: "a"}
}

// claims is a leader to which w1, process 1, and w2, process 3, attached just now.
func claims(t *testing.T) (*Leader, *fsm.State, time.Time) {
	now := time.Unix(1000, 0)
	l, st := NewLeader(DefaultTiming(), nil, now.Add(-time.Minute)), &fsm.State{}
	for _, r := range []*rpc.Report{worker("w1", 1), worker("w2", 3)} {
		if got, err := l.Attach(st, r, now); err != nil || got.Again || got.Replaced != nil {
			t.Fatalf("%s: %+v, %v", r.Worker, got, err)
		}
	}
	return l, st, now
}

// isTaken reports whether a newcomer was turned away because another process has its id.
func isTaken(err error) (taken, final bool) {
	var e *TakenError
	taken = errors.As(err, &e)
	return taken, taken && e.Final
}

func TestLivingWorkerKeepsItsID(t *testing.T) {
	l, st, now := claims(t)
	for at := now; at.Before(now.Add(time.Minute)); at = at.Add(100 * time.Millisecond) {
		l.Observe(worker("w1", 1), at)
		_, err := l.Attach(st, worker("w1", 2), at)
		taken, final := isTaken(err)
		if !taken {
			t.Fatalf("the newcomer got the id after %v: %v", at.Sub(now), err)
		}
		if want := at.Sub(now) > proofOfLife; final != want {
			t.Errorf("after %v the refusal is final: %v, want %v", at.Sub(now), final, want)
		}
		if final && !strings.Contains(err.Error(), "worker w1 is process 17 on host a") {
			t.Errorf("refused with %q", err)
		}
		if back, err := l.Attach(st, worker("w1", 1), at); err != nil || !back.Again || back.Replaced != nil {
			t.Fatalf("the worker itself comes back: %+v, %v", back, err)
		}
	}
}

func TestDeadWorkerGivesItsIDAway(t *testing.T) {
	silence := DefaultTiming().Silence
	for name, die := range map[string]func(*Leader, time.Time) time.Time{
		"its line closed": func(l *Leader, now time.Time) time.Time { l.Detach(1, now); return now },
		"silent":          func(_ *Leader, now time.Time) time.Time { return now.Add(silence + 1) },
	} {
		l, st, now := claims(t)
		if _, err := l.Attach(st, worker("w1", 2), now); err == nil {
			t.Fatal("the newcomer got a living worker's id")
		}
		now = die(l, now)
		if got, err := l.Attach(st, worker("w1", 2), now); err != nil || got.Again || !slices.Equal(got.Replaced, []plan.Incarnation{1}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if _, err := l.Attach(st, worker("w1", 1), now); err == nil {
			t.Errorf("%s: a replaced process came back next to its successor", name)
		}
		l.Observe(worker("w1", 1), now)
		l.Observe(worker("w2", 3), now)
		if live := l.Workers(now); len(live) != 2 || live[0].Incarnation != 2 || live[1].Incarnation != 3 {
			t.Errorf("%s: alive are %v", name, live)
		}
		l.Detach(2, now)
		if got, err := l.Attach(st, worker("w1", 1), now); err != nil || !got.Again || !slices.Equal(got.Replaced, []plan.Incarnation{2}) {
			t.Errorf("%s: a replaced process comes back after its successor: %+v, %v", name, got, err)
		}
		if live := l.Workers(now); len(live) != 2 || live[0].Incarnation != 1 {
			t.Errorf("%s: alive are %v", name, live)
		}
	}
}

// A new leader does not know yet who lives: members of the view have the first claim to their ids.
func TestNewLeaderWaitsForMembers(t *testing.T) {
	now, silence := time.Unix(1000, 0), DefaultTiming().Silence
	st := seatedJob(t, plan.Member{Worker: "w1", Incarnation: 1, Host: "a"})
	l := NewLeader(DefaultTiming(), nil, now)
	_, err := l.Attach(st, worker("w1", 2), now.Add(silence))
	if taken, final := isTaken(err); !taken || final {
		t.Errorf("a newcomer came before the member: %v", err)
	}
	if _, err := l.Attach(st, worker("w1", 2), now.Add(silence+1)); err != nil {
		t.Errorf("a newcomer after the member's time: %v", err)
	}
	if _, err := NewLeader(DefaultTiming(), nil, now).Attach(st, worker("w1", 1), now); err != nil {
		t.Errorf("the member itself: %v", err)
	}
}

// An incarnation belongs to the worker that reported with it, and to the one that is seated with it.
func TestForeignIncarnations(t *testing.T) {
	now := time.Unix(1000, 0)
	st := seatedJob(t, plan.Member{Worker: "w1", Incarnation: 1, Host: "a"})
	l := NewLeader(DefaultTiming(), nil, now)
	if _, err := l.Attach(st, worker("w2", 3), now); err != nil {
		t.Fatal(err)
	}
	for process, owner := range map[plan.Incarnation]string{1: "w1", 3: "w2"} {
		var foreign *ForeignError
		if _, err := l.Attach(st, worker("thief", process), now); !errors.As(err, &foreign) || foreign.Owner != owner {
			t.Errorf("incarnation %d: %v", process, err)
		}
	}
	if live := l.Workers(now); len(live) != 1 || live[0].Worker != "w2" {
		t.Errorf("alive are %v", live)
	}
}
