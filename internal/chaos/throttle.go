package chaos

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"ringmaster/internal/sleep"
)

// Throttle makes a process run for part of the time only, until ctx ends: it stops it and lets it go on in turn. It returns the
// share of the time that the process was let run, which on a busy machine is not quite what was asked for.
func Throttle(ctx context.Context, pid int, running, stopped time.Duration) (share float64, err error) {
	began, rested := time.Now(), time.Duration(0)
	for sleep.For(ctx, running) {
		at := time.Now()
		if err := send(pid, syscall.SIGSTOP); err != nil {
			return 0, err
		}
		time.Sleep(stopped)
		if err := send(pid, syscall.SIGCONT); err != nil {
			return 0, err
		}
		rested += time.Since(at)
	}
	return 1 - rested.Seconds()/time.Since(began).Seconds(), nil
}

// send signals a process; one that has ended is no error.
func send(pid int, signal syscall.Signal) error {
	if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %v to process %d: %w", signal, pid, err)
	}
	return nil
}
