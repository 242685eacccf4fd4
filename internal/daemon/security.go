package daemon

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ringmaster/internal/certs"
	"ringmaster/internal/config"
	"ringmaster/internal/host"
	"ringmaster/internal/plan"
	"ringmaster/internal/port"
	"ringmaster/internal/rpc"
	"ringmaster/internal/sleep"
)

// expiryNotice is how long before a certificate's expiry the log mentions it.
const expiryNotice = 30 * 24 * time.Hour

// loadIdentity reads the folder of a daemon's certificate: nil where none is configured. An unusable folder is a
// configuration error.
func loadIdentity(dir string, role certs.Role, log *slog.Logger) (*certs.Identity, error) {
	if dir == "" {
		return nil, nil
	}
	now := time.Now()
	i, err := certs.LoadAs(dir, role, now)
	if err != nil {
		return nil, &config.Problem{Text: "certs: " + err.Error()}
	}
	noticeExpiry(i, now, log)
	return i, nil
}

// noticeExpiry logs that a certificate expires soon.
func noticeExpiry(i *certs.Identity, now time.Time, log *slog.Logger) {
	if i.Expires.Before(now.Add(expiryNotice)) {
		log.Warn("the certificate expires soon: make a new one (ringmaster certs node), and start this process again", "dir", i.Dir(), "id", i.ID, "expires", i.Expires.UTC().Format(time.DateOnly))
	}
}

// watchExpiry looks at the certificate once a day, for processes that live for months.
func watchExpiry(ctx context.Context, i *certs.Identity, log *slog.Logger) {
	for i != nil && sleep.For(ctx, 24*time.Hour) {
		noticeExpiry(i, time.Now(), log)
	}
}

// checkID refuses an id other than the certificate's: the others would refuse it.
func checkID(i *certs.Identity, id string) error {
	if i == nil || i.ID == id {
		return nil
	}
	return &config.Problem{Text: fmt.Sprintf("id: the certificate in %s is for %s %s, not for %s: set --id %s, or name another --certs", i.Dir(), i.Role, i.ID, id, i.ID)}
}

// gossipKey encrypts the gossip; nil without certificates.
func gossipKey(i *certs.Identity) []byte {
	if i == nil {
		return nil
	}
	return i.GossipKey
}

// mayCall lists who may call the coordinator's methods. Those that are not listed change what a cluster does: they are
// for clients, and for coordinators, which can do that anyway.
var mayCall = map[string][]certs.Role{
	rpc.Coordinator_Attach_FullMethodName:   {certs.Worker},
	rpc.Coordinator_PutFile_FullMethodName:  {certs.Coordinator, certs.Worker, certs.Client},
	rpc.Coordinator_GetFile_FullMethodName:  certs.Roles,
	rpc.Coordinator_Status_FullMethodName:   certs.Roles,
	rpc.Coordinator_Watch_FullMethodName:    certs.Roles,
	rpc.Coordinator_PutTrace_FullMethodName: {certs.Worker},

	rpc.Coordinator_Jobs_FullMethodName:         people,
	rpc.Coordinator_Trace_FullMethodName:        people,
	rpc.Coordinator_Logs_FullMethodName:         people,
	rpc.Coordinator_Coordinators_FullMethodName: people,

	rpc.Coordinator_SpendToken_FullMethodName: {certs.Coordinator},
}

// people ask; coordinators may ask each other the same.
var people = []certs.Role{certs.Client, certs.Coordinator, certs.Viewer}

// coordinatorMethods allows by mayCall.
func coordinatorMethods(method string) []certs.Role {
	if roles, ok := mayCall[method]; ok {
		return roles
	}
	return []certs.Role{certs.Client, certs.Coordinator}
}

// workerMethods are for workers: the ring, and the state that a worker takes from its peers. Its log is for coordinators, which know who may read it.
func workerMethods(method string) []certs.Role {
	if method == rpc.Peer_Logs_FullMethodName {
		return []certs.Role{certs.Coordinator}
	}
	return []certs.Role{certs.Worker}
}

