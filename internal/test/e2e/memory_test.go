package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ringmaster/internal/host"
	"ringmaster/internal/launch"
)

// A job that no machine holds is refused with its sums before anything is started.
func TestLaunchTooLarge(t *testing.T) {
	if host.Memory() == 0 {
		t.Skip("needs to know the machine's memory")
	}
	dir := t.TempDir()
	code, out, stderr := run(t, dir, "launch", config(t, "quickstart.yaml"), "--set", "model.layers=[784, 32768, 60000, 10]", "--set", "seats=1024")
	if code != 2 || out != "" {
		t.Errorf("exit code %d, want 2; stdout %q", code, out)
	}
	oneLine(t, stderr, "quickstart.yaml:", "does not fit into memory", "on this machine", "each of 1024 seats", "smaller model")
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("something was left behind: %v, %v", left, err)
	}
	t.Setenv("GOMEMLIMIT", "32MiB")
	code, _, stderr = run(t, dir, "launch", config(t, "quickstart.yaml"), "--set", "model.layers=[784, 2048, 10]")
	if code != 2 {
		t.Errorf("workers that may not use enough: exit code %d, want 2", code)
	}
	oneLine(t, stderr, "does not fit into memory", "GOMEMLIMIT 32.0 MiB", "raise that")
}

// Workers whose memory does not hold the job and its data say so before they take any, and Ctrl-C ends the wait.
func TestWorkersTooSmall(t *testing.T) {
	l := job{file: config(t, "quickstart.yaml"), args: []string{"--set", "model.layers=[784, 2048, 10]"}, env: []string{"GOMEMLIMIT=64MiB"}}.start(t)
	waits := l.until(func(s *launch.Status) bool {
		return strings.Contains(s.Message, "worker w1 on") && strings.Contains(s.Message, "worker w2 on")
	})
	for _, want := range []string{"0 of 2 ready", "do not fit into memory", "holds 0 of them (of 64.0 MiB the job takes"} {
		if !strings.Contains(waits.Message, want) {
			t.Errorf("%q does not say %q", waits.Message, want)
		}
	}
	l.signal(os.Interrupt)
	if s := l.end(130); s.State != "interrupted" || s.Step != 0 {
		t.Errorf("came out as %+v", s)
	}
}

// One Ctrl-C ends a launch whose workers are not ready for long, here since their disk is slow. Nothing is lost: resuming begins at
// step 0.
func TestInterruptBeforeWorkersAreReady(t *testing.T) {
	folder := t.TempDir()
	file, slow := config(t, "quickstart.yaml"), filepath.Join(folder, "faults")
	if err := os.WriteFile(slow, []byte("open-delay 1h\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	j := job{file: file, dir: filepath.Join(folder, "run"), args: []string{"--set", "train.steps=20"}, env: []string{"RINGMASTER_FAULTS=" + slow}}
	l := j.start(t)
	workers := l.until(func(s *launch.Status) bool { return len(s.Workers) == 2 && s.State == "waiting" }).Workers
	l.signal(syscall.SIGINT)
	if s := l.end(130); s.State != "interrupted" || s.Step != 0 {
		t.Errorf("came out as %+v", s)
	}
	oneLine(t, l.stderr.String(), "interrupted before the workers were ready", "--resume")
	for _, w := range workers {
		if alive(w.PID) {
			t.Errorf("worker %s has outlived its launch", w.ID)
		}
	}
	want := job{file: file, workers: 1, args: j.args}.run(t, 0)
	j.args, j.env = append(j.args, "--resume"), nil
	again := j.start(t)
	got := again.end(0)
	oneLine(t, again.stderr.String(), "nothing has been trained", "begins at step 0")
	if got.Digest != want.Digest || got.Step != 20 {
		t.Errorf("resumed: %+v, want digest %s", got, want.Digest)
	}
	// A job that has been trained is not restarted by accident.
	if err := os.RemoveAll(filepath.Join(j.dir, "coordinators")); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := run(t, t.TempDir(), "launch", file, "--set", "train.steps=20", "--dir", j.dir, "--resume")
	if code != 2 {
		t.Errorf("resumed without its checkpoints: exit code %d", code)
	}
	oneLine(t, stderr, "no checkpoint in", j.dir)
}
