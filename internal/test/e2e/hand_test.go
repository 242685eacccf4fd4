package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringmaster/internal/launch"
)

// hand is a cluster started by hand, as on several machines: daemons with files and flags.
type hand struct {
	t            *testing.T
	dir          string
	addresses    []string
	coordinators []*process
	workers      []*process
	env          []string // of workers
}

// byHand starts n coordinators, from files, with the workers still to come.
func byHand(t *testing.T, n int) *hand {
	t.Helper()
	h := &hand{t: t, dir: t.TempDir()}
	peers := ""
	for i := range n {
		h.addresses = append(h.addresses, freePort(t))
		peers += fmt.Sprintf("    c%d: %s\n", i+1, h.addresses[i])
	}
	for i := range n {
		file := filepath.Join(h.dir, fmt.Sprintf("c%d.yaml", i+1))
		text := fmt.Sprintf("id: c%d\nbind: %s\ndir: %s\npeers:\n%s", i+1, h.addresses[i], filepath.Join(h.dir, fmt.Sprintf("c%d", i+1)), peers)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		h.coordinators = append(h.coordinators, start(t, programs, h.dir, nil, "coordinator", "--config", file))
	}
	return h
}

// worker starts a worker in the folder cwd that knows one coordinator.
func (h *hand) worker(cwd, knows string) *process {
	h.t.Helper()
	id := fmt.Sprintf("w%d", len(h.workers)+1)
	p := start(h.t, programs, cwd, h.env, "worker", "--id", id, "--join", knows, "--threads", "1", "--dir", filepath.Join(h.dir, id))
	h.workers = append(h.workers, p)
	return p
}

func (h *hand) cluster() string { return strings.Join(h.addresses, ",") }

// until waits for a status of the cluster.
func (h *hand) until(ok func(*launch.Status) bool) *launch.Status {
	h.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if s := statusOf(h.t, "--cluster", h.cluster()); s != nil && ok(s) {
			return s
		}
	}
	for _, p := range append(h.coordinators, h.workers...) {
		h.t.Logf("%v:\n%s", p.cmd.Args, p.stderr.String())
	}
	h.t.Fatal("the status is not as wanted")
	return nil
}

// A cluster of three coordinators and two workers, each of which knows another coordinator, takes a job, is watched, and
// reaches the digest of a launch; a watcher that detaches does not disturb it; the next job runs on it as well.
func TestByHand(t *testing.T) {
	file := config(t, "quickstart.yaml")
	want := reference(t, ragged...)
	h := byHand(t, 3)
	h.worker(h.dir, h.addresses[1])
	h.worker(h.dir, h.addresses[2])
	s := h.until(func(s *launch.Status) bool { return len(s.Workers) == 2 })
	leaders := 0
	for _, c := range s.Coordinators {
		if c.Leader {
			leaders++
		}
	}
	if len(s.Coordinators) != 3 || leaders != 1 || s.Job != "" {
		t.Errorf("before the first job: %+v", s)
	}

	summary := filepath.Join(t.TempDir(), "summary.json")
	args := append([]string{"submit", file, "--workers", "2", "--summary", summary, "--progress", "plain"}, ragged...)
	p := start(t, programs, t.TempDir(), nil, "ringmaster", append(args, "--cluster", h.addresses[0])...)
	if code := p.wait(); code != 0 {
		t.Fatalf("submit: exit code %d: %s%s", code, p.stdout.String(), p.stderr.String())
	}
	if got := readSummary(t, summary); got.Digest != want.Digest || got.Workers != 2 || got.State != "done" {
		t.Errorf("came out as %+v, want digest %s", got, want.Digest)
	}

	// Another job; its watcher leaves.
	p = start(t, programs, t.TempDir(), nil, "ringmaster", append(args, "--cluster", h.addresses[2], "--set", "name=second", "--set", "seed=2")...)
	h.until(func(s *launch.Status) bool { return s.Job == "second" && s.State == "running" })
	p.signal(os.Interrupt)
	if code := p.wait(); code != 130 {
		t.Errorf("detached: exit code %d, want 130", code)
	}
	oneLine(t, p.stderr.String(), "the job goes on")
	if s := h.until(func(s *launch.Status) bool { return s.State != "running" }); s.State != "done" || s.Step != 760 {
		t.Errorf("the second job: %+v", s)
	}

	// All of them end when asked to.
	for _, d := range append(h.workers, h.coordinators...) {
		d.signal(syscall.SIGTERM)
		if code := d.wait(); code != 0 {
			t.Errorf("%v: exit code %d: %s", d.cmd.Args, code, d.stderr.String())
		}
	}
}

