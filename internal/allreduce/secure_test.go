package allreduce

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"ringmaster/internal/plan"
)

// selfSigned is a certificate for 127.0.0.1 and the pool that trusts it.
func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestSumsOverTLS(t *testing.T) {
	certificate, pool := selfSigned(t)
	members := cut(mathrand.New(mathrand.NewPCG(3, 3)), 3, 2)
	var transports []*Transport
	for i := range members {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		members[i].Address = l.Addr().String()
		transport := NewTransport(Options{Worker: members[i].Worker, Dial: dialOver("tcp"),
			Credentials: credentials.NewTLS(&tls.Config{RootCAs: pool, DynamicRecordSizingDisabled: true})})
		server := grpc.NewServer(append(transport.ServerOptions(), grpc.Creds(credentials.NewServerTLSFromCert(&certificate)))...)
		transport.Register(server)
		done := make(chan error, 1)
		go func() { done <- server.Serve(l) }()
		t.Cleanup(func() {
			server.Stop()
			<-done
		})
		transports = append(transports, transport)
	}
	w := newWorld(members, 3, plan.Interval{Begin: 0, End: 100000}.Parts(2))
	w.open(t, func(i int) Links { return transports[i] })
	rng := mathrand.New(mathrand.NewPCG(1, 1))
	w.step(t, 1, rng)
	w.step(t, 2, rng)
	w.close()

	// Without trust in the certificate there is no link, and the error says why.
	stranger := NewTransport(Options{Worker: "w1", Dial: dialOver("tcp"), Credentials: credentials.NewTLS(&tls.Config{RootCAs: x509.NewCertPool()})})
	w.view.Generation++
	_, err := Open(context.Background(), w.identity(0), stranger, w.flat[:members[0].Arc.Len()], w.buckets)
	if lost, ok := errors.AsType[*PeerLostError](err); !ok || lost.Member.Worker != "w2" {
		t.Errorf("got %v, want w2 lost", err)
	}
}

// quiet is a connection that can fall silent, as when a machine loses its power: nothing arrives any more, and nothing is refused.
type quiet struct {
	net.Conn
	silent *atomic.Bool
}

func (q quiet) Write(b []byte) (int, error) {
	if q.silent.Load() {
		return len(b), nil
	}
	return q.Conn.Write(b)
}

func TestSilentPeerIsFound(t *testing.T) {
	var silent atomic.Bool
	members := cut(mathrand.New(mathrand.NewPCG(3, 3)), 2, 2)
	hosts := networks["tcp"](t, members, Options{Silence: 300 * time.Millisecond, Dial: func(ctx context.Context, m plan.Member) (net.Conn, error) {
		conn, err := dialOver("tcp")(ctx, m)
		if err != nil || m.Worker != "w2" {
			return conn, err
		}
		return quiet{conn, &silent}, nil
	}})
	w := newWorld(members, 2, plan.Interval{Begin: 0, End: 100}.Parts(1))
	w.open(t, func(i int) Links { return hosts[i].transport })
	silent.Store(true)
	<-w.rings[1].Failed()
	if lost, ok := errors.AsType[*PeerLostError](w.rings[1].Err()); !ok || lost.Member.Worker != "w1" {
		t.Errorf("got %v, want w1 lost", w.rings[1].Err())
	}
}
