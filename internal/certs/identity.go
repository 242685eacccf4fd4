package certs

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/grpc/credentials"
)

// Identity is who a process is: the contents of a --certs folder. It is never changed.
type Identity struct {
	Peer
	Expires   time.Time
	GossipKey []byte     // nil for clients
	Issuer    *Authority // nil unless this is a coordinator that admits machines

	dir  string
	cert tls.Certificate
	ca   *x509.Certificate
	pool *x509.CertPool
}

// Load reads the folder of a member or a client, and checks that its certificate is the authority's, fits its key and is
// valid now. The error says which command mends it.
func Load(dir string, now time.Time) (*Identity, error) {
	i := &Identity{dir: dir, pool: x509.NewCertPool()}
	leaf, err := readCertificate(dir, fileCert)
	if absent(err) {
		return nil, fmt.Errorf("no certificate in %s; make one: ringmaster certs node ID --role ROLE --out %s", dir, dir)
	} else if err != nil {
		return nil, err
	}
	if i.ca, err = readCertificate(dir, fileCA); err != nil {
		return nil, err
	}
	i.pool.AddCert(i.ca)
	key, err := readKey(dir, fileKey, leaf)
	if err != nil {
		return nil, err
	}
	if i.Peer, err = PeerOf(leaf); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, fileCert), err)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: i.pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return nil, fmt.Errorf("%s: %w; make a new one: ringmaster certs node %s --role %s", filepath.Join(dir, fileCert), err, i.ID, i.Role)
	}
	i.Expires = leaf.NotAfter
	// The authority's certificate goes along so that a machine that only knows its fingerprint can check it.
	i.cert = tls.Certificate{Certificate: [][]byte{leaf.Raw, i.ca.Raw}, PrivateKey: key, Leaf: leaf}
	if i.Role.Member() {
		if i.GossipKey, err = readSecret(dir, fileGossip); err != nil {
			return nil, err
		}
	}
	if i.Role == Coordinator && exists(dir, fileCAKey) {
		if i.Issuer, err = LoadAuthority(dir); err != nil {
			return nil, err
		}
	}
	return i, nil
}

// LoadAs reads the folder of a member that must have the role.
func LoadAs(dir string, role Role, now time.Time) (*Identity, error) {
	i, err := Load(dir, now)
	if err != nil {
		return nil, err
	}
	if i.Role != role {
		return nil, fmt.Errorf("%s holds the certificate of a %s (%s), which may not act as a %s; make one: ringmaster certs node ID --role %s", dir, i.Role, i.ID, role, role)
	}
	return i, nil
}

// Dir is the folder that the identity was read from.
func (i *Identity) Dir() string { return i.dir }

// Fingerprint is the SHA-256 of the authority's certificate.
func (i *Identity) Fingerprint() [sha256.Size]byte { return sha256.Sum256(i.ca.Raw) }

// What TLS agrees on by name (ALPN).
const (
	protocolRPC = "h2"
	// protocolEnroll is asked for by a machine that has no certificate yet: a connection of this kind can do nothing else.
	protocolEnroll = "ringmaster-enroll/1"
)

// Server is the TLS configuration of a member's port: TLS 1.3, callers show a certificate of the authority. With enroll
// a caller that asks for nothing but a certificate needs none; Enrolling recognises it.
func (i *Identity) Server(enroll bool) *tls.Config {
	c := i.config()
	c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, i.pool
	c.NextProtos = []string{protocolRPC}
	if !enroll {
		return c
	}
	strangers := i.config()
	strangers.NextProtos = []string{protocolEnroll}
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.Equal(hello.SupportedProtos, strangers.NextProtos) {
			return strangers, nil
		}
		return nil, nil // as it is
	}
	return c
}

// config is what both sides of all connections have in common. Records are large from the beginning, for bulk; sessions
// are not resumed, so that every connection shows its certificate.
func (i *Identity) config() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{i.cert}, MinVersion: tls.VersionTLS13, DynamicRecordSizingDisabled: true, SessionTicketsDisabled: true}
}

// Client is the TLS configuration for dialling a holder of the role; "" means any member.
func (i *Identity) Client(want Role) *tls.Config {
	c := i.config()
	c.RootCAs, c.ServerName = i.pool, serverName(want)
	return c
}

// Credentials are gRPC's for dialling holders of the role without a port of one's own, as commands do.
func (i *Identity) Credentials(want Role) credentials.TransportCredentials {
	return explaining{credentials.NewTLS(i.Client(want))}
}

// Enrolling reports whether a server's connection may only ask for a certificate.
func Enrolling(state tls.ConnectionState) bool { return state.NegotiatedProtocol == protocolEnroll }

// Caller reads who is at the other end of a connection whose handshake has verified it.
func Caller(state tls.ConnectionState) (Peer, error) {
	if len(state.VerifiedChains) == 0 || len(state.PeerCertificates) == 0 {
		return Peer{}, errors.New("it has shown no certificate")
	}
	return PeerOf(state.PeerCertificates[0])
}
