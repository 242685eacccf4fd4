package worker

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ringmaster/internal/certs"
	"ringmaster/internal/checkpoint"
	"ringmaster/internal/logs"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
	"ringmaster/internal/sleep"
)

// stateHeader begins a state transfer. Its loss sum and weight travel as bits.
type stateHeader struct {
	Step    uint64 `json:"step"`
	Loss    uint64 `json:"loss"`
	Count   uint64 `json:"count"`
	Correct uint64 `json:"correct"`
	Weight  uint64 `json:"weight,omitempty"`
	Floats  int    `json:"floats"`
}

func (h *stateHeader) decode(data []byte) error {
	if err := json.Unmarshal(data, h); err != nil {
		return fmt.Errorf("state header: %w", err)
	}
	return nil
}

func (h *stateHeader) sums() checkpoint.EpochSums {
	return checkpoint.EpochSums{Loss: math.Float64frombits(h.Loss), Count: h.Count, Correct: h.Correct, Weight: math.Float64frombits(h.Weight)}
}

// windowFloats is how much of the state is copied out at a time, so that a slow reader never holds up the step loop.
const windowFloats = 1 << 16

// appendFloats decodes little-endian float32 values; rest are the bytes of a value that came in two pieces.
func appendFloats(all []float32, rest, data []byte) ([]float32, []byte) {
	if len(rest) > 0 {
		data = append(bytes.Clone(rest), data...)
	}
	for ; len(data) >= 4; data = data[4:] {
		all = append(all, math.Float32frombits(binary.LittleEndian.Uint32(data)))
	}
	return all, bytes.Clone(data)
}

// takeState receives the peers' state into separate memory, an equal part from each in parallel, checks the whole, and swaps it in.
func (j *job) takeState(ctx context.Context, s *session, sources []plan.Member) error {
	t := j.trainer.Load()
	all := make([]float32, t.Floats())
	headers, errs := make([]stateHeader, len(sources)), make([]error, len(sources))
	var taking sync.WaitGroup
	for i := range sources {
		taking.Go(func() {
			part := plan.Interval{Begin: 0, End: len(all)}.Part(i, len(sources))
			// Where a peer fails, the next one gives its part too.
			for k := range sources {
				from := sources[(i+k)%len(sources)]
				if errs[i] = j.takePart(ctx, s, from, part, all[part.Begin:part.End], &headers[i]); errs[i] == nil {
					return
				}
				errs[i] = fmt.Errorf("from worker %s: %w", from.Worker, errs[i])
			}
		})
	}
	taking.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	state, err := t.Unpack(s.start.Step, headers[0].sums(), all)
	if err != nil {
		return err
	}
	if digest := checkpoint.StateDigest(&state); !equalDigest(digest[:], s.start.StateDigest) {
		return fmt.Errorf("the state that came has digest %x, the view starts from %x", digest[:6], s.start.StateDigest[:6])
	}
	return t.Adopt(state)
}

// partBound is how long a peer may send nothing of its state: then another gives it.
const partBound = 3 * time.Second

// takePart receives the values of an interval of a peer's concatenated state.
func (j *job) takePart(ctx context.Context, s *session, from plan.Member, part plan.Interval, into []float32, header *stateHeader) error {
	request := &rpc.StateRequest{Cluster: j.cluster, Job: j.spec.Id, Generation: uint64(s.generation), Step: s.start.Step,
		Offset: uint64(part.Begin), Length: uint64(part.Len())}
	got := into[:0]
	var rest []byte
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(partBound, func() { cancel(fmt.Errorf("nothing came for %v", partBound)) })
	defer silent.Stop()
	err := j.w.links.FetchState(ctx, from, request, func(p *rpc.StatePart) error {
		silent.Reset(partBound)
		if len(p.Header) > 0 {
			return header.decode(p.Header)
		}
		if 4*len(got)+len(rest)+len(p.Data) > 4*len(into) {
			return fmt.Errorf("more than the %d values asked for", len(into))
		}
		got, rest = appendFloats(got, rest, p.Data)
		return nil
	})
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil && len(got) != len(into) {
		err = fmt.Errorf("%d values of %d", len(got), len(into))
	}
	return err
}

// PeerServer serves the state of a worker to its peers.
type PeerServer struct {
	rpc.UnimplementedPeerServer
	Recent *logs.Recent // the newest lines of this process's log
	worker atomic.Pointer[Worker]
}

// Logs tells the newest lines of this process's log.
func (p *PeerServer) Logs(_ context.Context, r *rpc.LogsRequest) (*rpc.LogsReply, error) {
	e := p.Recent.Since(r.Life, r.After, int(r.Tail))
	return &rpc.LogsReply{Life: e.Life, Last: e.Last, Missed: e.Missed, Lines: e.Lines}, nil
}

// Serve lets the server answer for a worker.
func (p *PeerServer) Serve(w *Worker) { p.worker.Store(w) }

// Probe answers that the way to this worker is open.
func (p *PeerServer) Probe(context.Context, *rpc.ProbeRequest) (*rpc.ProbeReply, error) {
	w := p.worker.Load()
	if w == nil {
		return nil, status.Error(codes.Unavailable, "the worker is starting")
	}
	return &rpc.ProbeReply{Incarnation: uint64(w.cfg.Self.Incarnation)}, nil
}

