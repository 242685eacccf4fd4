// Package client is a client of the coordinators for those who give them work: it finds the leader among the addresses
// it was given, follows it when it changes, and keeps trying while there is none.
package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"ringmaster/internal/certs"
	"ringmaster/internal/rpc"
	"ringmaster/internal/sleep"
)

// Pauses between attempts, and how long one attempt may take.
const (
	retryPause  = 50 * time.Millisecond
	callTimeout = 5 * time.Second
	silence     = 3 * time.Second // a watched coordinator speaks several times a second; one silent for so long is given up
	maxMessage  = 64 << 20
)

// ErrUnreachable is wrapped by errors of calls that no coordinator answered.
var ErrUnreachable = errors.New("no coordinator answers")

// Client calls whichever coordinator leads. It is not for use by several goroutines at once, except for Stop.
type Client struct {
	addresses []string // those given, then those learned from followers
	conns     map[string]*grpc.ClientConn
	next      int // index of the address to try next
	options   []grpc.DialOption
}

// New makes a client of the coordinators at addresses (host:port). It connects on the first call; without options in
// plain text, and for that reason over loopback only.
func New(addresses []string, options ...grpc.DialOption) *Client {
	if len(options) == 0 {
		options = []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(certs.DialPlain)}
	}
	// A cluster that is just coming up refuses connections at first: gRPC's own pause of a second would be most of the wait.
	params := grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: retryPause, Multiplier: 1.5, Jitter: 0.2, MaxDelay: time.Second}, MinConnectTimeout: 2 * time.Second}
	// Coordinators are on the user's own network: a proxy for the internet (HTTPS_PROXY) is not between.
	options = append(slices.Clone(options), grpc.WithNoProxy(), grpc.WithConnectParams(params), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	return &Client{addresses: slices.Clone(addresses), conns: map[string]*grpc.ClientConn{}, options: options}
}

// Close closes the connections.
func (c *Client) Close() error {
	var errs []error
	for _, conn := range c.conns {
		errs = append(errs, conn.Close())
	}
	clear(c.conns)
	return errors.Join(errs...)
}

func (c *Client) at(address string) (rpc.CoordinatorClient, error) {
	conn := c.conns[address]
	if conn == nil {
		var err error
		if conn, err = grpc.NewClient("passthrough:///"+address, c.options...); err != nil {
			return nil, fmt.Errorf("dial coordinator %s: %w", address, err)
		}
		c.conns[address] = conn
	}
	return rpc.NewCoordinatorClient(conn), nil
}

// lead runs a call against the leader until it succeeds, fails for good, or ctx ends.
func (c *Client) lead(ctx context.Context, doing string, call func(context.Context, rpc.CoordinatorClient) error) error {
	var last error
	for {
		address := c.addresses[c.next]
		client, err := c.at(address)
		if err == nil {
			attempt, cancel := context.WithTimeout(ctx, callTimeout)
			err = call(attempt, client)
			cancel()
		}
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = fmt.Errorf("coordinator %s: %s%s", address, certs.Reason(err), hint(err))
		}
		redirected, final := c.turn(err)
		if final {
			return fmt.Errorf("%s: %s", doing, status.Convert(err).Message())
		}
		if redirected && ctx.Err() == nil {
			continue
		}
		if !sleep.For(ctx, retryPause) {
			return fmt.Errorf("%s: %w at %s (%s); start one, or correct the address", doing, ErrUnreachable, strings.Join(c.addresses, ", "), oneLine(last))
		}
	}
}

// turn decides what follows an error: the next address to try (redirected: one that was named as the leader), or the end
// of all trying.
func (c *Client) turn(err error) (redirected, final bool) {
	s := status.Convert(err)
	for _, detail := range s.Details() {
		if follower, ok := detail.(*rpc.NotLeader); ok {
			if follower.LeaderAddress == "" || follower.LeaderAddress == c.addresses[c.next] {
				c.next = (c.next + 1) % len(c.addresses)
				return false, false
			}
			c.next = slices.Index(c.addresses, follower.LeaderAddress)
			if c.next < 0 {
				c.next = len(c.addresses)
				c.addresses = append(c.addresses, follower.LeaderAddress)
			}
			return true, false
		}
	}
	switch s.Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Aborted, codes.Unknown:
		c.next = (c.next + 1) % len(c.addresses)
		return false, false
	}
	return false, true
}

// hint says what an error that gRPC words badly may mean: a server that speaks TLS hangs up on plain text.
func hint(err error) string {
	if strings.Contains(err.Error(), "reading server preface") {
		return "; if the cluster has certificates, name yours by --certs"
	}
	return ""
}

func oneLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// Submit records a job and returns its id.
func (c *Client) Submit(ctx context.Context, request *rpc.SubmitRequest) (string, error) {
	if request.Token == 0 {
		request.Token = rand.Uint64() // so that an attempt whose answer was lost is not recorded twice
	}
	var id string
	err := c.lead(ctx, "submit the job", func(ctx context.Context, leader rpc.CoordinatorClient) error {
		reply, err := leader.Submit(ctx, request)
		id = reply.GetJob()
		return err
	})
	return id, err
}

