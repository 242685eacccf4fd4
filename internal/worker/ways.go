package worker

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// When links are tested. In steady state none is.
const (
	wayTick      = 100 * time.Millisecond // how often the ring is checked for a standstill
	wayFresh     = 2 * time.Second        // an attempt that ended so lately need not be made again when the ring breaks
	wayKept      = 10 * time.Second       // an open way is known for so long, and tried again then where a worker is to be seated
	firstWayWait = 500 * time.Millisecond // after so long a closed way is tried again, and after twice as long each time up to
	lastWayWait  = 4 * time.Second
	// standstill is how long a step may wait for a neighbour before the links are tested; where steps are long, a multiple of them.
	standstill      = 500 * time.Millisecond
	standstillSteps = 4
)

// ways is what a worker knows about its links to the others: the members of the view, and the candidates for seats.
type ways struct {
	self  plan.Incarnation
	probe func(context.Context, plan.Member) error
	log   *slog.Logger
	told  func() // something is to be reported

	due      chan struct{}
	attempts sync.WaitGroup

	mu     sync.Mutex
	known  map[plan.Incarnation]*way
	member map[plan.Incarnation]bool // who is in the newest view
	broken plan.Generation           // the newest generation that broke here
	since  time.Time                 // when it did
	probed plan.Generation           // of the reports
}

// way is the way to one worker.
type way struct {
	plan.Member
	sought bool      // one of the two could be seated with the other: the way must be known
	busy   bool      // an attempt is under way
	again  bool      // to be tried now
	tried  time.Time // when the newest attempt ended; zero: none did
	began  time.Time // when that attempt began
	open   bool
	reason string    // why it is closed
	since  time.Time // since when it has been in this state
	wait   time.Duration
}

func newWays(cfg Config, links Links, told func()) *ways {
	return &ways{self: cfg.Self.Incarnation, probe: links.Probe, log: cfg.Log, told: told, due: make(chan struct{}, 1),
		known: map[plan.Incarnation]*way{}, member: map[plan.Incarnation]bool{}}
}

// take learns from an order which workers to test links to. Others are forgotten.
func (w *ways) take(o *rpc.Order) {
	w.mu.Lock()
	defer w.mu.Unlock()
	candidate := slices.ContainsFunc(o.Candidates, func(m *rpc.Member) bool { return plan.Incarnation(m.Incarnation) == w.self })
	there := map[plan.Incarnation]bool{}
	clear(w.member)
	add := func(m *rpc.Member, sought bool) {
		id := plan.Incarnation(m.Incarnation)
		if id == w.self {
			return
		}
		there[id] = true
		known := w.known[id]
		if known == nil {
			known = &way{Member: memberFrom(m)}
			w.known[id] = known
		}
		known.again = known.again || sought && !known.sought
		known.sought = sought
	}
	for _, m := range o.View.GetMembers() {
		w.member[plan.Incarnation(m.Incarnation)] = true
		add(m, candidate)
	}
	for _, m := range o.Candidates {
		add(m, true)
	}
	for id, known := range w.known {
		if !there[id] && !known.busy {
			delete(w.known, id)
		}
	}
	poke(w.due)
}

// seated reports whether a worker of that id is another member of the newest view.
func (w *ways) seated(worker string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, known := range w.known {
		if w.member[id] && known.Worker == worker {
			return true
		}
	}
	return false
}

// broke starts testing the links to all members, since the ring of a generation broke.
func (w *ways) broke(g plan.Generation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken, w.since = g, time.Now()
	w.tryMembers(w.since, time.Time{})
	poke(w.due)
}

// tryMembers starts testing the links to all members, except those tested recently. What was tested before the ring stood still
// is not recent: the network may have broken since. The caller holds the lock.
func (w *ways) tryMembers(now, stands time.Time) {
	for id, known := range w.known {
		if w.member[id] && !known.busy && (now.Sub(known.tried) > wayFresh || known.began.Before(stands)) {
			known.again = true
		}
	}
}

