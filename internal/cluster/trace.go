package cluster

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ringmaster/internal/certs"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// Bounds on a trace. Workers give theirs one after another, and the leader holds one at a time for whoever asked.
const (
	MaxTraceSteps = 10000
	traceRoom     = 1 << 15 // spans of one worker
	maxTraceRows  = traceRoom
	traceNotice   = 750 * time.Millisecond // before the first step, so that all workers have heard of it
	traceTime     = 10 * time.Minute
	traceGone     = 3 * time.Second // a worker without a line for so long gives no trace
)

// traces are the trace under way; there is one at a time.
type traces struct {
	mu      sync.Mutex
	current *tracing // nil: none
}

type tracing struct {
	job     string
	ordered *rpc.TraceOrder
	wanted  map[plan.Incarnation]string // workers that have not given theirs
	came    chan *rpc.WorkerTrace
	over    chan struct{} // closed when nobody waits for traces any more
}

// order is the part of all workers' orders that asks for the trace. Those that do not train the job, any more, give an empty one.
func (k *traces) order() *rpc.TraceOrder {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current == nil {
		return nil
	}
	return k.current.ordered
}

// begin makes t the trace under way; false: there is one already.
func (k *traces) begin(t *tracing) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current != nil {
		return false
	}
	k.current = t
	return true
}

func (k *traces) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	close(k.current.over)
	k.current = nil
}

// takes is the trace under way if it has that id and waits for that worker, which it does no more then.
func (k *traces) takes(r *rpc.WorkerTrace) *tracing {
	k.mu.Lock()
	defer k.mu.Unlock()
	t, who := k.current, plan.Incarnation(r.Incarnation)
	if t == nil || t.ordered.Id != r.Id || t.wanted[who] != r.Worker || r.Worker == "" {
		return nil
	}
	delete(t.wanted, who)
	return t
}

// waitAgain waits for the worker whose trace did not get through.
func (k *traces) waitAgain(t *tracing, r *rpc.WorkerTrace) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t.wanted[plan.Incarnation(r.Incarnation)] = r.Worker
}

// left are the workers that are still waited for.
func (k *traces) left() map[plan.Incarnation]string {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := map[plan.Incarnation]string{}
	for id, worker := range k.current.wanted {
		out[id] = worker
	}
	return out
}

