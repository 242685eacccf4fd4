package trainer

import (
	"sync"
	"time"

	"ringmaster/internal/trace"
)

// Doing is what a worker does for a job at a moment.
type Doing int

// What a step loop does, and what comes before it.
const (
	Idle Doing = iota
	Reading
	Computing
	Evaluating
	Saving
	Waiting    // for others in the ring
	Connecting // to the neighbours in the ring
	Fetching   // the state, from others
	Held       // nothing: its machine did not let it run while it seemed to wait for others
	doings
)

// traced are what traces call what a worker does.
var traced = [doings]trace.Kind{Idle: trace.Other, Reading: trace.Reading, Computing: trace.Computing, Evaluating: trace.Evaluating, Saving: trace.Saving,
	Waiting: trace.Waiting, Connecting: trace.Other, Fetching: trace.Other, Held: trace.Other}

// beatEvery is the time between two beats of who waits. One that comes later than another would have is late.
const beatEvery = 5 * time.Millisecond

// Activity keeps account of a worker's time, for those who ask what it is doing. Turning from one thing to another
// allocates nothing and takes a fraction of a microsecond.
type Activity struct {
	mu      sync.Mutex
	account Account
	since   time.Time // when doing began

	// A waiting worker runs a timer, which distinguishes waiting from not being scheduled: a late timer shows a process that was
	// stopped, or had no processor. A worker that is stopped while it waits holds the others up just as one that is stopped
	// in a computation, but by its own clock it only waits.
	trace   *trace.Recorder // may be nil
	beats   *time.Timer     // nil before the first wait. It is not stopped when a wait ends: setting a timer may wake a thread, twice a step
	beating bool            // it is set
	beat    time.Time       // the last one, or the beginning of the wait
}

// Account is the state of an Activity at one moment.
type Account struct {
	Doing  Doing
	Since  time.Duration         // for how long
	Step   uint64                // the step under way
	InStep [doings]time.Duration // of that step
	Spent  [doings]time.Duration // in all
}

// Turn says what the worker does from now on.
func (a *Activity) Turn(to Doing) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn(to, now)
}

// begin is Turn at the beginning of a step.
func (a *Activity) begin(step uint64, to Doing) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn(to, now)
	a.account.Step, a.account.InStep = step, [doings]time.Duration{}
}

func (a *Activity) turn(to Doing, now time.Time) {
	if !a.since.IsZero() {
		a.account.add(now.Sub(a.since))
		if a.account.Doing != Idle {
			a.trace.Since(traced[a.account.Doing], a.account.Step, trace.None, a.since)
		}
	}
	if a.account.Doing == Waiting {
		a.beaten(now)
	}
	a.account.Doing, a.since = to, now
	if to == Waiting {
		a.beat = now
		if !a.beating {
			a.rebeat(now)
		}
	}
}

// beaten takes the time that the last beat was late out of what was waited. A beat may be as late as the next one is due.
func (a *Activity) beaten(now time.Time) {
	if late := now.Sub(a.beat) - beatEvery; late >= beatEvery {
		a.account.Spent[Waiting] -= late
		a.account.Spent[Held] += late
	}
}

func (a *Activity) rebeat(now time.Time) {
	a.beat, a.beating = now, true
	if a.beats != nil {
		a.beats.Reset(beatEvery)
		return
	}
	a.beats = time.AfterFunc(beatEvery, func() { a.takeBeat(time.Now()) })
}

func (a *Activity) takeBeat(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.account.Doing == Waiting {
		a.beaten(now)
		a.rebeat(now)
		return
	}
	a.beating = false
}

func (a *Account) add(d time.Duration) {
	a.InStep[a.Doing] += d
	a.Spent[a.Doing] += d
}

// Account is the account at this moment, with what is under way.
func (a *Activity) Account() Account {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	out := a.account
	if !a.since.IsZero() {
		out.Since = now.Sub(a.since)
		out.add(out.Since)
	}
	return out
}

// Busy is how long the step under way has kept the worker itself busy.
func (a *Account) Busy() time.Duration {
	busy := time.Duration(0)
	for d, spent := range a.InStep {
		if d := Doing(d); d != Idle && d != Waiting {
			busy += spent
		}
	}
	return busy
}
