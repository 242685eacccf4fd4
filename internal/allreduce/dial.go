package allreduce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"ringmaster/internal/plan"
	"ringmaster/internal/sleep"
)

// earlyPause is how long a link that was refused as too early waits before it dials again.
const earlyPause = 50 * time.Millisecond

// connectBound limits how long connecting to the next worker may take.
const connectBound = 2 * time.Second

// Dial opens the link to the next worker.
func (t *Transport) Dial(ctx context.Context, id *Identity) (Outgoing, error) {
	for {
		out, err := t.call(ctx, id)
		if err == nil {
			return out, nil
		}
		if !errors.Is(err, errEarly) {
			return nil, err
		}
		if !sleep.For(ctx, earlyPause) {
			return nil, outOfTime(ctx, id.next(), fmt.Errorf("%w: %w", context.Cause(ctx), err))
		}
	}
}

// outOfTime blames the neighbour for an attempt that ran into ctx's deadline; if ctx ended for another reason, it returns err.
func outOfTime(ctx context.Context, neighbour plan.Member, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &PeerLostError{Member: neighbour, Culprit: neighbour.Worker, Cause: err}
	}
	return err
}

// errEarly is the refusal of a worker that has not opened the view yet.
var errEarly = errors.New("too early")

// call tries once to open the link.
func (t *Transport) call(ctx context.Context, id *Identity) (Outgoing, error) {
	next := id.next()
	wires := &wires{secure: t.secure()}
	conn, err := grpc.NewClient("passthrough:///"+next.Address, t.dialOptions(next, wires)...)
	if err != nil {
		return nil, fmt.Errorf("dial worker %s at %s: %w", next.Worker, next.Address, err)
	}
	// The stream outlives ctx, which only bounds its opening.
	streamCtx, cancel := context.WithCancel(context.Background())
	out := &grpcOutgoing{conn: conn, cancel: cancel, wires: wires}
	stop := context.AfterFunc(ctx, cancel)
	wired, err := out.greet(streamCtx, id, !t.options.NoWires)
	var wire *wire
	if err == nil && wired {
		wire, err = t.dialWire(ctx, id)
	}
	if stop() && err == nil {
		if wire != nil {
			wired := &wireOutgoing{Outgoing: out, wire: wire}
			if !wire.local() {
				watchWire(wired)
			}
			return wired, nil
		}
		return out, nil
	}
	if wire != nil {
		wire.close()
	}
	out.Close()
	if ctx.Err() != nil {
		return nil, outOfTime(ctx, next, fmt.Errorf("open the link to worker %s at %s: %w", next.Worker, next.Address, context.Cause(ctx)))
	}
	return nil, out.refusal(err, id)
}

func (t *Transport) dialOptions(next plan.Member, wires *wires) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(t.credentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return wires.keep(t.options.Dial(ctx, next)) }),
		grpc.WithInitialWindowSize(t.options.Window),
		grpc.WithInitialConnWindowSize(t.options.Window),
		grpc.WithReadBufferSize(bufferBytes),
		grpc.WithWriteBufferSize(bufferBytes),
		experimental.WithBufferPool(buffers),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: connectBound}),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
	}
}

// grpcOutgoing is a link to the next worker.
type grpcOutgoing struct {
	conn    *grpc.ClientConn
	stream  grpc.ClientStream
	cancel  context.CancelFunc
	wires   *wires
	sending outMessage
}

// wires are the connections below a link.
type wires struct {
	secure bool // the members show certificates to each other
	mu     sync.Mutex
	open   []net.Conn
	closed bool
}

// keep remembers a connection, so that it can be cut.
func (w *wires) keep(conn net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	w.open = append(w.open, conn)
	return conn, nil
}

// cut closes the connections without any goodbye.
func (w *wires) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, conn := range w.open {
		_ = conn.Close() // nothing more is sent
	}
	w.open = nil
}

