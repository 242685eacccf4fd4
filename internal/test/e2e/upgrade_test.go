//go:build upgrade

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"ringmaster/internal/launch"
)

// before is the release that this one is rolled out over: a tag, or a commit as long as there is no release. A release that may not mix with it
// (ARCHITECTURE.md, "Versions side by side") names its successor here.
const before = "f90097b349bef365fbedb1ae9fed3edcdf7740e0"

// older builds the programs of the release before.
func older(t *testing.T) string {
	t.Helper()
	tree, bin := filepath.Join(t.TempDir(), "tree"), t.TempDir()
	root := repository(t)
	if out, err := exec.Command("git", "-C", root, "worktree", "add", "--force", "--detach", tree, before).CombinedOutput(); err != nil {
		t.Skipf("needs the release before, %s, which this clone lacks: %s", before, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("git", "-C", root, "worktree", "remove", "--force", tree).CombinedOutput(); err != nil {
			t.Errorf("git worktree remove: %v: %s", err, out)
		}
	})
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", bin+string(filepath.Separator), "./cmd/...")
	cmd.Dir, cmd.Env = tree, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v: %s", before, err, out)
	}
	return bin
}

// rolled is a cluster whose daemons are exchanged for newer ones.
type rolled struct {
	*members
	worker []*process
}

// TestClusterRollsFromTheReleaseBefore exchanges workers, then coordinators, one at a time, the leader last, while a job trains that the release
// before has submitted. The digest is that of an undisturbed run.
func TestClusterRollsFromTheReleaseBefore(t *testing.T) {
	bin := older(t)
	r := &rolled{members: &members{hand: &hand{t: t, dir: t.TempDir()}, summary: filepath.Join(t.TempDir(), "summary.json"), up: map[string]*process{}, at: map[string]string{}}}
	r.env, r.release = slowly(t)
	peers := ""
	for i := range 3 {
		r.addresses = append(r.addresses, freePort(t))
		peers += fmt.Sprintf("    c%d: %s\n", i+1, r.addresses[i])
	}
	for i, address := range r.addresses {
		id := fmt.Sprintf("c%d", i+1)
		text := fmt.Sprintf("id: %s\nbind: %s\ndir: %s\npeers:\n%s", id, address, filepath.Join(r.dir, id), peers)
		if err := os.WriteFile(filepath.Join(r.dir, id+".yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		r.at[id] = address
		r.coordinator(bin, id)
	}
	for n := range 2 {
		r.workers, r.worker = append(r.workers, nil), append(r.worker, nil)
		r.work(bin, n)
	}
	r.until(func(s *launch.Status) bool { return len(s.Workers) == 2 })
	args := append([]string{"submit", config(t, "quickstart.yaml"), "--workers", "2", "--summary", r.summary, "--progress", "none"}, disturbed...)
	r.job = start(t, bin, t.TempDir(), nil, "ringmaster", append(args, "--cluster", strings.Join(r.addresses, ","))...)
	r.until(func(s *launch.Status) bool { return s.Step > 20 })

	for n := range 2 {
		r.stopped(r.worker[n])
		r.work(programs, n)
		r.stepsOn(2)
		t.Logf("worker w%d is exchanged", n+1)
	}
	leader := r.leader()
	ids := slices.DeleteFunc([]string{"c1", "c2", "c3"}, func(id string) bool { return id == leader })
	for _, id := range append(ids, leader) {
		r.stopped(r.up[id])
		r.coordinator(programs, id)
		r.listed(id, "votes")
		r.stepsOn(2)
		t.Logf("coordinator %s is exchanged", id)
	}
	want := reference(t, disturbed...).Digest
	r.release()
	if code := r.job.wait(); code != 0 {
		t.Fatalf("submit: exit code %d: %s%s", code, r.job.stdout.String(), r.job.stderr.String())
	}
	if s := readSummary(t, r.summary); s.State != "done" || s.Digest != want {
		t.Errorf("came out %s with digest %s, want %s", s.State, s.Digest, want)
	}
}

func (r *rolled) coordinator(bin, id string) {
	r.up[id] = start(r.t, bin, r.dir, nil, "coordinator", "--config", filepath.Join(r.dir, id+".yaml"))
	r.coordinators = append(r.coordinators, r.up[id])
}

func (r *rolled) work(bin string, n int) {
	id := fmt.Sprintf("w%d", n+1)
	r.worker[n] = start(r.t, bin, r.dir, r.env, "worker", "--id", id, "--join", strings.Join(r.addresses, ","), "--threads", "1", "--dir", filepath.Join(r.dir, id))
	r.workers[n] = r.worker[n]
}

// stopped ends a daemon as systemd does.
func (r *rolled) stopped(p *process) {
	r.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		r.t.Errorf("%v: exit code %d: %s", p.cmd.Args, code, p.stderr.String())
	}
}

// stepsOn waits until the job has made steps in a ring of n workers.
func (r *rolled) stepsOn(n int) {
	r.t.Helper()
	from := r.until(func(s *launch.Status) bool { return len(s.Workers) == n }).Step
	r.until(func(s *launch.Status) bool { return len(s.Workers) == n && s.Step > from+5 })
}
