package decide

import (
	"fmt"
	"slices"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// Thresholds for stalls. A worker reports ten times a second, and a stall's culprit should be named within one second.
const (
	unheard   = 250 * time.Millisecond // older reports do not show what a worker does now
	muteAfter = 450 * time.Millisecond // a worker whose newest report is older does not answer; at most half of Timing.Silence
	waitsLong = 200 * time.Millisecond // shorter waits are part of every step
	lateFloor = 300 * time.Millisecond // how much longer than expected a step may take: this, or half as long again if that is more
	idleLong  = 500 * time.Millisecond // a ready worker counts as waiting for others after this long
)

// What a culprit is doing, in addition to the names in doings.
const (
	notAnswering = "not answering"
	partitioned  = "partitioned"
	notStarted   = "not started"
	endingStep   = "ending its step"
)

// doings are the names of a worker's activities, for people.
var doings = map[rpc.Doing]string{
	rpc.Doing_DOING_READING: "reading data", rpc.Doing_DOING_COMPUTING: "computing", rpc.Doing_DOING_EVALUATING: "evaluating",
	rpc.Doing_DOING_SAVING: "saving a checkpoint", rpc.Doing_DOING_CONNECTING: "connecting", rpc.Doing_DOING_FETCHING: "taking the state",
	rpc.Doing_DOING_NOTHING: notStarted,
}

// stall says who holds the job up, and how.
type stall struct {
	culprit plan.Member
	peer    plan.Member // of a partition: the worker that the culprit does not reach
	doing   string
	since   time.Duration
	step    uint64        // the step under way; 0: none is
	wait    *rpc.Waiting  // what another worker waits for from the culprit; nil: nothing in particular
	slow    bool          // steps end, but at the culprit's pace
	times   float64       // slow: how many times as long as the others a seat keeps it busy
	waited  time.Duration // the longest wait for it
}

// same reports whether two findings are one stall that continues.
func (s *stall) same(o *stall) bool {
	return s != nil && o != nil && s.culprit.Incarnation == o.culprit.Incarnation && s.doing == o.doing && s.peer.Incarnation == o.peer.Incarnation
}

// reason is the stall in one line.
func (s *stall) reason() string {
	who := fmt.Sprintf("%s on %s", s.culprit.Worker, s.culprit.Host)
	if s.slow {
		return fmt.Sprintf("%s holds the ring up: %s takes it %.1f times as long as the others, step %d", who, s.doing, s.times, s.step)
	}
	doing := s.doing
	if s.doing == partitioned {
		doing = fmt.Sprintf("partitioned from %s on %s", s.peer.Worker, s.peer.Host)
	}
	line := fmt.Sprintf("waiting for %s: %s for %.1f s", who, doing, s.since.Seconds())
	if s.step > 0 {
		line += fmt.Sprintf(", step %d", s.step)
	}
	if s.wait != nil {
		line += fmt.Sprintf(" bucket %d chunk %d", s.wait.Bucket, s.wait.Chunk)
	}
	return line
}

// message is the stall as a message for callers.
func (s *stall) message() *rpc.Stall {
	m := &rpc.Stall{Worker: s.culprit.Worker, Host: s.culprit.Host, Step: s.step, Doing: s.doing, Peer: s.peer.Worker, PeerHost: s.peer.Host,
		SinceMs: uint64(s.since.Milliseconds()), Slow: s.slow, Reason: s.reason()}
	if s.wait != nil {
		m.Bucket, m.Chunk = &s.wait.Bucket, &s.wait.Chunk
	}
	return m
}

// findStall says who holds the job up; nil: nobody does, or it cannot be seen who. Like decide it is pure. shown is its
// previous answer: a stall that is already shown needs less evidence to stay.
func findStall(j *fsm.Job, o *observations, now time.Time, t Timing, shown *stall) *stall {
	if j == nil || j.Phase.Ended() {
		return nil
	}
	g := &waits{o: o, now: now, mute: min(muteAfter, t.Silence/2), attach: t.Attach}
	switch {
	case j.View == nil:
		return g.preparing(t)
	case j.Running() || j.View.Orderly && g.members(j.StartedView):
		g.members(j.StartedView)
		if s := g.standstill(); s != nil {
			return s
		}
		if j.Running() {
			return g.straggler(shown)
		}
	}
	g.members(j.View)
	return g.changing(j)
}

// waits is the graph of who waits for whom in one view.
type waits struct {
	o      *observations
	now    time.Time
	mute   time.Duration
	attach time.Duration
	ring   []actor
}

// actor is a member of the view with its newest report.
type actor struct {
	plan.Member
	seen   *seen
	report *rpc.Report // nil: none of this leader's time
	age    time.Duration
	trains bool // in this view
}

// members selects the view's ring for inspection. It reports whether anybody trains in it.
func (g *waits) members(v *fsm.View) bool {
	g.ring = nil
	if v == nil {
		return false
	}
	trains := false
	for _, m := range v.Members {
		n := actor{Member: m, seen: g.o.workers[m.Incarnation]}
		if n.seen != nil && n.seen.report != nil {
			n.report, n.age = n.seen.report, g.now.Sub(n.seen.heard)
			n.trains = n.report.Phase == rpc.Phase_PHASE_TRAINING && plan.Generation(n.report.Generation) == v.Generation
		} else {
			n.age = g.now.Sub(g.o.since)
		}
		trains = trains || n.trains
		g.ring = append(g.ring, n)
	}
	return trains
}

func (g *waits) next(i int) int { return (i + 1) % len(g.ring) }
func (g *waits) prev(i int) int { return (i + len(g.ring) - 1) % len(g.ring) }

func (g *waits) find(worker string) int {
	return slices.IndexFunc(g.ring, func(n actor) bool { return n.Worker == worker })
}

func (g *waits) silent(n *actor) bool {
	if n.report == nil {
		return n.age > g.attach // it may not have found a new leader yet
	}
	return n.age > g.mute
}

// activity is what the worker was doing when it reported, with times extended to now.
func (n *actor) activity() *rpc.Activity { return n.report.GetActivity() }
func (n *actor) since() time.Duration    { return micros(n.activity().GetSinceUs()) + n.age }
func (n *actor) waiting() bool           { return n.activity().GetDoing() == rpc.Doing_DOING_WAITING }

func micros(us uint64) time.Duration { return time.Duration(us) * time.Microsecond }

// standstill follows the waits from the worker that has waited longest to the one that waits for nobody, or does not
// answer. If they lead all the way round the ring, everybody waits for something that is held up in a link.
func (g *waits) standstill() *stall {
	if len(g.ring) == 1 {
		return g.alone()
	}
	at := -1
	for i := range g.ring {
		n := &g.ring[i]
		if n.trains && !g.silent(n) && (n.waiting() || n.activity().GetDoing() == rpc.Doing_DOING_CONNECTING) && n.since() >= waitsLong &&
			(at < 0 || n.since() > g.ring[at].since()) {
			at = i
		}
	}
	if at < 0 {
		return nil
	}
	waited := g.ring[at].since()
	for range g.ring {
		to, cut := g.follow(at)
		if to < 0 {
			return nil
		}
		if cut {
			return g.blame(at, at, to, partitioned, g.ring[at].since())
		}
		if s := g.judge(at, to, waited); s != nil || !g.ring[to].waits() {
			return s
		}
		at = to
	}
	return g.cutLink()
}

// waits reports whether the worker itself is held up by others.
func (n *actor) waits() bool {
	return n.trains && n.age <= unheard && (n.waiting() || n.activity().GetDoing() == rpc.Doing_DOING_CONNECTING)
}

// follow returns the position of the worker that one waits for; cut: it cannot reach that one. -1: none is known.
func (g *waits) follow(i int) (to int, cut bool) {
	n := &g.ring[i]
	if n.waiting() {
		return g.find(n.report.Waiting.GetWorker()), false
	}
	if n.activity().GetReachedNext() {
		if n.activity().GetReachedByPrevious() {
			return -1, false // both links are open: it is about to go on
		}
		return g.prev(i), false
	}
	to = g.next(i)
	other := &g.ring[to]
	opened := other.trains && other.activity().GetDoing() != rpc.Doing_DOING_FETCHING && other.activity().GetDoing() != rpc.Doing_DOING_NOTHING
	return to, opened && !g.silent(other) && !other.activity().GetReachedByPrevious() && n.since() > lateFloor
}

// judge decides whether the worker at to, for which the one at from waits, is the culprit.
func (g *waits) judge(from, to int, waited time.Duration) *stall {
	n := &g.ring[to]
	switch doing := n.activity().GetDoing(); {
	case g.silent(n):
		return g.blame(from, to, -1, notAnswering, n.age)
	case n.age > unheard || n.waits():
		return nil
	case !n.trains:
		if waited > idleLong && n.report.GetPhase() == rpc.Phase_PHASE_READY {
			return g.blame(from, to, -1, notStarted, waited)
		}
		return nil
	case doing == rpc.Doing_DOING_FETCHING || doing == rpc.Doing_DOING_NOTHING:
		if n.since() > idleLong {
			return g.blame(from, to, -1, doings[doing], n.since())
		}
		return nil
	}
	busy := micros(n.activity().GetStepBusyUs()) + n.age - n.stopped()
	if expected := g.expected(n); busy < expected+max(lateFloor, expected/2) {
		return nil
	}
	doing, since := n.occupation()
	return g.blame(from, to, -1, doing, since)
}

// stopped is how much of the current step passed without a report from the worker.
func (n *actor) stopped() time.Duration {
	if n.seen.silence.step == n.activity().GetStep() {
		return n.seen.silence.took
	}
	return 0
}

// occupation is what has kept a worker busy in the current step, and for how long.
func (n *actor) occupation() (string, time.Duration) {
	doing, since := n.busyWith()
	if n.stopped() > 0 {
		since = min(since, n.seen.heard.Add(n.age).Sub(n.seen.silence.end))
	}
	return doing, since
}

func (n *actor) busyWith() (string, time.Duration) {
	a := n.activity()
	reading, busy := micros(a.StepReadingUs), micros(a.StepBusyUs)
	switch {
	case a.Doing == rpc.Doing_DOING_READING:
		reading, busy = reading+n.age, busy+n.age
	case a.Doing == rpc.Doing_DOING_COMPUTING:
		busy += n.age
	default:
		return doings[a.Doing], n.since()
	}
	if mostly(float64(reading), float64(busy)) {
		return doings[rpc.Doing_DOING_READING], reading
	}
	return doings[rpc.Doing_DOING_COMPUTING], busy - reading
}

// mostly reports whether reading takes such a large part of a worker's busy time that the data must be to blame: a worker that is
// slow altogether is slow at reading too.
func mostly(reading, busy float64) bool { return reading >= 0.7*busy }

// expected is how long the step should keep a worker busy, judged by those who wait, and by their seats.
func (g *waits) expected(n *actor) time.Duration {
	expected := time.Duration(0)
	for i := range g.ring {
		if m := &g.ring[i]; m.waits() && m.activity().GetStep() >= n.activity().GetStep() && m.Arc.Len() > 0 {
			expected = max(expected, micros(m.activity().GetStepBusyUs())*time.Duration(n.Arc.Len())/time.Duration(m.Arc.Len()))
		}
	}
	return expected
}

// alone judges a worker that is alone in its view: by its own steps.
func (g *waits) alone() *stall {
	n := &g.ring[0]
	if g.silent(n) {
		return g.blame(0, 0, -1, notAnswering, n.age)
	}
	usual := time.Duration(n.report.GetProgress().GetStepMs() * float64(time.Millisecond))
	if !n.trains || n.age > unheard || usual == 0 || n.waiting() || n.activity().GetDoing() == rpc.Doing_DOING_EVALUATING ||
		micros(n.activity().GetStepBusyUs())-n.stopped() < usual+max(2*lateFloor, 2*usual) {
		return nil
	}
	doing, since := n.occupation()
	return g.blame(0, 0, -1, doing, since)
}

// cutLink finds a link that holds frames its sender gave it some time ago, and that delivers nothing.
func (g *waits) cutLink() *stall {
	at, longest := -1, time.Duration(0)
	for i := range g.ring {
		from, to := &g.ring[i], &g.ring[g.next(i)]
		if !from.waits() || !to.waits() || from.activity().Sent <= to.activity().Received {
			continue
		}
		// The receiver's report is newer than the moment when the sender had given all that to the link.
		if still := g.still(from, to); still >= lateFloor && to.seen.heard.Sub(from.seen.sentAt) >= 50*time.Millisecond && still > longest {
			at, longest = i, still
		}
	}
	if at < 0 {
		return nil
	}
	return g.blame(g.next(at), at, g.next(at), partitioned, longest)
}

// still is how long a link has delivered nothing although both its ends run. On a link so slow that whole steps
// wait for a frame, the time counts from when a frame should have come.
func (g *waits) still(from, to *actor) time.Duration {
	since := to.seen.receivedAt
	for _, n := range []*actor{from, to} {
		if end := n.seen.silence.end; end.After(since) {
			since = end // frames that a worker had counted as sent when it was stopped may not have left it
		}
	}
	usual := time.Duration(to.report.GetProgress().GetStepMs() * float64(time.Millisecond))
	return g.now.Sub(since) - usual/4
}

// blame makes the stall whose culprit is the ring's member at to; the one at from waits for it.
func (g *waits) blame(from, to, peer int, doing string, since time.Duration) *stall {
	waiter, culprit := &g.ring[from], &g.ring[to]
	s := &stall{culprit: culprit.Member, doing: doing, since: since, step: culprit.activity().GetStep()}
	if waiter.waiting() && waiter.report.Waiting != nil {
		s.wait, s.step, s.waited = waiter.report.Waiting, waiter.report.Waiting.Step, waiter.since()
	}
	if peer >= 0 {
		s.peer = g.ring[peer].Member
	}
	return s
}

// changing says who keeps a view from being started: it has not ended its session yet, while others have and wait.
func (g *waits) changing(j *fsm.Job) *stall {
	v := j.View
	waited, at, waiting := g.now.Sub(g.o.notes.viewSince), -1, false
	for i := range g.ring {
		n := &g.ring[i]
		ready := n.report != nil && n.report.Phase == rpc.Phase_PHASE_READY && plan.Generation(n.report.Generation) == v.Generation
		switch {
		case g.silent(n):
			return g.blame(i, i, -1, notAnswering, n.age)
		case ready: // a joining worker is ready from the start, however long the old ring takes
			waiting = waiting || !v.Orderly || seated(j.StartedView, n.Incarnation)
		case at < 0:
			at = i
		}
	}
	if at < 0 || !waiting || waited < idleLong || g.ring[at].report == nil {
		return nil
	}
	return g.blame(at, at, -1, endingStep, waited)
}

// preparing names the worker still reading the job's data while others have been ready for some time.
func (g *waits) preparing(t Timing) *stall {
	var late *actor
	waited := time.Duration(0)
	for _, w := range g.o.sorted(g.now, t) {
		n := &actor{Member: member(w.report), seen: w, report: w.report, age: g.now.Sub(w.heard)}
		switch n.report.Phase {
		case rpc.Phase_PHASE_READY:
			waited = max(waited, n.since())
		case rpc.Phase_PHASE_PREPARING:
			if late == nil || n.since() > late.since() {
				late = n
			}
		}
	}
	if late == nil || waited < idleLong {
		return nil
	}
	s := &stall{culprit: late.Member, doing: doings[rpc.Doing_DOING_READING], since: late.since()}
	if g.silent(late) {
		s.doing, s.since = notAnswering, late.age
	}
	return s
}
