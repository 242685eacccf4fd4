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
	"ringmaster/internal/test/support"
)

// One command line serves however often a scheduler starts a run again: it begins where there is nothing yet, and every ordinary end
// (a lost terminal, a scheduler's warning, a pipe that nobody reads any more) leaves the checkpoint that the next start goes on from.
func TestOrdinaryEndsAndRequeues(t *testing.T) {
	support.Attentive(t)
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

// A checkpoint that cannot be stored, here because of a limit on the size of files, is told of while training goes on, and a signal ends the
// launch with the reason.
func TestUnsavedCheckpoint(t *testing.T) {
	limited := filepath.Join(t.TempDir(), "ringmaster")
	script := "#!/bin/bash\nulimit -f 500 && exec " + filepath.Join(programs, "ringmaster") + " \"$@\"\n" // KiB; a share has more
	if err := os.WriteFile(limited, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	j := job{file: config(t, "quickstart.yaml"), bin: filepath.Dir(limited), args: []string{"--set", "train.epochs=1000", "--set", "checkpoint.every_steps=50"}}
	l := j.start(t)
	s := l.until(func(s *launch.Status) bool { return len(s.Unsaved) > 0 })
	if u := s.Unsaved[0]; u.ID != "c1" || u.Worker || !u.Blocking || u.Step == 0 || !strings.Contains(u.Reason, "ulimit -f") {
		t.Errorf("unsaved: %+v", u)
	}
	l.step(s.Step + 200)
	l.signal(syscall.SIGTERM)
	end := l.end(143)
	if end.State != "interrupted" || len(end.Unsaved) == 0 || !strings.Contains(end.Error, "coordinator c1 cannot store the checkpoint") || len(end.Checkpoints) != 0 {
		t.Errorf("ended as %+v", end)
	}
	for what, text := range map[string]string{"stdout": l.stdout.String(), "stderr": l.stderr.String()} {
		if !strings.Contains(text, "coordinator c1 cannot store the checkpoint") {
			t.Errorf("%s says nothing of it: %s", what, text)
		}
	}
}
