package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"ringmaster/internal/cluster/decide"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// line is one attached worker's connection.
type line struct {
	worker  string
	order   *rpc.Order // newest order, replaced, never changed
	refused bool       // another process has taken over: this order is final
	ready   chan struct{}
	end     context.CancelFunc
}

// Line is a worker's line, seen from the coordinator. Recv ends when the line's context does.
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
	if err := checkFirst(first); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	id := plan.Incarnation(first.Incarnation)
	l := &line{worker: first.Worker, ready: make(chan struct{}, 1), end: cancel}
	if err := s.join(id, l, first); err != nil {
		return s.turnAway(stream, err)
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

// orderInterval is how often a worker gets its order again although nothing changed: a heartbeat, without which it looks
// for another leader (worker.Config.Silence).
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

// join adds a worker's line. The error is one of decide's where the worker may not attach.
func (s *Server) join(id plan.Incarnation, l *line, first *rpc.Report) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader == nil {
		return s.notLeader()
	}
	var attached decide.Attached
	var err error
	s.log.Read(func(st *fsm.State) { attached, err = s.leader.Attach(st, first, time.Now()) })
	if err != nil {
		return err
	}
	for _, other := range attached.Replaced {
		if old := s.lines[other]; old != nil {
			old.refused = true
			old.order = &rpc.Order{Refused: "another process has taken over as worker " + first.Worker + ", since this one was silent; give each worker an id of its own"}
			old.notify()
		}
	}
	if !attached.Again {
		s.cfg.Log.Info("worker attached", "worker", first.Worker, "host", first.Host, "pid", first.Pid)
	}
	if old := s.lines[id]; old != nil {
		old.end()
	}
	s.lines[id] = l
	s.poke()
	return nil
}

// turnAway ends the line of a worker that may not attach: for good if another process has been proved to own its id, else until it asks
// again.
func (s *Server) turnAway(stream Line, reason error) error {
	var taken *decide.TakenError
	var foreign *decide.ForeignError
	switch {
	case errors.As(reason, &taken):
		if taken.Final {
			if err := stream.Send(&rpc.Order{Refused: taken.Error()}); err != nil {
				return err
			}
		}
		return status.Error(codes.AlreadyExists, taken.Error())
	case errors.As(reason, &foreign):
		s.cfg.Log.Warn("refused a worker that reports with another one's incarnation", "worker", foreign.Worker, "incarnation of", foreign.Owner)
		return status.Error(codes.PermissionDenied, foreign.Error())
	}
	return reason
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
	if s.leader == nil {
		return
	}
	s.leader.Detach(id, time.Now())
	s.cfg.Log.Info("worker's line closed", "worker", l.worker)
	s.poke()
}

// take stores a worker's report; false if the line is no longer the worker's.
func (s *Server) take(id plan.Incarnation, l *line, r *rpc.Report) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader == nil || s.lines[id] != l || !s.leader.Observe(r, time.Now()) {
		return false
	}
	if r.Job != "" && r.Progress != nil {
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
