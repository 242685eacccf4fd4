// Package launch runs a job on this machine: it checks everything that can be checked beforehand, starts coordinators and
// workers as processes, submits the job, watches it to its end, and stops the processes again.
package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"ringmaster/internal/client"
	"ringmaster/internal/config"
	"ringmaster/internal/folderlock"
	"ringmaster/internal/host"
	"ringmaster/internal/progress"
	"ringmaster/internal/records"
	"ringmaster/internal/rpc"
	"ringmaster/internal/trainer"
)

// Options are the settings of "ringmaster launch".
type Options struct {
	Job          *config.Job
	Workers      int // 0: as many as CPUs, at most the seats
	Coordinators int
	Threads      int    // of each worker; 0: CPUs / workers
	Dir          string // "": the next free NAME-N below runs; with Resume the newest
	Resume       bool
	Metrics      bool   // the processes serve their metrics
	Bucket       string // with Resume: s3://BUCKET/PREFIX, whose newest checkpoint counts beside those in the folder; "": none
	From         string // a checkpoint's folder that a new run begins with, as if it had come so far itself; "": the seed

	Display    progress.Display
	Warnings   io.Writer        // for problems that do not end the run
	Interrupts <-chan os.Signal // the first one stops the job gracefully; a second SIGINT or SIGTERM ends everything at once
	Unread     <-chan struct{}  // closed when nobody reads the display any more, which also stops the job gracefully; may be nil
	Began      time.Time        // when the command began
	Machine    string           // identity of this machine

	Fleet Fleet // where the cluster's processes run; nil: on this machine

	Up func(addresses []string) // called when the cluster is up, with the coordinators' addresses; may be nil

	Environment func(id string) []string // more variables of a worker's process; nil: none

	Tell func(records.Event) // hears what happens, from one goroutine; may be nil

	owner *folderlock.Lock // on the run's folder
}

// Fleet is a cluster whose processes are on other machines, too, and are looked after there.
type Fleet interface {
	// Start starts it for a launch of the run in a folder, whose launches are numbered, and waits until its coordinators have a leader.
	Start(ctx context.Context, dir Directory, launch int) error
	// Addresses are those of its coordinators, and Dial is how they are dialled.
	Addresses() []string
	Dial() []grpc.DialOption
	// Stop ends it, and is told whether the job is done. It is called only if Start was.
	Stop(done bool) error
}

// Result is how a launch ended.
type Result struct {
	Summary *Summary
	Dir     Directory
	Resumed *Origin   // the checkpoint it resumed from; nil: from the seed
	Signal  os.Signal // that interrupted it; nil: none

	PeakBytes      int64 // memory of the largest worker, at most
	StepsPeakBytes int64 // likewise, without the job's end; 0 where the system does not say, or the steps were too short to see
}

// ErrAbandoned means that a second interrupt ended everything at once.
var ErrAbandoned = errors.New("interrupted twice, so the processes were ended at once; --resume goes on from the newest checkpoint")

// ErrEarly means that an interrupt came while the workers were still reading large data or building a large model's state, and the
// launch did not wait for them: there was nothing to save that the seed does not reproduce.
var ErrEarly = errors.New("interrupted before the workers were ready, so there is nothing to save; --resume begins where this launch did")

const (
	patience     = 30 * time.Second       // how long no coordinator may answer before a line says so
	sideTimeout  = 5 * time.Second        // of calls outside the main connection
	statusPeriod = 2 * time.Second        // between two writes of status.json
	doubleSignal = 200 * time.Millisecond // signals this close together are one
	earlyGrace   = 10 * time.Second       // how long workers may take to become ready after an interrupt
)

// InterruptedError means that the launch was interrupted while it read the data. Nothing was started or written.
type InterruptedError struct{ Signal os.Signal }

// Error says so.
func (e *InterruptedError) Error() string {
	return fmt.Sprintf("interrupted (%v) while the data was read; nothing was started", e.Signal)
}