// State streams the state, or the part of it asked for, at exactly the step asked for.
func (p *PeerServer) State(r *rpc.StateRequest, stream rpc.Peer_StateServer) error {
	w := p.worker.Load()
	if w == nil {
		return status.Error(codes.Unavailable, "the worker is starting")
	}
	if caller, ok := certs.WorkerOf(stream.Context()); ok && !w.ways.seated(caller) {
		return status.Errorf(codes.PermissionDenied, "worker %s has no seat beside this one", caller)
	}
	return w.SendState(r, stream.Send)
}

// SendState sends the state that the request asks for in parts. It fails where the worker holds another one.
func (w *Worker) SendState(r *rpc.StateRequest, send func(*rpc.StatePart) error) error {
	w.mu.Lock()
	j := w.live
	w.mu.Unlock()
	if j == nil || j.cluster != r.Cluster || j.spec.Id != r.Job {
		return status.Error(codes.FailedPrecondition, "this worker holds no state of that job")
	}
	t := j.trainer.Load()
	if t == nil {
		return status.Error(codes.FailedPrecondition, "this worker is still reading its data")
	}
	sums, err := t.Sums(r.Step)
	if err != nil {
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	header, err := json.Marshal(stateHeader{Step: r.Step, Loss: math.Float64bits(sums.Loss), Count: sums.Count, Correct: sums.Correct, Weight: math.Float64bits(sums.Weight), Floats: t.Floats()})
	if err != nil {
		return err
	}
	if err := send(&rpc.StatePart{Header: header}); err != nil {
		return err
	}
	window := make([]float32, windowFloats)
	at, end := int(min(r.Offset, uint64(t.Floats()))), t.Floats()
	if r.Length > 0 || r.Offset > 0 {
		end = at + int(min(r.Length, uint64(end-at)))
	}
	for at < end {
		n, err := t.Window(r.Step, at, window[:min(len(window), end-at)])
		if err != nil {
			return status.Error(codes.FailedPrecondition, err.Error())
		}
		data := make([]byte, 4*n)
		for i, x := range window[:n] {
			binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(x))
		}
		if err := send(&rpc.StatePart{Data: data}); err != nil {
			return err
		}
		at += n
	}
	return nil
}

// restore loads the checkpoint that the order names, where it is newer than what the worker holds. It reports whether it
// has begun to.
func (j *job) restore(ctx context.Context, o *rpc.Order) bool {
	m, err := checkpoint.ParseManifest(o.Job.Manifest)
	if err != nil {
		j.fail(fmt.Errorf("restore: %w", err))
		return false
	}
	t := j.trainer.Load()
	if t.Step() >= m.Step {
		return false
	}
	if j.pausing {
		return true
	}
	j.endSaver() // what it stores is older than the checkpoint
	j.phase = rpc.Phase_PHASE_CATCHING_UP
	addresses := j.w.addresses()
	j.background(ctx, func(ctx context.Context) error {
		if err := j.checkOrigin(ctx, m, addresses); err != nil {
			return err
		}
		state, err := j.fetchCheckpoint(ctx, m, addresses)
		if err != nil {
			return err
		}
		return t.Adopt(*state)
	}, func(err error) {
		j.hold(rpc.Phase_PHASE_READY)
		if changed := (*changedError)(nil); errors.As(err, &changed) {
			j.changed = true
			j.fail(err)
		} else if err != nil {
			j.w.log.Warn("the checkpoint could not be restored yet", "step", m.Step, "reason", err)
			j.retryLater(ctx)
		}
	})
	return true
}

// fetchCheckpoint reads a checkpoint's files from the coordinators into a state and checks its digest.
func (j *job) fetchCheckpoint(ctx context.Context, m *checkpoint.Manifest, addresses []string) (*checkpoint.State, error) {
	layout, err := j.trainer.Load().Layout()
	if err != nil {
		return nil, err
	}
	state := layout.NewState()
	state.Step, state.Sums, state.Epochs = m.Step, m.Sums, m.Epochs
	if err := layout.Admit(m); err != nil {
		return nil, fmt.Errorf("checkpoint at step %d: %w", m.Step, err)
	}
	for i, f := range m.Files {
		if err := j.fetchShare(ctx, layout, i, m.Folder(), f, addresses, state); err != nil {
			return nil, err
		}
	}
	if digest := checkpoint.StateDigest(state); digest != m.StateDigest {
		return nil, fmt.Errorf("checkpoint at step %d restored to state digest %s, its manifest says %s", m.Step, digest.Short(), m.StateDigest.Short())
	}
	return state, nil
}

// fetchShare reads one file of a checkpoint from the first coordinator that has it whole, without holding it beside the state.
func (j *job) fetchShare(ctx context.Context, layout *checkpoint.Layout, share int, folder string, f checkpoint.File, addresses []string, state *checkpoint.State) error {
	err := fmt.Errorf("no coordinator is known")
	for _, address := range addresses {
		pr, pw := io.Pipe()
		go func() { pw.CloseWithError(j.w.links.GetFile(ctx, address, folder, f.Name, pw)) }()
		err = layout.DecodeShare(io.LimitReader(pr, f.Bytes+1), share, f, state) // one byte more tells a file that is too long
		pr.Close()
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("read checkpoint file %s: %w", filepath.Join(folder, f.Name), err)
}

// retryLater lets the main loop try again after a while, and not before.
func (j *job) retryLater(ctx context.Context) {
	j.pausing = true
	go func() {
		if sleep.For(j.ctx, lastRetry/4) {
			j.w.post(ctx, func() { j.pausing = false })
		}
	}()
}
