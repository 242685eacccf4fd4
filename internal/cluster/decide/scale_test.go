package decide

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// crowd is a leader of many workers and a queue of jobs, of which the first has a seat for every worker.
func crowd(tb testing.TB, workers, jobs int) (*fsm.State, *Leader, time.Time) {
	tb.Helper()
	s, now := &fsm.State{Cluster: 1}, time.Unix(1000, 0)
	for k := range jobs {
		if err := s.Apply(fsm.Command{Submit: &fsm.Submit{ID: fmt.Sprintf("job-%d", k), Incarnation: plan.Incarnation(k + 1), Name: "job", Seats: workers, Fingerprint: []byte("data")}}); err != nil {
			tb.Fatal(err)
		}
	}
	l := NewLeader(DefaultTiming(), nil, now)
	l.SetVoters([]string{"c1"})
	for k := range workers {
		if _, err := l.Attach(s, ready(k, 0), now); err != nil {
			tb.Fatal(err)
		}
	}
	return s, l, now.Add(time.Second)
}

func ready(k int, generation plan.Generation) *rpc.Report {
	name := fmt.Sprintf("w%05d", k)
	return &rpc.Report{Worker: name, Host: name, Machine: name, Incarnation: uint64(k + 1), Job: "job-0", Fingerprint: []byte("data"), Generation: uint64(generation),
		Phase: rpc.Phase_PHASE_READY, StateDigest: []byte("state"), MachineMemory: 1 << 30, JobMemory: 1 << 20, SeatMemory: 1 << 20}
}

// decided has the leader decide, and applies what it decides.
func decided(tb testing.TB, s *fsm.State, l *Leader, now time.Time) Decision {
	tb.Helper()
	d := l.Next(s, now)
	if d.Command == nil {
		tb.Fatalf("it waits: %v", d.Waits)
	}
	if err := s.Apply(*d.Command); err != nil {
		tb.Fatal(err)
	}
	l.Confirm(d, now)
	return d
}

// Of many workers and jobs the first view seats everybody, and one that is lost is left out of the next.
func TestManyWorkersAndJobs(t *testing.T) {
	const workers = 300
	s, l, now := crowd(t, workers, 100)
	if v := decided(t, s, l, now).Command.View; v == nil || len(v.View.Members) != workers {
		t.Fatalf("no view of %d workers", workers)
	}
	for k := range workers {
		l.Observe(ready(k, 1), now)
	}
	if decided(t, s, l, now).Command.Start == nil {
		t.Fatal("the view does not start")
	}
	l.Detach(1, now)
	now = now.Add(DefaultTiming().Silence / 2)
	for k := 1; k < workers; k++ {
		r := ready(k, 1)
		r.Phase, r.LostPeers = rpc.Phase_PHASE_BROKEN, nil
		l.Observe(r, now)
	}
	if v := decided(t, s, l, now).Command.View; v == nil || len(v.View.Members) != workers-1 {
		t.Fatal("the lost worker is not left out")
	}
}

// ring is a leader whose job trains with some of its workers.
func ring(tb testing.TB, workers, members int) (*fsm.State, *Leader, time.Time) {
	tb.Helper()
	s, l, now := crowd(tb, members, 1)
	decided(tb, s, l, now)
	s.Jobs[0].Seats = workers
	s.Jobs[0].View.Members[0].Arc.End += workers - members
	for k := range members {
		l.Observe(ready(k, 1), now)
	}
	if decided(tb, s, l, now).Command.Start == nil {
		tb.Fatal("the view does not start")
	}
	return s, l, now.Add(time.Second)
}

// trains has the members report that they train, with their ways to the candidates, and the candidates that they tested theirs.
func trains(tb testing.TB, s *fsm.State, l *Leader, now time.Time, workers, members int, closed map[[2]int]bool) {
	tb.Helper()
	way := func(from, to int) *rpc.Way {
		return &rpc.Way{Incarnation: uint64(to + 1), Open: !closed[[2]int{from, to}]}
	}
	for k := range workers {
		r := ready(k, 1)
		others := [2]int{members, workers}
		if r.Phase = rpc.Phase_PHASE_TRAINING; k >= members {
			r.Phase, r.Generation, others = rpc.Phase_PHASE_READY, 0, [2]int{0, members}
		}
		for to := others[0]; to < others[1]; to++ {
			r.Ways = append(r.Ways, way(k, to))
		}
		for link := range closed {
			if link[0] == k && (link[1] < others[0] || link[1] >= others[1]) {
				r.Ways = append(r.Ways, way(k, link[1]))
			}
		}
		if k < members {
			l.Observe(r, now)
		} else if _, err := l.Attach(s, r, now); err != nil {
			tb.Fatal(err)
		}
	}
}

