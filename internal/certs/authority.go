package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// Lifetimes.
const (
	authorityYears = 10
	// DefaultDays is how long a node's certificate is valid unless something else is said.
	DefaultDays = 365
	// MaxDays bounds it.
	MaxDays = 3650
	// clockSkew is how far another machine's clock may be behind.
	clockSkew = 10 * time.Minute
)

// Authority makes certificates and tokens. It is read from a folder and never changed.
type Authority struct {
	cert     *x509.Certificate
	key      crypto.Signer
	gossip   []byte
	tokenKey []byte
}

// Init makes an authority in a folder that has none: its certificate and key, the key of gossip, the key of tokens, and
// a certificate for the person at this machine, so that the folder serves as --certs of commands.
func Init(dir string, now time.Time) (*Authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "Ringmaster cluster authority"},
		NotBefore: now.Add(-clockSkew), NotAfter: now.AddDate(authorityYears, 0, 0), IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the authority's certificate: %w", err)
	}
	a := &Authority{key: key, gossip: newSecret(), tokenKey: newSecret()}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("make the authority's certificate: %w", err)
	}
	admin, err := a.nodeFiles(Peer{Client, "admin"}, now, MaxDays)
	if err != nil {
		return nil, err
	}
	own, err := a.ownFiles()
	if err != nil {
		return nil, err
	}
	return a, writeFiles(dir, append(admin, append(own, writeSecret(fileGossip, a.gossip))...), false)
}

// LoadAuthority reads the authority of a folder.
func LoadAuthority(dir string) (*Authority, error) {
	a := &Authority{}
	var err error
	if a.cert, err = readCertificate(dir, fileCA); absent(err) {
		return nil, fmt.Errorf("no authority in %s; make one: ringmaster certs init --dir %s", dir, dir)
	} else if err != nil {
		return nil, err
	}
	if a.key, err = readKey(dir, fileCAKey, a.cert); absent(err) {
		return nil, fmt.Errorf("%s holds no authority's key (%s): name the folder that \"ringmaster certs init\" made", dir, fileCAKey)
	} else if err != nil {
		return nil, err
	}
	if !exists(dir, fileGossip) && !exists(dir, fileTokenKey) {
		return a, a.derive()
	}
	if a.gossip, err = readSecret(dir, fileGossip); err != nil {
		return nil, err
	}
	a.tokenKey, err = readSecret(dir, fileTokenKey)
	return a, err
}

// derive makes the keys of gossip and of tokens from the authority's key, for an authority that was not made by Init, but by cert-manager, say,
// which knows nothing of them: everybody who has the authority's key gets the same ones, and nobody else does (HKDF, RFC 5869).
func (a *Authority) derive() error {
	private, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return fmt.Errorf("derive from the authority's key: %w", err)
	}
	for purpose, secret := range map[string]*[]byte{"ringmaster gossip": &a.gossip, "ringmaster tokens": &a.tokenKey} {
		if *secret, err = hkdf.Key(sha256.New, private, nil, purpose, secretBytes); err != nil {
			return fmt.Errorf("derive from the authority's key: %w", err)
		}
	}
	return nil
}

// Fingerprint is the SHA-256 of the authority's certificate.
func (a *Authority) Fingerprint() [sha256.Size]byte { return sha256.Sum256(a.cert.Raw) }

// Node makes the folder of a new member or client. With issue, a coordinator's gets the authority's keys too, so that it
// can admit machines that bring a token. A folder that holds a certificate already is an error.
func (a *Authority) Node(dir string, holder Peer, issue bool, days int, now time.Time) error {
	return a.node(dir, holder, issue, days, now, false)
}

// Renew is Node for a folder that may hold a certificate, or the rest of an attempt to make one, which is replaced.
func (a *Authority) Renew(dir string, holder Peer, issue bool, days int, now time.Time) error {
	return a.node(dir, holder, issue, days, now, true)
}

func (a *Authority) node(dir string, holder Peer, issue bool, days int, now time.Time, replace bool) error {
	if issue && holder.Role != Coordinator {
		return fmt.Errorf("a %s admits nobody: only a coordinator can issue certificates", holder.Role)
	}
	files, err := a.nodeFiles(holder, now, days)
	if err != nil {
		return err
	}
	if issue {
		own, err := a.ownFiles()
		if err != nil {
			return err
		}
		files = append(files, own...)
	}
	if holder.Role.Member() {
		files = append(files, writeSecret(fileGossip, a.gossip))
	}
	return writeFiles(dir, files, replace)
}

// nodeFiles are the certificates and the key of a new holder.
func (a *Authority) nodeFiles(holder Peer, now time.Time, days int) ([]file, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	der, err := a.sign(holder, key.Public(), now, days)
	if err != nil {
		return nil, err
	}
	return holderFiles(a.cert.Raw, der, key)
}

// holderFiles are the files that every holder has.
func holderFiles(ca, cert []byte, key crypto.Signer) ([]file, error) {
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("write a key: %w", err)
	}
	return []file{{fileCA, encodePEM("CERTIFICATE", ca)}, {fileCert, encodePEM("CERTIFICATE", cert)}, {fileKey, encodePEM("PRIVATE KEY", private)}}, nil
}

// ownFiles are the authority's keys, which make a folder an authority's.
func (a *Authority) ownFiles() ([]file, error) {
	private, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, fmt.Errorf("write the authority's key: %w", err)
	}
	return []file{{fileCAKey, encodePEM("PRIVATE KEY", private)}, writeSecret(fileTokenKey, a.tokenKey)}, nil
}

// sign makes a certificate for a public key. It does not outlive the authority's.
func (a *Authority) sign(holder Peer, public crypto.PublicKey, now time.Time, days int) ([]byte, error) {
	if err := CheckID(holder.ID); err != nil {
		return nil, err
	}
	if _, err := ParseRole(string(holder.Role)); err != nil {
		return nil, err
	}
	if days < 1 || days > MaxDays {
		return nil, fmt.Errorf("a certificate is valid for 1 to %d days, not %d", MaxDays, days)
	}
	end := now.AddDate(0, 0, days)
	if end.After(a.cert.NotAfter) {
		end = a.cert.NotAfter
	}
	if !end.After(now) {
		return nil, fmt.Errorf("the authority's certificate expired on %s; make a new one: ringmaster certs init", a.cert.NotAfter.Format(time.DateOnly))
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	usage := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if holder.Role.Member() {
		usage = append(usage, x509.ExtKeyUsageServerAuth)
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: holder.ID, OrganizationalUnit: []string{string(holder.Role)}},
		NotBefore: now.Add(-clockSkew), NotAfter: end, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: usage, BasicConstraintsValid: true,
		DNSNames: holder.Role.dnsNames(), URIs: []*url.URL{holder.uri()}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %v: %w", holder, err)
	}
	return der, nil
}

// readKey reads a private key and checks that it is the certificate's.
func readKey(dir, name string, cert *x509.Certificate) (crypto.Signer, error) {
	data, err := readFile(dir, name)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, name)
	der, err := decodePEM(data, "PRIVATE KEY")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("%s is not the key of the certificate beside it", path)
	}
	return key, nil
}

// exists reports whether a folder holds a file.
func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

func newKey() (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return key, nil
}

// newSerial draws 127 random bits: positive, and unique without a list of those given out.
func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil
}

func newSecret() []byte {
	b := make([]byte, secretBytes)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	return b
}
