package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"ringmaster/internal/client"
	"ringmaster/internal/launch"
	"ringmaster/internal/rpc"
	"ringmaster/internal/sleep"
)

const (
	look    = 30 * time.Millisecond  // between two looks at the cluster
	answer  = 700 * time.Millisecond // how long a coordinator may take to answer one
	upLimit = 30 * time.Second       // for the submission
)

// trial is one run of the job under faults.
type trial struct {
	out     io.Writer
	cluster *launch.Cluster
	ids     []string // of the coordinators
	roster  []string // workers that should run
	began   time.Time
	dir     launch.Directory
	stalls  bool // faults wait until the status shows no stall

	client  *client.Client  // of the observer
	life    context.Context // of the helpers
	stop    context.CancelFunc
	helpers sync.WaitGroup // observer, attendant and those who bring processes back

	mu       sync.Mutex
	job      *rpc.JobStatus
	workers  []*rpc.WorkerStatus
	leader   string
	steps    uint64                   // the most that were seen done
	seen     time.Time                // when the newest look began that a leader answered
	answered time.Time                // and when it did
	settled  map[string]*launch.Child // workers that have trained and were not hurt since
	absent   map[string]bool          // processes that a fault stopped or ended and that are not back
	changes  map[uint64]change        // of views, by generation
	hits     []*hit
	problems []string
}

// change is what was seen of a view's making. A leader knows a stall only while it leads, so the longest one seen counts.
type change struct {
	seen    time.Time // first
	stallMs float64
}

// hit is a fault as it happened.
type hit struct {
	fault      Fault
	at         time.Time // when it was done; zero: not yet
	generation uint64    // of the newest view known then
	answerMs   float64   // until a leader answered again; 0: not yet
	named      naming    // of a fault that holds the ring up: what the status says about it
}

// start brings a cluster up and submits the job to it.
func start(ctx context.Context, o *Options, dir launch.Directory, roster []string) (*trial, error) {
	ids := launch.CoordinatorIDs(o.Coordinators)
	number, err := dir.Prepare(o.Job, ids, roster)
	if err != nil {
		return nil, err
	}
	t := &trial{out: o.Out, cluster: &launch.Cluster{Dir: dir, Threads: o.Threads}, ids: ids, roster: slices.Clone(roster), began: time.Now(), dir: dir,
		stalls: o.Stalls, settled: map[string]*launch.Child{}, absent: map[string]bool{}, changes: map[uint64]change{}}
	t.cluster.Environment = t.environment
	if err := t.cluster.FindPrograms(); err != nil {
		return nil, &launch.UsageError{Err: err}
	}
	if err := t.cluster.Start(ctx, number, o.Coordinators, o.Workers); err != nil {
		return nil, err
	}
	if err := t.submit(ctx, o); err != nil {
		return nil, errors.Join(err, t.cluster.Stop())
	}
	t.life, t.stop = context.WithCancel(context.WithoutCancel(ctx))
	t.client = client.New(t.cluster.Addresses())
	t.helpers.Go(func() { t.observe(t.life) })
	t.helpers.Go(func() { t.attend(t.life) })
	return t, nil
}

func (t *trial) submit(ctx context.Context, o *Options) error {
	for _, id := range t.roster[o.Workers:] {
		if err := t.cluster.StartWorker(id); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, upLimit)
	defer cancel()
	client := client.New(t.cluster.Addresses())
	_, err := client.Submit(ctx, &rpc.SubmitRequest{Config: o.Job.Encode()})
	return errors.Join(err, client.Close())
}

// observe looks at the cluster again and again and keeps what it saw.
func (t *trial) observe(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		asking, cancel := context.WithTimeout(ctx, answer)
		status, err := t.client.Status(asking, "")
		cancel()
		if err == nil && status.GetJob() != nil {
			t.see(status, began)
		}
		sleep.For(ctx, look)
	}
}

func (t *trial) see(status *rpc.ClusterStatus, began time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.job, t.workers, t.seen, t.answered = status.Job, status.Workers, began, time.Now()
	t.steps = max(t.steps, status.Job.Step)
	for _, c := range status.Coordinators {
		if c.Leader {
			t.leader = c.Id
		}
	}
	for _, v := range status.Job.Views {
		c, known := t.changes[v.Generation]
		if !known {
			c.seen = t.answered
		}
		c.stallMs = max(c.stallMs, v.StalledMs)
		t.changes[v.Generation] = c
	}
	for _, h := range t.hits {
		if h.answerMs == 0 && !h.at.IsZero() && began.After(h.at) {
			h.answerMs = float64(t.answered.Sub(h.at).Microseconds()) / 1e3
		}
		if h.fault.Kind.stalls() && !h.at.IsZero() && began.After(h.at) && t.answered.Before(h.at.Add(h.fault.Pause)) {
			h.named.see(h, status.Job, t.answered)
		}
	}
	for _, w := range status.Workers {
		child := t.cluster.Child(w.Id)
		if w.Seated && w.State == "training" && child != nil && int64(child.PID()) == w.Pid && !t.absent[w.Id] {
			t.settled[w.Id] = child
		}
	}
}

