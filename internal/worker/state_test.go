package worker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"log/slog"
	"math"
	"net"
	"net/url"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"ringmaster/internal/certs"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
	"ringmaster/internal/test/cost"
)

// sendingLinks are links to a peer that sends some parts of its state.
type sendingLinks struct {
	Network
	parts []*rpc.StatePart
}

func (l *sendingLinks) FetchState(_ context.Context, _ plan.Member, _ *rpc.StateRequest, receive func(*rpc.StatePart) error) error {
	for _, p := range l.parts {
		if err := receive(p); err != nil {
			return err
		}
	}
	return nil
}

// calledBy is a stream of a call by the holder of a certificate.
type calledBy struct {
	rpc.Peer_StateServer
	ctx context.Context
}

func (c calledBy) Context() context.Context { return c.ctx }

// TestStateIsForThoseInTheView: a worker gives its state to the other members of its view alone, by their certificates.
func TestStateIsForThoseInTheView(t *testing.T) {
	w := New(Config{Self: plan.Member{Worker: "w1", Incarnation: 1}, Threads: 1, Log: slog.New(slog.DiscardHandler)}, &Network{})
	member := func(id uint64, name string) *rpc.Member {
		return &rpc.Member{Worker: name, Incarnation: id, Address: "127.0.0.1:1"}
	}
	w.ways.take(&rpc.Order{View: &rpc.View{Generation: 1, Members: []*rpc.Member{member(1, "w1"), member(2, "w2")}}, Candidates: []*rpc.Member{member(3, "w3")}})
	peers := &PeerServer{}
	peers.Serve(w)
	for name, want := range map[string]codes.Code{
		"w2": codes.FailedPrecondition, // it came through, and there is no job
		"w3": codes.PermissionDenied,   // it could be seated, and is not
		"w4": codes.PermissionDenied,
	} {
		shown := &x509.Certificate{URIs: []*url.URL{{Scheme: "ringmaster", Host: string(certs.Worker), Path: "/" + name}}}
		info := credentials.TLSInfo{State: tls.ConnectionState{PeerCertificates: []*x509.Certificate{shown}, VerifiedChains: [][]*x509.Certificate{{shown}}}}
		ctx := peer.NewContext(t.Context(), &peer.Peer{Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, AuthInfo: info})
		if err := peers.State(&rpc.StateRequest{Job: "job"}, calledBy{ctx: ctx}); status.Code(err) != want {
			t.Errorf("%s asks for the state: %v, want %v", name, err, want)
		}
	}
}

// FuzzTakePart: whatever a peer sends for its state, in whatever pieces, the values asked for are those that came or the part is refused,
// and nothing beside them is touched.
func FuzzTakePart(f *testing.F) {
	f.Add([]byte(`{"step":5,"loss":1,"count":2,"correct":1,"floats":9}`), []byte{1, 2, 3, 4, 5}, []byte{6, 7, 8}, uint8(2))
	f.Add([]byte(`{"floats":-1}`), []byte{1, 2, 3}, []byte{4}, uint8(1))
	f.Add([]byte(`{"step":18446744073709551616}`), []byte{}, []byte{1, 2, 3, 4}, uint8(0))
	f.Fuzz(func(t *testing.T, header, first, second []byte, length uint8) {
		links := &sendingLinks{parts: []*rpc.StatePart{{Header: header}, {Data: first}, {Data: second}}}
		w := New(Config{Threads: 1, Log: slog.New(slog.DiscardHandler)}, links)
		j := newJob(w, &rpc.Order{Job: &rpc.JobSpec{Id: "job"}})
		defer j.close()
		const beside = 7
		all := make([]float32, int(length)+2*beside)
		part := plan.Interval{Begin: beside, End: beside + int(length)}
		var h stateHeader
		var err error
		cost.Bound(t, len(header)+len(first)+len(second), 1<<10, func() {
			err = j.takePart(context.Background(), &session{start: &rpc.Start{}}, plan.Member{}, part, all[part.Begin:part.End], &h)
		})
		for i, x := range all {
			if (i < part.Begin || i >= part.End) && x != 0 {
				t.Fatalf("value %d beside the part became %v", i, x)
			}
		}
		sent := append(append([]byte{}, first...), second...)
		if err != nil {
			return
		}
		if len(sent) != 4*part.Len() {
			t.Fatalf("%d bytes were taken for %d values", len(sent), part.Len())
		}
		for i, x := range all[part.Begin:part.End] {
			if want := binary.LittleEndian.Uint32(sent[4*i:]); math.Float32bits(x) != want {
				t.Fatalf("value %d is %#x, %#x was sent", i, math.Float32bits(x), want)
			}
		}
	})
}
