package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// Seats move when that pays; noise must not trigger it. A step must become a tenth shorter, for Timing.Sustain
// without a break, in a view that is at least Timing.Settle old; that time doubles with each recent move of seats. The time
// saved until the job's end must be worth the change.
const (
	leastGain   = 0.1             // of a step's time,
	leastGainMs = 0.5             // and in milliseconds
	worthMs     = 1000            // to be saved until the end: a change stops the ring for at most a tenth of that
	longestHold = 2 * time.Minute // between two changes, however often seats have moved
	quietHolds  = 4               // holds without a change after which earlier moves are forgotten
)

// balance is what the leader remembers about the ring's speed between two looks.
type balance struct {
	view    plan.Generation // the started view that this is about
	since   time.Time       // when the leader first saw it started
	pays    time.Time       // since when moving seats would have paid without a break; zero: it would not pay
	reason  string          // for moving them
	moves   int             // how often seats have moved recently
	movedAt time.Time
}

// hold is how old a view must be before seats move in it.
func (b *balance) hold(t Timing) time.Duration {
	hold := t.Settle
	for range min(b.moves, 16) {
		hold = min(2*hold, longestHold)
	}
	return hold
}

// weigh looks at the speeds that the workers report and notes whether moving seats would pay. It is called before each
// decision.
func (o *observations) weigh(j *fsm.Job, now time.Time, t Timing) {
	b := &o.notes.balance
	if !j.Running() {
		b.pays = time.Time{}
		return
	}
	if b.view != j.View.Generation {
		b.view, b.since, b.pays = j.View.Generation, now, time.Time{}
		if j.View.Cause == causeRebalanced {
			b.moves++
			b.movedAt = now
		}
	}
	if b.moves > 0 && now.Sub(b.movedAt) > quietHolds*b.hold(t) {
		b.moves = 0
	}
	pays := false
	if b.reason, pays = o.gain(j, now, t); !pays {
		b.pays = time.Time{}
	} else if b.pays.IsZero() {
		b.pays = now
	}
}

const causeRebalanced = "rebalanced"

// decideBalance moves seats from slow workers to fast ones.
func decideBalance(j *fsm.Job, o *observations, now time.Time, t Timing) *Decision {
	b := &o.notes.balance
	if !j.Running() || j.Halts() || b.view != j.View.Generation || b.pays.IsZero() || now.Sub(b.pays) < t.Sustain || now.Sub(b.since) < b.hold(t) {
		return nil
	}
	return o.proposeView(j, j.View.Members, true, causeRebalanced, b.reason, 0)
}

// gain says whether the members' seats are so badly distributed that moving them pays, and how much time it saves.
func (o *observations) gain(j *fsm.Job, now time.Time, t Timing) (reason string, pays bool) {
	members := j.View.Members
	if j.Even || j.Halts() || len(members) < 2 {
		return "", false
	}
	seats := make([]int, len(members))
	// The part of a step that is not the seats' computation: the last sums and the update. A worker that waits for nobody shows it.
	rest, left := 0.0, uint64(0)
	for k, m := range members {
		w := o.workers[m.Incarnation]
		if !o.alive(m.Incarnation, now, t) || w.report.Phase != rpc.Phase_PHASE_TRAINING || plan.Generation(w.report.Generation) != j.View.Generation {
			return "", false
		}
		p := w.report.Progress
		if p.GetSeatMs() <= 0 || p.SeatSpans == 0 || p.StepsTotal <= p.Step {
			return "", false
		}
		seats[k] = m.Arc.Len()
		if own := max(0, p.StepMs-float64(seats[k])*p.SeatMs); k == 0 || own < rest {
			rest = own
		}
		left = p.StepsTotal - p.Step
	}
	seatable := o.seatable(j, members)
	counts, ok := plan.Apportion(j.Seats, seatable)
	if !ok {
		return "", false
	}
	speeds := plan.Speeds(seatable)
	before, after := plan.Slowest(speeds, seats)+rest, plan.Slowest(speeds, counts)+rest
	won := before - after
	if won < leastGain*before || won < leastGainMs || won*float64(left) < worthMs {
		return "", false
	}
	return describeMove(members, speeds, seats, counts, before, after), true
}

// mostListed is the largest number of members for which a reason lists every member's seats.
const mostListed = 8

func describeMove(members []plan.Member, speeds []float64, seats, counts []int, before, after float64) string {
	slow, fast := slices.Index(speeds, slices.Max(speeds)), slices.Index(speeds, slices.Min(speeds))
	moved := fmt.Sprintf("it gets %d instead of %d seats", counts[slow], seats[slow])
	if len(members) <= mostListed {
		moved = fmt.Sprintf("%s seats instead of %s", list(counts), list(seats))
	}
	return fmt.Sprintf("worker %s on %s takes %.3g ms a seat, %s on %s %.3g ms: %s, steps of about %.3g ms instead of %.3g ms", members[slow].Worker, members[slow].Host,
		speeds[slow], members[fast].Worker, members[fast].Host, speeds[fast], moved, after, before)
}

func list(numbers []int) string {
	words := make([]string, len(numbers))
	for k, n := range numbers {
		words[k] = fmt.Sprint(n)
	}
	return strings.Join(words, ", ")
}
