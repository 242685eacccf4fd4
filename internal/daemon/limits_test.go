package daemon

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ringmaster/internal/certs"
	"ringmaster/internal/rpc"
)

// silentStream is a stream on which nothing comes until it ends.
type silentStream struct {
	grpc.ServerStream
	ended chan struct{}
}

func (s silentStream) RecvMsg(any) error {
	<-s.ended
	return context.Canceled
}

func (s silentStream) SendMsg(any) error { return nil }

// A transfer on which nothing comes ends; one whose handler works does not, however long it takes.
func TestSilentTransfersEnd(t *testing.T) {
	s := silentStream{ended: make(chan struct{})}
	left := make(chan struct{})
	err := serveImpatiently(nil, s, func(_ any, stream grpc.ServerStream) error {
		defer close(left)
		return stream.RecvMsg(nil)
	}, time.Millisecond)
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a silent stream ended with %v", err)
	}
	close(s.ended) // as gRPC does when the call has returned
	<-left
	err = serveImpatiently(nil, s, func(_ any, stream grpc.ServerStream) error {
		time.Sleep(20 * time.Millisecond) // a slow disk
		return stream.SendMsg(nil)
	}, time.Millisecond)
	if err != nil {
		t.Errorf("a busy stream ended with %v", err)
	}
}

// A caller that calls too often is refused, once with a line in the log, and only until the second is over; others are not.
func TestPaceOfCalls(t *testing.T) {
	now := time.Unix(1000, 0)
	p := newPace(func() time.Time { return now })
	flood, honest := certs.Peer{Role: certs.Client, ID: "flood"}, certs.Peer{Role: certs.Worker, ID: "w1"}
	said := 0
	for i := range 2 * maxCalls {
		first, err := p.check(flood)
		if first {
			said++
		}
		if (err != nil) != (i >= maxCalls) {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	if _, err := p.check(honest); err != nil || said != 1 {
		t.Errorf("another caller: %v; %d lines", err, said)
	}
	now = now.Add(time.Second)
	if _, err := p.check(flood); err != nil {
		t.Errorf("a second later: %v", err)
	}
}

// An error sent to a remote caller names files but not the folders of this machine; code and details stay.
func TestErrorsNameNoFolders(t *testing.T) {
	for text, want := range map[string]string{
		"store: open /var/lib/ringmaster/c1/model-00001-of-00002.safetensors: no space left": "store: open model-00001-of-00002.safetensors: no space left",
		`read "/home/anna/run/raft/raft.db": bad`:                                            `read "raft.db": bad`,
		"3/4 of the seats at 10.0.0.1:7070":                                                  "3/4 of the seats at 10.0.0.1:7070",
		"/a/b/c":                                                                             "c",
	} {
		st, err := status.New(codes.FailedPrecondition, text).WithDetails(&rpc.NotLeader{LeaderAddress: "x"})
		if err != nil {
			t.Fatal(err)
		}
		got := status.Convert(withoutFolders(st.Err()))
		if got.Message() != want || got.Code() != codes.FailedPrecondition || len(got.Details()) != 1 {
			t.Errorf("%s came out as %v", text, got)
		}
	}
	if err := withoutFolders(nil); err != nil {
		t.Error(err)
	}
	if err := withoutFolders(errors.New("open /a/b: denied")); status.Convert(err).Message() != "open b: denied" {
		t.Error(err)
	}
}