// wireable reports whether the connection is one that could be a wire.
func (w *wires) wireable() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.open) > 0 && wireable(w.open[len(w.open)-1], w.secure)
}

// greet opens the stream, says hello and waits to be accepted. wired: the frames are to go by a wire, as we have offered.
func (o *grpcOutgoing) greet(ctx context.Context, id *Identity, offer bool) (wired bool, err error) {
	desc := &grpc.StreamDesc{StreamName: methodName, ServerStreams: true, ClientStreams: true}
	o.stream, err = o.conn.NewStream(ctx, desc, "/"+serviceName+"/"+methodName, grpc.CallContentSubtype(rawSubtype),
		grpc.MaxRetryRPCBufferSize(0), grpc.MaxCallSendMsgSize(math.MaxInt32))
	if err != nil {
		return false, err
	}
	hello := Frame{Header: id.hello(id.own(), id.next())}
	name := id.own().Worker
	name = name[:min(len(name), 256)]
	hello.Length, hello.Data = uint32(len(name)), mem.BufferSlice{mem.SliceBuffer(name)}
	if offer && o.wires.wireable() {
		hello.Kind = byWire
	}
	if err := o.Send(hello); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	f, err := o.receive()
	if err != nil {
		return false, err
	}
	defer f.Free()
	return f.Kind == byWire && hello.Kind == byWire, accepts(&f.Header, id)
}

// accepts checks the next worker's answer to hello.
func accepts(h *Header, id *Identity) error {
	want := id.header(id.next(), id.own())
	if err := h.check(&want); err != nil {
		return err
	}
	if h.Phase != phaseAccept {
		return fmt.Errorf("it answers hello with a %v frame", h.Phase)
	}
	return nil
}

// refusal translates the error of an attempt into what it means for the link.
func (o *grpcOutgoing) refusal(err error, id *Identity) error {
	next := id.next()
	if o.stream != nil {
		trailer := o.stream.Trailer()
		if why := trailer.Get(refusalKey); len(why) == 1 {
			switch why[0] {
			case refusedEarly:
				return fmt.Errorf("%w: %s", errEarly, status.Convert(err).Message())
			case refusedStale:
				stale := &StaleError{Member: next, Own: id.View.Generation}
				if g := trailer.Get(generationKey); len(g) == 1 {
					n, _ := strconv.ParseUint(g[0], 10, 64) // 0 where it makes no sense
					stale.Generation = plan.Generation(n)
				}
				return stale
			}
		}
	}
	return &PeerLostError{Member: next, Culprit: next.Worker, Cause: linkError(err)}
}

// Send hands the frame to gRPC. io.EOF: the stream has ended, and Await says why.
func (o *grpcOutgoing) Send(f Frame) error {
	o.sending.data = f.message()
	return o.stream.SendMsg(&o.sending)
}

func (o *grpcOutgoing) receive() (Frame, error) {
	var m inMessage
	err := o.stream.RecvMsg(&m)
	return m.frame, err
}

// Await receives what the next worker sends back.
func (o *grpcOutgoing) Await() (Frame, error) {
	f, err := o.receive()
	if err != nil {
		return Frame{}, linkError(err)
	}
	return f, nil
}

// Finish half-closes the stream.
func (o *grpcOutgoing) Finish() error { return o.stream.CloseSend() }

// Close ends the stream and its connection. Nothing more is to be sent then: gRPC would take seconds to tell
// a silent worker with full buffers that it goes away, and the next view waits for this session's end.
func (o *grpcOutgoing) Close() {
	o.cancel()
	o.wires.cut()
	_ = o.conn.Close() // it only ever says that it is closed already
}

// linkError says in a few words what gRPC's error means for a link.
func linkError(err error) error {
	if errors.Is(err, io.EOF) {
		return err
	}
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	switch s.Code() {
	case codes.Canceled:
		return errors.New("its connection broke")
	case codes.Unavailable:
		return fmt.Errorf("its connection broke: %s", s.Message())
	default:
		return errors.New(s.Message())
	}
}
