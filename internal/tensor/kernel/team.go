package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// The states of a helper. It leaves helperPosted by a compare-and-swap only, so either the helper takes the job or the
// caller takes it back, never both.
const (
	helperIdle    = iota // spinning, looks for work
	helperParked         // asleep until a token arrives on wake
	helperPosted         // work is offered
	helperRunning        // works on the job; the caller waits for this to end
	helperClosed         // the team has been closed
)

// How long a thread looks for news before it sleeps, in rounds of spinWait: some tens of microseconds, more than the
// pause between two products of a training step and far less than the scheduler's time slice, so that a second worker on
// the same cores loses little. A helper whose waiting was in vain halves its patience down to the least; every eighth time
// it tries the most again, lest it miss that the pauses have become short. For one that was late and for which the caller has made room, it
// is a millisecond.
const (
	mostPatience  = 1024
	leastPatience = 32
	retryPatience = 8
	roomPatience  = 32 * mostPatience
)

// Team is the compute threads of one worker: the calling goroutine and threads-1 helpers. A call hands parts of a job to
// the helpers through atomics, without channels or allocation, as long as they have not fallen asleep. A nil Team is one
// thread, the caller's.
//
// A team serves one caller at a time; a second caller, or a task that calls its own team, runs alone on its own thread.
type Team struct {
	busy    sync.Mutex
	task    func(part int)
	parts   int64
	next    atomic.Int64 // of the parts beyond one for each thread, the next that nobody has taken
	more    bool         // there are such parts
	waiting atomic.Bool  // the caller sleeps until a helper ends
	done    chan struct{}
	helpers []*helper
	late    lateness
	room    atomic.Bool // the caller has made room for a helper
	closed  bool

	product product // the job of MatMul, kept here so that a call allocates nothing
	scratch []scratch
}

// helper is one goroutine of a team. The padding keeps what it spins on in a cache line of its own.
type helper struct {
	state atomic.Int32
	part  int // the part that it is offered first
	_     [48]byte
	wake  chan struct{}
}

// NewTeam starts a team of the given number of threads, at least 1. It must be closed.
func NewTeam(threads int) *Team {
	threads = max(threads, 1)
	t := &Team{done: make(chan struct{}, 1), scratch: make([]scratch, threads)}
	t.product.run = t.product.part
	for range threads - 1 {
		h := &helper{wake: make(chan struct{}, 1)}
		t.helpers = append(t.helpers, h)
		go t.help(h)
	}
	return t
}

// Threads is the number of threads, 1 for a nil team.
func (t *Team) Threads() int {
	if t == nil {
		return 1
	}
	return len(t.helpers) + 1
}

// Close ends the helpers. The team must not be in use; it runs alone on its caller's thread from then on.
func (t *Team) Close() {
	if t == nil {
		return
	}
	t.busy.Lock()
	defer t.busy.Unlock()
	if t.closed {
		return
	}
	t.closed = true
	for _, h := range t.helpers {
		if h.state.Swap(helperClosed) == helperParked {
			h.wake <- struct{}{}
		}
	}
}

// Run calls task(0) to task(n-1), each once, on the team's threads in no particular order, and returns when all have
// returned. The tasks must be independent of each other.
func (t *Team) Run(n int, task func(part int)) {
	if t == nil || n <= 1 || len(t.helpers) == 0 || !t.busy.TryLock() {
		for part := range n {
			task(part)
		}
		return
	}
	t.share(n, task, 0)
	t.busy.Unlock()
}

// share carries a job out with the helpers. The caller holds busy. Each thread has a part of its own, without asking a
// counter that all write to, which would cost as much as all else of a hand-off; parts beyond those go by a counter. work is how many
// multiply-adds a part has, 0 if that is not known.
func (t *Team) share(n int, task func(part int), work int) {
	helpers := t.helpers[:min(n-1, len(t.helpers))]
	if t.closed {
		helpers = nil
	}
	t.task, t.parts, t.more = task, int64(n), n > len(helpers)+1
	t.next.Store(int64(len(helpers) + 1))
	woken := false
	for i, h := range helpers {
		h.part = i + 1
		if h.state.Swap(helperPosted) == helperParked {
			h.wake <- struct{}{}
			woken = true
		}
	}
	if woken && work >= longWork {
		t.rouse(helpers)
	}
	t.work(0)
	late := false
	for _, h := range helpers {
		// The caller does not wait for a helper that has not begun.
		if h.state.CompareAndSwap(helperPosted, helperIdle) {
			if !late && work >= someWork && t.late.again(time.Now()) {
				t.makeRoom()
			}
			late = true
			task(h.part)
		}
	}
	if !late && (t.late.jobs > 0 || t.late.moved) {
		t.late.over()
	}
	t.await(helpers)
	t.task = nil
}

