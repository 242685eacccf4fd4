package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
	"ringmaster/internal/sleep"
)

// probes are the other workers: which of them answer, and when each was called. An attempt takes a while, one to a closed way a second.
type probes struct {
	mu     sync.Mutex
	closed map[string]bool
	calls  map[string][]time.Duration // since the beginning
	began  time.Time
}

func (p *probes) probe(ctx context.Context, m plan.Member) error {
	p.mu.Lock()
	p.calls[m.Worker] = append(p.calls[m.Worker], time.Since(p.began))
	closed := p.closed[m.Worker]
	p.mu.Unlock()
	if closed {
		sleep.For(ctx, time.Second)
		return errors.New("nothing answers")
	}
	sleep.For(ctx, 10*time.Millisecond)
	return nil
}

func (p *probes) set(worker string, closed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed[worker] = closed
}

// count is how often a worker was called.
func (p *probes) count(worker string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.calls[worker])
}

// withWays runs do as worker w1 among others to which it may test its links.
func withWays(t *testing.T, do func(w *ways, p *probes)) {
	synctest.Test(t, func(t *testing.T) {
		p := &probes{closed: map[string]bool{}, calls: map[string][]time.Duration{}, began: time.Now()}
		w := &ways{self: 1, probe: p.probe, log: slog.New(slog.DiscardHandler), told: func() {}, due: make(chan struct{}, 1),
			known: map[plan.Incarnation]*way{}, member: map[plan.Incarnation]bool{}}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { defer close(ended); w.run(ctx, func() {}) }()
		do(w, p)
		cancel()
		<-ended
	})
}

// order is one with the members of a view and the candidates, named by their numbers.
func order(members, candidates []int) *rpc.Order {
	one := func(n int) *rpc.Member { return &rpc.Member{Worker: fmt.Sprintf("w%d", n), Incarnation: uint64(n)} }
	o := &rpc.Order{View: &rpc.View{Generation: 1}}
	for _, n := range members {
		o.View.Members = append(o.View.Members, one(n))
	}
	for _, n := range candidates {
		o.Candidates = append(o.Candidates, one(n))
	}
	return o
}

// known is what a report says: w2 for an open way, !w2 for a closed one.
func known(w *ways) string {
	var r rpc.Report
	w.describe(&r)
	var all []string
	for _, way := range r.Ways {
		if way.Open != (way.Reason == "") {
			all = append(all, "?")
		}
		all = append(all, map[bool]string{false: "!"}[way.Open]+way.Worker)
	}
	return strings.Join(all, " ")
}

// probed is the generation of which a report says that all its members have been tried.
func probed(w *ways) uint64 {
	var r rpc.Report
	w.describe(&r)
	return r.Probed
}

func expect(t *testing.T, w *ways, want string) {
	t.Helper()
	synctest.Wait()
	if got := known(w); got != want {
		t.Errorf("knows %q, want %q", got, want)
	}
}

// A worker in a ring that runs tries nothing.
func TestWaysInSteadyState(t *testing.T) {
	withWays(t, func(w *ways, p *probes) {
		for range 100 {
			w.take(order([]int{1, 2, 3}, nil))
			time.Sleep(time.Minute)
		}
		if len(p.calls) > 0 {
			t.Errorf("tested links in steady state: %v", p.calls)
		}
		// One that comes is tried, once.
		w.take(order([]int{1, 2, 3}, []int{4}))
		time.Sleep(time.Second)
		expect(t, w, "w4")
		w.take(order([]int{1, 2, 3, 4}, nil))
		time.Sleep(time.Hour)
		expect(t, w, "")
		if len(p.calls) != 1 || p.count("w4") != 1 {
			t.Errorf("tried %v", p.calls)
		}
	})
}

