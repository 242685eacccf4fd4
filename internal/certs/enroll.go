package certs

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"ringmaster/internal/lobby"
)

// A machine without a certificate gets one in one exchange over a TLS connection of its own kind: a request, an answer,
// each JSON with its length (4 bytes, big-endian) before it. It is no gRPC: what strangers may send should be little to
// read and little to get wrong.
const (
	maxEnroll     = 16 << 10 // bytes of a request or an answer
	enrollTime    = 10 * time.Second
	maxEnrollings = 64          // at once,
	maxOfSource   = 16          // and of one machine
	farewellTime  = time.Second // for telling a machine that it gives way
)

// enrollRequest is what the machine sends. The key stays with it.
type enrollRequest struct {
	Token   string `json:"token"`
	ID      string `json:"id"`
	Request []byte `json:"request"` // PKCS #10, DER
}

// enrollAnswer is what the coordinator answers.
type enrollAnswer struct {
	Error       string `json:"error,omitempty"`
	Certificate []byte `json:"certificate,omitempty"` // DER
	GossipKey   []byte `json:"gossip_key,omitempty"`  // of members
}

// Spend notes that a token which names its holder is used, until it expires, by the machine that has a key; token and key are
// SHA-256 sums. An error says why that may not be: another machine has used it, or this cannot be found out now.
type Spend func(token [sha256.Size]byte, expires time.Time, key [sha256.Size]byte) error

// ServeEnroll admits machines that bring a token, until the listener is closed. Its connections have finished their TLS
// handshake. Whom it admits goes to log, whom it does not to refusals.
// Tokens that name their holder are admitted as spend allows; nil: always.
func (a *Authority) ServeEnroll(l net.Listener, log, refusals *slog.Logger, clock func() time.Time, spend Spend) {
	waiting := lobby.New(maxEnrollings, maxOfSource)
	var running sync.WaitGroup
	defer running.Wait()
	defer waiting.Close()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		conn.SetDeadline(clock().Add(enrollTime))
		running.Go(func() {
			defer conn.Close()
			holder, err := a.receive(conn, waiting, clock, spend)
			if err != nil {
				refusals.Warn("refused a machine that asks for a certificate", "from", conn.RemoteAddr().String(), "reason", err)
				return
			}
			log.Info("admitted a machine", "from", conn.RemoteAddr().String(), "role", string(holder.Role), "id", holder.ID)
		})
	}
}

// errCrowded is what a machine is told that has been silent while others came.
var errCrowded = errors.New("more machines ask for certificates at once than are heard, and this one has said nothing yet; ask again")

// receive carries one exchange out, unless newer ones displace it before the request has come.
func (a *Authority) receive(conn net.Conn, waiting *lobby.Lobby, clock func() time.Time, spend Spend) (Peer, error) {
	guest := waiting.Enter(conn.RemoteAddr(), func() { conn.SetReadDeadline(clock()) })
	if guest == nil {
		return Peer{}, net.ErrClosed
	}
	holder, err := a.admit(conn, clock(), func() { waiting.Leave(guest) }, spend)
	if err != nil && !waiting.Leave(guest) && errors.Is(err, os.ErrDeadlineExceeded) {
		conn.SetWriteDeadline(clock().Add(farewellTime))
		err = errors.Join(errCrowded, sendJSON(conn, &enrollAnswer{Error: errCrowded.Error()}))
	}
	return holder, err
}

// admit carries one exchange out; heard is called when the request has come.
func (a *Authority) admit(conn io.ReadWriter, now time.Time, heard func(), spend Spend) (Peer, error) {
	var request enrollRequest
	if err := receiveJSON(conn, &request); err != nil {
		return Peer{}, err
	}
	heard()
	answer, holder, err := a.answer(&request, now, spend)
	if err != nil {
		answer = &enrollAnswer{Error: err.Error()}
	}
	return holder, errors.Join(err, sendJSON(conn, answer))
}

// answer checks a request, the token before anything that costs.
func (a *Authority) answer(r *enrollRequest, now time.Time, spend Spend) (*enrollAnswer, Peer, error) {
	token, err := a.check(r.Token, now)
	if err != nil {
		return nil, Peer{}, err
	}
	holder := token.Holder
	switch {
	case holder.ID == "":
		holder.ID = r.ID
	case r.ID != "" && r.ID != holder.ID:
		return nil, Peer{}, fmt.Errorf("the token is for %v, not for id %.80q", holder, r.ID)
	}
	public, err := requestedKey(r.Request)
	if err != nil {
		return nil, Peer{}, err
	}
	if token.Holder.ID != "" && spend != nil {
		key, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			return nil, Peer{}, fmt.Errorf("certificate request: %w", err)
		}
		if err := spend(sha256.Sum256([]byte(strings.TrimSpace(r.Token))), token.Expires, sha256.Sum256(key)); err != nil {
			return nil, Peer{}, err
		}
	}
	answer := &enrollAnswer{}
	if answer.Certificate, err = a.sign(holder, public, now, DefaultDays); err != nil {
		return nil, Peer{}, err
	}
	if holder.Role.Member() {
		answer.GossipKey = a.gossip
	}
	return answer, holder, nil
}

