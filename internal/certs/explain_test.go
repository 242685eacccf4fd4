package certs

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// Faults of certificates are reported in one clear line at the caller's end, whichever end is at fault.
func TestWhatIsWrongWithCertificatesIsSaidClearly(t *testing.T) {
	a, err := Init(t.TempDir(), now.AddDate(0, 0, -5))
	if err != nil {
		t.Fatal(err)
	}
	other, _ := authority(t)
	server := identity(t, a, Peer{Coordinator, "c1"}, false)
	worker := identity(t, a, Peer{Worker, "w1"}, false)
	expired := func(p Peer) *Identity {
		dir := t.TempDir()
		past := now.AddDate(0, 0, -3)
		if err := a.Node(dir, p, false, 1, past); err != nil {
			t.Fatal(err)
		}
		i, err := Load(dir, past)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	for _, test := range []struct {
		name   string
		server *Identity
		client grpc.DialOption
		says   string
	}{
		{"all well", server, grpc.WithTransportCredentials(worker.Credentials(Coordinator)), "unknown service"},
		{"a caller of another cluster", server, grpc.WithTransportCredentials(identity(t, other, Peer{Worker, "w1"}, false).Credentials(Coordinator)), "it belongs to another cluster: its certificate is of another authority"},
		{"the wrong process", worker, grpc.WithTransportCredentials(worker.Credentials(Coordinator)), "its certificate is that of worker w1, and a coordinator is asked for"},
		{"an expired server", expired(Peer{Coordinator, "c1"}), grpc.WithTransportCredentials(worker.Credentials(Coordinator)), "its certificate has expired"},
		{"no TLS", server, grpc.WithTransportCredentials(insecure.NewCredentials()), "preface"},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := grpc.NewServer(grpc.Creds(credentials.NewTLS(test.server.Server(false))))
		go s.Serve(l)
		conn, err := grpc.NewClient("passthrough:///"+l.Addr().String(), test.client)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, err = grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
		cancel()
		said := Reason(err)
		if !strings.Contains(said, test.says) || strings.Contains(said, "desc =") || strings.Contains(said, "\n") {
			t.Errorf("%s: %q, want %q in one plain line", test.name, said, test.says)
		}
		conn.Close()
		s.Stop()
	}
	// The refusal of a caller's certificate arrives after the caller's first word, which may fail before; so not by the network.
	for alert, says := range map[string]string{"expired certificate": "has expired", "unknown certificate authority": "another cluster", "certificate required": "--certs"} {
		if said := Explain(errors.New("error reading server preface: remote error: tls: " + alert)).Error(); !strings.Contains(said, says) {
			t.Errorf("%s is explained as %q", alert, said)
		}
	}
	if plain := errors.New("something else"); Explain(plain) != plain || Explain(nil) != nil {
		t.Error("what is not about certificates was changed")
	}
}
