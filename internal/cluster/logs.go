package cluster

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ringmaster/internal/printable"
	"ringmaster/internal/rpc"
)

// askTime bounds how long another process may take to tell the lines of its log.
const askTime = 3 * time.Second

// Logs reads the newest lines of a process's log: this one's, or, from the leader, any other's of the cluster.
func (s *Server) Logs(ctx context.Context, r *rpc.LogsRequest) (*rpc.LogsReply, error) {
	if r.Process == s.cfg.ID {
		e := s.cfg.Recent.Since(r.Life, r.After, int(r.Tail))
		return &rpc.LogsReply{Life: e.Life, Last: e.Last, Missed: e.Missed, Lines: e.Lines}, nil
	}
	if !s.leads() {
		return nil, s.notLeader()
	}
	address, worker := s.addressOf(r.Process)
	if address == "" || s.cfg.AskLogs == nil {
		return nil, status.Errorf(codes.NotFound, "no coordinator or worker %s here; ringmaster status lists them", printable.Line(r.Process, 100))
	}
	asking, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	reply, err := s.cfg.AskLogs(asking, worker, address, r)
	if err != nil && ctx.Err() == nil {
		return nil, status.Errorf(codes.FailedPrecondition, "%s at %s does not tell its log: %s", r.Process, address, status.Convert(err).Message())
	}
	return reply, err
}

// addressOf finds a process of the cluster; "" where there is none.
func (s *Server) addressOf(id string) (address string, worker bool) {
	for _, c := range s.log.Replicas() {
		if c.ID == id {
			return c.Address, false
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader == nil {
		return "", false
	}
	for _, w := range s.leader.Workers(time.Now()) {
		if w.Worker == id {
			return w.Address, true
		}
	}
	return "", false
}
