package daemon

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"ringmaster/internal/plan"
)

func TestSocketsOfTheDeadAreRemoved(t *testing.T) {
	dir, err := os.MkdirTemp("", "sock") // the test's own folder would make their names too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	var self, other plan.Member
	self.Incarnation, other.Incarnation = 1, 2
	living, err := listenLocal(&self, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer living.Close()
	abandon := func(name string) string {
		l, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false) // as if it had been killed
		l.Close()
		return l.Addr().String()
	}
	dead, foreign, plain := abandon("ringmaster-0000000000000003.sock"), abandon("other.sock"), filepath.Join(dir, "ringmaster-notes.sock")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	l, err := listenLocal(&other, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := os.Lstat(dead); !os.IsNotExist(err) {
		t.Errorf("a socket nobody listens on is still there: %v", err)
	}
	for _, path := range []string{foreign, plain} {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("what is no worker's socket is gone: %v", err)
		}
	}
	for _, m := range []plan.Member{self, other} {
		if !ownSocket(m.Socket) {
			t.Errorf("%s is not this user's alone", m.Socket)
		}
		conn, err := net.Dial("unix", m.Socket)
		if err != nil {
			t.Fatalf("a living worker's socket: %v", err)
		}
		conn.Close()
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*"+unready)); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}