// interruptible runs check, which may read large data or a slow disk, until it is done or an interrupt comes.
func interruptible(interrupts <-chan os.Signal, check func() (*Checked, error)) (*Checked, error) {
	type outcome struct {
		checked *Checked
		err     error
	}
	done := make(chan outcome, 1)
	go func() {
		checked, err := check()
		done <- outcome{checked, err}
	}()
	select {
	case signal := <-interrupts:
		return nil, &InterruptedError{signal}
	case out := <-done:
		if out.err != nil {
			return nil, &UsageError{out.err}
		}
		return out.checked, nil
	}
}

// Run launches the job. A *UsageError or *InterruptedError means that nothing was started, and then there is no result. With any
// other error the result still says how far the job came.
func Run(ctx context.Context, o Options) (*Result, error) {
	defer func() { _ = o.owner.Release() }() // nothing was written through the lock's file
	r, number, err := prepare(ctx, &o)
	if err != nil {
		return nil, err
	}
	err = r.live(ctx, number)
	return r.result, err
}

// prepare checks everything and makes the run's folder, whose launches it counts.
func prepare(ctx context.Context, o *Options) (*run, int, error) {
	if err := o.CheckSizes(); err != nil {
		return nil, 0, err
	}
	dir, err := o.directory()
	if err != nil {
		return nil, 0, err
	}
	held := dir.HoldsRun()
	if o.Resume && held {
		if err := o.own(dir); err != nil {
			return nil, 0, err
		}
	}
	cluster := &Cluster{Threads: o.Threads, Metrics: o.Metrics, Environment: o.Environment}
	workers, coordinators := o.Workers, o.Coordinators // on this machine
	if o.Fleet != nil {
		workers, coordinators = 1, 1
	} else if err := cluster.FindPrograms(); err != nil {
		return nil, 0, &UsageError{err}
	}
	// Before the data are read, since they may already be too large for the memory.
	if err := checkProcesses(o.Job, trainer.Memory{}, workers, coordinators, host.Memory()); err != nil {
		return nil, 0, &UsageError{err}
	}
	checked, err := interruptible(o.Interrupts, func() (*Checked, error) { return Check(o.Job) })
	if err != nil {
		return nil, 0, err
	}
	if err := checkMemory(o.Job, checked.Memory, workers, host.Memory(), host.MemoryLimit()); err != nil {
		return nil, 0, &UsageError{err}
	}
	if err := checkProcesses(o.Job, checked.Memory, workers, coordinators, host.Memory()); err != nil {
		return nil, 0, &UsageError{err}
	}
	if err := checkBucket(ctx, o.Job, o.Warnings); err != nil {
		return nil, 0, &UsageError{err}
	}
	origin, earlier, err := o.beginning(ctx, dir, checked)
	if err != nil {
		return nil, 0, err
	}
	o.Job.Resolve(checked.Samples)
	if dir == "" {
		if dir, err = NextDirectory(RunsDir, o.Job.Name); err != nil {
			return nil, 0, &UsageError{err}
		}
	}
	if err := o.own(dir); err != nil {
		return nil, 0, err
	}
	if o.Resume && !held && dir.HoldsRun() {
		return nil, 0, usage("another launch has made a run in %s meanwhile; start again to go on with it", dir)
	}
	number, err := dir.Prepare(o.Job, CoordinatorIDs(o.Coordinators), WorkerIDs(o.Workers))
	if err != nil {
		return nil, 0, &UsageError{err}
	}
	cluster.Dir = dir
	if o.Resume && (origin == nil || origin.shown == "") {
		earlier = dir.tidy(origin, o.Job, number, o.Display.Note, o.Warnings)
	}
	for _, line := range checked.Account {
		o.Display.Note(line)
	}
	return &run{o: *o, dir: dir, cluster: cluster, checked: checked, origin: origin, earlier: earlier, wishes: make(chan wish, 1), stalls: map[uint64]float64{},
		result: &Result{Dir: dir, Resumed: origin}}, number, nil
}