// Stop ends a job gracefully: after the current step, with a checkpoint.
func (c *Client) Stop(ctx context.Context, job string) error {
	return c.lead(ctx, "stop the job", func(ctx context.Context, leader rpc.CoordinatorClient) error {
		_, err := leader.Stop(ctx, &rpc.StopRequest{Job: job})
		return err
	})
}

// Jobs lists the cluster's jobs in the order of their submission.
func (c *Client) Jobs(ctx context.Context) ([]*rpc.JobLine, error) {
	var all []*rpc.JobLine
	err := c.lead(ctx, "list the jobs", func(ctx context.Context, leader rpc.CoordinatorClient) error {
		reply, err := leader.Jobs(ctx, &rpc.JobsRequest{})
		all = reply.GetJobs()
		return err
	})
	return all, err
}

// Logs reads the newest lines of a process's log.
func (c *Client) Logs(ctx context.Context, request *rpc.LogsRequest) (*rpc.LogsReply, error) {
	var lines *rpc.LogsReply
	err := c.lead(ctx, "read the log", func(ctx context.Context, leader rpc.CoordinatorClient) error {
		reply, err := leader.Logs(ctx, request)
		lines = reply
		return err
	})
	return lines, err
}

// Change pauses, resumes or cancels a job, or gives it another priority, which counts for rpc.Change_CHANGE_PRIORITY alone.
func (c *Client) Change(ctx context.Context, job string, change rpc.Change, priority int) error {
	return c.lead(ctx, "change the job", func(ctx context.Context, leader rpc.CoordinatorClient) error {
		_, err := leader.ChangeJob(ctx, &rpc.ChangeJobRequest{Job: job, Change: change, Priority: int32(priority)})
		return err
	})
}

// Scale sets the number of workers that a job wants.
func (c *Client) Scale(ctx context.Context, job string, workers int) error {
	return c.lead(ctx, "scale the job", func(ctx context.Context, leader rpc.CoordinatorClient) error {
		_, err := leader.Scale(ctx, &rpc.ScaleRequest{Job: job, Workers: uint32(workers)})
		return err
	})
}

// Coordinators lists the replicas, as the leader sees them.
func (c *Client) Coordinators(ctx context.Context) ([]*rpc.CoordinatorInfo, error) {
	var all []*rpc.CoordinatorInfo
	err := c.lead(ctx, "list the coordinators", func(ctx context.Context, leader rpc.CoordinatorClient) error {
		reply, err := leader.Coordinators(ctx, &rpc.CoordinatorsRequest{})
		all = reply.GetCoordinators()
		return err
	})
	return all, err
}

// Clock is what the clock of the first coordinator shows that answers, whether it leads or not.
func (c *Client) Clock(ctx context.Context) (time.Time, error) {
	var at time.Time
	err := c.lead(ctx, "ask for the time", func(ctx context.Context, replica rpc.CoordinatorClient) error {
		reply, err := replica.Coordinators(ctx, &rpc.CoordinatorsRequest{Any: true})
		at = time.Unix(0, reply.GetUnixNs())
		return err
	})
	return at, err
}

// RemoveCoordinator takes a replica out of the cluster.
func (c *Client) RemoveCoordinator(ctx context.Context, id string, force bool) error {
	return c.lead(ctx, "remove coordinator "+id, func(ctx context.Context, leader rpc.CoordinatorClient) error {
		_, err := leader.RemoveCoordinator(ctx, &rpc.RemoveCoordinatorRequest{Id: id, Force: force})
		return err
	})
}

// learn notes coordinators that it has not been told of. Replicas come and go while somebody watches.
func (c *Client) learn(addresses []string) {
	for _, address := range addresses {
		if !slices.Contains(c.addresses, address) {
			c.addresses = append(c.addresses, address)
		}
	}
}

// Status is the state of the cluster and of a job; an empty id means the newest.
func (c *Client) Status(ctx context.Context, job string) (*rpc.ClusterStatus, error) {
	var found *rpc.ClusterStatus
	err := c.lead(ctx, "ask for the status", func(ctx context.Context, leader rpc.CoordinatorClient) error {
		reply, err := leader.Status(ctx, &rpc.StatusRequest{Job: job})
		found = reply
		return err
	})
	return found, err
}

// Watch calls see with every status of a job until it has ended, and returns the last one. It survives a change of the
// leader. patience bounds how long no coordinator may answer; 0 means forever.
func (c *Client) Watch(ctx context.Context, job string, patience time.Duration, see func(*rpc.JobStatus)) (*rpc.JobStatus, error) {
	var last *rpc.JobStatus
	for {
		err := c.watchOnce(ctx, job, patience, func(s *rpc.JobStatus) {
			last = s
			c.learn(s.Coordinators)
			see(s)
		})
		switch {
		case last.GetEnded():
			return last, nil
		case ctx.Err() != nil:
			return last, fmt.Errorf("watch the job: %w", ctx.Err())
		case err != nil:
			return last, err
		}
	}
}

