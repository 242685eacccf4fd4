package allreduce

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"ringmaster/internal/certs"
	"ringmaster/internal/plan"
	"ringmaster/internal/pulse"
)

// The ring's gRPC service: one bidirectional stream a link, from a worker to the next one in the ring. The caller sends hello, the
// next worker answers accept once its session of the same view is open; then frames flow forward, and a farewell
// may come back.
const (
	serviceName = "ringmaster.Ring"
	methodName  = "Frames"
	// defaultWindow is how much may be on its way without the receiver having read it, on a stream and on a connection.
	defaultWindow = 16 << 20
	// bufferBytes is the size of reads and writes on the socket: larger ones leave the second-level cache.
	bufferBytes = 256 << 10
	// maxHeld is the number of links that may wait for a session of a view that this worker has not heard of yet.
	maxHeld = 16
	// maxJobs is the number of jobs whose last generation is remembered, to tell a stale link from an early one.
	maxJobs = 64
)

// A refusal's reason for programs, in its trailer in addition to the status.
const (
	refusalKey    = "ringmaster-refusal"
	generationKey = "ringmaster-generation"
	refusedStale  = "stale"
	refusedEarly  = "early" // try again: the session may open yet
	refusedWrong  = "wrong"
)

// Options configure a Transport. The zero value of each field but Worker and Dial has a sensible meaning.
type Options struct {
	Worker      string                           // the own worker's id, for messages
	Credentials credentials.TransportCredentials // for dialing; nil: no encryption
	Silence     time.Duration                    // how long a neighbour may leave pings unanswered; default 3 s
	Hold        time.Duration                    // how long an early link waits for the session it is for; default 10 s
	NoWires     bool                             // frames go over gRPC
	NoBoards    bool                             // workers of one host send each other frames, too
	Window      int32                            // bytes under way that the receiver has not read; default 16 MiB, at least 64 KiB
	// Dial connects to a member by the best of its addresses; the hello shows whether it is the right process.
	Dial func(ctx context.Context, member plan.Member) (net.Conn, error)
}

// Transport makes links over gRPC. One serves all sessions of a worker, one after the other and of several jobs.
type Transport struct {
	options Options
	mu      sync.Mutex
	jobs    map[uint64]*place // by job hash: the newest generation
	order   []uint64          // the jobs in the order in which they came
	held    int
	splits  atomic.Bool   // connections come whose TLS is below
	changed chan struct{} // closed and replaced when a place changes
}

// place is where the incoming link of one session is handed over.
type place struct {
	generation plan.Generation
	hello      Header // the identity that the caller must have
	caller     string // the worker that it must be
	arrivals   chan Incoming
	wireless   *grpcIncoming // its wire is to come
	connected  bool
	ended      bool
}

// NewTransport returns a transport; register it with the worker's gRPC server.
func NewTransport(options Options) *Transport {
	if options.Silence <= 0 {
		options.Silence = 3 * time.Second
	}
	if options.Hold <= 0 {
		options.Hold = 10 * time.Second
	}
	if options.Window <= 0 {
		options.Window = defaultWindow
	}
	return &Transport{options: options, jobs: map[uint64]*place{}, changed: make(chan struct{})}
}

// ServerOptions are the options for the gRPC server that the transport is registered with: windows, buffers and pings. The
// server's other services work with them as well.
func (t *Transport) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.InitialWindowSize(t.options.Window),
		grpc.InitialConnWindowSize(t.options.Window),
		grpc.ReadBufferSize(bufferBytes),
		grpc.WriteBufferSize(bufferBytes),
		experimental.BufferPool(buffers),
		grpc.Creds(t.credentials()),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 200 * time.Millisecond, PermitWithoutStream: true}),
	}
}

// credentials are those of the options, with connections that end when a neighbour is silent.
func (t *Transport) credentials() credentials.TransportCredentials {
	inner := t.options.Credentials
	if inner == nil {
		inner = insecure.NewCredentials()
	}
	return splitting{pulse.Credentials(inner, max(t.options.Silence/2, time.Second), t.options.Silence), t}
}

// Register adds the ring's service to the server.
func (t *Transport) Register(s grpc.ServiceRegistrar) {
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: serviceName,
		HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName: methodName, ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, stream grpc.ServerStream) error { return t.serve(stream) },
		}},
	}, t)
}

// Accept waits for the previous worker's link of the session, which from now on is the job's newest.
func (t *Transport) Accept(ctx context.Context, id *Identity) (Incoming, error) {
	p := &place{generation: id.View.Generation, hello: id.hello(id.prev(), id.own()), caller: id.prev().Worker, arrivals: make(chan Incoming, 1)}
	if err := t.settle(p); err != nil {
		return nil, err
	}
	select {
	case in := <-p.arrivals:
		return in, nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	p.ended = true
	t.mu.Unlock()
	select {
	case in := <-p.arrivals: // it came in the same moment
		in.Close(nil)
	default:
	}
	return nil, outOfTime(ctx, id.prev(), fmt.Errorf("wait for the link from worker %s: %w", id.prev().Worker, context.Cause(ctx)))
}

// settle makes p its job's place.
func (t *Transport) settle(p *place) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	job := p.hello.Job
	old := t.jobs[job]
	if old != nil && (old.generation > p.generation || (old.generation == p.generation && !old.ended)) {
		return fmt.Errorf("generation %d cannot open beside generation %d on the same worker", p.generation, old.generation)
	}
	if old == nil {
		t.order = append(t.order, job)
		if len(t.order) > maxJobs {
			delete(t.jobs, t.order[0])
			t.order = t.order[1:]
		}
	}
	t.jobs[job] = p
	close(t.changed)
	t.changed = make(chan struct{})
	return nil
}

