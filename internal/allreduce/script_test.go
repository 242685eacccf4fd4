package allreduce

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/mem"

	"ringmaster/internal/plan"
)

// script is a previous worker that sends given frames, and a next one that takes everything.
type script struct {
	frames chan Frame
	cut    chan struct{}
	once   sync.Once
}

func (s *script) Dial(context.Context, *Identity) (Outgoing, error)   { return scriptOut{s}, nil }
func (s *script) Accept(context.Context, *Identity) (Incoming, error) { return scriptIn{s}, nil }

type scriptOut struct{ *script }

func (s scriptOut) Send(f Frame) error { f.Free(); return nil }
func (s scriptOut) Await() (Frame, error) {
	<-s.cut
	return Frame{}, io.EOF
}
func (s scriptOut) Finish() error { return nil }
func (s scriptOut) Close()        { s.once.Do(func() { close(s.cut) }) }

type scriptIn struct{ *script }

func (s scriptIn) Receive() (Frame, error) {
	select {
	case f := <-s.frames:
		return f, nil
	case <-s.cut:
		return Frame{}, errCut
	}
}
func (s scriptIn) Close(*Frame) { s.once.Do(func() { close(s.cut) }) }

// scripted opens the session of the first of two workers with two seats each, and one bucket whose chunks have 10000 elements. From
// the script it gets body and tail of its own segment, and the second worker's body. In the bubble, a session that should fail and
// does not ends the test.
func scripted(t *testing.T, name string, do func(t *testing.T, r *Ring, s *script)) {
	const params = 40000
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			members := []plan.Member{{Worker: "w1", Incarnation: 1, Arc: plan.Interval{Begin: 0, End: 2}}, {Worker: "w2", Incarnation: 2, Arc: plan.Interval{Begin: 2, End: 4}}}
			id := Identity{Cluster: 99, Job: "job", View: plan.View{Generation: 7, Seats: 4, Members: members}}
			s := &script{frames: make(chan Frame, 2), cut: make(chan struct{})}
			r, err := Open(t.Context(), id, s, [][]float32{make([]float32, params), make([]float32, params)}, plan.EvenBuckets([]plan.Interval{{Begin: 0, End: params}}))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			do(t, r, s)
		})
	})
}

func TestFramesThatDoNotFitThePlanAreRefused(t *testing.T) {
	good := func(id *Identity) Header {
		h := id.header(id.prev(), id.own())
		h.Step, h.Phase, h.Bucket, h.Segment, h.Offset, h.Length = 3, phaseTail, 0, 0, 0, 40000
		return h
	}
	cases := []struct {
		name   string
		change func(h *Header)
		want   string
	}{
		{"cluster", func(h *Header) { h.Cluster++ }, "expected cluster incarnation"},
		{"job", func(h *Header) { h.Job++ }, "expected job hash"},
		{"generation", func(h *Header) { h.Generation = 6 }, "expected generation 7, got 6"},
		{"from", func(h *Header) { h.From++ }, "expected sender's incarnation"},
		{"to", func(h *Header) { h.To++ }, "expected receiver's incarnation"},
		{"old step", func(h *Header) { h.Step = 2 }, "expected step 3, got 2"},
		{"later step", func(h *Header) { h.Step = 4 }, "expected step 3, got 4"},
		{"phase", func(h *Header) { h.Phase = phaseAccept }, "refused a accept frame in the middle"},
		{"raw", func(h *Header) { h.Phase, h.Segment = phaseRaw, 1 }, "no such frame is sent to position 0"},
		{"bucket", func(h *Header) { h.Bucket = 1 }, "expected less than 1 buckets"},
		{"segment", func(h *Header) { h.Segment = 2 }, "expected less than 1 buckets and 2 segments"},
		{"lane that starts here", func(h *Header) { h.Segment = 1 }, "no such frame is sent to position 0"},
		{"offset", func(h *Header) { h.Offset = 1 }, "expected 40000 bytes at element 0, got 40000 at 1"},
		{"length", func(h *Header) { h.Length = 39996 }, "expected 40000 bytes at element 0, got 39996 at 0"},
		{"record's segment", func(h *Header) { h.Phase, h.Bucket = phaseRecord, 64 }, "no such frame is sent"},
		{"record's kind", func(h *Header) { h.Phase, h.Segment, h.Kind = phaseRecord, 1, 200 }, "no such frame is sent"},
		{"record's size", func(h *Header) { h.Phase, h.Segment, h.Bucket = phaseRecord, 1, MaxGather+1 }, "the limit is"},
		{"record's length", func(h *Header) { h.Phase, h.Segment, h.Bucket, h.Length = phaseRecord, 1, 64, 64 }, "expected 128 bytes at 0, got 64 at 0"},
		{"farewell", func(h *Header) { h.Phase, h.Length = phaseBye, 0 }, "a farewell has no reason"},
	}
	for _, c := range cases {
		scripted(t, c.name, func(t *testing.T, r *Ring, s *script) {
			r.Begin(3)
			r.Ready(0)
			h := good(&r.id)
			c.change(&h)
			s.frames <- Frame{Header: h, Data: mem.BufferSlice{mem.SliceBuffer(make([]byte, h.Length))}}
			<-r.Failed()
			if lost, ok := errors.AsType[*PeerLostError](r.Err()); !ok || lost.Member.Worker != "w2" || !strings.Contains(lost.Error(), c.want) {
				t.Errorf("got %v, want worker w2 refused: %q", r.Err(), c.want)
			}
		})
	}
}

