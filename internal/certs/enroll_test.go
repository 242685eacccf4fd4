package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// admitting serves an authority's machines on a loopback port, the way a coordinator's port does.
func admitting(t *testing.T, a *Authority, log func(string)) string {
	t.Helper()
	c := identity(t, a, Peer{Coordinator, "c1"}, true)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secure := tls.NewListener(l, c.Server(true))
	to := slog.New(slog.NewTextHandler(writer(log), nil))
	var done sync.WaitGroup
	done.Go(func() { c.Issuer.ServeEnroll(secure, to, to, time.Now, nil) })
	t.Cleanup(func() {
		l.Close()
		done.Wait()
	})
	return l.Addr().String()
}

type writer func(string)

func (w writer) Write(b []byte) (int, error) {
	w(string(b))
	return len(b), nil
}

func TestAMachineEnrollsWithATokenAlone(t *testing.T) {
	a, _ := authority(t)
	other, _ := authority(t)
	var mu sync.Mutex
	var lines []string
	address := admitting(t, a, func(l string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, l)
	})
	token := func(a *Authority, p Peer, at time.Time) string {
		text, err := a.Token(p, time.Hour, at)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for _, test := range []struct {
		name, token, id string
		at              []string
		says            string
	}{
		{"worker that chooses its id", token(a, Peer{Worker, ""}, now), "w9", []string{address}, ""},
		{"worker whose id the token names", token(a, Peer{Worker, "w8"}, now), "", []string{address}, ""},
		{"client", token(a, Peer{Client, ""}, now), "me", []string{address}, ""},
		{"coordinator, the second address answers", token(a, Peer{Coordinator, "c2"}, now), "c2", []string{"127.0.0.1:1", address}, ""},
		{"another id than the token's", token(a, Peer{Worker, "w8"}, now), "w7", []string{address}, "the token is for worker w8"},
		{"no id", token(a, Peer{Worker, ""}, now), "", []string{address}, "must be 1 to 64"},
		{"an old token", token(a, Peer{Worker, ""}, now.Add(-2*time.Hour)), "w6", []string{address}, "it expired"},
		{"another authority's token", token(other, Peer{Worker, ""}, now), "w6", []string{address}, "another authority than the token"},
		{"nonsense", "xyz", "w6", []string{address}, "the token is not valid"},
		{"nobody there", token(a, Peer{Worker, ""}, now), "w6", []string{"127.0.0.1:1"}, "refused"},
	} {
		dir := filepath.Join(t.TempDir(), "node")
		got, err := Enroll(context.Background(), test.at, test.token, test.id, dir, now)
		if test.says != "" {
			if err == nil || !strings.Contains(err.Error(), test.says) || exists(dir, fileCert) {
				t.Errorf("%s: %v, want %q", test.name, err, test.says)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		i, err := Load(dir, now)
		if err != nil || i.Peer != got || i.Fingerprint() != a.Fingerprint() || got.Role.Member() && !bytes.Equal(i.GossipKey, a.gossip) || i.Issuer != nil {
			t.Errorf("%s: %+v, %v", test.name, i, err)
		}
		if _, err := Enroll(context.Background(), test.at, test.token, test.id, dir, now); err == nil || !strings.Contains(err.Error(), "already") {
			t.Errorf("%s, a second time: %v", test.name, err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if all := strings.Join(lines, ""); !strings.Contains(all, "admitted a machine") || !strings.Contains(all, "id=w9") || !strings.Contains(all, "refused a machine") {
		t.Errorf("the log says %s", all)
	}
}

// Machines that connect and say nothing do not stop another's enrolment: the one that has waited longest gives way, and is told why.
func TestSilentMachinesGiveWay(t *testing.T) {
	a, _ := authority(t)
	said := make(chan string, 4*maxOfSource)
	address := admitting(t, a, func(l string) { said <- l })
	text, err := a.Token(Peer{Worker, "w1"}, time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	token, err := ParseToken(text)
	if err != nil {
		t.Fatal(err)
	}
	var silent []*tls.Conn
	for range maxOfSource + 1 { // all of them come from one machine
		var ca *x509.Certificate
		conn, err := tls.Dial("tcp", address, pinned(token.Authority, &ca))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		silent = append(silent, conn)
	}
	for _, conn := range silent { // in whichever order their handshakes ended
		go func() {
			var answer enrollAnswer
			if err := receiveJSON(conn, &answer); err == nil {
				said <- "told: " + answer.Error
			}
		}()
	}
	if _, err := Enroll(context.Background(), []string{address}, text, "", filepath.Join(t.TempDir(), "node"), now); err != nil {
		t.Errorf("a machine that brings a token: %v", err)
	}
	var all strings.Builder
	for _, want := range []string{"told: " + errCrowded.Error(), "refused a machine", "admitted a machine"} {
		for !strings.Contains(all.String(), want) {
			select {
			case l := <-said:
				all.WriteString(l + "\n")
			case <-time.After(enrollTime / 2): // before the silent ones' time has run out
				t.Fatalf("nobody says %q but\n%s", want, all.String())
			}
		}
	}
}

// pipe is a connection whose other side has already said everything.
type pipe struct {
	io.Reader
	answer bytes.Buffer
}

func (p *pipe) Write(b []byte) (int, error) { return p.answer.Write(b) }

// FuzzAdmit sends a stranger's bytes to the exchange: no certificate comes back.
func FuzzAdmit(f *testing.F) {
	a, _ := authority(f)
	text, err := a.Token(Peer{Worker, "w1"}, time.Hour, now)
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range []string{"", "\x00", "\x00\x00\x00\x02{}", "\x00\x00\x00\x04null", "\xff\xff\xff\xff", "\x00\x00\x00\x0e{\"token\":\"x\"}", "\x00\x00\x00\x02[]"} {
		f.Add([]byte(b))
	}
	var whole bytes.Buffer
	if err := sendJSON(&whole, &enrollRequest{Token: text, ID: "w1", Request: []byte{0x30, 0x03, 0x02, 0x01, 0x00}}); err != nil {
		f.Fatal(err)
	}
	f.Add(whole.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &pipe{Reader: bytes.NewReader(b)}
		if holder, err := a.admit(p, now, func() {}, nil); err == nil {
			t.Errorf("%q was admitted as %v", b, holder)
		}
		if p.answer.Len() > 0 {
			var answer enrollAnswer
			if err := receiveJSON(&p.answer, &answer); err != nil || answer.Error == "" || answer.Certificate != nil || answer.GossipKey != nil {
				t.Errorf("%q is answered by %+v, %v", b, answer, err)
			}
		}
	})
}