// When the ring breaks all members are tested at once, and reported when all are known. Closed links are tested again, at
// growing intervals, until they are open; links to workers that are gone are forgotten.
func TestWaysWhenTheRingBreaks(t *testing.T) {
	withWays(t, func(w *ways, p *probes) {
		p.set("w3", true)
		w.take(order([]int{1, 2, 3}, nil))
		time.Sleep(time.Second)
		w.broke(7)
		time.Sleep(500 * time.Millisecond)
		expect(t, w, "w2")
		if probed(w) == 7 {
			t.Error("says that it has tested all links while it waits for an answer")
		}
		time.Sleep(600 * time.Millisecond)
		expect(t, w, "w2 !w3")
		if g := probed(w); g != 7 {
			t.Errorf("all links are known, and it says so of generation %d", g)
		}
		// Another break a moment later needs no attempt.
		before := p.count("w2")
		w.broke(8)
		time.Sleep(20 * time.Millisecond)
		expect(t, w, "w2 !w3")
		if g := probed(w); g != 8 || p.count("w2") != before {
			t.Errorf("tried again what it knew, or does not say so: %d attempts, generation %d", p.count("w2"), g)
		}
		time.Sleep(time.Minute)
		expect(t, w, "!w3")
		if n := p.count("w3"); n < 10 || n > 20 {
			t.Errorf("a closed way was tried %d times in a minute", n)
		}
		p.set("w3", false)
		time.Sleep(lastWayWait + 2*time.Second)
		expect(t, w, "w3")
		p.set("w3", true)
		w.broke(9)
		time.Sleep(4 * time.Second)
		w.take(order([]int{1, 2}, nil))
		time.Sleep(2 * time.Second) // an attempt may be under way
		w.take(order([]int{1, 2}, nil))
		expect(t, w, "w2")
	})
}

// A worker that waits for a seat tests its links to all members, and again when it is asked again.
func TestWaysOfACandidate(t *testing.T) {
	withWays(t, func(w *ways, p *probes) {
		w.take(order([]int{2, 3}, nil)) // nobody asks
		time.Sleep(time.Second)
		expect(t, w, "")
		p.set("w2", true)
		for range 100 {
			w.take(order([]int{2, 3}, []int{1, 4}))
			time.Sleep(400 * time.Millisecond)
		}
		expect(t, w, "!w2 w3 w4")
		if n := p.count("w3"); n < 3 || n > 5 {
			t.Errorf("an open way was tried %d times in 40 s", n)
		}
		p.set("w2", false)
		time.Sleep(lastWayWait + 2*time.Second)
		expect(t, w, "w2 w3 w4")
	})
}

// When the ring stands still the next worker is accused only by an attempt that was made since.
func TestWaysWhenTheRingStandsStill(t *testing.T) {
	withWays(t, func(w *ways, p *probes) {
		p.set("w2", true)
		w.take(order([]int{1, 2, 3}, nil))
		w.broke(1)
		time.Sleep(1500 * time.Millisecond)
		expect(t, w, "!w2 w3")
		p.set("w2", false)
		since := time.Now()
		for range 5000 { // also while an attempt is under way
			if reason := w.stands(since, 2); reason != "" {
				t.Fatalf("accused by what was before: %s", reason)
			}
			time.Sleep(time.Millisecond)
		}
		p.set("w2", true)
		since = time.Now()
		accusedAfter := -1
		for i := range 100 {
			if w.stands(since, 2) != "" {
				accusedAfter = i
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if accusedAfter < 10 || accusedAfter > 50 {
			t.Errorf("accused after %d looks", accusedAfter)
		}
		if w.stands(since, 3) != "" {
			t.Error("accused one that answers")
		}
	})
}

// A link that was open just before the network broke is tested when the ring stands still: else the next ring would need it again.
func TestWhatWasOpenBeforeTheStandstillIsTestedAgain(t *testing.T) {
	withWays(t, func(w *ways, p *probes) {
		w.take(order([]int{2}, []int{1}))
		time.Sleep(50 * time.Millisecond)
		expect(t, w, "w2")
		p.set("w2", true)
		since := time.Now()
		time.Sleep(standstill)
		for range 15 {
			w.stands(since, 2)
			time.Sleep(wayTick)
		}
		if w.stands(since, 2) == "" || p.count("w2") < 2 {
			t.Errorf("after %v and %d attempts the closed link is not known", time.Since(since), p.count("w2"))
		}
	})
}

// notClosed leaves out those that are known not to be reached.
func TestNotClosed(t *testing.T) {
	withWays(t, func(w *ways, p *probes) {
		p.set("w3", true)
		w.take(order([]int{1, 2, 3, 4}, nil))
		all := []plan.Member{{Incarnation: 2}, {Incarnation: 3}, {Incarnation: 4}}
		if got := w.notClosed(all); len(got) != 3 {
			t.Errorf("nothing is known, and of 3 only %d are left", len(got))
		}
		w.broke(1)
		time.Sleep(2 * time.Second)
		if got := w.notClosed(all); !slices.EqualFunc(got, []plan.Incarnation{2, 4}, func(m plan.Member, id plan.Incarnation) bool { return m.Incarnation == id }) {
			t.Errorf("left: %v", got)
		}
	})
}
