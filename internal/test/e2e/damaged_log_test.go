package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// changeLog changes a byte of every entry of a coordinator's log that holds a text.
func changeLog(t *testing.T, path, text string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte(text)) {
		t.Fatalf("%s does not hold %q", path, text)
	}
	for at := bytes.Index(b, []byte(text)); at >= 0; at = bytes.Index(b, []byte(text)) {
		b[at]++
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// While a job trains a coordinator's log is damaged. It names the file and the entry, takes the log of the others over, and votes again;
// the job reaches the digest of an undisturbed run.
func TestDamagedLogIsHealed(t *testing.T) {
	t.Parallel() // it waits most of the time
	m := training(t)
	m.kill("c3")
	path := filepath.Join(m.dir, "c3", "raft", "raft.db")
	changeLog(t, path, `"submit"`)
	p := start(t, programs, m.dir, nil, "coordinator", "--config", filepath.Join(m.dir, "c3.yaml"))
	m.up["c3"] = p
	aside := filepath.Join(m.dir, "c3", "raft", "damaged-1", "raft.db")
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) { // its vote is taken back before
		if _, err := os.Stat(aside); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the damaged log is not set aside:\n%s", p.stderr.String())
		}
	}
	m.listed("c3", "votes")
	if log := p.stderr.String(); !strings.Contains(log, path+" is damaged (entry ") {
		t.Errorf("the damaged entry is not named:\n%s", log)
	}
	// Nor does it found the cluster again, and vote again, where the folder of its log is gone.
	m.kill("c3")
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	p = start(t, programs, m.dir, nil, "coordinator", "--config", filepath.Join(m.dir, "c3.yaml"))
	m.up["c3"] = p
	for deadline := time.Now().Add(patience); !strings.Contains(p.stderr.String(), "coordinator is up"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it is not taken in again:\n%s", p.stderr.String())
		}
	}
	m.listed("c3", "votes")
	if log := p.stderr.String(); !strings.Contains(log, "the log of this coordinator is gone") || !strings.Contains(log, "joined the cluster: this coordinator votes") {
		t.Errorf("it founded the cluster again:\n%s", log)
	}
	m.kill(m.leader()) // so that the healed one is needed for a majority
	m.end()
}

// A coordinator that is alone cannot heal its log: it says what to do, and touches nothing.
func TestDamagedLogOfTheOnlyCoordinator(t *testing.T) {
	h := byHand(t, 1)
	h.worker(h.dir, h.addresses[0])
	if code, _, stderr := run(t, t.TempDir(), "submit", config(t, "quickstart.yaml"), "--progress", "none", "--set", "train.steps=20", "--cluster", h.addresses[0]); code != 0 {
		t.Fatalf("submit: %s", stderr)
	}
	h.coordinators[0].signal(os.Kill)
	h.coordinators[0].wait()
	path := filepath.Join(h.dir, "c1", "raft", "raft.db")
	changeLog(t, path, `"submit"`)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, programs, h.dir, nil, "coordinator", "--config", filepath.Join(h.dir, "c1.yaml"))
	code := p.wait()
	lines := strings.Split(strings.TrimSpace(p.stderr.String()), "\n")
	last := lines[len(lines)-1]
	for _, words := range []string{path + " is damaged (entry ", filepath.Join(h.dir, "c1", "checkpoints"), "--resume"} {
		if code != 1 || !strings.Contains(last, words) {
			t.Errorf("exit code %d, %q does not say %q", code, last, words)
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the log was touched: %v", err)
	}
}
