package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// interruptible does something that takes a while, and gives it up at a first Ctrl-C or SIGTERM: what was started is stopped, and the exit code is the
// signal's. A second one ends the program at once.
func interruptible(ctx context.Context, do func(context.Context) error) error {
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(interrupts)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case s := <-interrupts:
			signal.Stop(interrupts)
			cancel(signalled(s, errors.New("interrupted")))
		case <-ctx.Done():
		}
	}()
	err := do(ctx)
	var interrupted *exit
	if err != nil && errors.As(context.Cause(ctx), &interrupted) {
		return interrupted
	}
	return err
}
