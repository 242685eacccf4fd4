package decide

import (
	"fmt"
	"testing"
	"time"

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
		tb.Fatalf("it waits: %s", d.Wait)
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
