package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringmaster/internal/launch"
)

// disturbed are the arguments of a job that trains, slowly at first, while its coordinators are exchanged.
var disturbed = []string{"--set", "train.steps=2000", "--set", "checkpoint.every_steps=50", "--set", "balance=false"}

// members is a cluster whose coordinators come and go while a job runs.
type members struct {
	*hand
	up      map[string]*process // coordinators by id
	at      map[string]string
	job     *process
	summary string
	release func() // lets the job go on at full speed
}

// training starts three coordinators, two workers and a job, which must be at work.
func training(t *testing.T) *members {
	t.Helper()
	m := &members{hand: byHand(t, 3), summary: filepath.Join(t.TempDir(), "summary.json"), up: map[string]*process{}, at: map[string]string{}}
	m.env, m.release = slowly(t)
	for i, p := range m.coordinators {
		id := fmt.Sprintf("c%d", i+1)
		m.up[id], m.at[id] = p, m.addresses[i]
	}
	m.worker(m.dir, m.addresses[0])
	m.worker(m.dir, m.addresses[1])
	m.until(func(s *launch.Status) bool { return len(s.Workers) == 2 })
	args := append([]string{"submit", config(t, "quickstart.yaml"), "--workers", "2", "--summary", m.summary, "--progress", "none"}, disturbed...)
	m.job = start(t, programs, t.TempDir(), nil, "ringmaster", append(args, "--cluster", m.addresses[0])...)
	m.until(func(s *launch.Status) bool { return s.Step > 60 })
	return m
}

// cluster are the addresses of those that live.
func (m *members) cluster() string {
	var all []string
	for id := range m.up {
		all = append(all, m.at[id])
	}
	return strings.Join(all, ",")
}

// join starts a new coordinator that knows another one, and waits until it votes.
func (m *members) join(id, knows string) {
	m.t.Helper()
	m.at[id] = freePort(m.t)
	p := start(m.t, programs, m.dir, nil, "coordinator", "--id", id, "--bind", m.at[id], "--dir", filepath.Join(m.dir, id), "--join", m.at[knows])
	m.up[id] = p
	m.coordinators = append(m.coordinators, p)
	m.addresses = append(m.addresses, m.at[id])
	m.listed(id, "votes")
}

// listed waits until the list shows a coordinator in a state.
func (m *members) listed(id, state string) {
	m.t.Helper()
	list := ""
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		code, out, _ := run(m.t, m.t.TempDir(), "coordinators", "list", "--cluster", m.cluster())
		list = out
		for line := range strings.Lines(out) {
			if fields := strings.Fields(line); code == 0 && fields[0] == id && strings.Contains(line, state) {
				return
			}
		}
	}
	m.t.Fatalf("%s is not listed as %q:\n%s", id, state, list)
}

// remove takes a coordinator out. One that lives notices and ends.
func (m *members) remove(id string) {
	m.t.Helper()
	if code, out, stderr := run(m.t, m.t.TempDir(), "coordinators", "remove", id, "--cluster", m.cluster()); code != 0 || !strings.Contains(out, id+" is removed") {
		m.t.Fatalf("remove %s: exit code %d: %s%s", id, code, out, stderr)
	}
	p := m.up[id]
	delete(m.up, id)
	if p == nil {
		return
	}
	if code := p.wait(); code != 4 || !strings.Contains(p.stderr.String(), "coordinator "+id+" was removed from the cluster") {
		m.t.Errorf("the removed %s: exit code %d: %s", id, code, p.stderr.String())
	}
}

// leader is the id of the one that leads.
func (m *members) leader() string {
	m.t.Helper()
	var id string
	m.until(func(s *launch.Status) bool {
		for _, c := range s.Coordinators {
			if c.Leader && m.up[c.ID] != nil {
				id = c.ID
			}
		}
		return id != ""
	})
	return id
}

// kill takes a coordinator away without a word.
func (m *members) kill(id string) {
	m.t.Helper()
	m.up[id].signal(syscall.SIGKILL)
	m.up[id].wait()
	delete(m.up, id)
}

// end waits for the job, holds it against an undisturbed one, and the checkpoints of those that live against each other.
func (m *members) end() {
	m.t.Helper()
	want := reference(m.t, disturbed...).Digest
	m.release()
	if code := m.job.wait(); code != 0 {
		m.t.Fatalf("submit: exit code %d: %s%s", code, m.job.stdout.String(), m.job.stderr.String())
	}
	s := readSummary(m.t, m.summary)
	if s.State != "done" || s.Digest != want {
		m.t.Errorf("came out %s with digest %s, want %s", s.State, s.Digest, want)
	}
	for _, v := range s.Views[1:] { // on a busy machine a worker may be silent for long enough; nothing else ends a view
		if !strings.Contains(v.Reason, "silent") {
			m.t.Errorf("view %d was made since %s", v.Generation, v.Reason)
		}
	}
	for id := range m.up {
		whole := func() (found []string) {
			manifests, _ := filepath.Glob(filepath.Join(m.dir, id, "checkpoints", "*", "manifest.json"))
			for _, path := range manifests {
				found = append(found, filepath.Base(filepath.Dir(path)))
			}
			return found
		}
		var names []string
		for _, c := range s.Checkpoints[len(s.Checkpoints)-3:] {
			names = append(names, filepath.Base(c.Path))
		}
		for deadline := time.Now().Add(patience); !slices.Equal(whole(), names); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				m.t.Fatalf("%s holds the checkpoints %v, want %v\n%s", id, whole(), names, m.up[id].stderr.String())
			}
		}
		if code, _, stderr := run(m.t, m.t.TempDir(), "checkpoints", "verify", filepath.Join(m.dir, id, "checkpoints")); code != 0 {
			m.t.Errorf("the checkpoints of %s: %s", id, stderr)
		}
	}
}

