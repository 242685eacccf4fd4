package worker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"ringmaster/internal/histogram"
	"ringmaster/internal/rpc"
	"ringmaster/internal/trainer"
)

// Figures are what a worker tells those who watch it. Counts are of the whole process, whatever jobs it had.
type Figures struct {
	Attached   bool
	Phase      rpc.Phase
	Job        string // empty: none, and the figures up to Loss are 0
	Generation uint64
	Seats      int
	Step       uint64
	Steps      uint64 // at which the job ends
	Epoch      int
	Loss       float64       // mean over the recent steps
	Seat       time.Duration // what a seat takes in a step; 0: not known
	Waiting    time.Duration // for how long it has been waiting for a neighbour
	JobMemory  uint64        // bytes that the job is planned to take here

	Work             Work
	Sent, Received   uint64 // bytes of the ring
	Sessions, Broken uint64 // of rings
	Shares, Bytes    uint64 // of checkpoints, that a majority of the coordinators has stored
	Refusals         uint64 // by one coordinator each
	Stored           histogram.Snapshot
	Stalled          histogram.Snapshot
}

// Work is what was done in steps.
type Work struct {
	Samples uint64
	Took    histogram.Snapshot // by each step
	Spent   [len(trainer.Account{}.Spent)]time.Duration
}

// take adds what was done for a job.
func (k *Work) take(j *job) {
	t := j.trainer.Load()
	if t == nil {
		return
	}
	k.Samples += t.Progress.Samples.Load()
	k.Took.Add(t.Progress.Took.Snapshot())
	for i, spent := range t.Activity.Account().Spent {
		k.Spent[i] += spent
	}
}

// counts are those of a process that do not belong to a job.
type counts struct {
	past             Work // for the jobs before the one that the worker has; under the worker's lock
	sessions, broken atomic.Uint64
	shares, bytes    atomic.Uint64
	refusals         atomic.Uint64
	stored, stalled  histogram.Durations
}

// Figures are the worker's figures at this moment. It may be called from any goroutine.
func (w *Worker) Figures() *Figures {
	w.mu.Lock()
	live, work, report := w.live, w.counts.past, w.report
	if live != nil {
		work.take(live)
	}
	w.mu.Unlock()
	c := &w.counts
	f := &Figures{Attached: w.attached.Load(), Phase: report.GetPhase(), Work: work, Sent: w.meter.Sent.Load(), Received: w.meter.Received.Load(),
		Sessions: c.sessions.Load(), Broken: c.broken.Load(), Shares: c.shares.Load(), Bytes: c.bytes.Load(), Refusals: c.refusals.Load(),
		Stored: c.stored.Snapshot(), Stalled: c.stalled.Snapshot()}
	if live == nil {
		return f
	}
	f.Job, f.Generation, f.JobMemory = live.spec.Id, report.GetGeneration(), report.GetJobMemory()
	if t := live.trainer.Load(); t != nil {
		p := &t.Progress
		f.Step, f.Steps, f.Loss, f.Seat = p.Step.Load(), t.Steps, math.Float64frombits(p.LossBits.Load()), time.Duration(p.SeatNs.Load())
		f.Epoch = t.Epoch(f.Step)
	}
	if s := live.current.Load(); s != nil {
		f.Seats = s.id.View.Members[s.id.Self].Arc.Len()
		if since := s.standsSince(); !since.IsZero() {
			f.Waiting = time.Since(since)
		}
	}
	return f
}

// Alive waits until the main loop answers, or ctx ends.
func (w *Worker) Alive(ctx context.Context) error {
	answered := make(chan struct{})
	w.post(ctx, func() { close(answered) })
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
		return errors.New("the main loop does not answer")
	}
}

// Ready says why the worker can do no work for the cluster; nil where it can.
func (w *Worker) Ready() error {
	if w.attached.Load() {
		return nil
	}
	if why := w.unattached.Load(); why != nil {
		return fmt.Errorf("not attached to the leading coordinator: %s", *why)
	}
	return errors.New("not attached to the leading coordinator yet")
}
