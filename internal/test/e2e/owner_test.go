package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ringmaster/internal/launch"
)

// While a launch trains in a folder another one is refused and disturbs nothing. The folder is free as soon as the launch has been
// killed, though its processes may not have ended yet.
func TestFolderOfALaunchThatRuns(t *testing.T) {
	file := config(t, "quickstart.yaml")
	args := []string{"--set", "train.steps=600", "--set", "checkpoint.every_steps=20"}
	env, _ := slowly(t)
	first := job{file: file, args: args, env: env}.start(t)
	first.step(30)
	for _, again := range [][]string{{"--resume"}, nil} {
		code, _, stderr := run(t, t.TempDir(), append(append([]string{"launch", file, "--dir", first.dir}, args...), again...)...)
		if code != 2 {
			t.Errorf("a second launch %v: exit code %d, want 2", again, code)
		}
		word := "holds a run already"
		if again != nil {
			word = fmt.Sprintf("is being trained by process %d", first.cmd.Process.Pid)
		}
		oneLine(t, stderr, first.dir, word)
	}
	first.until(func(*launch.Status) bool {
		whole, _ := filepath.Glob(filepath.Join(first.dir, "coordinators", "c1", "checkpoints", "*", "manifest.json"))
		return len(whole) > 0
	})
	first.signal(syscall.SIGKILL)
	first.wait()
	second := job{file: file, dir: first.dir, args: append(args, "--resume")}.start(t)
	if s := second.end(0); s.State != "done" || s.Step != 600 {
		t.Errorf("came out as %+v", s)
	}
}

// A worker or coordinator that lives is not put out by another one of its name or in its folder; one that was killed is replaced at once.
func TestNamesakes(t *testing.T) {
	h := byHand(t, 1)
	first := h.worker(h.dir, h.addresses[0])
	h.until(func(s *launch.Status) bool { return len(s.Workers) == 1 })
	worker := func(dir string) *process {
		return start(t, programs, t.TempDir(), nil, "worker", "--id", "w1", "--join", h.addresses[0], "--threads", "1", "--dir", dir)
	}
	inUse := fmt.Sprintf("is in use by process %d", first.cmd.Process.Pid)
	for _, test := range []struct {
		what  string
		p     *process
		code  int
		words string
	}{
		{"a worker of the same id", worker(t.TempDir()), 1, fmt.Sprintf("worker w1 is process %d on host ", first.cmd.Process.Pid)},
		{"a worker in the same folder", worker(filepath.Join(h.dir, "w1")), 2, inUse},
		{"a coordinator in the worker's folder", start(t, programs, t.TempDir(), nil, "coordinator", "--id", "c9", "--bind", freePort(t), "--dir", filepath.Join(h.dir, "w1")), 2, inUse},
		{"a coordinator in the coordinator's folder", start(t, programs, t.TempDir(), nil, "coordinator", "--id", "c1", "--bind", freePort(t), "--dir", filepath.Join(h.dir, "c1")), 2,
			fmt.Sprintf("is in use by process %d", h.coordinators[0].cmd.Process.Pid)},
	} {
		if code := test.p.wait(); code != test.code || !strings.Contains(test.p.stderr.String(), test.words) {
			t.Errorf("%s: exit code %d, want %d and %q: %s", test.what, code, test.code, test.words, test.p.stderr.String())
		}
	}
	if s := h.until(func(s *launch.Status) bool { return len(s.Workers) == 1 }); s.Workers[0].PID != int64(first.cmd.Process.Pid) {
		t.Errorf("worker w1 is process %d now", s.Workers[0].PID)
	}

	first.signal(os.Kill)
	first.wait()
	again := worker(filepath.Join(h.dir, "w1"))
	h.until(func(s *launch.Status) bool {
		return len(s.Workers) == 1 && s.Workers[0].PID == int64(again.cmd.Process.Pid)
	})
}
