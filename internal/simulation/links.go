package simulation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/status"

	"ringmaster/internal/allreduce"
	"ringmaster/internal/cluster"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
	"ringmaster/internal/worker"
)

// workerLinks are one worker process's connections through the simulated network.
type workerLinks struct {
	world *World
	self  plan.Member
}

func (l *workerLinks) Coordinators() []string {
	var all []string
	for _, c := range l.world.all() {
		all = append(all, c.address)
	}
	return all
}

func (w *World) at(address string) (*coordinator, *cluster.Server, error) {
	for _, c := range w.all() {
		if c.address == address {
			if s := c.alive(); s != nil {
				return c, s, nil
			}
		}
	}
	return nil, nil, fmt.Errorf("nobody listens at %s", address)
}

// call connects a host with the process at an address. That may have died, and come back, while the connection was opened:
// what it is told afterwards must reach the one that lives then.
func (w *World) call(ctx context.Context, from, address string) (*coordinator, *cluster.Server, *conn, error) {
	at, _, err := w.at(address)
	if err != nil {
		return nil, nil, nil, err
	}
	c, err := w.net.open(ctx, from, at.id)
	if err != nil {
		return nil, nil, nil, err
	}
	_, server, err := w.at(address)
	if err != nil {
		c.close()
		return nil, nil, nil, err
	}
	return at, server, c, nil
}

// Attach opens a line to a coordinator.
func (l *workerLinks) Attach(ctx context.Context, address string) (worker.Line, error) {
	_, server, c, err := l.world.call(ctx, l.self.Worker, address)
	if err != nil {
		return nil, err
	}
	line := &line{net: l.world.net, conn: c, judge: l.world.judge, self: l.self, reports: make(chan *rpc.Report), orders: make(chan *rpc.Order), ended: make(chan struct{})}
	go func() {
		line.reason = server.Serve(c.ctx, (*serverEnd)(line))
		close(line.ended)
		c.close()
	}()
	return line, nil
}

// line is the worker's end of a line.
type line struct {
	net     *network
	conn    *conn
	judge   *judge
	self    plan.Member
	reports chan *rpc.Report
	orders  chan *rpc.Order
	ended   chan struct{} // closed when the coordinator has ended it, for this reason
	reason  error
}

func (l *line) Send(r *rpc.Report) error {
	l.judge.reported(l.self, r)
	if err := l.net.pass(l.conn, l.conn.from, l.conn.to); err != nil {
		return err
	}
	select {
	case l.reports <- r:
		return nil
	case <-l.conn.ctx.Done():
		return errBroken
	}
}

func (l *line) Recv() (*rpc.Order, error) {
	select {
	case o := <-l.orders:
		return o, nil
	case <-l.ended:
		for _, d := range status.Convert(l.reason).Details() {
			if other, ok := d.(*rpc.NotLeader); ok {
				return nil, &worker.NotLeaderError{Leader: other.LeaderAddress}
			}
		}
		return nil, errors.Join(errBroken, l.reason)
	case <-l.conn.ctx.Done():
		select {
		case <-l.ended: // the reason is worth more than the end
			return l.Recv()
		case <-time.After(time.Millisecond):
			return nil, errBroken
		}
	}
}

// serverEnd is the coordinator's end of a line.
type serverEnd line

func (l *serverEnd) Send(o *rpc.Order) error {
	if err := l.net.pass(l.conn, l.conn.to, l.conn.from); err != nil {
		return err
	}
	select {
	case l.orders <- o:
		return nil
	case <-l.conn.ctx.Done():
		return errBroken
	}
}

func (l *serverEnd) Recv() (*rpc.Report, error) {
	select {
	case r := <-l.reports:
		return r, nil
	case <-l.conn.ctx.Done():
		return nil, io.EOF
	}
}

// probeBound is how long a worker waits for another's answer.
const probeBound = time.Second

// Probe tries the way to another worker.
func (l *workerLinks) Probe(ctx context.Context, to plan.Member) error {
	ctx, cancel := context.WithTimeout(ctx, probeBound)
	defer cancel()
	if l.world.process(to) == nil {
		return errors.New("connection refused")
	}
	c, err := l.world.net.open(ctx, l.self.Worker, to.Worker)
	if err != nil {
		return err
	}
	defer c.close()
	if err := l.world.net.pass(c, c.from, c.to); err != nil {
		return err
	}
	return l.world.net.pass(c, c.to, c.from)
}

// OpenRing connects a session with its neighbours.
func (l *workerLinks) OpenRing(ctx context.Context, id allreduce.Identity, seats [][]float32, buckets []plan.Bucket) (worker.Ring, error) {
	r, err := allreduce.Open(ctx, id, &ringLinks{world: l.world, self: l.self}, seats, buckets)
	if err != nil {
		return nil, err
	}
	return &ring{Ring: r, world: l.world, self: l.self, job: id.Job, generation: id.View.Generation}, nil
}

