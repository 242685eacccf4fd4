package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"ringmaster/internal/client"
	"ringmaster/internal/launch"
)

// ErrNotDone means that the job ended otherwise. The first task says how.
var ErrNotDone = errors.New("the job did not come to its end; the first task says why")

// Follow is what every task but the first does: it takes its part until the job has ended. An interrupt asks for a checkpoint and the job's
// orderly end; which one came is returned.
func (n *Node) Follow(ctx context.Context, interrupts <-chan os.Signal) (os.Signal, error) {
	if err := n.meeting.publish(taskFile(n.o.Task.Rank), n.here); err != nil {
		return nil, err
	}
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	early := make(chan os.Signal, 1)
	go func() {
		select {
		case s := <-interrupts:
			early <- s
			cancel(errors.New("interrupted before the job began"))
		case <-waiting.Done():
		}
	}()
	found, err := n.meeting.await(waiting, planFile, endFile)
	cancel(nil)
	switch {
	case err != nil:
		select {
		case s := <-early:
			return s, err
		default:
			return nil, err
		}
	case found == endFile:
		return nil, ErrNotDone
	}
	var p plan
	if err := n.meeting.read(planFile, &p); err != nil {
		return nil, err
	}
	if n.o.Task.Rank >= len(p.Places) {
		return nil, fmt.Errorf("%s knows %d tasks, and this is task %d", planFile, len(p.Places), n.o.Task.Rank)
	}
	defer n.leave()
	if err := n.begin(p); err != nil {
		return nil, err
	}
	return n.untilEnd(ctx, interrupts)
}

// untilEnd waits for the job's end: until the first task says so, or where that is lost until the coordinators do.
func (n *Node) untilEnd(ctx context.Context, interrupts <-chan os.Signal) (os.Signal, error) {
	c := client.New(n.Addresses(), n.Dial()...)
	defer func() { _ = c.Close() }() // everything was asked
	var signal os.Signal
	heard, over := time.Now(), time.Time{}
	tick := time.NewTicker(watching)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return signal, context.Cause(ctx)
		case s := <-interrupts:
			if signal == nil {
				signal = s
				n.stopJobs(ctx, c)
			}
			continue
		case <-tick.C:
		}
		if names, err := n.meeting.names(); err == nil && names[endFile] {
			var e end
			if err := n.meeting.read(endFile, &e); err != nil || e.Done {
				return signal, err
			}
			return signal, ErrNotDone
		}
		ended, done, err := jobs(ctx, c)
		if err == nil {
			heard = time.Now()
		} else if time.Since(heard) > lonely {
			return signal, fmt.Errorf("no coordinator has answered for %v: %w", lonely, err)
		}
		switch {
		case !ended:
			over = time.Time{}
		case over.IsZero():
			over = time.Now()
		case time.Since(over) > orphaned && done:
			return signal, nil
		case time.Since(over) > orphaned:
			return signal, ErrNotDone
		}
	}
}

// jobs says whether all jobs have ended, of which there must be one, and whether they are done.
func jobs(ctx context.Context, c *client.Client) (ended, done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	lines, err := c.Jobs(ctx)
	if err != nil || len(lines) == 0 {
		return false, false, err
	}
	ended, done = true, true
	for _, entry := range launch.DescribeJobs(lines) {
		done = done && entry.State == launch.StateDone
		ended = ended && slices.Contains([]string{launch.StateDone, launch.StateFailed, launch.StateCancelled, launch.StateInterrupted}, entry.State)
	}
	return ended, done, nil
}

// stopJobs asks for the orderly end of all jobs. The first task does so too, if it is there.
func (n *Node) stopJobs(ctx context.Context, c *client.Client) {
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	lines, err := c.Jobs(ctx)
	for _, line := range lines {
		err = errors.Join(err, c.Stop(ctx, line.Id))
	}
	if err != nil {
		n.o.Warn("%v", err)
	}
}
