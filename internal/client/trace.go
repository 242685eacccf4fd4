package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ringmaster/internal/rpc"
	"ringmaster/internal/trace"
)

// Trace is what the workers of a job recorded of some steps.
type Trace struct {
	Job       string
	First     uint64 // step
	Processes []trace.Process
	Missing   []string // workers that gave no trace
}

// Trace has the workers of a job ("": the one that runs) record steps, and waits for their traces.
func (c *Client) Trace(ctx context.Context, job string, steps int) (*Trace, error) {
	streaming, stop := context.WithCancel(ctx)
	defer stop()
	var stream grpc.ServerStreamingClient[rpc.TraceReply]
	var reply *rpc.TraceReply
	err := c.lead(ctx, "trace the job", func(attempt context.Context, leader rpc.CoordinatorClient) (err error) {
		stream, reply, err = beginStream(attempt, streaming, func(ctx context.Context) (grpc.ServerStreamingClient[rpc.TraceReply], error) {
			return leader.Trace(ctx, &rpc.TraceRequest{Job: job, Steps: uint32(steps)})
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	t := &Trace{Job: reply.Job, First: reply.First}
	for {
		if reply, err = stream.Recv(); errors.Is(err, io.EOF) {
			trace.ShareClocks(t.Processes)
			return t, nil
		} else if code := status.Code(err); code == codes.Unavailable || code == codes.FailedPrecondition {
			return nil, fmt.Errorf("trace the job: the coordinator leads no more (%s), and what the workers recorded is lost: trace again, fewer steps where the job ends soon", status.Convert(err).Message())
		} else if err != nil {
			return nil, fmt.Errorf("trace the job: %s", status.Convert(err).Message())
		}
		t.Missing = append(t.Missing, reply.Missing...)
		if w := reply.Trace; w != nil {
			p, err := processOf(w)
			if err != nil {
				return nil, err
			}
			t.Processes = append(t.Processes, p)
		}
	}
}

// processOf turns a worker's columns into spans.
func processOf(w *rpc.WorkerTrace) (trace.Process, error) {
	n := len(w.Kinds)
	if len(w.Indexes) != n || len(w.Steps) != n || len(w.BeganNs) != n || len(w.LastedNs) != n {
		return trace.Process{}, fmt.Errorf("trace the job: the columns of worker %.80q's trace differ in length", w.Worker)
	}
	p := trace.Process{Worker: w.Worker, Host: w.Host, Machine: w.Machine, Operations: w.Operations, PID: w.Pid, Previous: w.Previous, Next: w.Next, Lost: w.Lost, Origin: w.OriginUnixNs,
		Offset: time.Duration(w.OffsetNs), Uncertainty: time.Duration(int64(w.UncertaintyNs)), Spans: make([]trace.Span, n)}
	for i := range p.Spans {
		p.Spans[i] = trace.Span{Kind: trace.Kind(w.Kinds[i]), Index: w.Indexes[i], Step: w.Steps[i], Began: time.Duration(int64(w.BeganNs[i])),
			Lasted: time.Duration(int64(w.LastedNs[i]))}
	}
	return p, nil
}
