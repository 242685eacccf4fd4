package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"ringmaster/internal/rpc"
)

// proxy is a proxy of the environment, which net/http reads once a process.
var proxy net.Listener

func TestMain(m *testing.M) {
	var err error
	if proxy, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		panic(err)
	}
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"} {
		os.Setenv(name, "http://"+proxy.Addr().String())
	}
	goleak.VerifyTestMain(m)
}

// A proxy of the environment does not stand between this process and a coordinator on another machine.
func TestNoProxy(t *testing.T) {
	c := New([]string{"coordinator.invalid:7070"}, grpc.WithTransportCredentials(insecure.NewCredentials()))
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if _, err := c.Status(ctx, ""); !errors.Is(err, ErrUnreachable) {
		t.Errorf("%v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := proxy.(*net.TCPListener).SetDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if conn, err := proxy.Accept(); err == nil {
		conn.Close()
		t.Error("the proxy was called")
	}
}

// replica is a coordinator that leads or names the one that does.
type replica struct {
	rpc.UnimplementedCoordinatorServer
	address string

	mu       sync.Mutex
	leader   *replica // nil: none is known
	calls    int
	statuses []*rpc.JobStatus // what Watch sends, one stream after another: nil breaks the stream
	files    map[string][]byte
}

func (r *replica) lead() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	if r.leader == r {
		return nil
	}
	detail := &rpc.NotLeader{}
	if r.leader != nil {
		detail.LeaderAddress = r.leader.address
	}
	s, err := status.New(codes.FailedPrecondition, "this coordinator does not lead").WithDetails(detail)
	if err != nil {
		return err
	}
	return s.Err()
}

func (r *replica) Submit(_ context.Context, request *rpc.SubmitRequest) (*rpc.SubmitReply, error) {
	if err := r.lead(); err != nil {
		return nil, err
	}
	if len(request.Config) == 0 {
		return nil, status.Error(codes.InvalidArgument, "no configuration")
	}
	return &rpc.SubmitReply{Job: string(request.Config)}, nil
}

func (r *replica) Watch(_ *rpc.WatchRequest, stream rpc.Coordinator_WatchServer) error {
	if err := r.lead(); err != nil {
		return err
	}
	for {
		r.mu.Lock()
		if len(r.statuses) == 0 {
			r.mu.Unlock()
			return nil
		}
		next := r.statuses[0]
		r.statuses = r.statuses[1:]
		r.mu.Unlock()
		if next == nil {
			return status.Error(codes.Unavailable, "gone")
		}
		if err := stream.Send(next); err != nil {
			return err
		}
	}
}

func (r *replica) PutFile(stream rpc.Coordinator_PutFileServer) error {
	var name string
	var content []byte
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if name == "" {
			name = part.Directory + "/" + part.Name
			if part.Bytes == 1 {
				return status.Error(codes.DataLoss, "the bytes differ from those stored")
			}
		}
		content = append(content, part.Data...)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files[name] = content
	return stream.SendAndClose(&rpc.PutFileReply{Id: "c1"})
}

// serve starts n coordinators, the first of which leads.
func serve(t *testing.T, n int) []*replica {
	replicas := make([]*replica, n)
	for i := range replicas {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		r := &replica{address: listener.Addr().String(), files: map[string][]byte{}}
		server := grpc.NewServer()
		rpc.RegisterCoordinatorServer(server, r)
		var serving sync.WaitGroup
		serving.Go(func() { _ = server.Serve(listener) })
		t.Cleanup(func() { server.Stop(); serving.Wait() })
		replicas[i] = r
	}
	for _, r := range replicas {
		r.leader = replicas[0]
	}
	return replicas
}

