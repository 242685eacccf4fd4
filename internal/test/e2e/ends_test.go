package e2e

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ringmaster/internal/launch"
)

// One command line serves however often a scheduler starts a run again: it begins where there is nothing yet, and every ordinary end
// (a lost terminal, a scheduler's warning, a pipe that nobody reads any more) leaves the checkpoint that the next start goes on from.
func TestOrdinaryEndsAndRequeues(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	summary := filepath.Join(t.TempDir(), "summary.json")
	args := []string{"launch", config(t, "quickstart.yaml"), "--dir", dir, "--resume", "--workers", "2", "--summary", summary, "--progress", "plain",
		"--set", "train.epochs=1000", "--set", "checkpoint.every_steps=0"}
	last := uint64(0)
	for i, end := range []syscall.Signal{syscall.SIGPIPE, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2} {
		cmd := exec.Command(filepath.Join(programs, "ringmaster"), args...)
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout = writer
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		writer.Close()
		if end != syscall.SIGPIPE {
			go func() { _, _ = io.Copy(io.Discard, reader) }()
		}
		l := &launched{process: &process{t: t, cmd: cmd, done: make(chan struct{})}, dir: dir, summary: summary}
		go func() {
			defer close(l.done)
			_ = cmd.Wait() // the exit code is read from the process's state
		}()
		l.until(func(s *launch.Status) bool { return s.Step > last+50 && s.State == "running" })
		if end == syscall.SIGPIPE {
			reader.Close()
		} else {
			l.signal(end)
			l.signal(end) // those come more than once
		}
		s := l.end(128 + int(end))
		if s.State != "interrupted" || s.Step <= last || len(s.Checkpoints) != 1 {
			t.Fatalf("ended by %v after step %d: %+v", end, last, s)
		}
		if began := strings.Contains(stderr.String(), "there is no folder "+dir+" yet"); began != (i == 0) {
			t.Errorf("launch %d says: %s", i, stderr.String())
		}
		last = s.Step
	}
}