// serve is the handler of one incoming link.
func (t *Transport) serve(stream grpc.ServerStream) error {
	var m inMessage
	if err := stream.RecvMsg(&m); err != nil {
		return err
	}
	hello := m.frame.Header
	caller := string(m.frame.payload())
	m.frame.Free()
	if hello.Phase != phaseHello {
		return status.Errorf(codes.InvalidArgument, "a link begins with a %v frame, not with hello", hello.Phase)
	}
	in := &grpcIncoming{transport: t, stream: stream, released: make(chan struct{})}
	if err := t.match(stream, in, &hello, caller); err != nil {
		return err
	}
	select {
	case <-in.released:
	case <-t.gone(stream, in):
		return status.FromContextError(stream.Context().Err()).Err()
	}
	return nil
}

// match hands the link to the session that it is for, waiting a while for one that is not open yet.
func (t *Transport) match(stream grpc.ServerStream, in *grpcIncoming, hello *Header, caller string) error {
	patience := time.NewTimer(t.options.Hold)
	defer patience.Stop()
	for holding := false; ; holding = true {
		changed, err := t.offer(stream, in, hello, caller, holding)
		if changed == nil {
			return err
		}
		select {
		case <-changed:
			continue
		case <-stream.Context().Done():
			err = status.FromContextError(stream.Context().Err()).Err()
		case <-patience.C:
			stream.SetTrailer(metadata.Pairs(refusalKey, refusedEarly))
			err = status.Errorf(codes.Aborted, "worker %s has not opened generation %d", t.options.Worker, hello.Generation)
		}
		t.mu.Lock()
		t.held--
		t.mu.Unlock()
		return err
	}
}

// offer gives the link to the job's place, refuses it, or returns the channel that says when to try again.
func (t *Transport) offer(stream grpc.ServerStream, in *grpcIncoming, hello *Header, caller string, holding bool) (chan struct{}, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if holding {
		t.held--
	}
	p := t.jobs[hello.Job]
	if p == nil || p.generation < hello.Generation {
		if t.held >= maxHeld {
			stream.SetTrailer(metadata.Pairs(refusalKey, refusedEarly))
			return nil, status.Errorf(codes.ResourceExhausted, "worker %s already holds %d links for views it has not opened", t.options.Worker, t.held)
		}
		t.held++
		return t.changed, nil
	}
	if p.generation > hello.Generation {
		stream.SetTrailer(metadata.Pairs(refusalKey, refusedStale, generationKey, strconv.FormatUint(uint64(p.generation), 10)))
		return nil, status.Errorf(codes.FailedPrecondition, "stale generation %d: worker %s is at %d", hello.Generation, t.options.Worker, p.generation)
	}
	err := hello.check(&p.hello)
	holder, certified := certs.WorkerOf(stream.Context())
	switch {
	case err != nil:
	case certified && holder != p.caller:
		err = fmt.Errorf("its certificate is for worker %s, and the link is worker %s's", holder, p.caller)
	case hello.Step != p.hello.Step:
		err = errors.New("the arcs or buckets of the same view differ")
	case p.ended:
		err = fmt.Errorf("generation %d has ended there", p.generation)
	case p.connected:
		err = fmt.Errorf("generation %d already has its link", p.generation)
	default:
		// Sent before the session can see the link: its own farewell comes after.
		in.place = p
		accept := Header{Cluster: hello.Cluster, Job: hello.Job, Generation: hello.Generation, From: hello.To, To: hello.From, Phase: phaseAccept}
		if hello.Kind == byWire && t.wires(stream) {
			accept.Kind = byWire
			p.wireless = in
		}
		if err := in.send(&Frame{Header: accept}); err != nil {
			return nil, err
		}
		p.connected = true
		if p.wireless == nil {
			p.arrivals <- in
		}
		return nil, nil
	}
	stream.SetTrailer(metadata.Pairs(refusalKey, refusedWrong))
	return nil, status.Errorf(codes.FailedPrecondition, "worker %s refuses the link from worker %.64q: %v", t.options.Worker, caller, err)
}

// grpcIncoming is a link from the previous worker.
type grpcIncoming struct {
	transport *Transport
	stream    grpc.ServerStream
	place     *place
	once      sync.Once
	released  chan struct{} // closed when the handler may return, which ends the stream
	message   inMessage
}

// Receive waits for the next frame.
func (in *grpcIncoming) Receive() (Frame, error) {
	if err := in.stream.RecvMsg(&in.message); err != nil {
		return Frame{}, linkError(err)
	}
	return in.message.frame, nil
}

// Close lets the handler return.
func (in *grpcIncoming) Close(bye *Frame) {
	in.once.Do(func() {
		in.transport.mu.Lock()
		in.place.ended = true
		in.transport.mu.Unlock()
		if bye != nil {
			// If it does not arrive, the end of the stream does.
			_ = in.send(bye)
		}
		close(in.released)
	})
}

func (in *grpcIncoming) send(f *Frame) error {
	return in.stream.SendMsg(&outMessage{f.message()})
}