func newClient(t *testing.T, addresses ...string) *Client {
	c := New(addresses)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// A follower names the leader, which need not be among the addresses that are known.
func TestFollowsToTheLeader(t *testing.T) {
	replicas := serve(t, 3)
	c := newClient(t, replicas[1].address)
	id, err := c.Submit(t.Context(), &rpc.SubmitRequest{Config: []byte("job")})
	if err != nil || id != "job" {
		t.Fatalf("%q, %v", id, err)
	}
	if replicas[1].calls != 1 || replicas[0].calls != 1 {
		t.Errorf("the follower had %d calls and the leader %d, want one each", replicas[1].calls, replicas[0].calls)
	}
	if _, err := c.Submit(t.Context(), &rpc.SubmitRequest{Config: []byte("job")}); err != nil || replicas[1].calls != 1 {
		t.Errorf("the second call asked the follower again (%d calls), %v", replicas[1].calls, err)
	}
}

// While there is no leader, or the one named does not answer, it keeps asking.
func TestWaitsForALeader(t *testing.T) {
	replicas := serve(t, 2)
	gone := &replica{address: "127.0.0.1:1"}
	replicas[0].leader, replicas[1].leader = nil, gone
	c := newClient(t, replicas[0].address, replicas[1].address)
	elected := make(chan struct{})
	go func() {
		defer close(elected)
		for {
			replicas[0].mu.Lock()
			asked := replicas[0].calls
			if asked > 1 {
				replicas[0].leader = replicas[0]
			}
			replicas[0].mu.Unlock()
			if asked > 1 {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if _, err := c.Submit(t.Context(), &rpc.SubmitRequest{Config: []byte("job")}); err != nil {
		t.Error(err)
	}
	<-elected
}

func TestUnreachable(t *testing.T) {
	c := newClient(t, "127.0.0.1:1")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := c.Submit(ctx, &rpc.SubmitRequest{})
	if !errors.Is(err, ErrUnreachable) || !strings.HasPrefix(err.Error(), "submit the job: no coordinator answers at 127.0.0.1:1 (coordinator 127.0.0.1:1:") {
		t.Errorf("%v", err)
	}
}

// An answer that will not change is given at once.
func TestRefusalIsFinal(t *testing.T) {
	replicas := serve(t, 1)
	c := newClient(t, replicas[0].address)
	_, err := c.Submit(t.Context(), &rpc.SubmitRequest{})
	if err == nil || err.Error() != "submit the job: no configuration" || replicas[0].calls != 1 {
		t.Errorf("%v after %d calls", err, replicas[0].calls)
	}
}

// A watcher survives broken streams and sees the end.
func TestAWatcherSurvivesBrokenStreams(t *testing.T) {
	replicas := serve(t, 2)
	replicas[0].statuses = []*rpc.JobStatus{{Step: 1}, {Step: 2}, nil, {Step: 3}, nil, {Step: 4, Ended: true}}
	c := newClient(t, replicas[1].address)
	var steps []uint64
	last, err := c.Watch(t.Context(), "job", time.Minute, func(s *rpc.JobStatus) { steps = append(steps, s.Step) })
	if err != nil || !last.Ended || len(steps) != 4 || steps[3] != 4 {
		t.Errorf("steps %v, last %v, %v", steps, last, err)
	}
}

func TestWatchGivesUp(t *testing.T) {
	replicas := serve(t, 1)
	replicas[0].leader = nil
	c := newClient(t, replicas[0].address)
	_, err := c.Watch(t.Context(), "job", 150*time.Millisecond, func(*rpc.JobStatus) {})
	if !errors.Is(err, ErrUnreachable) {
		t.Errorf("%v", err)
	}
}

func TestPutFile(t *testing.T) {
	replicas := serve(t, 1)
	c := newClient(t, replicas[0].address)
	for _, size := range []int{0, 2, 256 << 10, 1<<20 + 7} {
		content := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
		file := File{Directory: "step-1-g1", Name: "f", Bytes: int64(size), Open: func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(content)), nil
		}}
		if err := c.PutFile(t.Context(), replicas[0].address, file); err != nil {
			t.Error(err)
		}
		if got := replicas[0].files["step-1-g1/f"]; !bytes.Equal(got, content) {
			t.Errorf("%d bytes arrived of %d", len(got), size)
		}
	}
	bad := File{Directory: "d", Name: "f", Bytes: 1, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil }}
	err := c.PutFile(t.Context(), replicas[0].address, bad)
	if err == nil || !strings.Contains(err.Error(), "store d/f with coordinator "+replicas[0].address) || !strings.Contains(err.Error(), "the bytes differ") {
		t.Errorf("%v", err)
	}
}

// lateLeader answers a watch just when the attempt's time is up.
type lateLeader struct {
	rpc.CoordinatorClient
	grpc.ServerStreamingClient[rpc.JobStatus]
	timeUp context.CancelFunc
}

func (l *lateLeader) Watch(context.Context, *rpc.WatchRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[rpc.JobStatus], error) {
	return l, nil
}

func (l *lateLeader) Recv() (*rpc.JobStatus, error) {
	l.timeUp()
	return &rpc.JobStatus{}, nil
}

// TestWatchThatBeginsTooLate gets its first message as the time for it is up: the attempt has failed, and another one is made.
func TestWatchThatBeginsTooLate(t *testing.T) {
	attempt, timeUp := context.WithCancel(context.Background())
	stream, first, err := beginStream(attempt, context.Background(), func(ctx context.Context) (grpc.ServerStreamingClient[rpc.JobStatus], error) {
		return (&lateLeader{timeUp: timeUp}).Watch(ctx, &rpc.WatchRequest{Job: "1"})
	})
	if stream != nil || first != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("stream %v, first message %v, error %v", stream, first, err)
	}
}
