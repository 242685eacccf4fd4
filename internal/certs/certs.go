// Package certs makes and checks the identities of a cluster's members: a certificate authority of the cluster's own,
// certificates that say what their holder may act as, tokens with which a new machine gets one, and the TLS
// configurations that follow from them.
//
// A certificate names its holder as the URI ringmaster://ROLE/ID. The dialled side is checked by its role, never by its host name:
// addresses of machines change, and a member is whoever the authority says. So that the standard verification does it,
// a certificate also carries the role as a DNS name (coordinator.ringmaster), which the caller asks for; members that
// others dial carry member.ringmaster too.
package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Role is what the holder of a certificate may act as.
type Role string

// The roles.
const (
	Coordinator Role = "coordinator" // a replica: takes part in Raft, serves workers and clients
	Worker      Role = "worker"      // trains: attaches to coordinators, serves other workers
	Client      Role = "client"      // a person: gives jobs and asks for their status, serves nobody
	Viewer      Role = "viewer"      // a person who may only look: at status, jobs, curves and logs
)

// Roles are all roles. Tokens number them in this order.
var Roles = []Role{Coordinator, Worker, Client, Viewer}

// ParseRole reads a role.
func ParseRole(text string) (Role, error) {
	if r := Role(text); slices.Contains(Roles, r) {
		return r, nil
	}
	return "", fmt.Errorf("%.40q is no role; there are coordinator, worker, client and viewer", text)
}

// Member reports whether others dial the holder: a coordinator or a worker.
func (r Role) Member() bool { return r == Coordinator || r == Worker }

// Names in certificates.
const (
	uriScheme  = "ringmaster"
	domain     = ".ringmaster"
	memberName = "member" + domain
)

// serverName is what a caller asks the server's certificate for.
func serverName(want Role) string {
	if want == "" {
		return memberName
	}
	return string(want) + domain
}

// dnsNames are the names that a certificate of the role carries; a client's carries none, so that nobody takes it for a
// server.
func (r Role) dnsNames() []string {
	if !r.Member() {
		return nil
	}
	return []string{serverName(r), memberName}
}

// Peer is who holds a certificate.
type Peer struct {
	Role Role
	ID   string
}

// String is "worker w1".
func (p Peer) String() string { return string(p.Role) + " " + p.ID }

func (p Peer) uri() *url.URL {
	return &url.URL{Scheme: uriScheme, Host: string(p.Role), Path: "/" + p.ID}
}

// errNoIdentity means that a certificate of the authority does not say who its holder is.
var errNoIdentity = errors.New("the certificate names no ringmaster://ROLE/ID")

// PeerOf reads who holds a certificate, which must have been verified.
func PeerOf(cert *x509.Certificate) (Peer, error) {
	var found []Peer
	for _, u := range cert.URIs {
		if u.Scheme != uriScheme {
			continue
		}
		role, err := ParseRole(u.Host)
		if err != nil {
			return Peer{}, fmt.Errorf("certificate: %w", err)
		}
		p := Peer{role, strings.TrimPrefix(u.Path, "/")}
		if err := CheckID(p.ID); err != nil {
			return Peer{}, fmt.Errorf("certificate: %w", err)
		}
		found = append(found, p)
	}
	if len(found) != 1 {
		return Peer{}, errNoIdentity
	}
	return found[0], nil
}

// maxID is the longest id of a member.
const maxID = 64

// CheckID says what is wrong with the id of a member; nil when nothing is.
func CheckID(id string) error {
	legal := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
	}
	if id == "" || len(id) > maxID || id[0] == '.' || id[0] == '-' || strings.ContainsFunc(id, func(c rune) bool { return !legal(c) }) {
		return fmt.Errorf("id %.80q must be 1 to %d letters, digits, '-', '_' or '.', and not begin with '.' or '-'", id, maxID)
	}
	return nil
}
