package cluster

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/rpc"
)

// replies is the stream of somebody who asked for a trace.
type replies struct {
	grpc.ServerStream
	ctx  context.Context
	came []*rpc.TraceReply
}

func (r *replies) Context() context.Context { return r.ctx }

func (r *replies) Send(reply *rpc.TraceReply) error {
	r.came = append(r.came, reply)
	return nil
}

// training is a leader whose job has started.
func training(t *testing.T) (s *Server, job string) {
	s = leader(t)
	s.log.Read(func(st *fsm.State) { job = st.Active()[0].ID })
	if err := s.log.Propose(t.Context(), fsm.Command{Start: &fsm.Start{Job: job, Generation: 1, StateDigest: make([]byte, 32), Sources: []string{"w1", "w2"}}}); err != nil {
		t.Fatal(err)
	}
	s.lastSeen[job] = &rpc.Progress{Step: 100, StepMs: 50}
	return s, job
}

func TestTraceGathersWhatTheWorkersRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, job := training(t)
		stream := &replies{ctx: t.Context()}
		ended := make(chan error, 1)
		go func() { ended <- s.Trace(&rpc.TraceRequest{Steps: 5}, stream) }()
		synctest.Wait()
		order := s.traces.order()
		if order.GetJob() != job || order.First != 117 || order.Steps != 5 {
			t.Errorf("ordered %v, want 5 steps from 117 on: 750 ms from now", order)
		}
		if err := s.Trace(&rpc.TraceRequest{Steps: 5}, &replies{ctx: t.Context()}); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("a second trace at the same time: %v", err)
		}
		put := func(worker string, incarnation, id uint64, rows int, want codes.Code) {
			t.Helper()
			_, err := s.PutTrace(t.Context(), &rpc.WorkerTrace{Id: id, Worker: worker, Incarnation: incarnation, Kinds: make([]byte, rows), Indexes: make([]int32, rows),
				Steps: make([]uint64, rows), BeganNs: make([]uint64, rows), LastedNs: make([]uint64, 1)})
			if status.Code(err) != want {
				t.Errorf("a trace of %d rows by %s: %v, want %v", rows, worker, err, want)
			}
		}
		put("w1", 11, order.Id, 2, codes.InvalidArgument) // columns differ
		put("w1", 11, order.Id+1, 1, codes.OK)            // of an earlier trace: nobody waits for it
		put("w2", 11, order.Id, 1, codes.OK)              // another one's incarnation
		put("w3", 13, order.Id, 1, codes.OK)              // not in the view
		put("w1", 11, order.Id, 1, codes.OK)
		put("w1", 11, order.Id, 1, codes.OK) // twice
		late := &rpc.WorkerTrace{Id: order.Id, Worker: "w2", Incarnation: 12}
		if taken := s.traces.takes(late); taken == nil || len(s.traces.left()) != 0 {
			t.Error("worker w2's trace is not taken")
		} else {
			s.traces.waitAgain(taken, late) // its call was given up
		}
		if err := <-ended; err != nil { // w2 has no line, and gives nothing within three seconds
			t.Fatal(err)
		}
		var workers []string
		for _, r := range stream.came {
			if r.Trace != nil {
				workers = append(workers, r.Trace.Worker)
			}
		}
		last := stream.came[len(stream.came)-1]
		if !slices.Equal(workers, []string{"w1"}) || !slices.Equal(last.Missing, []string{"w2"}) || stream.came[0].Job != job || stream.came[0].First != 117 {
			t.Errorf("traces of %v, missing %v, first %v", workers, last.Missing, stream.came[0])
		}
		if s.traces.order() != nil {
			t.Error("the order outlives the trace")
		}
	})
}

func TestTraceRefuses(t *testing.T) {
	s, job := training(t)
	for _, c := range []struct {
		request *rpc.TraceRequest
		want    codes.Code
	}{
		{&rpc.TraceRequest{}, codes.InvalidArgument},
		{&rpc.TraceRequest{Steps: MaxTraceSteps + 1}, codes.InvalidArgument},
		{&rpc.TraceRequest{Steps: 1, Job: job + "-2"}, codes.FailedPrecondition},
	} {
		if err := s.Trace(c.request, &replies{ctx: t.Context()}); status.Code(err) != c.want {
			t.Errorf("%v: %v, want %v", c.request, err, c.want)
		}
	}
}

func TestFiguresCountWhatHappens(t *testing.T) {
	s, job := training(t)
	s.counts.stalled(&rpc.Stall{})
	s.counts.stalled(&rpc.Stall{Slow: true})
	s.lastSeen[job].StepsTotal = 500
	f := s.Figures()
	if !f.Leads || f.Phases[fsm.Running] != 1 || len(f.Running) != 1 || f.Running[0].Step != 100 || f.Running[0].Workers != 2 || f.Held != 1 || f.Slow != 1 {
		t.Errorf("%+v", f)
	}
	if _, begun := s.Silent(); begun {
		t.Error("a main loop that has not begun has come round")
	}
	s.counts.turn()
	if since, begun := s.Silent(); !begun || since < 0 {
		t.Errorf("silent for %v", since)
	}
}
