package worker

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// listen opens a port of this machine for the test's time.
func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// An attempt to reach a worker says whether it answers, and if not, what is there instead.
func TestAProbeSaysWhatIsThereInstead(t *testing.T) {
	self := plan.Member{Worker: "w2", Incarnation: 7}
	served := listen(t)
	peers := &PeerServer{}
	network := &Network{Peers: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}}
	peers.Serve(New(Config{Self: self, Log: slog.New(slog.DiscardHandler)}, network))
	g := grpc.NewServer()
	rpc.RegisterPeerServer(g, peers)
	go func() { _ = g.Serve(served) }() // until the test ends
	t.Cleanup(g.Stop)
	silent, closed := listen(t), listen(t) // connections to the first are made, and nobody answers
	closed.Close()

	for _, c := range []struct {
		name string
		at   net.Listener
		id   plan.Incarnation
		want string
	}{
		{"it answers", served, 7, ""},
		{"another process answers", served, 8, "another process answers"},
		{"nobody listens", closed, 7, "connection refused"},
		{"nobody answers", silent, 7, "does not answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if c.at == silent {
				time.AfterFunc(300*time.Millisecond, cancel)
			}
			err := network.Probe(ctx, plan.Member{Worker: "w2", Incarnation: c.id, Address: c.at.Addr().String()})
			if (err == nil) != (c.want == "") || err != nil && !(strings.Contains(err.Error(), c.want) && strings.Contains(err.Error(), c.at.Addr().String())) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
