package allreduce

import (
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"ringmaster/internal/plan"
)

// stuckLinks are links whose outgoing ends take nothing any more once stuck is closed: the next worker is stopped and its
// buffers are full. Only closing the link ends a Send then.
type stuckLinks struct {
	Links
	stuck chan struct{}
}

func (l stuckLinks) Dial(ctx context.Context, id *Identity) (Outgoing, error) {
	out, err := l.Links.Dial(ctx, id)
	if err != nil {
		return nil, err
	}
	return &stuckOut{Outgoing: out, stuck: l.stuck, closed: make(chan struct{})}, nil
}

type stuckOut struct {
	Outgoing
	stuck, closed chan struct{}
	once          sync.Once
}

func (o *stuckOut) Send(f Frame) error {
	select {
	case <-o.stuck:
		<-o.closed
		f.Free()
		return io.EOF
	default:
		return o.Outgoing.Send(f)
	}
}

func (o *stuckOut) Close() {
	o.once.Do(func() { close(o.closed) })
	o.Outgoing.Close()
}

// A session ends although the next worker does not even take the goodbye: the next view waits for that end.
func TestCloseWithoutTheGoodbyeTaken(t *testing.T) {
	for _, began := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(cut(rand.New(rand.NewPCG(5, 5)), 4, 2), 4, plan.Interval{Begin: 0, End: 90000}.Parts(2))
			links := stuckLinks{&InProcess{}, make(chan struct{})}
			w.open(t, func(i int) Links {
				if i == 0 {
					return links
				}
				return links.Links
			})
			close(links.stuck)
			if began { // the sender is stuck too
				w.rings[0].Begin(1)
				w.rings[0].Ready(1)
				synctest.Wait()
			}
			w.rings[0].Close()
			w.close()
		})
	}
}