// attend finds processes that end although no fault ended them: that is a failure, whatever the digest says.
func (t *trial) attend(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case child := <-t.cluster.Fallen():
			t.problem("a process ended by itself: %v", child.Failure())
		}
	}
}

func (t *trial) problem(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.problems = append(t.problems, fmt.Sprintf(format, args...))
}

// ended reports whether the job has ended.
func (t *trial) ended() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.job.GetEnded()
}

// errEnded means that the job ended while a fault waited.
var errEnded = errors.New("the job has ended")

// await waits until a condition holds, which is called with the lock held. errEnded: the job ended before.
func (t *trial) await(ctx context.Context, limit time.Duration, what string, ok func() bool) error {
	deadline := time.Now().Add(limit)
	for {
		t.mu.Lock()
		done, ended, job, troubled := ok(), t.job.GetEnded(), t.job, len(t.problems) > 0
		t.mu.Unlock()
		switch {
		case ended || troubled:
			return errEnded
		case done:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%s was still missing after %v: step %d, generation %d, %s", what, limit, job.GetStep(), job.GetGeneration(), job.GetMessage())
		case !sleep.For(ctx, look/3):
			return ctx.Err()
		}
	}
}

// whole reports whether the cluster is as if nothing had happened: all processes run, the leader answers, and as many
// workers as there are seats for train. The lock is held.
func (t *trial) whole() bool {
	if len(t.absent) > 0 || t.job == nil || time.Since(t.seen) > answer || t.stalls && t.job.Stalled != nil {
		return false
	}
	for _, h := range t.hits {
		if h.answerMs == 0 {
			return false
		}
	}
	training := 0
	for _, w := range t.workers {
		if t.settled[w.Id] != nil && w.Seated && w.State == "training" {
			training++
		}
	}
	return training == min(len(t.roster), int(t.job.Seats)) && t.job.Step > 0
}

// suffer lets the faults happen until none is left or the job has ended, and then waits for the job's end. It returns the
// faults that are left.
func (t *trial) suffer(ctx context.Context, faults []Fault) ([]Fault, error) {
	first := true
	for len(faults) > 0 {
		f := faults[0]
		var err error
		if first || !f.Overlap {
			err = t.await(ctx, wholeLimit, "a whole cluster", t.whole)
		}
		first = false
		if err == nil && !sleep.For(ctx, f.After) {
			err = ctx.Err()
		}
		if err == nil {
			err = t.strike(ctx, f)
		}
		if err == nil && f.Kind.stalls() {
			err = t.endure(ctx)
		}
		if errors.Is(err, errEnded) {
			break
		}
		if err != nil {
			return faults, fmt.Errorf("before %s: %w", f, err)
		}
		faults = faults[1:]
	}
	err := t.await(ctx, roundLimit, "the job's end", func() bool { return false })
	if errors.Is(err, errEnded) {
		err = nil
	}
	return faults, err
}

// endure waits for the end of the fault under way. One that the job's end cut short is as if it had not been.
func (t *trial) endure(ctx context.Context) error {
	h := t.hits[len(t.hits)-1]
	err := t.await(ctx, wholeLimit, "the fault's end", func() bool { return time.Since(h.at) > h.fault.Pause })
	if errors.Is(err, errEnded) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.hits = t.hits[:len(t.hits)-1]
	}
	return err
}

// strike carries a fault out. It holds it back while it would hit a process that is not there, or the last worker that
// holds the newest state.
func (t *trial) strike(ctx context.Context, f Fault) error {
	var targets []*launch.Child
	err := t.await(ctx, wholeLimit, "a target", func() bool {
		targets = t.targets(f)
		return targets != nil && !(f.Kind.stalls() && t.job.Stalled != nil)
	})
	if err != nil {
		return err
	}
	t.mu.Lock()
	h := &hit{fault: f, generation: t.job.GetGeneration()}
	h.named.next = t.next(f.Target)
	t.hits = append(t.hits, h)
	for _, child := range targets {
		t.absent[child.Name] = true
		delete(t.settled, child.Name)
	}
	step := t.steps
	t.mu.Unlock()
	say(t.out, "fault at step %d of view %d: %s", step, h.generation, f)
	err = t.carryOut(f, targets)
	t.mu.Lock()
	h.at = time.Now()
	t.mu.Unlock()
	return err
}

