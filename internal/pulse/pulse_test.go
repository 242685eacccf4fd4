package pulse

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second // no measurement

// counting counts the bytes that come in.
type counting struct {
	net.Listener
	read atomic.Int64
}

type counted struct {
	net.Conn
	in *counting
}

func (l *counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return counted{c, l}, err
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.in.read.Add(int64(n))
	return n, err
}

func listen(t *testing.T) *counting {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &counting{Listener: l}
}

// TestIdleConnectionLives: both ends of gRPC answer pings between their frames, however often these come.
func TestIdleConnectionLives(t *testing.T) {
	l := listen(t)
	beating := Credentials(insecure.NewCredentials(), 2*time.Millisecond, patience)
	g := grpc.NewServer(grpc.Creds(beating), grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 1, PermitWithoutStream: true}),
		grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
			for {
				var m wrapperspb.BytesValue
				if err := s.RecvMsg(&m); err != nil {
					return nil
				}
				if err := s.SendMsg(&m); err != nil {
					return err
				}
			}
		}))
	served := make(chan struct{})
	go func() { defer close(served); g.Serve(l) }()
	defer func() { g.Stop(); <-served }()
	c, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(beating))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := c.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/test/echo")
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 100_000, 3_000_000, 0} {
		sent := wrapperspb.Bytes(make([]byte, size))
		var got wrapperspb.BytesValue
		if err := errors.Join(s.SendMsg(sent), s.RecvMsg(&got)); err != nil || len(got.Value) != size {
			t.Fatalf("%d bytes came back as %d: %v", size, len(got.Value), err)
		}
		for before := l.read.Load(); l.read.Load() < before+10*int64(len(ping)); time.Sleep(time.Millisecond) {
			if ctx.Err() != nil {
				t.Fatal("no pings come")
			}
		}
	}
}

// TestSilentEndIsGivenUp: the other end takes everything and says nothing.
func TestSilentEndIsGivenUp(t *testing.T) {
	l := listen(t)
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	c := newConn(raw, 5*time.Millisecond, 5*time.Millisecond, 0)
	defer c.Close()
	if _, err := c.Write(make([]byte, frameHeader)); err != nil { // as gRPC's settings
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, ErrSilent) {
		t.Errorf("read: %v, want %v", err, ErrSilent)
	}
	got, _ := io.ReadAll(other)
	if string(got) != string(make([]byte, frameHeader))+string(ping[:]) {
		t.Errorf("the other end was sent %x", got)
	}
}

// TestFramesAreNotCut: pings go only where gRPC has written whole frames and no header block is open, however its writes fall.
func TestFramesAreNotCut(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		skip := []int{0, len(preface)}[random.IntN(2)]
		text, whole := make([]byte, skip), map[int]bool{}
		for range 8 {
			size, kind, flags := random.IntN(20), byte(random.IntN(10)), byte(random.IntN(8))
			text = append(text, 0, 0, byte(size), kind, flags, 0, 0, 0, 0)
			text = append(text, make([]byte, size)...)
			whole[len(text)] = !(kind == frameHeaders || kind == frameContinuation) || flags&flagEndHeaders != 0
		}
		f := frames{rest: skip, begun: skip == 0}
		for at := 0; at < len(text); {
			n := 1 + random.IntN(min(30, len(text)-at))
			f.pass(text[at : at+n])
			if at += n; f.between() != whole[at] {
				t.Fatalf("after %d of %d bytes a ping may come: %v, want %v", at, len(text), f.between(), whole[at])
			}
		}
	}
}
