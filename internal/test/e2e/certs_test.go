package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringmaster/internal/launch"
)

// secured is a cluster started by hand whose members have certificates, each on a loopback address of its own.
type secured struct {
	*hand
	certs string // the authority's folder
}

// command runs ringmaster and expects it to succeed.
func command(t *testing.T, args ...string) string {
	t.Helper()
	code, out, stderr := run(t, t.TempDir(), args...)
	if code != 0 {
		t.Fatalf("ringmaster %s: exit code %d: %s", strings.Join(args, " "), code, stderr)
	}
	return out
}

// withCertificates makes an authority and starts three coordinators.
func withCertificates(t *testing.T) *secured {
	t.Helper()
	h := &secured{hand: &hand{t: t, dir: t.TempDir()}}
	h.certs = filepath.Join(h.dir, "certs")
	t.Setenv("RINGMASTER_CERTS", h.certs) // for the status that the helpers ask for
	command(t, "certs", "init", "--dir", h.certs)
	var peers []string
	for i := range 3 {
		_, port, err := net.SplitHostPort(freePort(t))
		if err != nil {
			t.Fatal(err)
		}
		h.addresses = append(h.addresses, fmt.Sprintf("127.0.0.%d:%s", i+2, port))
		peers = append(peers, fmt.Sprintf("c%d=%s", i+1, h.addresses[i]))
		args := []string{"certs", "node", fmt.Sprintf("c%d", i+1), "--role", "coordinator", "--ca", h.certs}
		if i == 0 {
			args = append(args, "--issue")
		}
		command(t, args...)
	}
	for i := range 3 {
		id := fmt.Sprintf("c%d", i+1)
		h.coordinators = append(h.coordinators, start(t, programs, h.dir, nil, "coordinator", "--id", id, "--bind", h.addresses[i],
			"--certs", filepath.Join(h.certs, id), "--peers", strings.Join(peers, ",")))
	}
	h.until(func(s *launch.Status) bool { return len(s.Coordinators) == 3 })
	return h
}

// worker starts a worker that speaks to the others by TCP alone: its unix socket finds no place.
func (h *secured) worker(id, bind string) {
	h.t.Helper()
	h.workers = append(h.workers, start(h.t, programs, h.dir, []string{"TMPDIR=" + filepath.Join(h.dir, "none")}, "worker", "--certs", filepath.Join(h.certs, id),
		"--bind", bind, "--join", h.addresses[len(h.workers)], "--threads", "1"))
}

// A cluster with certificates reaches the digest of one without. One worker's certificate was made with the authority,
// the other machine got its own by a token. Strangers and holders of other roles' certificates get nowhere, and the
// cluster goes on.
func TestCertificates(t *testing.T) {
	file := config(t, "quickstart.yaml")
	want := reference(t, ragged...)
	h := withCertificates(t)
	command(t, "certs", "node", "w1", "--role", "worker", "--ca", h.certs)
	token := strings.TrimSpace(command(t, "certs", "token", "--role", "worker", "--ca", h.certs))
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, "certs", "node", "w2", "--token-file", tokenFile, "--join", h.addresses[0], "--out", filepath.Join(h.certs, "w2"))
	h.spendsOnce("w5")
	if out := command(t, "certs", "show", filepath.Join(h.certs, "w2")); !strings.Contains(out, "worker") || !strings.Contains(out, "w2") {
		t.Errorf("certs show: %s", out)
	}
	h.worker("w1", "127.0.0.5:0")
	h.worker("w2", "127.0.0.6:0")
	s := h.until(func(s *launch.Status) bool { return len(s.Workers) == 2 })
	for i, host := range []string{"127.0.0.5:", "127.0.0.6:"} {
		if !strings.HasPrefix(s.Workers[i].Address, host) {
			t.Errorf("worker %s is at %s, want %s", s.Workers[i].ID, s.Workers[i].Address, host)
		}
	}
	command(t, "certs", "node", "guest", "--role", "viewer", "--ca", h.certs)
	guest := []string{"--certs", filepath.Join(h.certs, "guest"), "--cluster", h.addresses[1]}
	for of, want := range map[string]string{"w2": "worker is up", "c3": "coordinator is up"} {
		if out := command(t, append([]string{"jobs", "logs", of, "--tail", "0"}, guest...)...); !strings.Contains(out, want) {
			t.Errorf("a viewer reads of the log of %s: %s", of, out)
		}
	}
	if out := command(t, append([]string{"jobs", "list"}, guest...)...); !strings.Contains(out, "no jobs yet") {
		t.Errorf("a viewer lists: %s", out)
	}
	h.tryStrangers(s.Workers[0].Address)

	summary := filepath.Join(t.TempDir(), "summary.json")
	args := append([]string{"submit", file, "--workers", "2", "--summary", summary, "--progress", "none", "--cluster", h.addresses[2]}, ragged...)
	p := start(t, programs, t.TempDir(), nil, "ringmaster", args...)
	if code := p.wait(); code != 0 {
		t.Fatalf("submit: exit code %d: %s", code, p.stderr.String())
	}
	if got := readSummary(t, summary); got.Digest != want.Digest || got.Workers != 2 || got.State != "done" || len(got.Views) != 1 {
		t.Errorf("came out as %+v, want digest %s in one view", got, want.Digest)
	}
	for _, d := range append(h.workers, h.coordinators...) {
		d.signal(syscall.SIGTERM)
		if code := d.wait(); code != 0 {
			t.Errorf("%v: exit code %d: %s", d.cmd.Args, code, d.stderr.String())
		}
	}
	for _, w := range h.workers {
		if !strings.Contains(w.stderr.String(), "they use TCP") {
			t.Errorf("%v may have used a unix socket: %s", w.cmd.Args, w.stderr.String())
		}
	}
	said := ""
	for _, c := range h.coordinators {
		said += c.stderr.String()
	}
	for _, line := range []string{"admitted a machine", "first record does not look like a TLS handshake", "client didn't provide a certificate", "worker w1 may not call /ringmaster.Coordinator/Submit"} {
		if !strings.Contains(said, line) {
			t.Errorf("no coordinator's log says %q", line)
		}
	}
}

