package worker

import (
	"context"
	"sync"
	"time"

	"ringmaster/internal/rpc"
	"ringmaster/internal/sleep"
	"ringmaster/internal/trace"
)

// maxTraceRoom bounds the spans of a recording, whatever is ordered.
const maxTraceRoom = 1 << 15

// tracing is the trace that the worker records, or gives the leader.
type tracing struct {
	id      uint64 // 0: none
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// end gives up what has not reached the leader.
func (k *tracing) end() {
	if k.cancel != nil {
		k.cancel()
	}
	k.running.Wait()
	k.id, k.cancel = 0, nil
}

// traceAsOrdered begins or ends a recording, if the newest order says so.
func (w *Worker) traceAsOrdered(ctx context.Context) {
	order := w.order.GetTrace()
	if order.GetId() == w.tracing.id {
		return
	}
	w.recorder.Stop()
	w.tracing.end()
	if order == nil {
		return
	}
	leader := ""
	for _, c := range w.order.Coordinators {
		if c.Leader {
			leader = c.Address
		}
	}
	out := &rpc.WorkerTrace{Id: order.Id, Worker: w.cfg.Self.Worker, Incarnation: uint64(w.cfg.Self.Incarnation), Host: w.cfg.Self.Host, Pid: int64(w.cfg.PID)}
	if v := w.order.View; v != nil {
		if self := memberOf(v, w.cfg.Self); self >= 0 {
			n := len(v.Members)
			out.Previous, out.Next = v.Members[(self+n-1)%n].Worker, v.Members[(self+1)%n].Worker
		}
	}
	rec := w.recorder.Start(order.First, uint64(order.Steps), int(min(order.Room, maxTraceRoom)))
	if w.job == nil || w.job.spec.Id != order.Job {
		w.recorder.Stop() // there will be no steps
	}
	ctx, cancel := context.WithCancel(ctx)
	w.tracing.id, w.tracing.cancel = order.Id, cancel
	w.tracing.running.Go(func() {
		defer cancel()
		w.giveTrace(ctx, leader, rec, out)
	})
}

// giveTrace waits for the end of the recording and gives the leader what was recorded.
func (w *Worker) giveTrace(ctx context.Context, leader string, rec *trace.Recording, out *rpc.WorkerTrace) {
	select {
	case <-rec.Done():
	case <-ctx.Done():
		return
	}
	spans, lost := rec.Spans()
	out.Lost, out.Kinds, out.Machine, out.Operations = lost, make([]byte, len(spans)), w.cfg.Self.Machine, w.operations()
	for i, s := range spans {
		out.Kinds[i] = byte(s.Kind)
		out.Indexes = append(out.Indexes, s.Index)
		out.Steps = append(out.Steps, s.Step)
		out.BeganNs = append(out.BeganNs, uint64(max(0, s.Began)))
		out.LastedNs = append(out.LastedNs, uint64(max(0, s.Lasted)))
	}
	for {
		offset, uncertainty, err := w.leadersClock(ctx, leader)
		if err == nil {
			out.OffsetNs, out.UncertaintyNs = int64(offset), uint64(uncertainty)
			out.OriginUnixNs = rec.Origin.Add(offset).UnixNano()
			_, err = w.links.PutTrace(ctx, leader, out)
		}
		if err == nil {
			return
		}
		w.log.Info("the trace has not reached the leader", "coordinator", leader, "reason", err)
		if !sleep.For(ctx, 500*time.Millisecond) {
			return
		}
	}
}

// operations are those of the model that is trained.
func (w *Worker) operations() []string {
	w.mu.Lock()
	live := w.live
	w.mu.Unlock()
	if live == nil {
		return nil
	}
	t := live.trainer.Load()
	if t == nil {
		return nil
	}
	return t.Model.Operations()
}

// clockQuestions is how often the leader is asked for its time; the answer that took the shortest counts.
const clockQuestions = 5

// leadersClock compares the leader's clock with this machine's: how much the leader's is ahead, and by how much that may be wrong, which is half
// of the time that the answer took.
func (w *Worker) leadersClock(ctx context.Context, leader string) (ahead, uncertainty time.Duration, err error) {
	for i := range clockQuestions {
		asked := time.Now()
		there, err := w.links.PutTrace(ctx, leader, &rpc.WorkerTrace{Worker: w.cfg.Self.Worker, Asks: true})
		if err != nil {
			return 0, 0, err
		}
		if half := time.Since(asked) / 2; i == 0 || half < uncertainty {
			uncertainty, ahead = half, time.Duration(there-asked.Add(half).UnixNano())
		}
	}
	return ahead, uncertainty, nil
}
