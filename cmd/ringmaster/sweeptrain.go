package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"ringmaster/internal/cli"
	"ringmaster/internal/client"
	"ringmaster/internal/config"
	"ringmaster/internal/host"
	"ringmaster/internal/launch"
	"ringmaster/internal/progress"
	"ringmaster/internal/records"
	"ringmaster/internal/rpc"
	"ringmaster/internal/sweep"
)

// trials trains those of a sweep.
type trials struct {
	flags         *sweepFlags
	out, warnings *progress.Output
	shown         io.Writer
	tell          func(records.Event)
	workers       int // of each
}

// display shows a trial's progress; where several run at once, what happens to each, with its name in front.
func (t *trials) display(job *config.Job) (progress.Display, error) {
	mode, out := t.flags.job.progress, t.shown
	if t.flags.parallel > 1 {
		out = &prefixed{name: job.Name + ": ", out: out}
		if mode == "auto" || mode == "bar" {
			mode = "none"
		}
	}
	display, err := progress.New(mode, out, time.Now)
	if err != nil {
		return nil, &sweep.ErrUsage{Err: err}
	}
	return display, nil
}

// prefixed puts a name before each line. Lines come whole.
type prefixed struct {
	name string
	out  io.Writer
}

func (n *prefixed) Write(text []byte) (int, error) {
	var all []byte
	for line := range bytes.Lines(text) {
		all = append(append(all, n.name...), line...)
	}
	_, err := n.out.Write(all)
	return len(text), err
}

// onMachine trains trials by launches on this machine.
func (t *trials) onMachine(o *sweep.Options) (func(), error) {
	if err := selectKernel(); err != nil {
		return func() {}, err
	}
	ends := newEnds()
	base := t.flags.local
	if cli.OutliveReaders() {
		base.Unread = t.out.Gone()
	}
	load := o.Job
	o.Job = func(sets []string) (*config.Job, error) {
		job, err := load(sets)
		if err != nil {
			return nil, err
		}
		sized := base // before anything is written, and without the defaults that a launch chooses later
		sized.Job = job
		return job, sized.CheckSizes()
	}
	o.Samples = func(job *config.Job) (int, error) {
		checked, err := launch.Check(job)
		if err != nil {
			return 0, err
		}
		return checked.Samples, nil
	}
	o.Train = func(ctx context.Context, trial *sweep.Outcome, job *config.Job, begin string) (*launch.Summary, error) {
		display, err := t.display(job)
		if err != nil {
			return nil, err
		}
		o := base
		t.divide(&o, job)
		o.Job, o.Dir, o.From, o.Resume = job, trial.Run, begin, launch.Directory(trial.Run).HoldsRun()
		o.Display, o.Warnings, o.Interrupts, o.Began, o.Machine, o.Tell = display, t.warnings, ends.subscribe(), time.Now(), host.ID(), t.tell
		result, err := launch.Run(ctx, o)
		if result == nil {
			display.Close()
			return nil, notStarted(err)
		}
		if result.Signal != nil || result.Summary.State == launch.StateInterrupted {
			return result.Summary, ending(result, errors.Join(err, fmt.Errorf("interrupted; ringmaster sweep --resume --dir %s and the other flags go on", t.flags.local.Dir)))
		}
		return result.Summary, err
	}
	return ends.stop, nil
}

// divide shares the CPUs among the trials that run at once, where the person has not said otherwise.
func (t *trials) divide(o *launch.Options, job *config.Job) {
	if t.flags.parallel == 1 {
		return
	}
	cpus := max(1, runtime.GOMAXPROCS(0)/t.flags.parallel)
	if o.Workers == 0 {
		o.Workers = min(cpus, job.Seats)
	}
	if o.Threads == 0 {
		o.Threads = max(1, cpus/o.Workers)
	}
}

// ends passes the signals that ask for an end to every trial, also to those that begin afterwards.
type ends struct {
	in    chan os.Signal
	mu    sync.Mutex
	all   []os.Signal
	heard []chan os.Signal
}

func newEnds() *ends {
	e := &ends{in: make(chan os.Signal, 4)}
	cli.NotifyEnd(e.in)
	go func() {
		for s := range e.in {
			e.mu.Lock()
			e.all = append(e.all, s)
			for _, c := range e.heard {
				select {
				case c <- s:
				default: // it has more than it heeds
				}
			}
			e.mu.Unlock()
		}
	}()
	return e
}