// guard makes a gRPC server bound each caller's calls, and check the callers' roles unless the process has no identity and only
// loopback reaches it. Callers by the unix socket are processes of this user: its file says so.
func guard(i *certs.Identity, allowed func(method string) []certs.Role, log *slog.Logger) []grpc.ServerOption {
	bound := grpc.InTapHandle(newCrowd().enter)
	if i == nil {
		return []grpc.ServerOption{bound}
	}
	calls := newPace(time.Now)
	check := func(ctx context.Context, method string) (certs.Peer, error) {
		who, address, err := certs.CallerOf(ctx)
		if err == nil {
			if first, err := calls.check(who); err != nil {
				if first {
					log.Warn("refused calls", "from", address, "reason", err)
				}
				return who, status.Error(codes.ResourceExhausted, err.Error())
			}
		}
		if err == nil && who != (certs.Peer{}) && !slices.Contains(allowed(method), who.Role) {
			err = fmt.Errorf("%v may not call %s: its certificate is for another role", who, method)
			if who.Role == certs.Viewer {
				err = fmt.Errorf("%v may only look: bring the certificate of a client to change anything", who)
			}
		}
		if err != nil {
			log.Warn("refused a call", "from", address, "method", method, "reason", err)
			return who, status.Error(codes.PermissionDenied, err.Error())
		}
		return who, nil
	}
	return []grpc.ServerOption{
		bound,
		grpc.ChainUnaryInterceptor(func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			if _, err := check(ctx, info.FullMethod); err != nil {
				return nil, err
			}
			return handler(ctx, request)
		}),
		grpc.ChainStreamInterceptor(func(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			who, err := check(stream.Context(), info.FullMethod)
			if err != nil {
				return err
			}
			if info.FullMethod == rpc.Coordinator_Attach_FullMethodName {
				stream = &ownReports{ServerStream: stream, id: who.ID, log: log}
			}
			return handler(server, stream)
		}),
	}
}

// ownReports is a worker's line on which it may report only about itself.
type ownReports struct {
	grpc.ServerStream
	id     string
	log    *slog.Logger
	looked bool // whether the worker can be dialled
}

// RecvMsg receives a report.
func (s *ownReports) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	r, ok := m.(*rpc.Report)
	if !ok {
		return nil
	}
	if r.Worker != s.id {
		s.log.Warn("refused a report", "certificate", s.id, "reports as", r.Worker)
		return status.Errorf(codes.PermissionDenied, "the certificate is for worker %s, not for %.80q", s.id, r.Worker)
	}
	if !s.looked {
		s.looked = true
		go lookBack(s.Context(), s.id, r.Address, s.log) // ends with its timeout or the line
	}
	return nil
}

// lookTime bounds how long a worker's port may take to answer.
const lookTime = 3 * time.Second

// lookBack dials the address that a worker advertises, and logs if nothing answers: a firewall in the
// way shows here before the first ring has waited for it.
func lookBack(ctx context.Context, worker, address string, log *slog.Logger) {
	var d net.Dialer
	bounded, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	conn, err := d.DialContext(bounded, "tcp", address)
	if err == nil {
		conn.Close()
		return
	}
	if ctx.Err() == nil {
		log.Warn("a worker cannot be dialled at the address it advertises: open its port in the firewall, or set its --advertise", "worker", worker, "address", address, "reason", err)
	}
}

// dialMember connects to a worker: by its unix socket if it is on the same machine and that socket is this user's, else by TCP.
func dialMember(port *port.Port) func(context.Context, plan.Member) (net.Conn, error) {
	own, tcp := host.ID(), port.RPCDialer(certs.Worker)
	return func(ctx context.Context, m plan.Member) (net.Conn, error) {
		if m.Socket != "" && m.Machine == own && ownSocket(m.Socket) {
			var d net.Dialer
			if conn, err := d.DialContext(ctx, "unix", m.Socket); err == nil {
				return conn, nil
			}
		}
		conn, err := tcp(ctx, m.Address)
		if err != nil {
			return nil, err
		}
		if err := isWorker(conn, m.Worker); err != nil {
			conn.Close()
			return nil, fmt.Errorf("%s: %w", m.Address, err)
		}
		return conn, nil
	}
}

// isWorker checks that the certificate at the other end is the worker's. Without TLS there is none.
func isWorker(conn net.Conn, id string) error {
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return nil
	}
	who, err := certs.Caller(secure.ConnectionState())
	if err == nil && who.ID != id {
		err = fmt.Errorf("its certificate is that of %v, not of worker %s: the address leads to the wrong process", who, id)
	}
	return err
}

// ownSocket reports whether a socket belongs to this user only: its traffic is not encrypted.
func ownSocket(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeSocket == 0 || info.Mode().Perm()&0o077 != 0 {
		return false
	}
	of, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(of.Uid) == os.Getuid()
}