// requestedKey is the key for which a certificate is asked (PKCS #10, DER), by somebody who has it.
func requestedKey(der []byte) (*ecdsa.PublicKey, error) {
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	public, ok := request.PublicKey.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return nil, errors.New("certificate request: the key is not one of curve P-256")
	}
	if err := request.CheckSignature(); err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	return public, nil
}

// ErrTaken is wrapped where a folder for a new certificate has one.
var ErrTaken = errors.New("holds a certificate already")

// Enroll gets a certificate from a running coordinator (host:port, the first that answers) by a token, and writes it
// into a new folder. id may be empty where the token names one.
func Enroll(ctx context.Context, coordinators []string, token, id, dir string, now time.Time) (Peer, error) {
	t, err := ParseToken(token)
	if err != nil {
		return Peer{}, err
	}
	if id == "" {
		id = t.Holder.ID
	}
	if err := CheckID(id); err != nil {
		return Peer{}, err
	}
	if exists(dir, fileCert) {
		return Peer{}, fmt.Errorf("%s %w; name another folder, or remove it", dir, ErrTaken)
	}
	key, request, err := newRequest()
	if err != nil {
		return Peer{}, err
	}
	var errs []error
	for _, address := range coordinators {
		ca, answer, err := exchange(ctx, address, t, &enrollRequest{Token: strings.TrimSpace(token), ID: id, Request: request})
		if err != nil {
			errs = append(errs, fmt.Errorf("coordinator %s: %w", address, err))
			continue
		}
		return accept(dir, ca, answer, key, Peer{t.Holder.Role, id}, now)
	}
	return Peer{}, errors.Join(errs...)
}

// newRequest makes a key and asks for its certificate (PKCS #10, DER).
func newRequest() (crypto.Signer, []byte, error) {
	key, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, nil, fmt.Errorf("write the certificate request: %w", err)
	}
	return key, request, nil
}

// exchange asks one coordinator.
func exchange(ctx context.Context, address string, t Token, request *enrollRequest) (*x509.Certificate, *enrollAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, enrollTime)
	defer cancel()
	var ca *x509.Certificate
	d := tls.Dialer{Config: pinned(t.Authority, &ca)}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		if strings.Contains(err.Error(), "no application protocol") {
			err = errors.New("it admits nobody: give its certificates the authority's keys (ringmaster certs node ID --role coordinator --issue), or ask another")
		}
		return nil, nil, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	if err := sendJSON(conn, request); err != nil {
		return nil, nil, err
	}
	var answer enrollAnswer
	if err := receiveJSON(conn, &answer); err != nil {
		return nil, nil, err
	}
	if answer.Error != "" {
		return nil, nil, fmt.Errorf("it refuses: %.300q", answer.Error)
	}
	return ca, &answer, nil
}

// pinned is the TLS configuration of a caller that knows nothing but the authority's fingerprint: the server shows the
// authority's certificate along with its own, which must be a coordinator's of that authority.
func pinned(fingerprint [sha256.Size]byte, found **x509.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{protocolEnroll}, ServerName: serverName(Coordinator),
		InsecureSkipVerify: true, // the standard verification needs the authority's certificate: VerifyConnection does it
		VerifyConnection: func(state tls.ConnectionState) error {
			for _, c := range state.PeerCertificates[1:] {
				if sha256.Sum256(c.Raw) != fingerprint {
					continue
				}
				roots := x509.NewCertPool()
				roots.AddCert(c)
				*found = c
				_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: serverName(Coordinator)})
				return err
			}
			return errors.New("the server is of another authority than the token")
		},
	}
}

// accept checks what came and writes it.
func accept(dir string, ca *x509.Certificate, answer *enrollAnswer, key crypto.Signer, want Peer, now time.Time) (Peer, error) {
	cert, err := x509.ParseCertificate(answer.Certificate)
	if err != nil {
		return Peer{}, fmt.Errorf("the coordinator's answer: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return Peer{}, fmt.Errorf("the coordinator's answer: %w (is this machine's clock right?)", err)
	}
	public, ok := key.Public().(*ecdsa.PublicKey)
	if got, err := PeerOf(cert); err != nil || got != want || !ok || !public.Equal(cert.PublicKey) {
		return Peer{}, fmt.Errorf("the coordinator's answer is not a certificate for %v", want)
	}
	files, err := holderFiles(ca.Raw, cert.Raw, key)
	if err != nil {
		return Peer{}, err
	}
	if want.Role.Member() {
		if len(answer.GossipKey) != secretBytes {
			return Peer{}, errors.New("the coordinator's answer holds no key of gossip")
		}
		files = append(files, writeSecret(fileGossip, answer.GossipKey))
	}
	return want, writeFiles(dir, files, false)
}

func sendJSON(w io.Writer, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write a message: %w", err)
	}
	if len(text) > maxEnroll {
		return fmt.Errorf("write a message: %d bytes are more than %d", len(text), maxEnroll)
	}
	if _, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)); err != nil {
		return fmt.Errorf("send a message: %w", err)
	}
	return nil
}

func receiveJSON(r io.Reader, into any) error {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return fmt.Errorf("receive a message: %w", err)
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > maxEnroll {
		return fmt.Errorf("receive a message: it claims %d bytes, more than %d", n, maxEnroll)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return fmt.Errorf("receive a message: %w", err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("receive a message: %w", err)
	}
	return nil
}