// ring tells the judge of every finished step.
type ring struct {
	*allreduce.Ring
	world      *World
	self       plan.Member
	job        string
	generation plan.Generation
}

func (r *ring) End(step uint64) error {
	r.world.judge.finished(r.self, r.job, r.generation, step)
	return r.Ring.End(step)
}

// ringLinks puts the simulated network under the ring's links in memory.
type ringLinks struct {
	world *World
	self  plan.Member
}

func (l *ringLinks) Dial(ctx context.Context, id *allreduce.Identity) (allreduce.Outgoing, error) {
	next := id.View.Members[id.View.Next(id.Self)]
	if l.world.process(next) == nil {
		return nil, &allreduce.PeerLostError{Member: next, Culprit: next.Worker, Cause: errors.New("connection refused")}
	}
	// The connection outlives the attempt to open it, and ends with the world.
	c, err := l.world.net.openFor(ctx, l.world.ctx, l.self.Worker, next.Worker)
	if err != nil {
		if err = context.Cause(ctx); errors.Is(err, context.DeadlineExceeded) {
			err = &allreduce.PeerLostError{Member: next, Culprit: next.Worker, Cause: err}
		}
		return nil, err
	}
	attempt := context.AfterFunc(ctx, c.close)
	out, err := l.world.links.Dial(c.ctx, id)
	if !attempt() && err == nil {
		out.Close()
		err = ctx.Err()
	}
	if err != nil {
		c.close()
		return nil, err
	}
	context.AfterFunc(c.ctx, out.Close)
	return &outgoing{Outgoing: out, net: l.world.net, conn: c}, nil
}

func (l *ringLinks) Accept(ctx context.Context, id *allreduce.Identity) (allreduce.Incoming, error) {
	return l.world.links.Accept(ctx, id)
}

type outgoing struct {
	allreduce.Outgoing
	net  *network
	conn *conn
}

func (o *outgoing) Send(f allreduce.Frame) error {
	if err := o.net.pass(o.conn, o.conn.from, o.conn.to); err != nil {
		f.Free()
		return err
	}
	return o.Outgoing.Send(f)
}

func (o *outgoing) Close() {
	o.conn.close()
	o.Outgoing.Close()
}

// FetchState reads a peer's state.
func (l *workerLinks) FetchState(ctx context.Context, from plan.Member, request *rpc.StateRequest, receive func(*rpc.StatePart) error) error {
	life := l.world.process(from)
	if life == nil {
		return fmt.Errorf("worker %s is gone", from.Worker)
	}
	c, err := l.world.net.open(ctx, from.Worker, l.self.Worker)
	if err != nil {
		return err
	}
	defer c.close()
	return life.SendState(request, func(part *rpc.StatePart) error {
		if err := l.world.net.pass(c, c.from, c.to); err != nil {
			return err
		}
		return receive(part)
	})
}

// PutFile sends a checkpoint file to a coordinator.
func (l *workerLinks) PutFile(ctx context.Context, address string, head *rpc.FilePart, write func(io.Writer) error) (string, error) {
	at, server, c, err := l.world.call(ctx, l.self.Worker, address)
	if err != nil {
		return "", err
	}
	defer c.close()
	var body bytes.Buffer
	if err := write(&body); err != nil {
		return "", err
	}
	if err := l.world.net.pass(c, c.from, c.to); err != nil {
		return "", err
	}
	if err := server.StoreFile(head, &body); err != nil {
		return "", err
	}
	return at.id, l.world.net.pass(c, c.to, c.from)
}

// PutTrace is for people who look: nobody does.
func (l *workerLinks) PutTrace(context.Context, string, *rpc.WorkerTrace) (int64, error) {
	return 0, errors.New("nothing is traced in a simulation")
}

// GetFile reads a checkpoint file from a coordinator.
func (l *workerLinks) GetFile(ctx context.Context, address, directory, name string, w io.Writer) error {
	return l.world.getFile(ctx, l.self.Worker, address, directory, name, w)
}

func (w *World) fetcher(host string) cluster.Fetcher {
	return func(ctx context.Context, address, directory, name string, to io.Writer) error {
		return w.getFile(ctx, host, address, directory, name, to)
	}
}

func (w *World) getFile(ctx context.Context, host, address, directory, name string, to io.Writer) error {
	if host+":7070" == address {
		return errors.New("a coordinator does not ask itself")
	}
	_, server, c, err := w.call(ctx, host, address)
	if err != nil {
		return err
	}
	defer c.close()
	return server.LoadFile(directory, name, func(part []byte) error {
		if err := w.net.pass(c, c.to, c.from); err != nil {
			return err
		}
		_, err := to.Write(part)
		return err
	})
}
