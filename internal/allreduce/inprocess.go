package allreduce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc/mem"

	"ringmaster/internal/plan"
)

// InProcess makes links between sessions of one process, for simulations: no sockets, no clock, so it runs in a synctest
// bubble. The zero value is ready. Depth is the number of frames that a link holds before Send blocks (0: 4).
type InProcess struct {
	Depth int
	mu    sync.Mutex
	pipes map[Header]*pipe
}

// pipe is one link, named by the identity of its frames; its two ends may be opened in either order.
type pipe struct {
	memory  *InProcess
	name    Header
	frames  chan Frame
	back    chan Frame
	dialed  chan struct{} // closed when either end has been opened
	taken   chan struct{}
	finish  chan struct{} // closed when no more frames follow
	cut     chan struct{} // closed when either end has closed
	once    sync.Once
	onceFin sync.Once
}

func (m *InProcess) pipe(name Header) *pipe {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.pipes[name]
	if p == nil {
		depth := m.Depth
		if depth <= 0 {
			depth = 4
		}
		p = &pipe{memory: m, name: name, frames: make(chan Frame, depth), back: make(chan Frame, 1), dialed: make(chan struct{}),
			taken: make(chan struct{}), finish: make(chan struct{}), cut: make(chan struct{})}
		if m.pipes == nil {
			m.pipes = map[Header]*pipe{}
		}
		m.pipes[name] = p
	}
	return p
}

// Dial waits for the next worker's session.
func (m *InProcess) Dial(ctx context.Context, id *Identity) (Outgoing, error) {
	p := m.pipe(id.header(id.own(), id.next()))
	close(p.dialed)
	if err := p.meet(ctx, p.taken); err != nil {
		return nil, &PeerLostError{Member: id.next(), Culprit: id.next().Worker, Cause: err}
	}
	return (*pipeOut)(p), nil
}

// Accept waits for the previous worker's session.
func (m *InProcess) Accept(ctx context.Context, id *Identity) (Incoming, error) {
	p := m.pipe(id.header(id.prev(), id.own()))
	close(p.taken)
	if err := p.meet(ctx, p.dialed); err != nil {
		return nil, &PeerLostError{Member: id.prev(), Culprit: id.prev().Worker, Cause: err}
	}
	return (*pipeIn)(p), nil
}

func (p *pipe) meet(ctx context.Context, other chan struct{}) error {
	select {
	case <-other:
		return nil
	case <-ctx.Done():
		p.close()
		return ctx.Err()
	}
}

func (p *pipe) close() {
	p.once.Do(func() {
		close(p.cut)
		p.memory.mu.Lock()
		defer p.memory.mu.Unlock()
		delete(p.memory.pipes, p.name)
	})
}

// Cut breaks the link between two members as a lost connection would.
func (m *InProcess) Cut(from, to plan.Member) {
	m.mu.Lock()
	var cut []*pipe
	for name, p := range m.pipes {
		if name.From == from.Incarnation && name.To == to.Incarnation {
			cut = append(cut, p)
		}
	}
	m.mu.Unlock()
	for _, p := range cut {
		p.close()
	}
}

var errCut = errors.New("the link is cut")

type pipeOut pipe

// Send copies the payload, as a network would.
func (o *pipeOut) Send(f Frame) error {
	payload := f.Data.Materialize()
	f.Free()
	f.Data = mem.BufferSlice{mem.SliceBuffer(payload)}
	select {
	case o.frames <- f:
		return nil
	case <-o.cut:
		return fmt.Errorf("send: %w", io.EOF)
	}
}

func (o *pipeOut) Await() (Frame, error) {
	select {
	case f := <-o.back:
		return f, nil
	case <-o.cut:
	}
	select { // a farewell goes before the end
	case f := <-o.back:
		return f, nil
	default:
		return Frame{}, errCut
	}
}

func (o *pipeOut) Finish() error {
	o.onceFin.Do(func() { close(o.finish) })
	return nil
}

func (o *pipeOut) Close() { (*pipe)(o).close() }

type pipeIn pipe

func (i *pipeIn) Receive() (Frame, error) {
	select {
	case f := <-i.frames:
		return f, nil
	default:
	}
	select {
	case f := <-i.frames:
		return f, nil
	case <-i.finish:
		select {
		case f := <-i.frames:
			return f, nil
		default:
			return Frame{}, io.EOF
		}
	case <-i.cut:
		return Frame{}, errCut
	}
}

func (i *pipeIn) Close(bye *Frame) {
	if bye != nil {
		select {
		case i.back <- *bye:
		default:
		}
	}
	(*pipe)(i).close()
}
