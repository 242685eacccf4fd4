package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"strconv"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"ringmaster/internal/printable"
)

// explained is an error of TLS in words that say what to do.
type explained struct {
	text string
	err  error
}

// Error is the words alone.
func (e *explained) Error() string { return e.text }

// Unwrap is what TLS said.
func (e *explained) Unwrap() error { return e.err }

// alerts are what the other end of a TLS connection says when it does not like this end's certificate.
var alerts = []struct{ alert, text string }{
	{"remote error: tls: unknown certificate authority", "it belongs to another cluster: it does not know the authority of the certificate shown to it"},
	{"remote error: tls: expired certificate", "the certificate shown to it has expired, or a clock is wrong; make a new one: ringmaster certs node ID --role ROLE"},
	{"remote error: tls: bad certificate", "it does not accept the certificate shown to it"},
	{"remote error: tls: certificate required", "it wants a certificate; name yours by --certs"},
}

// Explain words an error of a TLS connection; others stay as they are.
func Explain(err error) error {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &authority):
		return &explained{"it belongs to another cluster: its certificate is of another authority than the one in --certs", err}
	case errors.As(err, &name):
		who := "nobody of a cluster"
		if p, e := PeerOf(name.Certificate); e == nil {
			who = p.String()
		}
		return &explained{"its certificate is that of " + who + ", and a " + strings.TrimSuffix(name.Host, domain) + " is asked for: the address leads to the wrong process", err}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return &explained{"its certificate has expired, or a clock is wrong; make a new one there: ringmaster certs node ID --role ROLE", err}
	}
	for _, a := range alerts {
		if strings.Contains(err.Error(), a.alert) {
			return &explained{a.text, err}
		}
	}
	return err
}

// maxReason is the length of what is shown of another's error.
const maxReason = 2000

// Reason is what went wrong with a call, in one line without gRPC's wrapping, fit for a terminal.
func Reason(err error) string {
	text := status.Convert(err).Message()
	if quoted, ok := strings.CutPrefix(text, "connection error: desc = "); ok {
		if plain, e := strconv.Unquote(quoted); e == nil {
			text = plain
		}
	}
	for _, noise := range []string{"transport: Error while dialing: ", "transport: authentication handshake failed: "} {
		text = strings.TrimPrefix(text, noise)
	}
	return printable.Line(Explain(errors.New(text)).Error(), maxReason)
}

// explaining are credentials whose errors are explained.
type explaining struct {
	credentials.TransportCredentials
}

// ClientHandshake carries out the handshake.
func (c explaining) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ClientHandshake(ctx, authority, raw)
	return conn, info, Explain(err)
}

// Clone copies the credentials.
func (c explaining) Clone() credentials.TransportCredentials {
	return explaining{c.TransportCredentials.Clone()}
}
