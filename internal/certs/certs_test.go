package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// now is when everything here happens; the TLS handshakes of these tests use the same clock.
var now = time.Now().Truncate(time.Second)

func authority(t testing.TB) (*Authority, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	a, err := Init(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	return a, dir
}

func identity(t testing.TB, a *Authority, p Peer, issue bool) *Identity {
	t.Helper()
	dir := filepath.Join(t.TempDir(), p.ID)
	if err := a.Node(dir, p, issue, DefaultDays, now); err != nil {
		t.Fatal(err)
	}
	i, err := Load(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", e.Name(), info.Mode())
		}
		list = append(list, e.Name())
	}
	return strings.Join(list, " ")
}

func TestFilesOfAFolder(t *testing.T) {
	a, dir := authority(t)
	if got, want := names(t, dir), "ca.crt ca.key gossip.key node.crt node.key token.key"; got != want {
		t.Errorf("the authority's folder holds %s, want %s", got, want)
	}
	again, err := LoadAuthority(dir)
	if err != nil || again.Fingerprint() != a.Fingerprint() || !bytes.Equal(again.gossip, a.gossip) || !bytes.Equal(again.tokenKey, a.tokenKey) {
		t.Errorf("read back: %v", err)
	}
	admin, err := Load(dir, now)
	if err != nil || admin.Peer != (Peer{Client, "admin"}) || admin.GossipKey != nil || admin.Issuer != nil {
		t.Errorf("the authority's folder as a client's: %+v, %v", admin, err)
	}
	for _, test := range []struct {
		holder Peer
		issue  bool
		files  string
	}{
		{Peer{Coordinator, "c1"}, false, "ca.crt gossip.key node.crt node.key"},
		{Peer{Coordinator, "c2"}, true, "ca.crt ca.key gossip.key node.crt node.key token.key"},
		{Peer{Worker, "w1"}, false, "ca.crt gossip.key node.crt node.key"},
		{Peer{Client, "me"}, false, "ca.crt node.crt node.key"},
	} {
		i := identity(t, a, test.holder, test.issue)
		if got := names(t, i.Dir()); got != test.files {
			t.Errorf("%v: %s, want %s", test.holder, got, test.files)
		}
		if i.Peer != test.holder || (i.Issuer != nil) != test.issue || (i.GossipKey != nil) != test.holder.Role.Member() {
			t.Errorf("%v was read as %+v", test.holder, i)
		}
		if !i.Expires.Equal(now.AddDate(0, 0, DefaultDays)) {
			t.Errorf("%v expires at %v", test.holder, i.Expires)
		}
	}
}