// While a job trains, a coordinator dies and another takes its place; then the leader dies. The job goes on in its one view
// to the digest of an undisturbed run, and the newcomer holds the checkpoints. The dead one is told when it comes back.
func TestReplaceADeadCoordinator(t *testing.T) {
	t.Parallel() // it waits most of the time
	m := training(t)
	m.join("c4", "c2")
	m.kill("c1")
	m.listed("c1", "does not answer")
	m.remove("c1")
	m.kill(m.leader())
	m.leader()
	m.up["c1"] = start(t, programs, m.dir, nil, "coordinator", "--config", filepath.Join(m.dir, "c1.yaml"))
	if code := m.up["c1"].wait(); code != 4 || !strings.Contains(m.up["c1"].stderr.String(), "was removed from the cluster") {
		t.Errorf("c1 came back: exit code %d: %s", code, m.up["c1"].stderr.String())
	}
	delete(m.up, "c1")
	m.end()
}

// While a job trains, all three coordinators are replaced, one by one, the leader among them. Whoever watches by the old
// addresses follows.
func TestReplaceAllCoordinators(t *testing.T) {
	t.Parallel() // it waits most of the time
	m := training(t)
	for i, old := range []string{"c1", "c2", "c3"} {
		m.join(fmt.Sprintf("c%d", i+4), old)
		m.remove(old)
	}
	m.end()
	for id := range m.up { // they know each other without a word in their configuration
		m.up[id].signal(syscall.SIGTERM)
		if code := m.up[id].wait(); code != 0 {
			t.Errorf("%s: exit code %d: %s", id, code, m.up[id].stderr.String())
		}
	}
	for _, id := range []string{"c4", "c5"} {
		m.up[id] = start(t, programs, m.dir, nil, "coordinator", "--id", id, "--bind", m.at[id], "--dir", filepath.Join(m.dir, id))
	}
	delete(m.up, "c6")
	m.leader()
}

// A coordinator that has lost its folder does not vote again under its old name, and a removal that leaves no majority is
// refused; both say what to do.
func TestMembersRefused(t *testing.T) {
	h := byHand(t, 3)
	h.until(func(s *launch.Status) bool { return len(s.Coordinators) == 3 })
	h.coordinators[2].signal(syscall.SIGKILL)
	h.coordinators[2].wait()
	if err := os.RemoveAll(filepath.Join(h.dir, "c3")); err != nil {
		t.Fatal(err)
	}
	p := start(t, programs, h.dir, nil, "coordinator", "--id", "c3", "--bind", h.addresses[2], "--dir", filepath.Join(h.dir, "c3"), "--join", h.addresses[0])
	if code := p.wait(); code != 2 {
		t.Errorf("c3 without its log: exit code %d: %s", code, p.stderr.String())
	}
	if !strings.Contains(p.stderr.String(), "ringmaster coordinators remove c3") {
		t.Errorf("c3 without its log: %s", p.stderr.String())
	}
	for _, test := range []struct {
		id   string
		code int
		says string
	}{{"c1", 1, "remove coordinator c1: of those that stay (c2 c3) only 1 answer, no majority"}, {"c9", 2, "there is no coordinator c9; there are c1, c2, c3"}} {
		code, _, stderr := run(t, h.dir, "coordinators", "remove", test.id, "--cluster", h.cluster())
		if code != test.code {
			t.Errorf("remove %s: exit code %d", test.id, code)
		}
		oneLine(t, stderr, test.says)
	}
	// The same one is welcome once its old self is out.
	if code, _, stderr := run(t, h.dir, "coordinators", "remove", "c3", "--cluster", h.cluster()); code != 0 {
		t.Fatalf("remove c3: exit code %d: %s", code, stderr)
	}
	start(t, programs, h.dir, nil, "coordinator", "--id", "c3", "--bind", h.addresses[2], "--dir", filepath.Join(h.dir, "c3"), "--join", h.addresses[0])
	(&members{hand: h, up: map[string]*process{"c1": nil, "c2": nil}, at: map[string]string{"c1": h.addresses[0], "c2": h.addresses[1]}}).listed("c3", "votes")
}