// tryStrangers connects to every port without permission: each attempt is refused.
func (h *secured) tryStrangers(worker string) {
	h.t.Helper()
	for _, address := range append([]string{worker}, h.addresses...) {
		for _, bytes := range []string{"GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\xd1\x00\x81\xa1a", "\xe1\x06\x80", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"} {
			h.hangsUp(address, bytes)
		}
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if err == nil { // TLS 1.3: the refusal comes with the first answer
			_, err = conn.Read(make([]byte, 1))
			conn.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "certificate required") {
			h.t.Errorf("%s without a certificate: %v", address, err)
		}
	}
	certificate := func(id string) string { return filepath.Join(h.certs, id) }
	submit := []string{"submit", config(h.t, "quickstart.yaml"), "--progress", "none", "--cluster", h.addresses[0]}
	for _, test := range []struct {
		name    string
		program string
		code    int
		says    string
		args    []string
	}{
		{"no certificate", "ringmaster", 3, "name yours by --certs", []string{"status", "--certs", "", "--cluster", h.addresses[0]}},
		{"a worker's certificate gives a job", "ringmaster", 1, "worker w1 may not call", append(submit, "--certs", certificate("w1"))},
		{"a viewer's certificate gives a job", "ringmaster", 1, "viewer guest may only look", append(submit, "--certs", certificate("guest"))},
		{"a client takes a worker for a coordinator", "ringmaster", 3, "is that of worker w1, and a coordinator is asked for", []string{"status", "--cluster", worker}},
		{"a worker's certificate for a coordinator", "coordinator", 2, "may not act as a coordinator", []string{"--certs", certificate("w1"), "--bind", "127.0.0.7:0"}},
		{"a client's certificate for a worker", "worker", 2, "may not act as a worker", []string{"--certs", h.certs, "--bind", "127.0.0.7:0", "--join", h.addresses[0]}},
		{"another id than the certificate's", "worker", 2, "set --id w1", []string{"--certs", certificate("w1"), "--id", "w9", "--bind", "127.0.0.7:0", "--join", h.addresses[0]}},
		{"all interfaces without a certificate", "worker", 2, "ringmaster certs init", []string{"--bind", "0.0.0.0:0", "--join", h.addresses[0]}},
		{"a made-up token", "ringmaster", 2, "the token is not valid", []string{"certs", "node", "w9", "--token", "ringmaster1.xyz", "--join", h.addresses[0]}},
		{"a coordinator that admits nobody", "ringmaster", 1, "admits nobody", []string{"certs", "node", "w9", "--join", h.addresses[1], "--token",
			strings.TrimSpace(command(h.t, "certs", "token", "--ca", h.certs))}},
		{"a certificate where there is one", "ringmaster", 2, "holds a certificate already", []string{"certs", "node", "w1", "--out", certificate("w1"), "--join", h.addresses[0], "--token",
			strings.TrimSpace(command(h.t, "certs", "token", "--ca", h.certs))}},
		{"a wrong advertised address", "worker", 2, "does not lead back to this process", []string{"--certs", certificate("w1"), "--bind", "127.0.0.7:0", "--advertise", h.addresses[0], "--join", h.addresses[0]}},
	} {
		p := start(h.t, programs, h.t.TempDir(), nil, test.program, test.args...)
		if code := p.wait(); code != test.code || !strings.Contains(p.stderr.String(), test.says) || strings.Count(strings.TrimSpace(p.stderr.String()), "\n") != 0 {
			h.t.Errorf("%s: exit code %d, want %d and %q in one line: %s", test.name, code, test.code, test.says, p.stderr.String())
		}
	}
}

// hangsUp sends bytes to an address, which must close the connection without an answer that is more than an alert.
func (h *secured) hangsUp(address, bytes string) {
	h.t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		h.t.Errorf("%s is gone: %v", address, err)
		return
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, bytes); err != nil {
		h.t.Errorf("%s: %v", address, err)
	}
	_ = conn.(*net.TCPConn).CloseWrite() // it may have hung up already
	conn.SetReadDeadline(time.Now().Add(patience))
	answer, err := io.ReadAll(conn)
	if os.IsTimeout(err) || len(answer) > 16 {
		h.t.Errorf("%s answers %q with %q, %v", address, bytes, answer, err)
	}
}

// spendsOnce has two machines bring one token that names an id: the second is refused, by whichever coordinator it asks.
func (h *secured) spendsOnce(id string) {
	h.t.Helper()
	token := strings.TrimSpace(command(h.t, "certs", "token", "--role", "worker", "--id", id, "--ca", h.certs))
	command(h.t, "certs", "node", "--token", token, "--join", h.addresses[0], "--out", filepath.Join(h.t.TempDir(), id))
	code, _, says := run(h.t, h.t.TempDir(), "certs", "node", "--token", token, "--join", h.addresses[0], "--out", filepath.Join(h.t.TempDir(), id))
	if code != 1 || !strings.Contains(says, "the token has been used") {
		h.t.Errorf("a token that names an id, a second time: %d, %s", code, says)
	}
}