// run is one launch, from its first process's start to its last one's end.
type run struct {
	o       Options
	dir     Directory
	cluster *Cluster
	checked *Checked
	origin  *Origin  // nil: from the seed
	earlier []string // folders of the run's checkpoints up to the origin
	result  *Result

	client    *client.Client // of the main line
	side      *client.Client // of status.json
	last      *rpc.JobStatus
	shown     Watched
	saved     time.Time // when status.json was written
	memory    stepsMemory
	complaint string    // of the last attempt to write it
	atEnd     time.Time // since when the job only has to end; zero: it still trains
	end       context.CancelCauseFunc

	recorder *records.Recorder // nil: the folder cannot be written

	scalings uint64         // accepted requests for another number of workers
	wishes   chan wish      // holds at most the newest
	helpers  sync.WaitGroup // goroutines that restart coordinators
	stalls   map[uint64]float64

	mu     sync.Mutex // guards the fields shared with the goroutine that handles signals
	job    string     // its id once submitted
	signal os.Signal  // the first one
}

// live starts the cluster, runs the job on it and stops the cluster, whatever happens.
func (r *run) live(parent context.Context, number int) error {
	ctx, cancel := context.WithCancelCause(parent)
	r.end = cancel
	r.record()
	var watchers sync.WaitGroup
	watchers.Go(func() { r.handleSignals(ctx, cancel) })
	err := r.start(ctx, number)
	started := err == nil
	if started && r.o.Metrics {
		r.o.Display.Note("metrics: the addresses for Prometheus are in " + string(r.cluster.Dir.path(metricsFile)))
	}
	if started && r.o.Up != nil {
		r.o.Up(r.addresses())
	}
	if started && r.o.Fleet == nil {
		watchers.Go(func() { r.handleFallen(ctx, cancel) })
		watchers.Go(func() { r.handleWishes(ctx) })
	}
	if started {
		err = r.work(ctx)
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause // the cause of the end, not its symptom
	}
	cancel(nil)
	watchers.Wait()
	r.helpers.Wait()
	r.o.Display.Close()
	if started || r.o.Fleet != nil {
		err = errors.Join(err, r.stop(err))
	}
	r.conclude(err)
	r.recorder.Close(r.result.Summary.State, r.result.Summary.Error)
	return err
}

// start starts the cluster and waits until it has a leader.
func (r *run) start(ctx context.Context, number int) error {
	if r.o.Fleet != nil {
		return r.o.Fleet.Start(ctx, r.dir, number)
	}
	return r.cluster.Start(ctx, number, r.o.Coordinators, r.o.Workers)
}

// addresses are the coordinators'.
func (r *run) addresses() []string {
	if r.o.Fleet != nil {
		return r.o.Fleet.Addresses()
	}
	return r.cluster.Addresses()
}

// dial makes a client of the cluster.
func (r *run) dial() *client.Client {
	if r.o.Fleet != nil {
		return client.New(r.addresses(), r.o.Fleet.Dial()...)
	}
	return client.New(r.addresses())
}

// stop ends the processes: at once if the user has asked for that, or if there is nothing to save.
func (r *run) stop(err error) error {
	if r.o.Fleet != nil {
		return r.o.Fleet.Stop(Summarize(r.last, "", r.o.Began, time.Now()).State == StateDone)
	}
	if errors.Is(err, ErrAbandoned) || errors.Is(err, ErrEarly) {
		r.cluster.Kill()
	}
	return r.cluster.Stop()
}

// work submits the job and watches it to its end.
func (r *run) work(ctx context.Context) error {
	r.client, r.side = r.dial(), r.dial()
	err := r.workWith(ctx, r.addresses())
	return errors.Join(err, r.client.Close(), r.side.Close())
}

func (r *run) workWith(ctx context.Context, addresses []string) error {
	if r.origin != nil {
		if err := r.origin.Upload(ctx, r.client, addresses); err != nil {
			return err
		}
		r.o.Display.Note(fmt.Sprintf("going on from step %d (%s)", r.origin.Manifest.Step, r.origin))
	}
	job, err := r.submit(ctx)
	if err != nil {
		return err
	}
	for {
		_, err = r.client.Watch(ctx, job, patience, func(s *rpc.JobStatus) { r.see(ctx, s) })
		if !errors.Is(err, client.ErrUnreachable) || ctx.Err() != nil || r.interrupted() {
			break
		}
		// Their processes run, or are being restarted: training continues without them as long as that takes.
		r.o.Display.Note(fmt.Sprintf("no coordinator has answered for %v: the training goes on, its checkpoints wait (%v)", patience, err))
	}
	if err == nil {
		err = r.awaitCopies(ctx)
		r.saveStatus(ctx)
	}
	return err
}

