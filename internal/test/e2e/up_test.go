package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"ringmaster/internal/fleet"
	"ringmaster/internal/folderlock"
)

// fakeSSH carries out here what ssh would there, with a home folder for each destination. internal/test/ssh has real ones.
const fakeSSH = `#!/bin/sh
while [ "$1" != -- ]; do shift; done
case $2 in
gone) echo "ssh: connect to host gone port 22: Connection refused" >&2; exit 255 ;;
stuck) exec sleep 600 ;;
esac
HOME=$HOMES/$2 SSH_CONNECTION="127.0.0.1 5000 127.0.0.1 22"
export HOME SSH_CONNECTION
mkdir -p "$HOME" && cd "$HOME" && echo "Welcome to $2" && exec sh -c "$3"
`

// typist types commands in a folder where ssh is the fake one.
type typist struct {
	t   *testing.T
	dir string
	env []string
}

func newTypist(t *testing.T) *typist {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ssh"), []byte(fakeSSH), 0o755); err != nil {
		t.Fatal(err)
	}
	return &typist{t: t, dir: dir, env: []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOMES=" + dir}}
}

func (u *typist) hosts(text string) {
	u.t.Helper()
	if err := os.WriteFile(filepath.Join(u.dir, "lab.yaml"), []byte(text), 0o600); err != nil {
		u.t.Fatal(err)
	}
}

// enter types a command that ends with an exit code and says all of these; it returns its standard output.
func (u *typist) enter(code int, args string, wants ...string) string {
	u.t.Helper()
	p := start(u.t, programs, u.dir, u.env, "ringmaster", strings.Fields(args)...)
	got := p.wait()
	said := p.stdout.String() + p.stderr.String()
	if got != code {
		u.t.Fatalf("%s: exit code %d, want %d\n%s", args, got, code, said)
	}
	for _, want := range wants {
		if !strings.Contains(said, want) {
			u.t.Errorf("%s: nothing says %q:\n%s", args, want, said)
		}
	}
	return p.stdout.String()
}

// pid is the process of a daemon.
func (u *typist) pid(id string) int {
	u.t.Helper()
	var r fleet.Report
	p := start(u.t, programs, u.dir, u.env, "ringmaster", "hosts", "lab.yaml", "--json")
	p.wait()
	if err := json.Unmarshal(p.stdout.Bytes(), &r); err != nil {
		u.t.Fatal(err)
	}
	for _, h := range r.Hosts {
		for _, d := range h.Daemons {
			if d.ID == id {
				return d.PID
			}
		}
	}
	u.t.Fatalf("%s is not there: %+v", id, r)
	return 0
}

// A cluster is started by ssh, repaired, changed, stopped and started again, and trains to the bits of a launch.
func TestUpOverAFakeSSH(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"gzip", "sh", "dd"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	u := newTypist(t)
	_, port, err := net.SplitHostPort(freePort(t))
	if err != nil {
		t.Fatal(err)
	}
	file := func(threads int) string {
		return fmt.Sprintf("service: detached\nhosts:\n- {ssh: alice@one, name: one, workers: 2, threads: %d, port: %s, address: 127.0.0.1}\n", threads, port)
	}
	u.hosts(file(1))
	u.enter(2, "submit "+config(t, "quickstart.yaml")+" --cluster lab.yaml", "start the cluster first (ringmaster up)")
	u.enter(0, "up lab.yaml", "one: copying ringmaster", "one: one-c started", "one: one-w2 started", "1 coordinator and 2 workers run, 3 daemons changed", "2 workers attached", "next: ringmaster submit JOB.yaml --cluster lab.yaml")
	t.Cleanup(func() { // where the test ends early
		for _, id := range []string{"one-w1", "one-w2", "one-c"} {
			text, _ := os.ReadFile(filepath.Join(u.dir, "alice@one/.local/share/ringmaster/lab", id, "data/lock")) // purged
			if pid := 0; len(text) > 0 {
				if _, err := fmt.Sscan(string(text), &pid); err == nil && pid > 1 {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
		}
	})
	u.enter(0, "up lab.yaml", "nothing was to change")
	u.enter(0, "hosts lab.yaml", "one-w2", "running", "one-c leads, 2 workers attached")

	const short = " --set train.steps=60 --progress none"
	digest := regexp.MustCompile(`digest +[0-9a-f]{64}`)
	want := digest.FindString(u.enter(0, "launch "+config(t, "quickstart.yaml")+short+" --workers 1"))
	if got := digest.FindString(u.enter(0, "submit "+config(t, "quickstart.yaml")+short+" --cluster lab.yaml")); got != want || got == "" {
		t.Errorf("%s, launch has %s", got, want)
	}

	if err := syscall.Kill(u.pid("one-w1"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	u.enter(1, "hosts lab.yaml", "ended")
	u.enter(0, "up lab.yaml", "one: one-w1 started", "1 daemon changed")

	before := u.pid("one-c")
	u.hosts(file(2))
	u.enter(0, "up lab.yaml", "one: one-w1 restarted", "one: one-w2 restarted", "2 daemons changed")
	if now := u.pid("one-c"); now != before {
		t.Errorf("the coordinator was process %d and is %d, though nothing of it changed", before, now)
	}
	u.enter(0, "hosts lab.yaml --logs one-c --lines 3", "level=INFO")
	u.enter(1, "hosts lab.yaml --logs two", "there is no host or daemon two; there are the hosts one")
	u.enter(0, "down lab.yaml", "one: one-w1 stopped", "one: one-c stopped", "nothing of the cluster runs any more")
	u.enter(0, "up lab.yaml", "3 daemons changed")
	u.enter(0, "down lab.yaml --purge", "deleted the cluster's files")
	if left, err := os.ReadDir(filepath.Join(u.dir, "alice@one/.local/share/ringmaster")); err != nil || len(left) > 0 {
		t.Errorf("purged, and %v is left (%v)", left, err)
	}
}

// Ctrl-C ends a command that waits for a host, which is told from one that failed by the exit code.
func TestUpIsInterrupted(t *testing.T) {
	t.Parallel()
	u := newTypist(t)
	u.hosts("hosts: [{ssh: gone, address: 10.9.9.9}]\n")
	u.enter(1, "up lab.yaml", "ringmaster: gone: ssh: connect to host gone port 22: Connection refused", "1 of 1 host failed: gone")
	u.hosts("hosts: [{ssh: stuck}]\n")
	p := start(t, programs, u.dir, u.env, "ringmaster", "up", "lab.yaml")
	eventually(t, func() string {
		if _, _, held, err := folderlock.Holder(filepath.Join(u.dir, "lab-cluster")); err != nil || !held {
			return fmt.Sprintf("up has not begun: %v", err)
		}
		return ""
	})
	u.enter(2, "down lab.yaml", "another ringmaster up or down is at work")
	p.signal(os.Interrupt)
	if code := p.wait(); code != 130 || !strings.Contains(p.stderr.String(), "interrupted") {
		t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
}