// All that can join a ring at once do; those that reach nobody are left out, and nobody else on their account.
func TestManyJoinAtOnce(t *testing.T) {
	const workers, members = 100, 3
	for name, alone := range map[string][]int{"all": nil, "but one": {50}, "but the first and the last": {3, 99}, "but every third": {5, 8, 11, 14, 17, 20}} {
		closed := map[[2]int]bool{}
		for _, v := range alone {
			for k := range workers {
				if k != v {
					closed[[2]int{v, k}], closed[[2]int{k, v}] = true, true
				}
			}
		}
		s, l, now := ring(t, workers, members)
		trains(t, s, l, now, workers, members, closed)
		v := decided(t, s, l, now.Add(time.Second)).Command.View
		if v == nil || len(v.View.Members) != workers-len(alone) {
			t.Fatalf("%s: %d workers of %d", name, len(v.View.Members), workers)
		}
		for _, m := range v.View.Members {
			if slices.Contains(alone, int(m.Incarnation)-1) {
				t.Errorf("%s: worker %s joined, which reaches nobody", name, m.Worker)
			}
		}
	}
}

// What is read once from all reports is what each of them says.
func TestReach(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "workers")
		o := &observations{workers: map[plan.Incarnation]*seen{}}
		var members []plan.Member
		for k := range n {
			r := &rpc.Report{Incarnation: uint64(k + 1)}
			for range rapid.IntRange(0, 8).Draw(t, "ways") {
				r.Ways = append(r.Ways, &rpc.Way{Incarnation: rapid.Uint64Range(1, 8).Draw(t, "to"), Open: rapid.Bool().Draw(t, "open")})
			}
			if rapid.IntRange(0, 9).Draw(t, "gone") > 0 {
				o.workers[plan.Incarnation(k+1)] = &seen{report: r, stale: rapid.IntRange(0, 9).Draw(t, "stale") == 0}
			}
			members = append(members, plan.Member{Incarnation: plan.Incarnation(k + 1)})
		}
		links := o.reachOf(members)
		for from := range n {
			for to := range n {
				a, b := members[from].Incarnation, members[to].Incarnation
				open, there := o.way(a, b)
				back, known := o.way(b, a)
				if want := there && open || !there && (back || !known); from != to && links.usable(from, to) != want {
					t.Fatalf("%d to %d: %v, want %v", from, to, !want, want)
				}
				if links.tested(from, to) != (there && known) {
					t.Fatalf("%d and %d tested their links: %v", from, to, !(there && known))
				}
			}
		}
	})
}

// BenchmarkCrowd is 10,000 workers that attach at once, to a leader of a job that waits and to a new one of a job that trains with them, the view
// and the start after it where one link among them is closed, and the view in which 9,999 join one. go test ./internal/cluster/decide -run - -bench Crowd -benchtime 3x
func BenchmarkCrowd(b *testing.B) {
	const workers = 10000
	took := map[string]time.Duration{}
	timed := func(name string, do func()) {
		began := time.Now()
		do()
		took[name] += time.Since(began)
	}
	for range b.N {
		var s *fsm.State
		var l *Leader
		var now time.Time
		timed("attach-ms", func() { s, l, now = crowd(b, workers, 201) })
		decided(b, s, l, now)
		for k := range workers {
			r := ready(k, 1)
			if k == 4000 {
				r.Ways = []*rpc.Way{{Incarnation: 4002}}
			}
			l.Observe(r, now)
		}
		timed("closed-ms", func() {
			if v := decided(b, s, l, now).Command.View; v == nil || len(v.View.Members) != workers {
				b.Fatal("a closed link costs a seat")
			}
		})
		l = NewLeader(DefaultTiming(), nil, now)
		timed("attach-again-ms", func() {
			for k := range workers {
				if _, err := l.Attach(s, ready(k, 1), now); err != nil {
					b.Fatal(err)
				}
			}
		})
		s, l, now = ring(b, workers, 1)
		trains(b, s, l, now, workers, 1, map[[2]int]bool{{0, 5000}: true, {5000, 0}: true})
		timed("join-ms", func() { decided(b, s, l, now.Add(time.Second)) })
	}
	for name, d := range took {
		b.ReportMetric(float64(d.Milliseconds())/float64(b.N), name)
	}
}

// BenchmarkView is a leader's decision with up to 10,000 workers and 200 jobs in the queue: the first view, its start, and the view after one
// worker was lost. go test ./internal/cluster/decide -run - -bench View -benchtime 3x
func BenchmarkView(b *testing.B) {
	for _, workers := range []int{1000, 10000} {
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			var first, start, lost time.Duration
			for range b.N {
				b.StopTimer()
				s, l, now := crowd(b, workers, 201)
				b.StartTimer()
				began := time.Now()
				decided(b, s, l, now)
				first += time.Since(began)
				b.StopTimer()
				for k := range workers {
					l.Observe(ready(k, 1), now)
				}
				b.StartTimer()
				began = time.Now()
				decided(b, s, l, now)
				start += time.Since(began)
				b.StopTimer()
				l.Detach(1, now)
				now = now.Add(DefaultTiming().Silence / 2)
				for k := 1; k < workers; k++ {
					r := ready(k, 1)
					r.Phase = rpc.Phase_PHASE_BROKEN
					l.Observe(r, now)
				}
				b.StartTimer()
				began = time.Now()
				decided(b, s, l, now)
				lost += time.Since(began)
			}
			for name, d := range map[string]time.Duration{"first-ms": first, "start-ms": start, "lost-ms": lost} {
				b.ReportMetric(float64(d.Milliseconds())/float64(b.N), name)
			}
		})
	}
}