// stands tells that the ring has stood still since a while. It returns why the next worker cannot be reached, if that has been
// found out since then; else the links are being tested.
func (w *ways) stands(since time.Time, next plan.Incarnation) (reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tryMembers(time.Now(), since)
	poke(w.due)
	if known := w.known[next]; known != nil && !known.tried.IsZero() && !known.open && known.began.After(since) {
		return known.reason
	}
	return ""
}

// notClosed are those of the members to which no way is known to be closed.
func (w *ways) notClosed(members []plan.Member) []plan.Member {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(members), func(m plan.Member) bool {
		known := w.known[m.Incarnation]
		return known != nil && !known.tried.IsZero() && !known.open
	})
}

// run tests links that are due until ctx ends, and regularly checks whether the ring stands still.
func (w *ways) run(ctx context.Context, look func()) {
	tick := time.NewTicker(wayTick)
	defer tick.Stop()
	defer w.attempts.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			look()
		case <-w.due:
		}
		w.start(ctx, time.Now())
	}
}

// start begins the attempts that are due.
func (w *ways) start(ctx context.Context, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	changed := false
	for _, known := range w.known {
		if known.busy {
			continue
		}
		tried, age := !known.tried.IsZero(), now.Sub(known.tried)
		switch {
		case known.again, known.sought && !tried, tried && !known.open && age >= known.wait, known.sought && age > wayKept:
			known.again, known.busy = false, true
			w.attempts.Go(func() { w.try(ctx, known) })
		case tried && known.open && age > wayKept:
			known.tried, changed = time.Time{}, true // not known any more
		}
	}
	if w.conclude() || changed {
		w.told()
	}
}

// try makes one attempt.
func (w *ways) try(ctx context.Context, known *way) {
	began := time.Now()
	err := w.probe(ctx, known.Member)
	if ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if was := known.tried.IsZero() || known.open; was != (err == nil) || known.tried.IsZero() {
		known.since, known.wait = now, 0
		if was != (err == nil) {
			w.log.Info("the way to a worker has changed", "worker", known.Worker, "host", known.Host, "open", err == nil, "reason", err)
		}
	}
	known.busy, known.began, known.tried, known.open, known.reason = false, began, now, err == nil, ""
	if err != nil {
		known.reason = err.Error()
	}
	known.wait = min(max(2*known.wait, firstWayWait), lastWayWait)
	w.conclude()
	w.told()
}

// conclude notes when the links to all members have been tested since the ring broke. The caller holds the lock.
func (w *ways) conclude() bool {
	if w.probed >= w.broken {
		return false
	}
	for id, known := range w.known {
		if w.member[id] && w.since.Sub(known.tried) > wayFresh {
			return false
		}
	}
	w.probed = w.broken
	return true
}

// describe fills in a report's part about the links.
func (w *ways) describe(r *rpc.Report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	r.Probed = uint64(w.probed)
	for id, known := range w.known {
		if !known.tried.IsZero() {
			r.Ways = append(r.Ways, &rpc.Way{Worker: known.Worker, Incarnation: uint64(id), Open: known.open, Reason: known.reason,
				SinceMs: uint64(now.Sub(known.since).Milliseconds())})
		}
	}
	slices.SortFunc(r.Ways, func(a, b *rpc.Way) int {
		return cmp.Or(cmp.Compare(a.Worker, b.Worker), cmp.Compare(a.Incarnation, b.Incarnation))
	})
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// lookAtRing ends the session under way when its ring has stood still for a while and the next worker cannot be reached.
// Nothing would come of waiting for a connection to be given up that carries nothing any more.
func (w *Worker) lookAtRing() {
	w.mu.Lock()
	j := w.live
	w.mu.Unlock()
	if j == nil {
		return
	}
	s := j.current.Load()
	if s == nil || len(s.id.View.Members) < 2 {
		return
	}
	since := s.standsSince()
	bound := max(standstill, standstillSteps*time.Duration(j.trainer.Load().Progress.StepNs.Load()))
	if since.IsZero() || time.Since(since) < bound {
		return
	}
	next := s.id.View.Members[s.id.View.Next(s.id.Self)]
	if reason := w.ways.stands(since, next.Incarnation); reason != "" {
		s.lose(next, fmt.Errorf("the ring stood still for %v and %s", time.Since(since).Round(time.Millisecond), reason))
	}
}