// PutTrace takes a worker's trace, or tells it the time.
func (s *Server) PutTrace(ctx context.Context, r *rpc.WorkerTrace) (*rpc.PutTraceReply, error) {
	if !s.leads() {
		return nil, s.notLeader()
	}
	reply := &rpc.PutTraceReply{UnixNs: time.Now().UnixNano()}
	if r.Asks {
		return reply, nil
	}
	if holder, certified := certs.WorkerOf(ctx); certified && holder != r.Worker {
		return nil, status.Errorf(codes.PermissionDenied, "the certificate is for worker %s, not for %.80q", holder, r.Worker)
	}
	n := len(r.Kinds)
	if n > maxTraceRows || len(r.Indexes) != n || len(r.Steps) != n || len(r.BeganNs) != n || len(r.LastedNs) != n || len(r.Host) > maxAddress {
		return nil, status.Errorf(codes.InvalidArgument, "a trace of %d rows, whose columns differ in length or are too long", n)
	}
	t := s.traces.takes(r)
	if t == nil {
		return reply, nil // nobody waits for it any more
	}
	select {
	case t.came <- r:
	case <-t.over:
	case <-ctx.Done():
		s.traces.waitAgain(t, r) // the worker tries again
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	return reply, nil
}

// Trace records steps of a job's workers.
func (s *Server) Trace(r *rpc.TraceRequest, stream rpc.Coordinator_TraceServer) error {
	if !s.leads() {
		return s.notLeader()
	}
	if r.Steps < 1 || r.Steps > MaxTraceSteps {
		return status.Errorf(codes.InvalidArgument, "%d steps: a trace has 1 to %d", r.Steps, MaxTraceSteps)
	}
	t, err := s.planTrace(r)
	if err != nil {
		return err
	}
	if !s.traces.begin(t) {
		return status.Error(codes.ResourceExhausted, "another trace is being recorded; wait until it is done")
	}
	defer s.poke() // the workers forget it
	defer s.traces.end()
	s.poke()
	s.cfg.Log.Info("steps are traced", "job", t.job, "first", t.ordered.First, "steps", t.ordered.Steps)
	ctx, cancel := context.WithTimeout(stream.Context(), traceTime)
	defer cancel()
	waits := len(s.traces.left())
	if err := stream.Send(&rpc.TraceReply{Job: t.job, First: t.ordered.First}); err != nil {
		return err
	}
	for ; waits > 0; waits-- {
		trace, err := s.awaitTrace(ctx, t)
		if err != nil {
			return err
		}
		if trace == nil {
			break
		}
		if err := stream.Send(&rpc.TraceReply{Job: t.job, First: t.ordered.First, Trace: trace}); err != nil {
			return err
		}
	}
	last := &rpc.TraceReply{Job: t.job, First: t.ordered.First}
	for _, worker := range s.traces.left() {
		last.Missing = append(last.Missing, worker)
	}
	slices.Sort(last.Missing)
	return stream.Send(last)
}

// planTrace says which steps of which workers are traced.
func (s *Server) planTrace(r *rpc.TraceRequest) (*tracing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var t *tracing
	s.log.Read(func(st *fsm.State) {
		for _, j := range st.Jobs {
			if t != nil || j.Phase != fsm.Running || !j.Running() || r.Job != "" && j.ID != r.Job {
				continue
			}
			t = &tracing{job: j.ID, ordered: &rpc.TraceOrder{Id: s.cfg.Random() | 1, Job: j.ID, First: j.Step() + 1, Steps: r.Steps, Room: traceRoom},
				wanted: map[plan.Incarnation]string{}, came: make(chan *rpc.WorkerTrace), over: make(chan struct{})}
			for _, m := range j.View.Members {
				t.wanted[m.Incarnation] = m.Worker
			}
			if p := s.lastSeen[j.ID]; p != nil && p.StepMs > 0 {
				t.ordered.First = p.Step + 2 + uint64(math.Ceil(float64(traceNotice.Milliseconds())/p.StepMs))
			}
		}
	})
	switch {
	case t == nil && r.Job != "":
		return nil, status.Errorf(codes.FailedPrecondition, "job %.80q does not train at the moment, so there are no steps to trace", r.Job)
	case t == nil:
		return nil, status.Error(codes.FailedPrecondition, "no job trains at the moment, so there are no steps to trace")
	}
	return t, nil
}

// awaitTrace is the next worker's trace; nil where those that are left will give none.
func (s *Server) awaitTrace(ctx context.Context, t *tracing) (*rpc.WorkerTrace, error) {
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	var gone time.Time // since when none of those that are left has a line; zero: one has
	for {
		select {
		case trace := <-t.came:
			return trace, nil
		case <-ctx.Done():
			if ctx.Err() == context.DeadlineExceeded {
				return nil, status.Errorf(codes.DeadlineExceeded, "the steps have not ended within %v; trace fewer", traceTime)
			}
			return nil, ctx.Err()
		case <-look.C:
		}
		if !s.leads() {
			return nil, s.notLeader()
		}
		left := s.traces.left()
		s.mu.Lock()
		attached := slices.ContainsFunc(slices.Collect(maps.Keys(left)), func(id plan.Incarnation) bool { return s.lines[id] != nil })
		s.mu.Unlock()
		switch {
		case len(left) == 0 || attached: // one that was taken is on its way
			gone = time.Time{}
		case gone.IsZero():
			gone = time.Now()
		case time.Since(gone) > traceGone:
			return nil, nil
		}
	}
}
