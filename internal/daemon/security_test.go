package daemon

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"ringmaster/internal/allreduce"
	"ringmaster/internal/certs"
	"ringmaster/internal/checkpoint"
	"ringmaster/internal/cluster"
	"ringmaster/internal/config"
	"ringmaster/internal/host"
	"ringmaster/internal/plan"
	"ringmaster/internal/port"
	"ringmaster/internal/rpc"
	"ringmaster/internal/test/support"
)

var quiet = slog.New(slog.DiscardHandler)

func openPort(t *testing.T, bind string, i *certs.Identity) *port.Port {
	t.Helper()
	p, err := port.Listen(port.Config{Bind: bind, Identity: i, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// serve serves what register adds, guarded, over a port and a unix socket.
func serve(t *testing.T, p *port.Port, i *certs.Identity, allowed func(string) []certs.Role, register func(*grpc.Server), socket string) {
	t.Helper()
	g := grpc.NewServer(append(serverOptions(p), guard(i, allowed, quiet)...)...)
	register(g)
	t.Cleanup(g.Stop)
	go g.Serve(p.RPC())
	if socket != "" {
		l, err := listenPrivately(socket)
		if err != nil {
			t.Fatal(err)
		}
		go g.Serve(l)
	}
}

// attacher takes a worker's line and reads it.
type attacher struct {
	rpc.UnimplementedCoordinatorServer
}

func (attacher) Attach(s rpc.Coordinator_AttachServer) error {
	for {
		r, err := s.Recv()
		if err != nil {
			return err
		}
		if err := s.Send(&rpc.Order{Refused: "heard " + r.Worker}); err != nil {
			return err
		}
	}
}

// code calls a method with nothing and returns the answer's code.
func code(t *testing.T, conn *grpc.ClientConn, method string, streams bool) codes.Code {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if !streams {
		return status.Code(conn.Invoke(ctx, method, &rpc.StatusRequest{}, &rpc.StatusRequest{}, grpc.WaitForReady(true)))
	}
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method, grpc.WaitForReady(true))
	if err != nil {
		return status.Code(err)
	}
	_ = s.SendMsg(&rpc.StatusRequest{}) // the answer tells
	_ = s.CloseSend()
	return status.Code(s.RecvMsg(&rpc.StatusRequest{}))
}

// A viewer sees the curves that checkpoints hold, not the weights.
func TestAViewerReadsCurvesAlone(t *testing.T) {
	a := support.Authority(t)
	c := support.Identity(t, a, certs.Coordinator, "c1")
	p := openPort(t, "127.0.0.1:0", c)
	store, err := openStore(t.TempDir(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, p, c, coordinatorMethods, func(g *grpc.Server) {
		rpc.RegisterCoordinatorServer(g, cluster.New(cluster.Config{ID: "c1"}, nil, store))
	}, "")
	for _, test := range []struct {
		role certs.Role
		file string
		want codes.Code // NotFound: it came through
	}{{certs.Viewer, "model-00001-of-00004.safetensors", codes.PermissionDenied}, {certs.Viewer, checkpoint.HistoryFile(), codes.NotFound}, {certs.Client, "model-00001-of-00004.safetensors", codes.NotFound}} {
		stream, err := dialAs(t, p, support.Identity(t, a, test.role, "x")).GetFile(support.Within(t), &rpc.GetFileRequest{Directory: "step-1-1-1", Name: test.file}, grpc.WaitForReady(true))
		if err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != test.want {
			t.Errorf("%s reads %s: %v, want %v", test.role, test.file, err, test.want)
		}
	}
}

// TestWhoMayCallWhat calls every method of both services as a holder of every role.
func TestWhoMayCallWhat(t *testing.T) {
	a := support.Authority(t)
	may := map[string]string{"Attach": "worker", "Status": "coordinator worker client viewer", "Watch": "coordinator worker client viewer",
		"Jobs": "coordinator client viewer", "Trace": "coordinator client viewer", "PutTrace": "worker", "Coordinators": "coordinator client viewer",
		"PutFile": "coordinator worker client", "GetFile": "coordinator worker client viewer", "State": "worker", "Probe": "worker", "SpendToken": "coordinator"} // others: client and coordinator
	c, w := support.Identity(t, a, certs.Coordinator, "c1"), support.Identity(t, a, certs.Worker, "w1")
	cp, wp := openPort(t, "127.0.0.1:0", c), openPort(t, "127.0.0.1:0", w)
	serve(t, cp, c, coordinatorMethods, func(g *grpc.Server) { rpc.RegisterCoordinatorServer(g, rpc.UnimplementedCoordinatorServer{}) }, "")
	transport := allreduce.NewTransport(allreduce.Options{Worker: "w1"})
	serve(t, wp, w, workerMethods, func(g *grpc.Server) {
		rpc.RegisterPeerServer(g, rpc.UnimplementedPeerServer{})
		transport.Register(g)
	}, "")
	for _, role := range certs.Roles {
		caller := openPort(t, "127.0.0.1:0", support.Identity(t, a, role, "x"))
		for _, service := range []struct {
			desc *grpc.ServiceDesc
			at   *port.Port
			role certs.Role
		}{{&rpc.Coordinator_ServiceDesc, cp, certs.Coordinator}, {&rpc.Peer_ServiceDesc, wp, certs.Worker}} {
			conn, err := grpc.NewClient("passthrough:///"+service.at.Addr().String(), dialOptions(caller, service.role)...)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			check := func(name string, streams bool) {
				roles, ok := may[name]
				if name == "Logs" { // both services have it
					roles, ok = map[certs.Role]string{certs.Coordinator: "coordinator client viewer", certs.Worker: "coordinator"}[service.role], true
				}
				if !ok {
					roles = "client coordinator"
				}
				want := codes.PermissionDenied
				if slices.Contains(strings.Fields(roles), string(role)) {
					want = codes.Unimplemented // it came through
				}
				if got := code(t, conn, "/"+service.desc.ServiceName+"/"+name, streams); got != want {
					t.Errorf("%s calls %s: %v, want %v", role, name, got, want)
				}
			}
			for _, m := range service.desc.Methods {
				check(m.MethodName, false)
			}
			for _, s := range service.desc.Streams {
				check(s.StreamName, true)
			}
			if service.role == certs.Worker && role != certs.Worker {
				if got := code(t, conn, "/ringmaster.Ring/Frames", true); got != codes.PermissionDenied {
					t.Errorf("%s opens a link of the ring: %v", role, got)
				}
			}
		}
	}
}

// channel is where a log's lines go.
type channel chan string

func (c channel) Write(b []byte) (int, error) {
	c <- string(b)
	return len(b), nil
}

// TestWorkersSpeakForThemselves: a report under another id than the certificate's ends the line, and a wrong address is
// spoken of.
func TestWorkersSpeakForThemselves(t *testing.T) {
	a := support.Authority(t)
	c := support.Identity(t, a, certs.Coordinator, "c1")
	p := openPort(t, "127.0.0.1:0", c)
	said := make(chan string, 8)
	g := grpc.NewServer(append(serverOptions(p), guard(c, coordinatorMethods, slog.New(slog.NewTextHandler(channel(said), nil)))...)...)
	rpc.RegisterCoordinatorServer(g, attacher{})
	t.Cleanup(g.Stop)
	go g.Serve(p.RPC())
	conn, err := grpc.NewClient("passthrough:///"+p.Addr().String(), dialOptions(openPort(t, "127.0.0.1:0", support.Identity(t, a, certs.Worker, "w1")), certs.Coordinator)...)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	line, err := rpc.NewCoordinatorClient(conn).Attach(ctx, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	gone := openPort(t, "127.0.0.1:0", nil)
	gone.Close()
	for _, test := range []struct {
		id   string
		code codes.Code
	}{{"w1", codes.OK}, {"w2", codes.PermissionDenied}} {
		if err := line.Send(&rpc.Report{Worker: test.id, Address: gone.Addr().String()}); err != nil {
			t.Fatal(err)
		}
		if test.id == "w1" { // nothing listens where it says that it is
			if l := <-said; !strings.Contains(l, "cannot be dialled") || !strings.Contains(l, gone.Addr().String()) {
				t.Errorf("the log says %s", l)
			}
		}
		if o, err := line.Recv(); status.Code(err) != test.code || err == nil && o.Refused != "heard "+test.id {
			t.Errorf("%s: %v, %v; want %v", test.id, o, err, test.code)
		}
	}
}

// TestUnixSocketsAreThisUsers: calls by the socket need no certificate, but only this user's sockets are called.
func TestUnixSocketsAreThisUsers(t *testing.T) {
	a := support.Authority(t)
	w := support.Identity(t, a, certs.Worker, "w1")
	p := openPort(t, "127.0.0.1:0", w)
	dir, err := os.MkdirTemp("", "ringmaster-") // t.TempDir's name may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	serve(t, p, w, workerMethods, func(g *grpc.Server) { rpc.RegisterPeerServer(g, rpc.UnimplementedPeerServer{}) }, socket)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, %v", info.Mode(), err)
	}
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := code(t, conn, "/ringmaster.Peer/State", true); got != codes.Unimplemented {
		t.Errorf("by the socket: %v", got)
	}

	dial := dialMember(openPort(t, "127.0.0.1:0", w))
	member := plan.Member{Worker: "w1", Machine: host.ID(), Socket: socket, Address: p.Addr().String()}
	network := func(m plan.Member) string {
		t.Helper()
		c, err := dial(context.Background(), m)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.RemoteAddr().Network()
	}
	if got := network(member); got != "unix" {
		t.Errorf("a worker on the same machine is dialled by %s", got)
	}
	elsewhere := member
	elsewhere.Machine = "another"
	if got := network(elsewhere); got != "tcp" {
		t.Errorf("a worker elsewhere is dialled by %s", got)
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	if got := network(member); got != "tcp" {
		t.Errorf("a socket that others can open is dialled by %s", got)
	}
	gone := member
	gone.Socket = filepath.Join(dir, "none")
	if got := network(gone); got != "tcp" {
		t.Errorf("a worker whose socket is gone is dialled by %s", got)
	}
}

// TestWithoutCertificatesNothingIsChecked: over loopback all is as it was.
func TestWithoutCertificatesNothingIsChecked(t *testing.T) {
	p := openPort(t, "127.0.0.1:0", nil)
	serve(t, p, nil, coordinatorMethods, func(g *grpc.Server) { rpc.RegisterCoordinatorServer(g, attacher{}) }, "")
	for _, id := range []string{"w1", "w2"} {
		if _, err := attach(t, dialAs(t, p, nil), id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if i, err := loadIdentity("", certs.Worker, quiet); i != nil || err != nil || gossipKey(i) != nil || checkID(i, "any") != nil {
		t.Errorf("%v, %v", i, err)
	}
	if _, err := loadIdentity(t.TempDir(), certs.Worker, quiet); !config.IsProblem(err) {
		t.Errorf("an empty folder: %v", err)
	}
}

func TestAnAddressThatLeadsElsewhereIsNotAdvertised(t *testing.T) {
	ctx := context.Background()
	p := openPort(t, "127.0.0.1:0", nil)
	address := p.Addr().String()
	if got, err := advertise(ctx, p, "127.0.0.1:0", nil, quiet); err != nil || got != address {
		t.Errorf("%s, %v; want %s", got, err, address)
	}
	other := openPort(t, "127.0.0.1:0", nil)
	_, err := advertise(ctx, p, other.Addr().String(), nil, quiet)
	if !config.IsProblem(err) || !strings.Contains(err.Error(), "another process answers there") || !strings.Contains(err.Error(), "127.0.0.1 (lo") {
		t.Errorf("another one's address: %v", err)
	}
	if _, err := advertise(ctx, p, "192.0.2.77:80", nil, quiet); !config.IsProblem(err) || !strings.Contains(err.Error(), "--certs") {
		t.Errorf("beyond loopback: %v", err)
	}
	if _, err := listen("192.0.2.77:80", nil, quiet); !config.IsProblem(err) || !strings.Contains(err.Error(), "--certs") {
		t.Errorf("listen beyond loopback: %v", err)
	}
	w := support.Identity(t, support.Authority(t), certs.Worker, "w1")
	if _, err := listen("198.51.100.7:80", w, quiet); !config.IsProblem(err) || !strings.Contains(err.Error(), "no address of this machine") {
		t.Errorf("listen on another one's address: %v", err)
	}
	everywhere := openPort(t, "0.0.0.0:0", w)
	got, err := advertise(ctx, everywhere, "0.0.0.0:0", []string{"127.0.0.1:7"}, quiet)
	host, _, _ := net.SplitHostPort(got)
	if err != nil || net.ParseIP(host).IsUnspecified() || interfaceOf(net.ParseIP(host)) == "" {
		t.Errorf("all interfaces are advertised as %s, %v", got, err)
	}
	if err := checkReachable(ctx, "127.0.0.1:5", []string{"127.0.0.1:7"}); err != nil {
		t.Errorf("everything on loopback: %v", err)
	}
	if err := checkReachable(ctx, "10.0.0.1:5", []string{"203.0.113.9:7"}); err != nil {
		t.Errorf("an address for others: %v", err)
	}
	if ip := routeTo(ctx, somewhere); ip != nil { // this machine has a way to others
		if err := checkReachable(ctx, "127.0.0.1:5", []string{"203.0.113.9:7"}); !config.IsProblem(err) || !strings.Contains(err.Error(), "set --bind") {
			t.Errorf("coordinators elsewhere: %v", err)
		}
	}
}

// A name that leads elsewhere at first, as the one of a pod that was made again does, is waited for; an address is not.
func TestANameMayLeadHereLater(t *testing.T) {
	p := openPort(t, "127.0.0.1:0", nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var elsewhere atomic.Int64
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if elsewhere.Add(-1) >= 0 {
				conn.Close()
				continue
			}
			go func() {
				defer conn.Close()
				here, err := net.Dial("tcp", p.Addr().String())
				if err != nil {
					return
				}
				defer here.Close()
				go func() { _, _ = io.Copy(here, conn) }()
				_, _ = io.Copy(conn, here)
			}()
		}
	}()
	_, number, _ := net.SplitHostPort(l.Addr().String())
	elsewhere.Store(1)
	if _, err := advertise(t.Context(), p, "127.0.0.1:"+number, nil, quiet); !config.IsProblem(err) {
		t.Errorf("an address that leads elsewhere: %v", err)
	}
	elsewhere.Store(1)
	if got, err := advertise(t.Context(), p, "localhost:"+number, nil, quiet); err != nil || got != "localhost:"+number {
		t.Errorf("a name that leads here later: %s, %v", got, err)
	}
	was := namePatience
	defer func() { namePatience = was }()
	namePatience = time.Millisecond
	elsewhere.Store(1000)
	if _, err := advertise(t.Context(), p, "localhost:"+number, nil, quiet); !config.IsProblem(err) || !strings.Contains(err.Error(), "does not lead back to this process") {
		t.Errorf("a name that never does: %v", err)
	}
}
