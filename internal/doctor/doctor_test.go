package doctor

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/certs"
	"ringmaster/internal/config"
)

func options(t *testing.T) Options {
	return Options{Dir: t.TempDir(), Binds: []string{"127.0.0.1:0"}, Each: time.Minute, Now: time.Now}
}

// of is what a check of the given name finds.
func of(t *testing.T, name string, o Options) []Finding {
	t.Helper()
	i := slices.IndexFunc(checks, func(c check) bool { return c.name == name })
	return bounded(t.Context(), checks[i], &o)
}

func one(t *testing.T, found []Finding, state State, text string) {
	t.Helper()
	for _, f := range found {
		if f.State == state && strings.Contains(f.Text, text) {
			if (f.Remedy == "") != (state == OK) {
				t.Errorf("%+v: the remedy", f)
			}
			return
		}
	}
	t.Errorf("%+v: no %s with %q", found, state, text)
}

func TestAPortInUseIsNamedWithItsProcess(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := options(t)
	o.Binds = append(o.Binds, l.Addr().String(), "192.0.2.77:7070")
	found := of(t, "ports", o)
	one(t, found, OK, "127.0.0.1:0 is free")
	one(t, found, Fail, "in use over TCP by "+self(t))
	one(t, found, Fail, "192.0.2.77:7070 is no address of this machine")
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	o.Binds = []string{udp.LocalAddr().String()}
	one(t, of(t, "ports", o), Fail, "in use over UDP")
}

func self(t *testing.T) string {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		return "another process"
	}
	return fmt.Sprintf("process %d (", os.Getpid())
}

func TestClocks(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		theirs, took time.Duration
		state        State
	}{{0, time.Millisecond, OK}, {-6 * time.Second, time.Millisecond, Warn}, {6 * time.Second, 20 * time.Second, OK}, {time.Hour, time.Second, Fail}} {
		if f := clock("a:1", at.Add(c.theirs+c.took/2), at, at.Add(c.took)); f.State != c.state || !strings.Contains(f.Text, c.theirs.String()) {
			t.Errorf("%v off, asked for %v: %+v", c.theirs, c.took, f)
		}
	}
	o := options(t)
	one(t, of(t, "clocks", o), OK, "not compared")
	o.Cluster, o.Each = []string{"127.0.0.1:1"}, 300*time.Millisecond
	one(t, of(t, "clocks", o), Fail, "does not answer")
}

func TestCertificates(t *testing.T) {
	o := options(t)
	one(t, of(t, "certificates", o), OK, "none")
	o.Binds = []string{"10.0.0.1:7070"}
	one(t, of(t, "certificates", o), Fail, "beyond loopback")
	o.Certs = t.TempDir()
	one(t, of(t, "certificates", o), Fail, "no certificate")
	o.Certs = certificate(t)
	one(t, of(t, "certificates", o), OK, "client anna, valid until")
	i, err := certs.Load(o.Certs, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	o.Now = func() time.Time { return i.Expires.Add(-48 * time.Hour) }
	one(t, of(t, "certificates", o), Warn, "(2 days)")
	o.Now = func() time.Time { return i.Expires.Add(time.Hour) }
	one(t, of(t, "certificates", o), Fail, "expired")
}

func TestTheDiskIsTriedAndLeftAsItWas(t *testing.T) {
	o := options(t)
	one(t, append(of(t, "disk", o), of(t, "disk", o)...), OK, "of room")
	if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
		t.Errorf("%v, %v are left", left, err)
	}
	file := filepath.Join(o.Dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o.Dir = file
	one(t, of(t, "disk", o), Fail, "is no folder")
	o.Dir = filepath.Join(t.TempDir(), "not", "yet")
	for _, f := range of(t, "disk", o) {
		if f.State == Fail {
			t.Errorf("a folder that is yet to be made: %+v", f)
		}
	}
}

func TestAJobsDataAndMemory(t *testing.T) {
	load := func(set ...string) *config.Job {
		j, err := config.Load("../../configs/quickstart.yaml", set)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	o := options(t)
	o.Job, o.Workers = load(), 2
	found := of(t, "job", o)
	one(t, found, OK, "fingerprint ")
	one(t, found, OK, "2 workers fit here")
	o.Job, o.Workers = load("model.layers=[784, 40000, 40000, 10]", "seats=64"), 64
	one(t, of(t, "job", o), Fail, "fit into memory")
}

func TestACheckThatHangsIsGivenUp(t *testing.T) {
	o := options(t)
	o.Each = 50 * time.Millisecond
	release := make(chan struct{})
	defer close(release)
	found := bounded(t.Context(), check{"hangs", func(context.Context, *Options) []Finding {
		<-release
		return nil
	}}, &o)
	one(t, found, Warn, "not done after 50ms")
}

func TestExamineTellsTheWorst(t *testing.T) {
	o := options(t)
	o.Binds = []string{"192.0.2.77:7070"}
	var names []string
	if worst := Examine(t.Context(), o, func(f Finding) { names = append(names, f.Check) }); worst != Fail {
		t.Errorf("worst is %s", worst)
	}
	if got := slices.Compact(names); !slices.Equal(got, []string{"ports", "interfaces", "clocks", "certificates", "disk", "limits", "kernels"}) {
		t.Errorf("checked %v", got)
	}
}

// certificate is a folder with the certificate of the person anna.
func certificate(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	a, err := certs.Init(filepath.Join(home, "authority"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(home, "anna")
	if err := a.Node(dir, certs.Peer{ID: "anna", Role: certs.Client}, false, 365, time.Now()); err != nil {
		t.Fatal(err)
	}
	return dir
}