// submit submits the job. If an interrupt came before, the job stops before its first step.
func (r *run) submit(ctx context.Context) (string, error) {
	request := &rpc.SubmitRequest{Config: r.o.Job.Encode(), Fingerprint: r.checked.Fingerprint, Files: r.checked.Files, Workers: uint32(r.o.Workers)}
	if r.origin != nil {
		manifest, err := r.origin.Manifest.Encode()
		if err != nil {
			return "", fmt.Errorf("resume: %w", err)
		}
		request.Manifest, request.Earlier = manifest, r.earlier
	}
	r.mu.Lock()
	request.Stop = r.signal != nil
	r.mu.Unlock()
	job, err := r.client.Submit(ctx, request)
	if err != nil {
		return "", err
	}
	r.mu.Lock()
	r.job = job
	missed := r.signal != nil && !request.Stop
	r.mu.Unlock()
	if missed { // the interrupt came in between, when there was no job to stop yet
		return job, r.client.Stop(ctx, job)
	}
	return job, nil
}

// see handles one status of the job.
func (r *run) see(ctx context.Context, s *rpc.JobStatus) {
	r.mu.Lock()
	r.last = s
	r.mu.Unlock()
	r.memory.see(s, r.cluster.residentPeak())
	r.takeWish(s)
	r.keepStalls(s)
	r.recorder.See(s)
	r.shown.Show(r.o.Display, s, r.o.Job)
	if err := r.unrecorded(s, time.Now()); err != nil {
		r.end(err)
	}
	if now := time.Now(); now.Sub(r.saved) >= statusPeriod {
		r.saved = now
		r.saveStatus(ctx)
	}
}

// keepStalls remembers how long each change of view stopped the training: a leader knows that only for the time it has led.
func (r *run) keepStalls(s *rpc.JobStatus) {
	for _, v := range s.Views {
		if v.StalledMs > 0 {
			r.stalls[v.Generation] = max(r.stalls[v.Generation], v.StalledMs)
		}
	}
}

// saveStatus writes the newest status to a file for those who ask when the cluster is gone. It is a convenience: an error
// does not end the run.
func (r *run) saveStatus(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sideTimeout)
	defer cancel()
	answer, err := r.side.Status(ctx, r.job)
	if err == nil {
		status := Describe(answer, r.o.Machine)
		if status.SavedStep == nil && r.origin != nil {
			status.SavedStep = &r.origin.Manifest.Step
		}
		err = r.dir.writeJSON("status.json", status)
	}
	if err == nil {
		r.complaint = ""
	} else if kind := diskWords(err); ctx.Err() == nil && kind != r.complaint {
		r.complaint = kind
		say(r.o.Warnings, "ringmaster: %v", err)
	}
}

// diskWords is an error's text without the names of temporary files, so that equal errors are reported once.
func diskWords(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

// conclude makes the summary.
func (r *run) conclude(err error) {
	r.result.Signal, r.result.PeakBytes, r.result.StepsPeakBytes = r.signal, r.cluster.peakBytes(), r.memory.peak
	s := Summarize(r.last, r.dir.Checkpoints(CoordinatorIDs(1)[0]), r.o.Began, time.Now())
	for i, v := range s.Views {
		s.Views[i].StalledMs = max(v.StalledMs, figure(r.stalls[v.Generation]))
	}
	r.dir.settleCheckpoints(s.Checkpoints, CoordinatorIDs(r.o.Coordinators))
	if len(r.shown.events.unsaved) > 0 {
		s.Unsaved = r.shown.events.unsaved
	}
	s.Job, s.Seed, s.Seats = r.o.Job.Name, r.o.Job.Seed, r.o.Job.Seats
	if !r.last.GetEnded() {
		s.State = StateFailed
		if r.signal != nil {
			s.State = StateInterrupted
		}
	}
	if err != nil && s.Error == "" {
		s.Error = err.Error()
	}
	if s.Workers == 0 {
		s.Workers = r.o.Workers
	}
	if r.origin != nil {
		s.forgetBefore(r.origin)
	}
	r.result.Summary = s
}
