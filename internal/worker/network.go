package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"ringmaster/internal/allreduce"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
	"ringmaster/internal/sleep"
)

// Network is the Links of a real worker: gRPC to the coordinators and to the peers.
type Network struct {
	Known     func() []string      // addresses of coordinators from configuration and gossip
	Transport *allreduce.Transport // the ring's
	Options   []grpc.DialOption    // credentials and the dialer, for coordinators
	Peers     []grpc.DialOption    // the same, for other workers

	mu    sync.Mutex
	conns map[string]*grpc.ClientConn // of both: no address is a coordinator's and a worker's
}

// Coordinators are the addresses known from configuration and gossip.
func (n *Network) Coordinators() []string { return n.Known() }

// Close closes the connections.
func (n *Network) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	for _, c := range n.conns {
		errs = append(errs, c.Close())
	}
	n.conns = nil
	return errors.Join(errs...)
}

func (n *Network) conn(address string, options []grpc.DialOption) (*grpc.ClientConn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c := n.conns[address]; c != nil {
		return c, nil
	}
	c, err := grpc.NewClient("passthrough:///"+address, options...)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	if n.conns == nil {
		n.conns = map[string]*grpc.ClientConn{}
	}
	n.conns[address] = c
	return c, nil
}

// Attach opens the line to a coordinator.
func (n *Network) Attach(ctx context.Context, address string) (Line, error) {
	c, err := n.conn(address, n.Options)
	if err != nil {
		return nil, err
	}
	c.ResetConnectBackoff()
	stream, err := rpc.NewCoordinatorClient(c).Attach(ctx)
	if err != nil {
		return nil, leaderHint(err)
	}
	return hintedLine{stream}, nil
}

// hintedLine turns a follower's answer into a NotLeaderError.
type hintedLine struct{ rpc.Coordinator_AttachClient }

func (l hintedLine) Recv() (*rpc.Order, error) {
	o, err := l.Coordinator_AttachClient.Recv()
	return o, leaderHint(err)
}

func leaderHint(err error) error {
	if err == nil {
		return nil
	}
	for _, d := range status.Convert(err).Details() {
		if other, ok := d.(*rpc.NotLeader); ok {
			return &NotLeaderError{Leader: other.LeaderAddress}
		}
	}
	return err
}

// Bounds on an attempt to reach a worker. A connection that is not made within the first is not made; a process that
// does not answer for a while may be stopped, which the leader notices by itself, so that is given more time.
const (
	connectBound = time.Second
	connectAgain = 300 * time.Millisecond // a second attempt in parallel to the first: one lost packet must not decide
	answerBound  = 3 * time.Second
)

// Probe connects to another worker as its peers do, and waits for its answer.
func (n *Network) Probe(ctx context.Context, to plan.Member) error {
	if err := connects(ctx, to.Address); err != nil {
		return fmt.Errorf("cannot connect to worker %s at %s: %w", to.Worker, to.Address, err)
	}
	ctx, cancel := context.WithTimeout(ctx, answerBound)
	defer cancel()
	// A connection of its own: what is open already may be dead without knowing.
	c, err := grpc.NewClient("passthrough:///"+to.Address, n.Peers...)
	if err != nil {
		return fmt.Errorf("dial %s: %w", to.Address, err)
	}
	defer c.Close()
	reply, err := rpc.NewPeerClient(c).Probe(ctx, &rpc.ProbeRequest{}, grpc.WaitForReady(true))
	switch {
	case err != nil:
		return fmt.Errorf("worker %s at %s does not answer: %s", to.Worker, to.Address, status.Convert(err).Message())
	case plan.Incarnation(reply.Incarnation) != to.Incarnation:
		return fmt.Errorf("another process answers at %s, the address of worker %s", to.Address, to.Worker)
	}
	return nil
}

// connects reports whether a TCP connection can be made. Attempts that overlap need one of them to come through.
func connects(ctx context.Context, address string) error {
	bounded, cancel := context.WithTimeout(ctx, connectBound)
	defer cancel()
	const attempts = int(connectBound / connectAgain)
	results := make(chan error, attempts)
	for k := range attempts {
		go func() {
			if !sleep.For(bounded, time.Duration(k)*connectAgain) {
				results <- bounded.Err()
				return
			}
			var d net.Dialer
			conn, err := d.DialContext(bounded, "tcp", address)
			if err == nil {
				err = conn.Close()
			}
			results <- err
		}()
	}
	var err error
	for range attempts {
		if err = <-results; err == nil || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err // it answers, or somebody says that it will not
		}
	}
	return fmt.Errorf("nothing answers within %v", connectBound)
}

// OpenRing connects the session with its neighbours.
func (n *Network) OpenRing(ctx context.Context, id allreduce.Identity, seats [][]float32, buckets []plan.Bucket) (Ring, error) {
	r, err := allreduce.Open(ctx, id, n.Transport, seats, buckets)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// FetchState reads a peer's state.
func (n *Network) FetchState(ctx context.Context, from plan.Member, request *rpc.StateRequest, receive func(*rpc.StatePart) error) error {
	c, err := n.conn(from.Address, n.Peers)
	if err != nil {
		return err
	}
	stream, err := rpc.NewPeerClient(c).State(ctx, request)
	if err != nil {
		return err
	}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := receive(part); err != nil {
			return err
		}
	}
}

// PutFile sends a checkpoint file to a coordinator.
func (n *Network) PutFile(ctx context.Context, address string, head *rpc.FilePart, write func(io.Writer) error) (string, error) {
	c, err := n.conn(address, n.Options)
	if err != nil {
		return "", err
	}
	return rpc.SendFile(ctx, rpc.NewCoordinatorClient(c), head, write)
}

// PutTrace gives the leader a trace, or asks it what its clock shows.
func (n *Network) PutTrace(ctx context.Context, address string, t *rpc.WorkerTrace) (unixNs int64, err error) {
	c, err := n.conn(address, n.Options)
	if err != nil {
		return 0, err
	}
	reply, err := rpc.NewCoordinatorClient(c).PutTrace(ctx, t)
	return reply.GetUnixNs(), err
}

// GetFile reads a checkpoint file from a coordinator.
func (n *Network) GetFile(ctx context.Context, address, directory, name string, w io.Writer) error {
	c, err := n.conn(address, n.Options)
	if err != nil {
		return err
	}
	return rpc.ReceiveFile(ctx, rpc.NewCoordinatorClient(c), directory, name, w)
}