func TestCertificatesThatDoNotFitAreRefused(t *testing.T) {
	a, dir := authority(t)
	other, _ := authority(t)
	w := identity(t, a, Peer{Worker, "w1"}, false).Dir()
	foreign := identity(t, other, Peer{Worker, "w1"}, false).Dir()
	copyTo := func(from, to, name string) {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	load := func(change func(dir string)) error {
		d := t.TempDir()
		for _, name := range []string{fileCA, fileCert, fileKey, fileGossip} {
			copyTo(w, d, name)
		}
		change(d)
		_, err := Load(d, now)
		return err
	}
	for name, test := range map[string]struct {
		err  error
		says string
	}{
		"an authority twice":        {second(Init(dir, now)), "is there already"},
		"a node twice":              {a.Node(w, Peer{Worker, "w1"}, false, 1, now), "is there already"},
		"a worker that issues":      {a.Node(t.TempDir(), Peer{Worker, "w"}, true, 1, now), "only a coordinator"},
		"an id with a slash":        {a.Node(t.TempDir(), Peer{Worker, "a/b"}, false, 1, now), "must be 1 to 64 letters"},
		"a file for a folder":       {a.Node(filepath.Join(w, fileCert), Peer{Worker, "w"}, false, 1, now), "is no folder; name another one"},
		"below a file":              {second(Load(filepath.Join(w, fileCert), now)), "ringmaster certs node"},
		"an authority in a file":    {second(LoadAuthority(filepath.Join(w, fileCert))), "ringmaster certs init"},
		"no role":                   {a.Node(t.TempDir(), Peer{"boss", "w"}, false, 1, now), "is no role"},
		"too many days":             {a.Node(t.TempDir(), Peer{Worker, "w"}, false, MaxDays+1, now), "valid for 1 to"},
		"after the authority's end": {a.Node(t.TempDir(), Peer{Worker, "w"}, false, 1, now.AddDate(authorityYears, 0, 1)), "expired"},
		"no folder":                 {second(Load(filepath.Join(dir, "x"), now)), "ringmaster certs node"},
		"no authority":              {second(LoadAuthority(t.TempDir())), "ringmaster certs init"},
		"a node's folder":           {second(LoadAuthority(w)), "ringmaster certs init"},
		"expired":                   {second(Load(w, now.AddDate(1, 0, 1))), "ringmaster certs node w1 --role worker"},
		"another role":              {second(LoadAs(w, Coordinator, now)), "which may not act as a coordinator"},
		"a folder open to others":   {load(func(d string) { os.Chmod(d, 0o777) }), "other users may change the files"},
		"a group's folder":          {load(func(d string) { os.Chmod(d, 0o770) }), "chmod go-w"},
		"an authority to change":    {load(func(d string) { os.Chmod(filepath.Join(d, fileCA), 0o666) }), "can be changed by other users"},
		"a sticky folder":           {load(func(d string) { os.Chmod(d, 0o777|os.ModeSticky); os.Remove(filepath.Join(d, fileKey)) }), fileKey},
		"a new node in the open":    {a.Node(openFolder(t), Peer{Worker, "w"}, false, 1, now), "other users may change the files"},
		"an open key":               {load(func(d string) { os.Chmod(filepath.Join(d, fileKey), 0o644) }), "chmod 600"},
		"another one's key":         {load(func(d string) { copyTo(foreign, d, fileKey) }), "is not the key of the certificate"},
		"another authority":         {load(func(d string) { copyTo(foreign, d, fileCA) }), "certificate signed by unknown authority"},
		"no key of gossip":          {load(func(d string) { os.Remove(filepath.Join(d, fileGossip)) }), fileGossip},
		"a short key of gossip":     {load(func(d string) { os.WriteFile(filepath.Join(d, fileGossip), []byte("ab"), 0o600) }), "32 bytes"},
		"nonsense":                  {load(func(d string) { os.WriteFile(filepath.Join(d, fileCert), []byte("x"), 0o600) }), "PEM block"},
		"a huge file":               {load(func(d string) { os.WriteFile(filepath.Join(d, fileCert), make([]byte, maxFile+1), 0o600) }), "none of ours"},
	} {
		if test.err == nil || !strings.Contains(test.err.Error(), test.says) || strings.Contains(test.err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, test.err, test.says)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// handshake connects two TLS configurations and returns what each side says.
func handshake(t *testing.T, server, client *tls.Config) (state tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	s, c := tls.Server(near, server), tls.Client(far, client)
	var done sync.WaitGroup
	done.Go(func() {
		serverErr = s.Handshake()
		if serverErr == nil {
			_, serverErr = s.Write([]byte("x"))
		}
		near.Close()
	})
	if clientErr = c.Handshake(); clientErr == nil { // a server's refusal of the certificate comes with the first read
		_, clientErr = io.ReadFull(c, make([]byte, 1))
	}
	far.Close()
	done.Wait()
	return s.ConnectionState(), serverErr, clientErr
}

// TestWhoMaySpeakToWhom tries every caller against every server, asking for every role.
func TestWhoMaySpeakToWhom(t *testing.T) {
	a, _ := authority(t)
	stranger, _ := authority(t)
	holders := map[string]*Identity{}
	for _, role := range Roles {
		holders[string(role)] = identity(t, a, Peer{role, "x"}, false)
		holders["strange "+string(role)] = identity(t, stranger, Peer{role, "x"}, false)
	}
	for serverName, server := range holders {
		for callerName, caller := range holders {
			for _, want := range []Role{"", Coordinator, Worker, Client} {
				ours := strings.HasPrefix(serverName, "strange") == strings.HasPrefix(callerName, "strange")
				fits := ours && server.Role.Member() && (want == "" || want == server.Role)
				state, serverErr, clientErr := handshake(t, server.Server(true), caller.Client(want))
				if ok := serverErr == nil && clientErr == nil; ok != fits {
					t.Errorf("%s calls %s as %q: %v, %v; want %v", callerName, serverName, want, serverErr, clientErr, fits)
				}
				if !fits {
					continue
				}
				if p, err := Caller(state); err != nil || p != caller.Peer || state.Version != tls.VersionTLS13 || Enrolling(state) {
					t.Errorf("%s is taken for %v (%v), version %x", callerName, p, err, state.Version)
				}
			}
		}
	}
}

func TestConnectionsWithoutACertificateMayOnlyEnrol(t *testing.T) {
	a, _ := authority(t)
	c := identity(t, a, Peer{Coordinator, "c1"}, true)
	bare := func(protocols ...string) *tls.Config {
		return &tls.Config{InsecureSkipVerify: true, NextProtos: protocols, MinVersion: tls.VersionTLS12}
	}
	for name, test := range map[string]struct {
		enroll bool
		client *tls.Config
		fits   bool
	}{
		"enrolling":               {true, bare(protocolEnroll), true},
		"where nobody may":        {false, bare(protocolEnroll), false},
		"two protocols":           {true, bare(protocolEnroll, protocolRPC), false},
		"gRPC":                    {true, bare(protocolRPC), false},
		"no protocol":             {true, bare(), false},
		"TLS 1.2":                 {true, func() *tls.Config { c := bare(protocolEnroll); c.MaxVersion = tls.VersionTLS12; return c }(), false},
		"a stranger's server key": {true, &tls.Config{RootCAs: c.pool, ServerName: serverName(Worker), NextProtos: []string{protocolEnroll}}, false},
	} {
		state, serverErr, clientErr := handshake(t, c.Server(test.enroll), test.client)
		if ok := serverErr == nil && clientErr == nil; ok != test.fits {
			t.Errorf("%s: %v, %v; want %v", name, serverErr, clientErr, test.fits)
		} else if ok {
			if _, err := Caller(state); err == nil || !Enrolling(state) {
				t.Errorf("%s: is somebody (%v), enrolling %v", name, err, Enrolling(state))
			}
		}
	}
}

func TestTokensOfAnotherAuthorityOrTimeAreRefused(t *testing.T) {
	a, _ := authority(t)
	other, _ := authority(t)
	text, err := a.Token(Peer{Worker, "w7"}, time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	want := Token{Peer{Worker, "w7"}, now.Add(time.Hour), a.Fingerprint()}
	if got, err := a.check(" "+text+"\n", now.Add(time.Hour-time.Second)); err != nil || got != want {
		t.Errorf("read as %+v, %v; want %+v", got, err, want)
	}
	if again, err := a.Token(Peer{Worker, "w7"}, time.Hour, now); err != nil || again == text {
		t.Errorf("two tokens are the same (%v)", err)
	}
	if _, err := a.check(text, now.Add(time.Hour)); !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), "expired") {
		t.Errorf("after its time: %v", err)
	}
	if _, err := other.check(text, now); !errors.Is(err, ErrToken) {
		t.Errorf("another authority: %v", err)
	}
	body := []byte(text)
	for i := range body { // one character changed anywhere
		was := body[i]
		for _, c := range []byte{'A', 'b', '.', '\n'} {
			body[i] = c
			if got, err := a.check(string(body), now); c != was && err == nil && strings.TrimSpace(string(body)) != text {
				t.Errorf("%q is a token: %+v", body, got)
			}
		}
		body[i] = was
	}
	for name, err := range map[string]error{
		"too long":  second(a.Token(Peer{Worker, ""}, MaxTokenTime+time.Second, now)),
		"too short": second(a.Token(Peer{Worker, ""}, 0, now)),
		"no role":   second(a.Token(Peer{"", ""}, time.Hour, now)),
		"no id":     second(a.Token(Peer{Worker, "a b"}, time.Hour, now)),
	} {
		if err == nil {
			t.Errorf("%s: a token", name)
		}
	}
}

// TestPeerOf reads identities that an authority of another program's making might have signed: one name, and a good one.
func TestPeerOf(t *testing.T) {
	for uris, want := range map[string]string{
		"ringmaster://worker/w1":                   "worker w1",
		"spiffe://x/y ringmaster://coordinator/c1": "coordinator c1",
		"":             "names no ringmaster://ROLE/ID",
		"spiffe://x/y": "names no ringmaster://ROLE/ID",
		"ringmaster://worker/w1 ringmaster://coordinator/c1":  "names no ringmaster://ROLE/ID",
		"ringmaster://king/w1":                                `"king" is no role`,
		"ringmaster://worker/":                                `id ""`,
		"ringmaster://worker/a/b":                             `id "a/b"`,
		"ringmaster://worker/" + strings.Repeat("x", maxID+1): "must be 1 to 64",
	} {
		cert := &x509.Certificate{}
		for _, text := range strings.Fields(uris) {
			u, err := url.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			cert.URIs = append(cert.URIs, u)
		}
		peer, err := PeerOf(cert)
		got := peer.String()
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q is %s, want %s", uris, got, want)
		}
	}
}

// TestTokenClaimsAnyLength reads tokens whose id is as long as its length byte can say, which no authority makes: each is
// refused, and none reads beyond what came.
func TestTokenClaimsAnyLength(t *testing.T) {
	a, _ := authority(t)
	for n := maxID + 1; n <= 255; n++ {
		b := make([]byte, tokenFixed+n)
		b[0], b[17] = 1, byte(n)
		for i := range n {
			b[18+i] = 'x'
		}
		text := tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
		if _, err := a.check(text, now); !errors.Is(err, ErrToken) {
			t.Errorf("an id of %d characters: %v", n, err)
		}
	}
}

// FuzzParseToken reads strangers' tokens: what is read is what some authority could have made.
func FuzzParseToken(f *testing.F) {
	a, _ := authority(f)
	for _, p := range []Peer{{Worker, ""}, {Coordinator, "c1"}, {Client, strings.Repeat("x", maxID)}} {
		text, err := a.Token(p, time.Hour, now)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add(tokenPrefix)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseToken(text)
		if err != nil {
			return
		}
		if _, err := ParseRole(string(got.Holder.Role)); err != nil || got.Holder.ID != "" && CheckID(got.Holder.ID) != nil {
			t.Errorf("%q was read as %+v", text, got)
		}
	})
}
