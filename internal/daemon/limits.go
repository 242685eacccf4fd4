package daemon

import (
	"context"
	"fmt"
	"regexp"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"ringmaster/internal/certs"
	"ringmaster/internal/rpc"
)

// Bounds on what one caller may ask of a gRPC server. The port limits the number of connections.
const (
	maxMessage  = 16 << 20         // bytes
	maxStreams  = 64               // calls at once on a connection; gRPC waits for handlers of calls that were reset
	maxHeaders  = 16 << 10         // bytes of a call's headers
	settleTime  = 10 * time.Second // for a connection's preface
	callTime    = time.Minute      // for a call that is one question and one answer
	idleTime    = 30 * time.Second // for the next message of a transfer
	maxCalls    = 500              // in a second, by the holder of a certificate
	callsWindow = time.Second
	maxAtOnce   = 32  // calls at once by one holder, on all its connections; each may hold a message
	maxNameless = 512 // and by all that show no certificate together: a launch's processes, and whoever else is on this machine
)

// limits are the options that make a gRPC server enforce the bounds.
func limits() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.ConnectionTimeout(settleTime),
		grpc.ChainUnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			ctx, cancel := context.WithTimeout(ctx, callTime)
			defer cancel()
			reply, err := handler(ctx, request)
			return reply, withoutFolders(err)
		}),
		grpc.ChainStreamInterceptor(func(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			if !transfers[info.FullMethod] {
				return withoutFolders(handler(server, stream))
			}
			return withoutFolders(serveImpatiently(server, stream, handler, idleTime))
		}),
	}
}

// absolute is an absolute path of at least one folder and the text before it; a name with spaces is cut short.
var absolute = regexp.MustCompile(`(^|[\s"'(=])/(?:[^\s"':;,()/]+/)+`)

// withoutFolders removes the folders from the paths that an error names: remote callers need not know them. Names of
// files stay, and so do the error's code and details.
func withoutFolders(err error) error {
	st := status.Convert(err)
	if err == nil {
		return err
	}
	text := absolute.ReplaceAllString(st.Message(), "$1")
	if text == st.Message() {
		return err
	}
	p := st.Proto()
	p.Message = text
	return status.FromProto(p).Err()
}

// transfers are the streams that end when the other side is silent. A worker's line and the ring's links have timeouts of
// their own.
var transfers = map[string]bool{
	rpc.Coordinator_PutFile_FullMethodName: true,
	rpc.Coordinator_GetFile_FullMethodName: true,
	rpc.Coordinator_Watch_FullMethodName:   true,
	rpc.Peer_State_FullMethodName:          true,
}

// serveImpatiently runs a stream's handler, and ends the stream if it waits for the other side longer than idle.
func serveImpatiently(server any, stream grpc.ServerStream, handler grpc.StreamHandler, idle time.Duration) error {
	s := &impatient{ServerStream: stream, idle: idle, late: make(chan struct{})}
	done := make(chan error, 1)
	go func() { done <- handler(server, s) }() // ends with the stream, which ends when this function returns
	select {
	case err := <-done:
		return err
	case <-s.late:
		return status.Errorf(codes.DeadlineExceeded, "nothing came or went for %v", idle)
	}
}

// impatient is a stream that measures how long it waits.
type impatient struct {
	grpc.ServerStream
	idle time.Duration
	once sync.Once
	late chan struct{}
}

func (s *impatient) wait() *time.Timer {
	return time.AfterFunc(s.idle, func() { s.once.Do(func() { close(s.late) }) })
}

// RecvMsg receives a message.
func (s *impatient) RecvMsg(m any) error {
	defer s.wait().Stop()
	return s.ServerStream.RecvMsg(m)
}

// SendMsg sends a message.
func (s *impatient) SendMsg(m any) error {
	defer s.wait().Stop()
	return s.ServerStream.SendMsg(m)
}

// pace counts the calls of each holder of a certificate.
type pace struct {
	now func() time.Time

	mu    sync.Mutex
	began time.Time
	calls map[certs.Peer]int
}

func newPace(now func() time.Time) *pace { return &pace{now: now, calls: map[certs.Peer]int{}} }

// check counts a call; the error says that they are too many. The first of them is told of by first.
func (p *pace) check(who certs.Peer) (first bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.now(); now.Sub(p.began) >= callsWindow {
		p.began = now
		clear(p.calls)
	}
	p.calls[who]++
	if n := p.calls[who]; n > maxCalls {
		return n == maxCalls+1, fmt.Errorf("%v calls more than %d times in a second; call less often", who, maxCalls)
	}
	return false, nil
}

// crowd counts the concurrent calls of each certificate holder: their messages take memory before any check. Those of callers without a
// certificate, who come only by loopback or a socket, count together.
type crowd struct {
	mu    sync.Mutex
	calls map[certs.Peer]int
}

func newCrowd() *crowd { return &crowd{calls: map[certs.Peer]int{}} }

// enter lets a call begin, before its first message is read, until ctx ends.
func (c *crowd) enter(ctx context.Context, _ *tap.Info) (context.Context, error) {
	who, _, err := certs.CallerOf(ctx)
	name, most := who.String(), maxAtOnce
	if err != nil || who == (certs.Peer{}) {
		who, name, most = certs.Peer{}, "callers without a certificate", maxNameless
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls[who] >= most {
		return nil, status.Errorf(codes.ResourceExhausted, "%s: %d calls are under way; wait for one to end", name, most)
	}
	c.calls[who]++
	context.AfterFunc(ctx, func() { c.leave(who) })
	return ctx, nil
}

func (c *crowd) leave(who certs.Peer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls[who]--; c.calls[who] == 0 {
		delete(c.calls, who)
	}
}