func (e *ends) subscribe() <-chan os.Signal {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := make(chan os.Signal, 4)
	for _, s := range e.all[:min(len(e.all), cap(c))] {
		c <- s
	}
	e.heard = append(e.heard, c)
	return c
}

func (e *ends) stop() {
	signal.Stop(e.in)
	close(e.in)
}

// onCluster trains trials as jobs of a cluster.
func (t *trials) onCluster(o *sweep.Options) (func() error, error) {
	none := func() error { return nil }
	if err := checkCluster(t.flags.to.cluster); err != nil {
		return none, wrong(err)
	}
	if err := checkPriority(t.flags.submit.priority); err != nil {
		return none, wrong(err)
	}
	options, err := connection(t.flags.to.certs, t.flags.to.cluster)
	if err != nil {
		return none, err
	}
	coordinators := client.New(t.flags.to.cluster, options...)
	o.Train = func(ctx context.Context, trial *sweep.Outcome, job *config.Job, _ string) (*launch.Summary, error) {
		return t.inQueue(ctx, coordinators, options, trial, job)
	}
	if t.flags.detach {
		o.Submit = func(ctx context.Context, trial *sweep.Outcome, job *config.Job) error {
			request, _, err := t.request(ctx, trial, job)
			if err != nil {
				return err
			}
			asking, cancel := context.WithTimeout(ctx, answerTimeout)
			defer cancel()
			trial.Run, err = coordinators.Submit(asking, request)
			return failed(err)
		}
	}
	return coordinators.Close, nil
}

func (t *trials) request(ctx context.Context, trial *sweep.Outcome, job *config.Job) (*rpc.SubmitRequest, []string, error) {
	request, account, err := submission(ctx, job, t.workers)
	if err != nil {
		return nil, nil, wrong(err)
	}
	request.Priority, request.Token = int32(t.flags.submit.priority), trial.Token
	return request, account, nil
}

// inQueue submits a trial and watches it to its end. Whoever interrupts that cancels the trial's job; where the terminal or the reader is gone,
// it goes on.
func (t *trials) inQueue(ctx context.Context, coordinators *client.Client, options []grpc.DialOption, trial *sweep.Outcome, job *config.Job) (*launch.Summary, error) {
	ctx, cancel := untilDetached(ctx, t.out.Gone())
	defer cancel(nil)
	began := time.Now()
	display, err := t.display(job)
	if err != nil {
		return nil, err
	}
	request, account, err := t.request(ctx, trial, job)
	if err != nil {
		return nil, err
	}
	for _, line := range account {
		display.Note(line)
	}
	follower, err := recordJob(filepath.Join(t.flags.local.Dir, fmt.Sprintf("trial-%03d", trial.Number)), t.flags.to, options, job, t.tell)
	if err != nil {
		return nil, err
	}
	last, err := submitAndWatch(ctx, coordinators, request, job, display, follower.recorder.See)
	display.Close()
	follower.close()
	if last != nil {
		trial.Run = last.Job
	}
	var by *detachedError
	if errors.As(context.Cause(ctx), &by) && !last.GetEnded() {
		return t.interrupted(coordinators, by.signal, trial, last)
	}
	if last == nil {
		return nil, err
	}
	return launch.Summarize(last, "", began, time.Now()), err
}

// interrupted cancels a trial's job where a person has asked for the end.
func (t *trials) interrupted(coordinators *client.Client, by os.Signal, trial *sweep.Outcome, last *rpc.JobStatus) (*launch.Summary, error) {
	again := fmt.Sprintf("ringmaster sweep --resume --dir %s and the other flags go on with the sweep", t.flags.local.Dir)
	if by != os.Interrupt && by != syscall.SIGTERM || last == nil {
		return nil, signalled(by, fmt.Errorf("detached; what the cluster has of the sweep goes on, and %s", again))
	}
	asking, cancel := context.WithTimeout(context.Background(), answerTimeout)
	defer cancel()
	if err := coordinators.Change(asking, last.Job, rpc.Change_CHANGE_CANCEL, 0); err != nil {
		return nil, signalled(by, fmt.Errorf("interrupted, but job %s goes on: %w", last.Job, err))
	}
	trial.State = launch.StateCancelled
	return nil, signalled(by, fmt.Errorf("interrupted; the trials' jobs were cancelled, and %s", again))
}
