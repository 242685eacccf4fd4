package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	settings "ringmaster/internal/config"
	"ringmaster/internal/launch"
	"ringmaster/internal/machine"
)

// A job that no machine holds is refused with its sums before anything is started.
func TestLaunchTooLarge(t *testing.T) {
	if machine.Memory() == 0 {
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
}

// Workers whose memory does not hold the job say so before they take any, and Ctrl-C ends the wait.
func TestWorkersTooSmall(t *testing.T) {
	l := job{file: config(t, "quickstart.yaml"), args: []string{"--set", "model.layers=[784, 2048, 10]"}, env: []string{"GOMEMLIMIT=48MiB"}}.start(t)
	waits := l.until(func(s *launch.Status) bool {
		return strings.Contains(s.Message, "worker w1 on") && strings.Contains(s.Message, "worker w2 on")
	})
	for _, want := range []string{"0 of 2 are ready", "do not fit into memory", "holds 0 of them (of 48.0 MiB the job takes"} {
		if !strings.Contains(waits.Message, want) {
			t.Errorf("%q does not say %q", waits.Message, want)
		}
	}
	l.signal(os.Interrupt)
	if s := l.end(130); s.State != "interrupted" || s.Step != 0 {
		t.Errorf("came out as %+v", s)
	}
}

// One Ctrl-C ends a launch whose workers cannot be asked, here since the first step reads its data for hours: nothing is lost.
func TestInterruptBeforeTheFirstStep(t *testing.T) {
	faults := filepath.Join(t.TempDir(), "faults")
	if err := os.WriteFile(faults, []byte("read-delay 5h\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := job{file: config(t, "quickstart.yaml"), env: []string{settings.FaultsVariable + "=" + faults}}.start(t)
	pids := l.until(func(s *launch.Status) bool { return s.State == "running" && len(s.Workers) == 2 }).Workers
	l.signal(syscall.SIGINT)
	if s := l.end(130); s.State != "interrupted" || s.Step != 0 {
		t.Errorf("came out as %+v", s)
	}
	oneLine(t, l.stderr.String(), "interrupted before anything was trained")
	for _, w := range pids {
		if alive(w.PID) {
			t.Errorf("worker %s has outlived its launch", w.ID)
		}
	}
}
