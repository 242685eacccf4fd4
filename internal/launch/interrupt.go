package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"ringmaster/internal/cli"
)

// handleSignals turns the first interrupt into a graceful stop, and a second Ctrl-C into an immediate end.
func (r *run) handleSignals(ctx context.Context, cancel context.CancelCauseFunc) {
	first, ok := r.awaitInterrupt(ctx)
	if !ok {
		return
	}
	r.mu.Lock()
	r.signal = first
	job := r.job
	r.mu.Unlock()
	if job != "" {
		go r.stopJob(ctx, job)
	}
	var settled time.Time // from then on a signal counts as a new one; zero: none has come yet that could be repeated
	if cli.Insists(first) {
		settled = time.Now().Add(doubleSignal)
		r.o.Display.Note("stopping: a checkpoint is being written; once more ends at once")
	} else {
		r.o.Display.Note(fmt.Sprintf("stopping (%v): a checkpoint is being written; Ctrl-C twice ends at once", first))
	}
	grace := time.NewTimer(earlyGrace)
	defer grace.Stop()
	// One request often arrives as two signals (timeout(1) signals the process and its group), so those that follow at
	// once count as the first.
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-r.o.Interrupts:
			switch {
			case !cli.Insists(s):
			case settled.IsZero():
				settled = time.Now().Add(doubleSignal)
			case time.Now().After(settled):
				cancel(ErrAbandoned)
				return
			}
		case <-grace.C:
			if !r.ready() {
				cancel(ErrEarly)
				return
			}
		}
	}
}

// awaitInterrupt waits for the first reason to stop gracefully; false if the launch ended before.
func (r *run) awaitInterrupt(ctx context.Context) (os.Signal, bool) {
	select {
	case <-ctx.Done():
		return nil, false
	case s := <-r.o.Interrupts:
		return s, true
	case <-r.o.Unread:
	}
	// Ctrl-C ends the reader of the pipe too, and the signal may arrive here after that.
	select {
	case s := <-r.o.Interrupts:
		return s, true
	case <-time.After(doubleSignal):
		return syscall.SIGPIPE, true
	}
}

// ready reports whether the workers were ready to begin, so that they can save and end.
func (r *run) ready() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.last.GetViews()) > 0
}

// interrupted reports whether an interrupt has come.
func (r *run) interrupted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.signal != nil
}

// stopJob asks for the job's orderly end, with a connection of its own.
func (r *run) stopJob(ctx context.Context, job string) {
	client := r.dial()
	err := errors.Join(client.Stop(ctx, job), client.Close())
	if err != nil && ctx.Err() == nil {
		say(r.o.Warnings, "ringmaster: %v", err)
	}
}