// watchOnce reads one stream to its end. A nil error asks for another one.
func (c *Client) watchOnce(ctx context.Context, job string, patience time.Duration, see func(*rpc.JobStatus)) error {
	waiting, cancel := ctx, context.CancelFunc(func() {})
	if patience > 0 {
		waiting, cancel = context.WithTimeout(ctx, patience)
	}
	defer cancel()
	var stream grpc.ServerStreamingClient[rpc.JobStatus]
	var first *rpc.JobStatus
	streaming, stop := context.WithCancel(ctx)
	defer stop()
	err := c.lead(waiting, "watch the job", func(attempt context.Context, leader rpc.CoordinatorClient) (err error) {
		stream, first, err = beginStream(attempt, streaming, func(ctx context.Context) (grpc.ServerStreamingClient[rpc.JobStatus], error) {
			return leader.Watch(ctx, &rpc.WatchRequest{Job: job})
		})
		if err == nil {
			see(first)
		}
		return err
	})
	if err != nil {
		return err
	}
	last := first
	quiet := time.AfterFunc(silence, stop)
	defer quiet.Stop()
	for {
		next, err := stream.Recv()
		if err != nil {
			return c.afterStream(ctx, err)
		}
		quiet.Reset(silence)
		if n := int(next.EpochsBefore); n <= len(last.Epochs) {
			next.Epochs = append(last.Epochs[:n:n], next.Epochs...)
		}
		last = next
		see(next)
	}
}

// beginStream opens a stream, which may go on while streaming lasts, and reads its first message, for which there is time while the attempt lasts.
func beginStream[T any](attempt, streaming context.Context, open func(context.Context) (grpc.ServerStreamingClient[T], error)) (grpc.ServerStreamingClient[T], *T, error) {
	opened, end := context.WithCancel(streaming)
	unhook := context.AfterFunc(attempt, end)
	stream, err := open(opened)
	if err == nil {
		var first *T
		if first, err = stream.Recv(); err == nil {
			if unhook() {
				return stream, first, nil
			}
			err = attempt.Err() // the message came as the time was up: the stream is ended already
		}
	}
	end()
	return nil, nil, err
}

// afterStream decides whether a stream that ended is opened again.
func (c *Client) afterStream(ctx context.Context, err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	if _, final := c.turn(err); final {
		return fmt.Errorf("watch the job: %s", status.Convert(err).Message())
	}
	sleep.For(ctx, retryPause)
	return nil
}

// ReadFile reads a checkpoint's file of at most limit bytes from a coordinator that has it.
func (c *Client) ReadFile(ctx context.Context, directory, name string, limit int) ([]byte, error) {
	var errs []error
	for _, address := range c.addresses {
		client, err := c.at(address)
		if err == nil {
			b := &bounded{limit: limit}
			if err = rpc.ReceiveFile(ctx, client, directory, name, b); err == nil {
				return b.data, nil
			}
		}
		errs = append(errs, fmt.Errorf("coordinator %s: %s", address, status.Convert(err).Message()))
	}
	return nil, fmt.Errorf("read %s/%s: %w", directory, name, errors.Join(errs...))
}

// bounded keeps what is written to it, up to a limit.
type bounded struct {
	data  []byte
	limit int
}

func (b *bounded) Write(p []byte) (int, error) {
	if len(b.data)+len(p) > b.limit {
		return 0, fmt.Errorf("it has more than %d bytes", b.limit)
	}
	b.data = append(b.data, p...)
	return len(p), nil
}

// File is one checkpoint file to be stored.
type File struct {
	Directory string // of the checkpoint, a single path element
	Name      string
	Bytes     int64
	SHA256    []byte
	Open      func() (io.ReadCloser, error)
}

// PutFile stores a file with the coordinator at address. That it is stored already is no error.
func (c *Client) PutFile(ctx context.Context, address string, file File) error {
	if err := c.putFile(ctx, address, file); err != nil {
		return fmt.Errorf("store %s/%s with coordinator %s: %w", file.Directory, file.Name, address, err)
	}
	return nil
}

func (c *Client) putFile(ctx context.Context, address string, file File) error {
	client, err := c.at(address)
	if err != nil {
		return err
	}
	source, err := file.Open()
	if err != nil {
		return err
	}
	defer source.Close()
	stream, err := client.PutFile(ctx, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	part := &rpc.FilePart{Directory: file.Directory, Name: file.Name, Bytes: uint64(file.Bytes), Sha256: file.SHA256}
	buffer := make([]byte, 256<<10)
	for first := true; ; first = false {
		n, err := io.ReadFull(source, buffer)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		if part.Data = buffer[:n]; n > 0 || first {
			if err := stream.Send(part); err != nil {
				break // the reply says why
			}
		}
		if part = (&rpc.FilePart{}); err != nil {
			break
		}
	}
	_, err = stream.CloseAndRecv()
	return err
}