// Multiply-adds of a part that takes longer than a helper that is awake needs to begin it, and of one that takes a millisecond
// or so: for that it is worth waiting for a helper that sleeps.
const (
	someWork = 1 << 19
	longWork = 1 << 24
)

// wakeUp is how long it takes at most to wake a thread on a CPU that sleeps.
const wakeUp = 200 * time.Microsecond

// rouse waits until the helpers have begun, for as long as waking them takes.
func (t *Team) rouse(helpers []*helper) {
	if t.late.hopeless() {
		return
	}
	begin := time.Now()
	for time.Since(begin) < wakeUp {
		begun := true
		for _, h := range helpers {
			begun = begun && h.state.Load() != helperPosted
		}
		if begun {
			return
		}
		spinWait()
	}
	if t.late.again(begin) {
		t.makeRoom()
	}
}

// makeRoom leaves the CPU to a helper. In a virtual machine a CPU that sleeps looks to Linux as if the host had taken it away, and
// is given nothing: a helper that is woken then waits for the very CPU that its caller is at work on, for many milliseconds, and
// again after each sleep.
func (t *Team) makeRoom() {
	t.room.Store(true)
	changeCPU()
}

// lateness is how it goes on that helpers have not begun their parts before their caller is done with its own.
type lateness struct {
	since time.Time
	jobs  int  // in a row
	moved bool // the caller has made room since the last job
	doubt int  // the more, the more jobs it takes until it does so again
}

// mostDoubt makes it a thousand jobs.
const mostDoubt = 10

// again counts one more job for which helpers have been late since begin at least. It reports whether the caller had better make room: whether helpers
// have been late for longer than it takes to wake them. Where that does not help, since other processes have the CPUs, it
// is done less and less often.
func (l *lateness) again(begin time.Time) bool {
	if l.moved {
		l.moved, l.doubt = false, min(l.doubt+2, mostDoubt)
	}
	if l.jobs == 0 {
		l.since = begin
	}
	l.jobs++
	if l.moved = !l.hopeless() && time.Since(l.since) >= wakeUp; l.moved {
		l.jobs = 0
	}
	return l.moved
}

// over ends a row of late jobs.
func (l *lateness) over() {
	if l.moved {
		l.moved, l.doubt = false, max(l.doubt-1, 0)
	}
	l.jobs = 0
}

// hopeless reports whether making room has been in vain too often to try it after so few late jobs.
func (l *lateness) hopeless() bool { return l.jobs+1 < 1<<l.doubt }

// await returns when none of the helpers works on the job any more.
func (t *Team) await(helpers []*helper) {
	for round := range mostPatience {
		if allRest(helpers) {
			return
		}
		idle(round)
	}
	for {
		t.waiting.Store(true)
		rest := allRest(helpers)
		if rest && t.waiting.CompareAndSwap(true, false) {
			return
		}
		// Whoever withdrew waiting sends a token. It may be the first of several helpers, or one late from the job before,
		// hence the loop.
		<-t.done
		if rest {
			return
		}
	}
}

func allRest(helpers []*helper) bool {
	for _, h := range helpers {
		if h.state.Load() == helperRunning {
			return false
		}
	}
	return true
}

// work does a part of the job and then more of them until all are taken.
func (t *Team) work(part int) {
	t.task(part)
	for t.more {
		part := t.next.Add(1) - 1
		if part >= t.parts {
			return
		}
		t.task(int(part))
	}
}

// help is a helper's life.
func (t *Team) help(h *helper) {
	patience := mostPatience
	for turn := 1; ; turn++ {
		if turn%retryPatience == 0 {
			patience = mostPatience
		}
		switch {
		case h.spin(patience):
			patience = min(patience*2, mostPatience)
		case t.room.CompareAndSwap(true, false) && h.spin(roomPatience):
			// It was late for a job that goes on, and has a CPU of its own now.
			patience = mostPatience
		default:
			patience = max(patience/2, leastPatience)
			if h.state.CompareAndSwap(helperIdle, helperParked) {
				<-h.wake
			}
		}
		if h.state.Load() == helperClosed {
			return
		}
		if !h.state.CompareAndSwap(helperPosted, helperRunning) {
			continue
		}
		t.work(h.part)
		h.state.Store(helperIdle)
		if t.waiting.Load() && t.waiting.CompareAndSwap(true, false) {
			t.done <- struct{}{}
		}
	}
}

// spin looks for work, for a while; it reports whether there is news.
func (h *helper) spin(patience int) bool {
	for round := range patience {
		if h.state.Load() != helperIdle {
			return true
		}
		idle(round)
	}
	return false
}

// idle passes a round of waiting. Now and then it lets another goroutine have the processor: the network's, or the helper
// that is waited for.
func idle(round int) {
	if round%64 == 63 {
		runtime.Gosched()
		return
	}
	spinWait()
}