// A frame of an earlier step is refused, even if nothing is expected any more: nobody would ever wait for it.
func TestAFrameOfAPastStepIsRefused(t *testing.T) {
	scripted(t, "tail", func(t *testing.T, r *Ring, s *script) {
		r.Begin(3)
		h := r.id.header(r.id.prev(), r.id.own())
		h.Step, h.Phase, h.Length = 2, phaseTail, 40000
		s.frames <- Frame{Header: h, Data: mem.BufferSlice{mem.SliceBuffer(make([]byte, h.Length))}}
		<-r.Failed()
		if err := r.Err(); !strings.Contains(err.Error(), "expected step 3, got 2") {
			t.Errorf("got %v", err)
		}
	})
}

// The previous worker may leave normally once it owes nothing more: then the next step fails, at its beginning. If it leaves earlier, this step fails.
func TestAnOrderlyFarewellComesAfterAllElse(t *testing.T) {
	for name, c := range map[string]struct {
		owes  func(r *Ring)
		fails bool
	}{
		"nothing":  {func(*Ring) {}, false},
		"a bucket": {func(r *Ring) { r.Ready(0) }, true},
		"a record": {func(r *Ring) { r.Contribute(2, [][]byte{{1}, {2}}) }, true},
	} {
		scripted(t, name, func(t *testing.T, r *Ring, s *script) {
			r.Begin(3)
			c.owes(r)
			s.frames <- farewell{kind: byeOrderly, step: 3, reason: "after a finished step"}.frame(r.id.header(r.id.prev(), r.id.own()))
			synctest.Wait()
			if err := r.Err(); errors.Is(err, ErrPeerClosed) != c.fails || (err != nil) != c.fails {
				t.Errorf("step 3: %v", err)
			}
			r.Begin(4)
			if err := r.Err(); !errors.Is(err, ErrPeerClosed) {
				t.Errorf("step 4: %v", err)
			}
		})
	}
}

// What a session says when it closes tells the next worker whether it still owed something.
func TestClosingSaysWhetherAStepIsLeft(t *testing.T) {
	for name, c := range map[string]struct {
		leaves func(r *Ring)
		want   uint8
	}{
		"nothing":  {func(*Ring) {}, byeOrderly},
		"a bucket": {func(r *Ring) { r.Ready(0) }, byeClosed},
		"a record": {func(r *Ring) { r.Contribute(2, [][]byte{{1}, {2}}) }, byeClosed},
	} {
		scripted(t, name, func(t *testing.T, r *Ring, _ *script) {
			r.Begin(3)
			c.leaves(r)
			r.mu.Lock()
			defer r.mu.Unlock()
			if got := r.farewell(ErrClosed); got.kind != c.want || got.step != 3 {
				t.Errorf("it says %+v, want kind %d", got, c.want)
			}
		})
	}
}

func TestAFrameIsTakenOnce(t *testing.T) {
	scripted(t, "tail", func(t *testing.T, r *Ring, s *script) {
		r.Begin(3)
		r.Ready(0)
		h := r.id.header(r.id.prev(), r.id.own())
		h.Step, h.Phase, h.Length = 3, phaseTail, 40000
		for range 2 {
			s.frames <- Frame{Header: h, Data: mem.BufferSlice{mem.SliceBuffer(make([]byte, h.Length))}}
		}
		<-r.Failed()
		if err := r.Err(); !strings.Contains(err.Error(), "expected 0 bytes at element 10000, got 40000 at 0") {
			t.Errorf("got %v", err)
		}
	})
}
