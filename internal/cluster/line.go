package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// line is one attached worker's connection.
type line struct {
	order *rpc.Order // newest order, replaced, never changed
	ready chan struct{}
	end   context.CancelFunc
}

// Line is a worker's line as the coordinator sees it. Recv ends when the line's context does.
type Line interface {
	Send(*rpc.Order) error
	Recv() (*rpc.Report, error)
}

// Attach serves a worker's line over gRPC.
func (s *Server) Attach(stream rpc.Coordinator_AttachServer) error {
	return s.Serve(stream.Context(), stream)
}

// Serve serves a worker's line until it breaks or this replica no longer leads. The error tells a worker where the leader
// is.
func (s *Server) Serve(ctx context.Context, stream Line) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if err := s.checkFirst(first); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	id := plan.Incarnation(first.Incarnation)
	l := &line{ready: make(chan struct{}, 1), end: cancel}
	var taken *takenError
	switch err := s.join(id, l, first); {
	case errors.As(err, &taken):
		return turnAway(stream, taken)
	case err != nil:
		return err
	}
	defer s.part(id, l)
	var sender sync.WaitGroup
	sender.Go(func() { sendOrders(ctx, s, l, stream, cancel) })
	defer sender.Wait()
	defer cancel()
	refused := make(chan error, 1)
	go func() { // ends with the stream
		defer cancel()
		for {
			r, err := stream.Recv()
			if err != nil {
				return
			}
			if err := checkNext(first, r); err != nil {
				refused <- err
				return
			}
			if !s.take(id, l, r) {
				return
			}
		}
	}()
	<-ctx.Done()
	select {
	case err := <-refused:
		return err
	default:
	}
	if !s.leads() {
		return s.notLeader()
	}
	return nil
}

// orderInterval is how often a worker gets its order again although nothing changed: a sign of life, without which it looks
// for another leader (session.Config.Silence).
const orderInterval = 400 * time.Millisecond

// sendOrders sends the worker's order when it changes and at every interval.
func sendOrders(ctx context.Context, s *Server, l *line, stream Line, cancel func()) {
	defer cancel()
	beat := time.NewTicker(orderInterval)
	defer beat.Stop()
	var sent *rpc.Order
	due := false
	for {
		s.mu.Lock()
		o := l.order
		s.mu.Unlock()
		if o != nil && (due || sent == nil || !proto.Equal(o, sent)) {
			if stream.Send(o) != nil {
				return
			}
			sent = o
		}
		due = false
		select {
		case <-l.ready:
		case <-beat.C:
			due = true
		case <-ctx.Done():
			return
		}
	}
}

// join adds a worker's line. The error is a *takenError where another process is the worker of that id.
func (s *Server) join(id plan.Incarnation, l *line, first *rpc.Report) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.obs == nil {
		return s.notLeader()
	}
	now := time.Now()
	var taken *takenError
	s.log.Read(func(st *fsm.State) { taken = s.obs.claimID(st.Active(), id, first.Worker, now, s.cfg.Timing) })
	if taken != nil {
		return taken
	}
	for other, old := range s.lines {
		if w := s.obs.workers[other]; w != nil && w.stale {
			old.order = &rpc.Order{Refused: "another process has taken over as worker " + w.report.Worker + ", since this one was silent; give each worker an id of its own"}
			old.notify()
		}
	}
	w := s.obs.workers[id]
	if w == nil {
		w = &seen{}
		s.obs.workers[id] = w
		s.cfg.Log.Info("worker attached", "worker", first.Worker, "host", first.Host, "pid", first.Pid)
	}
	w.note(first, now)
	w.connected, w.report, w.heard = true, first, now
	s.obs.moved = now
	if old := s.lines[id]; old != nil {
		old.end()
	}
	s.lines[id] = l
	s.poke()
	return nil
}

func (l *line) notify() {
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

func (s *Server) part(id plan.Incarnation, l *line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lines[id] != l {
		return
	}
	delete(s.lines, id)
	if s.obs == nil {
		return
	}
	if w := s.obs.workers[id]; w != nil {
		w.connected = false
		s.obs.moved = time.Now()
		s.cfg.Log.Info("worker's line closed", "worker", w.report.Worker)
	}
	s.poke()
}

// take notes a worker's report; false when the line is no longer the worker's.
func (s *Server) take(id plan.Incarnation, l *line, r *rpc.Report) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.obs == nil || s.lines[id] != l {
		return false
	}
	w := s.obs.workers[id]
	if w == nil {
		return false
	}
	now := time.Now()
	if r.Phase != rpc.Phase_PHASE_BROKEN {
		w.brokenSince = time.Time{}
	} else if w.brokenSince.IsZero() || r.Generation != w.report.Generation {
		w.brokenSince = now
	}
	if r.Step > w.report.Step && r.Phase == rpc.Phase_PHASE_TRAINING {
		clear(s.obs.rebuilds)
	}
	w.note(r, now)
	w.report, w.heard = r, now
	if r.Job != "" && r.Progress != nil {
		s.obs.best[r.Job] = max(s.obs.best[r.Job], r.Progress.Step)
		if old := s.lastSeen[r.Job]; old == nil || r.Progress.Step >= old.Step {
			s.lastSeen[r.Job] = r.Progress
		}
		if g := plan.Generation(r.Progress.RejoinGeneration); g != 0 {
			s.stalls[g] = max(s.stalls[g], r.Progress.RejoinMs)
		}
	}
	s.poke()
	return true
}
