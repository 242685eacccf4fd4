package daemon

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ringmaster/internal/allreduce"
	"ringmaster/internal/certs"
	"ringmaster/internal/plan"
	"ringmaster/internal/port"
	"ringmaster/internal/rpc"
	"ringmaster/internal/test/support"
)

// dialAs is a client with a certificate (nil: none) of the coordinator at a port.
func dialAs(t *testing.T, at *port.Port, i *certs.Identity) rpc.CoordinatorClient {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+at.Addr().String(), dialOptions(openPort(t, "127.0.0.1:0", i), certs.Coordinator)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return rpc.NewCoordinatorClient(conn)
}

// attach opens a worker's line and waits for an answer on it.
func attach(t *testing.T, client rpc.CoordinatorClient, id string) (end context.CancelFunc, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(support.Within(t))
	line, err := client.Attach(ctx, grpc.WaitForReady(true))
	if err == nil {
		_ = line.Send(&rpc.Report{Worker: id}) // the answer tells
		_, err = line.Recv()
	}
	return cancel, err
}

// TestCallsAtOnceAreBounded: the holder of a certificate has a number of calls at once, on however many connections, and so have all
// without one together. Others are not held up.
func TestCallsAtOnceAreBounded(t *testing.T) {
	a := support.Authority(t)
	c, w1, w2 := support.Identity(t, a, certs.Coordinator, "c1"), support.Identity(t, a, certs.Worker, "w1"), support.Identity(t, a, certs.Worker, "w2")
	for _, test := range []struct {
		name           string
		server, caller *certs.Identity
		most           int
	}{{"a worker", c, w1, maxAtOnce}, {"without certificates", nil, nil, maxNameless}} {
		t.Run(test.name, func(t *testing.T) {
			p := openPort(t, "127.0.0.1:0", test.server)
			serve(t, p, test.server, coordinatorMethods, func(g *grpc.Server) { rpc.RegisterCoordinatorServer(g, attacher{}) }, "")
			var connections []rpc.CoordinatorClient
			for range test.most/maxStreams + 2 {
				connections = append(connections, dialAs(t, p, test.caller))
			}
			var last context.CancelFunc
			for i := range test.most {
				var err error
				if last, err = attach(t, connections[i%len(connections)], "w1"); err != nil {
					t.Fatalf("call %d: %v", i+1, err)
				}
			}
			for _, client := range connections {
				if _, err := attach(t, client, "w1"); status.Code(err) != codes.ResourceExhausted {
					t.Errorf("one call too many: %v", err)
				}
			}
			if test.server != nil {
				if _, err := attach(t, dialAs(t, p, w2), "w2"); err != nil {
					t.Errorf("another worker: %v", err)
				}
			}
			last()
			support.Eventually(t, "another call after one has ended", func() bool {
				_, err := attach(t, connections[0], "w1")
				return err == nil
			})
		})
	}
}

// TestDialledWorkerShowsItsCertificate: whoever answers at a member's address must be that member.
func TestDialledWorkerShowsItsCertificate(t *testing.T) {
	a := support.Authority(t)
	w1, w2 := openPort(t, "127.0.0.1:0", support.Identity(t, a, certs.Worker, "w1")), openPort(t, "127.0.0.1:0", support.Identity(t, a, certs.Worker, "w2"))
	coordinator := openPort(t, "127.0.0.1:0", support.Identity(t, a, certs.Coordinator, "c1"))
	stranger := openPort(t, "127.0.0.1:0", support.Identity(t, support.Authority(t), certs.Worker, "w2"))
	dial := dialMember(w1)
	for _, test := range []struct {
		at   *port.Port
		id   string
		says string
	}{
		{w2, "w2", ""}, {w2, "w3", "its certificate is that of worker w2, not of worker w3: the address leads to the wrong process"},
		{coordinator, "c1", "coordinator"}, {stranger, "w2", "another cluster"},
	} {
		conn, err := dial(support.Within(t), plan.Member{Worker: test.id, Address: test.at.Addr().String()})
		if err == nil {
			conn.Close()
		}
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("dialling %s: %v, want %q", test.id, err, test.says)
		}
	}
}

// TestRingLinkIsItsWorkers: a worker that holds a certificate of the cluster cannot take another's place in a ring, though it says all that
// the other would say.
func TestRingLinkIsItsWorkers(t *testing.T) {
	a := support.Authority(t)
	open := func(id string) (*port.Port, *allreduce.Transport) {
		i := support.Identity(t, a, certs.Worker, id)
		p := openPort(t, "127.0.0.1:0", i)
		transport := allreduce.NewTransport(allreduce.Options{Worker: id, Credentials: p.Credentials(), Dial: dialMember(p)})
		g := grpc.NewServer(slices.Concat(serverOptions(p), transport.ServerOptions(), guard(i, workerMethods, quiet))...)
		transport.Register(g)
		t.Cleanup(g.Stop)
		go g.Serve(p.RPC())
		return p, transport
	}
	p1, t1 := open("w1")
	p2, t2 := open("w2")
	_, thief := open("w3")
	view := plan.View{Generation: 1, Seats: 2, Members: []plan.Member{
		{Worker: "w1", Incarnation: 1, Address: p1.Addr().String(), Arc: plan.Arc{Begin: 0, End: 1}},
		{Worker: "w2", Incarnation: 2, Address: p2.Addr().String(), Arc: plan.Arc{Begin: 1, End: 2}},
	}}
	identity := func(own int) *allreduce.Identity {
		return &allreduce.Identity{Cluster: 1, Job: "j", View: view, Self: own}
	}
	accepted := make(chan error, 1)
	go func() {
		in, err := t2.Accept(support.Within(t), identity(1))
		if err == nil {
			in.Close(nil)
		}
		accepted <- err
	}()
	out, err := thief.Dial(support.Within(t), identity(0))
	if err == nil {
		out.Close()
	}
	if lost, ok := errors.AsType[*allreduce.PeerLostError](err); !ok || !strings.Contains(lost.Error(), "its certificate is for worker w3, and the link is worker w1's") {
		t.Errorf("w3 in the place of w1: %v", err)
	}
	out, err = t1.Dial(support.Within(t), identity(0))
	if err != nil {
		t.Fatalf("w1: %v", err)
	}
	out.Close()
	if err := <-accepted; err != nil {
		t.Errorf("w2: %v", err)
	}
}