// A worker that has other data than the job was submitted with ends the job, named with its host and the file.
func TestOtherData(t *testing.T) {
	h := byHand(t, 1)
	here, there := t.TempDir(), t.TempDir()
	for dir, label := range map[string]byte{here: 9, there: 8} {
		if err := os.Rename(digits(t, 200, 200, label), filepath.Join(dir, "digits")); err != nil {
			t.Fatal(err)
		}
	}
	h.worker(here, h.addresses[0])
	h.worker(there, h.addresses[0])
	h.until(func(s *launch.Status) bool { return len(s.Workers) == 2 })
	file := filepath.Join(here, "job.yaml")
	if err := os.WriteFile(file, []byte("name: d\ndata: {kind: mnist, dir: digits}\ntrain: {steps: 100}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	summary := filepath.Join(t.TempDir(), "summary.json")
	p := start(t, programs, here, nil, "ringmaster", "submit", "job.yaml", "--workers", "2", "--cluster", h.addresses[0], "--summary", summary, "--progress", "none")
	if code := p.wait(); code != 1 {
		t.Errorf("exit code %d, want 1: %s", code, p.stdout.String())
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	oneLine(t, p.stderr.String(), "worker w2 on "+host, "labels-idx1-ubyte", "digits")
	if s := readSummary(t, summary); s.State != "failed" || !strings.Contains(s.Error, "w2") {
		t.Errorf("%+v", s)
	}
}

// A configuration that shows a mistake only on the worker's machine is the job's end too, with its message.
func TestDataMissingOnWorker(t *testing.T) {
	h := byHand(t, 1)
	here, there := t.TempDir(), t.TempDir()
	if err := os.Rename(digits(t, 200, 200, 9), filepath.Join(here, "digits")); err != nil {
		t.Fatal(err)
	}
	h.worker(there, h.addresses[0])
	p := start(t, programs, here, nil, "ringmaster", "submit", config(t, "mnist-mlp.yaml"), "--set", "data.dir=digits", "--cluster", h.addresses[0], "--progress", "none")
	if code := p.wait(); code != 1 {
		t.Errorf("exit code %d, want 1: %s", code, p.stdout.String())
	}
	oneLine(t, p.stderr.String(), "worker w1", "digits")
}

// The summary and the status have the fields that scripts depend on.
func TestJSONFields(t *testing.T) {
	l := job{file: config(t, "quickstart.yaml"), args: []string{"--set", "train.steps=200000"}}.start(t)
	s := l.until(func(s *launch.Status) bool { return s.State == "running" && s.Step > 0 })
	if len(s.Coordinators) != 1 || len(s.Workers) != 2 || s.Coordinators[0].PID == 0 || !s.Coordinators[0].Leader || s.Generation != 1 {
		t.Errorf("status %+v", s)
	}
	seats := 0
	for _, w := range s.Workers {
		if !alive(w.PID) || w.Host == "" || w.Address == "" || w.Arc == nil || w.State != "training" {
			t.Errorf("worker %+v", w)
			continue
		}
		seats += w.Arc[1] - w.Arc[0]
	}
	if seats != 4 {
		t.Errorf("the arcs hold %d seats, want 4", seats)
	}
	l.signal(os.Interrupt)
	l.end(130)
	text, err := os.ReadFile(l.summary)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"job", "state", "error", "seed", "seats", "step", "epoch", "samples", "digest", "state_digest", "train_loss", "eval", "epochs",
		"workers", "wall_s", "train_s", "samples_per_s", "views", "checkpoints"} {
		if _, ok := fields[name]; !ok {
			t.Errorf("the summary has no field %s: %s", name, text)
		}
	}
	for _, path := range fields["checkpoints"].([]any) {
		if _, err := os.Stat(path.(map[string]any)["path"].(string)); err != nil {
			t.Errorf("a checkpoint of the summary: %v", err)
		}
	}
}