// targets are the processes that a fault hits, nil while it has to wait. The lock is held.
func (t *trial) targets(f Fault) []*launch.Child {
	switch {
	case f.Kind == AddWorker:
		return []*launch.Child{}
	case f.Kind.OfWorker():
		child := t.cluster.Child(f.Target)
		if child == nil || child.Ended() || t.absent[f.Target] || !t.spares(f.Target) {
			return nil
		}
		return []*launch.Child{child}
	}
	var running []*launch.Child
	for _, id := range t.ids {
		if child := t.cluster.Child(id); !t.absent[id] && !child.Ended() {
			running = append(running, child)
		}
	}
	// The leader first; while there is none, any running coordinator instead.
	slices.SortStableFunc(running, func(a, b *launch.Child) int { return t.rank(a) - t.rank(b) })
	n := 1
	switch f.Kind {
	case KillCoordinators:
		n = len(running)
	case LoseQuorum:
		n = min(len(t.ids)/2+1, len(running))
	case KillFollower:
		slices.Reverse(running)
	}
	if len(running) == 0 {
		return nil
	}
	return running[:n]
}

func (t *trial) rank(c *launch.Child) int {
	if c.Name == t.leader {
		return 0
	}
	return 1
}

// spares reports whether a worker beside the target has the newest state: it has trained since it was hurt last and has
// not lost its seats. The lock is held.
func (t *trial) spares(target string) bool {
	return slices.ContainsFunc(t.workers, func(w *rpc.WorkerStatus) bool {
		child := t.settled[w.Id]
		return w.Id != target && w.Seated && child != nil && !child.Ended()
	})
}

// carryOut does to the targets what the fault says and sees to it that they come back.
func (t *trial) carryOut(f Fault, targets []*launch.Child) error {
	switch f.Kind {
	case AddWorker:
		t.mu.Lock()
		t.roster = append(t.roster, f.Target)
		t.mu.Unlock()
		return t.cluster.StartWorker(f.Target)
	case StopWorker, StopLeader:
		for _, child := range targets {
			if err := child.Signal(syscall.SIGSTOP); err != nil {
				return err
			}
		}
		t.later(f.Pause, targets, func(child *launch.Child) error { return child.Signal(syscall.SIGCONT) })
		return nil
	case FreezeWorker, SlowData, CutLink, HalfSpeed:
		return t.hinder(f, targets[0])
	case RestartWorker:
		targets[0].Dismiss()
	default:
		t.end(targets)
	}
	if f.Pause == 0 {
		t.mu.Lock()
		t.roster = slices.DeleteFunc(t.roster, func(id string) bool { return id == f.Target })
		delete(t.absent, f.Target)
		t.mu.Unlock()
		return nil
	}
	t.later(f.Pause, targets, func(child *launch.Child) error {
		<-child.Done() // a worker that was asked to leave takes its time
		if strings.HasPrefix(child.Name, "w") {
			return t.cluster.StartWorker(child.Name)
		}
		return t.cluster.StartCoordinator(child.Name)
	})
	return nil
}

// end kills processes at the same time.
func (t *trial) end(children []*launch.Child) {
	var killing sync.WaitGroup
	for _, child := range children {
		killing.Go(child.Kill)
	}
	killing.Wait()
}

// later brings processes back after a pause, unless the trial is over by then.
func (t *trial) later(after time.Duration, children []*launch.Child, back func(*launch.Child) error) {
	t.helpers.Go(func() {
		if !sleep.For(t.life, after) || t.ended() {
			return
		}
		for _, child := range children {
			if err := back(child); err != nil {
				t.problem("%v", err)
			}
			t.mu.Lock()
			delete(t.absent, child.Name)
			t.mu.Unlock()
		}
	})
}

// finish stops the cluster and returns how the job came out.
func (t *trial) finish() *launch.Summary {
	t.mu.Lock()
	last := t.job
	t.mu.Unlock()
	t.stop()
	t.helpers.Wait()
	if err := t.cluster.Stop(); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.problem("stop the cluster: %v", err)
	}
	if err := t.client.Close(); err != nil {
		t.problem("%v", err)
	}
	s := launch.Summarize(last, t.dir.Checkpoints(t.ids[0]), t.began, time.Now())
	return s
}
