package certs

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"time"
)

// Request is a machine's request for a certificate that goes to the authority itself, over a connection that is private already: by ssh. The key
// stays with the machine.
type Request struct {
	DER []byte // PKCS #10

	key crypto.Signer
}

// Grant is the authority's answer to a Request.
type Grant struct {
	Certificate []byte `json:"certificate"` // DER
	Authority   []byte `json:"authority"`   // DER
	GossipKey   []byte `json:"gossip_key"`  // of members
}

// NewRequest makes a key and a request for its certificate.
func NewRequest() (*Request, error) {
	key, request, err := newRequest()
	return &Request{DER: request, key: key}, err
}

// Grant makes the certificate of a holder for the key of a request.
func (a *Authority) Grant(holder Peer, request []byte, now time.Time) (*Grant, error) {
	public, err := requestedKey(request)
	if err != nil {
		return nil, err
	}
	g := &Grant{Authority: a.cert.Raw}
	if holder.Role.Member() {
		g.GossipKey = a.gossip
	}
	g.Certificate, err = a.sign(holder, public, now, DefaultDays)
	return g, err
}

// Accept checks a grant and writes it into a new folder. The holder must be the one that was asked for.
func (r *Request) Accept(dir string, g *Grant, holder Peer, now time.Time) error {
	ca, err := x509.ParseCertificate(g.Authority)
	if err != nil {
		return fmt.Errorf("the authority's answer: %w", err)
	}
	_, err = accept(dir, ca, &enrollAnswer{Certificate: g.Certificate, GossipKey: g.GossipKey}, r.key, holder, now)
	return err
}
