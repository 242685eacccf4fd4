package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"ringmaster/internal/config"
	"ringmaster/internal/host"
	"ringmaster/internal/launch"
)

// endless are the keys of a job that does nothing but steps until it is stopped.
var endless = []string{"train.steps=1000000000", "checkpoint.every_steps=0", "train.schedule.warmup=0", "min_workers=1"}

// training is a launch that is measured while it trains.
type training struct {
	dir      launch.Directory
	patience time.Duration // how long it may take to become as wanted
	ctx      context.Context
	cancel   context.CancelFunc
	stopping chan os.Signal
	ended    chan error
	result   *launch.Result // once it has ended; nil: nothing was started
}

// startTraining launches the job with one coordinator and what else the options say. Its stop must be called.
func startTraining(ctx context.Context, job *config.Job, o launch.Options, patience time.Duration) *training {
	copied := *job // the launch settles keys in it
	ctx, cancel := context.WithCancel(ctx)
	t := &training{dir: launch.Directory(o.Dir), patience: patience, ctx: ctx, cancel: cancel, stopping: make(chan os.Signal, 1), ended: make(chan error, 1)}
	o.Job, o.Coordinators, o.Display, o.Warnings, o.Interrupts, o.Began, o.Machine = &copied, 1, silent{}, io.Discard, t.stopping, time.Now(), host.ID()
	go func() {
		ran, err := launch.Run(ctx, o)
		if t.result = ran; err == nil && ran.Summary.State == launch.StateFailed {
			err = fmt.Errorf("the job ended in state %s: %s", ran.Summary.State, ran.Summary.Error)
		}
		t.ended <- err
		close(t.ended)
	}()
	return t
}

// stop ends the training, at once where measuring it failed, and returns that error, or that of the end.
func (t *training) stop(err error) error {
	defer t.cancel()
	if err != nil {
		t.cancel()
		<-t.ended
		return err
	}
	t.stopping <- os.Interrupt
	return <-t.ended
}

// end waits for the training's own end.
func (t *training) end() error {
	defer t.cancel()
	return <-t.ended
}

// await asks for the status until it is as wanted.
func (t *training) await(ready func(*launch.Status) bool) (*launch.Status, error) {
	for deadline := time.Now().Add(t.patience); ; {
		if err := t.pause(20 * time.Millisecond); err != nil {
			return nil, err
		}
		s, err := t.dir.Status(t.ctx, host.ID())
		switch {
		case err == nil && s.Job != "" && ready(s):
			return s, nil
		case time.Now().After(deadline):
			return nil, fmt.Errorf("the run is not as wanted after %v", t.patience)
		}
	}
}

// pause waits while the training goes on.
func (t *training) pause(d time.Duration) error {
	select {
	case <-t.ctx.Done():
		return t.ctx.Err()
	case err := <-t.ended:
		return errors.Join(errors.New("the run ended before it was measured"), err)
	case <-time.After(d):
		return nil
	}
}
