package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ringmaster/internal/certs"
	"ringmaster/internal/rpc"
	"ringmaster/internal/sleep"
)

const (
	firstBackoff = 20 * time.Millisecond
	lastBackoff  = 250 * time.Millisecond
)

// attachLoop keeps a line to the leader open, whoever that is at the moment. Training goes on while there is none.
func (w *Worker) attachLoop(ctx context.Context) {
	backoff, last, next := firstBackoff, "", 0
	hint := ""
	for ctx.Err() == nil {
		address := hint
		hint = ""
		if address == "" {
			if all := w.addresses(); len(all) > 0 {
				address = all[next%len(all)]
				next++
			}
		}
		if address != "" {
			served, err := w.attach(ctx, address)
			if served {
				backoff = firstBackoff
			}
			var other *NotLeaderError
			if errors.As(err, &other) && other.Leader != "" && other.Leader != address {
				hint = other.Leader
			}
			if err != nil && ctx.Err() == nil && certs.Reason(err) != last {
				last = certs.Reason(err)
				w.unattached.Store(&last)
				w.log.Info("no line to the leader", "coordinator", address, "reason", last)
			}
		}
		if !sleep.For(ctx, backoff) {
			return
		}
		backoff = min(backoff*2, lastBackoff)
	}
}

// addresses are all coordinators that the worker has heard of, the ones the leader named first.
func (w *Worker) addresses() []string {
	w.mu.Lock()
	all := slices.Clone(w.known)
	w.mu.Unlock()
	for _, a := range w.links.Coordinators() {
		if !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

// attach holds one line until it breaks. served tells whether an order came through it.
func (w *Worker) attach(ctx context.Context, address string) (served bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	line, err := w.links.Attach(ctx, address)
	if err != nil {
		return false, err
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		defer cancel()
		w.sendReports(ctx, line)
	}()
	defer func() { cancel(); <-sent; w.attached.Store(false) }()

	orders := make(chan *rpc.Order)
	failed := make(chan error, 1)
	go func() {
		for {
			o, err := line.Recv()
			if err != nil {
				failed <- err
				return
			}
			select {
			case orders <- o:
			case <-ctx.Done():
				failed <- ctx.Err()
				return
			}
		}
	}()
	silent := time.NewTimer(w.cfg.Silence)
	defer silent.Stop()
	for {
		select {
		case o := <-orders:
			served = true
			w.attached.Store(true)
			silent.Reset(w.cfg.Silence)
			w.post(ctx, func() { w.takeOrder(o) })
		case err := <-failed:
			return served, err
		case <-silent.C:
			return served, fmt.Errorf("the coordinator at %s has been silent for %v", address, w.cfg.Silence)
		}
	}
}

// sendReports sends the worker's condition when it changes and at every heartbeat.
func (w *Worker) sendReports(ctx context.Context, line Line) {
	beat := time.NewTicker(w.cfg.Heartbeat)
	defer beat.Stop()
	for {
		if err := line.Send(w.current()); err != nil {
			return
		}
		select {
		case <-w.wake:
		case <-beat.C:
		case <-ctx.Done():
			return
		}
	}
}
