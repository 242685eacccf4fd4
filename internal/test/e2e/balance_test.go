package e2e

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ringmaster/internal/chaos"
	"ringmaster/internal/launch"
)

// uneven is a job of twelve seats whose steps take long enough for a worker's speed to show, and whose end changes no bit
// before it.
var uneven = []string{"--set", "seats=12", "--set", "model.layers=[784, 256, 256, 10]", "--set", "train.batch_per_seat=16",
	"--set", "train.schedule.horizon=1000000", "--set", "checkpoint.every_steps=100", "--threads", "1"}

// slow lets a worker run half of the time only, until the test ends or the function it returns is called.
func slow(t *testing.T, w launch.WorkerStatus) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var slowing sync.WaitGroup
	slowing.Go(func() {
		share, err := chaos.Throttle(ctx, int(w.PID), 5*time.Millisecond, 5*time.Millisecond)
		t.Logf("%s ran %.0f %% of the time (%v)", w.ID, 100*share, err)
	})
	end = func() { cancel(); slowing.Wait() }
	t.Cleanup(end)
	return end
}

// One of two workers runs half of the time only: seats move away from it, and the bits stay what they were.
func TestSlowWorker(t *testing.T) {
	file := config(t, "quickstart.yaml")
	l := job{file: file, args: append([]string{"--set", "train.steps=1000000"}, uneven...)}.start(t)
	end := slow(t, l.step(1).Workers[1])
	// How soon depends on what else this machine does.
	moved := l.until(func(s *launch.Status) bool {
		return len(s.Workers) == 2 && s.Workers[1].Arc != nil && s.Workers[1].Arc[1]-s.Workers[1].Arc[0] < 6
	})
	l.step(moved.Step + 50)
	end()
	l.signal(syscall.SIGINT)
	got := l.end(130)
	want := job{file: file, workers: 1, args: append([]string{"--set", "train.steps=" + strconv.FormatUint(got.Step, 10)}, uneven...)}.run(t, 0)
	if got.Digest != want.Digest || got.StateDigest != want.StateDigest {
		t.Errorf("after %d steps: digest %s, want %s", got.Step, got.Digest, want.Digest)
	}
	sameShares(t, got.Checkpoints[len(got.Checkpoints)-1].Path, want.Checkpoints[len(want.Checkpoints)-1].Path)
	for _, v := range got.Views[1:] {
		t.Logf("step %d: %s", v.Step, v.Reason)
		if v.Cause != "rebalanced" || v.LostSteps != 0 {
			t.Errorf("nobody was lost: view %+v", v)
		}
	}
}

// sameShares compares the files of two checkpoints, but for their manifests, which tell who wrote them when.
func sameShares(t *testing.T, got, want string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(want, "*"))
	if err != nil || len(files) < 12 {
		t.Fatalf("%s holds %d files: %v", want, len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		a, errA := os.ReadFile(file)
		b, errB := os.ReadFile(filepath.Join(got, name))
		if errA != nil || errB != nil || name != "manifest.json" && !bytes.Equal(a, b) {
			t.Errorf("%s: %d bytes differ from %d: %v, %v", name, len(b), len(a), errA, errB)
		}
	}
}

// With balance switched off nothing moves.
func TestSlowWorkerUnbalanced(t *testing.T) {
	l := job{file: config(t, "quickstart.yaml"), args: append([]string{"--set", "train.steps=400", "--set", "balance=false"}, uneven...)}.start(t)
	slow(t, l.step(1).Workers[1])
	if got := l.end(0); len(got.Views) != 1 {
		t.Errorf("views %+v", got.Views)
	}
}

// A job that needs two workers pauses when one of them is killed, says so, and goes on by itself when another one comes.
func TestMinWorkers(t *testing.T) {
	file := config(t, "quickstart.yaml")
	args := []string{"--set", "train.steps=1500", "--set", "min_workers=2"}
	l := job{file: file, args: args}.start(t)
	if err := kill(l.step(50).Workers[0].PID); err != nil {
		t.Fatal(err)
	}
	paused := l.until(func(s *launch.Status) bool { return s.State == "waiting" })
	if !strings.Contains(paused.Message, "min_workers is 2") || !strings.Contains(paused.Message, paused.Workers[0].ID) {
		t.Errorf("the pause's message is %q", paused.Message)
	}
	if code, _, stderr := run(t, t.TempDir(), "scale", "--workers", "1", "--dir", l.dir); code == 0 || !strings.Contains(stderr, "min_workers") {
		t.Errorf("scale below min_workers: exit code %d: %s", code, stderr)
	}
	if code, _, stderr := run(t, t.TempDir(), "scale", "--workers", "2", "--dir", l.dir); code != 0 {
		t.Fatalf("scale: exit code %d: %s", code, stderr)
	}
	got := l.end(0)
	want := reference(t, args[:2]...)
	if got.Digest != want.Digest || got.State != "done" {
		t.Errorf("came out as %+v, want digest %s", got, want.Digest)
	}
	code, _, stderr := run(t, t.TempDir(), "launch", file, "--workers", "1", "--set", "min_workers=2")
	if code != 2 {
		t.Errorf("launch below min_workers: exit code %d", code)
	}
	oneLine(t, stderr, "min_workers", "--workers 1")
}

// Memory that does not hold the gradients of all seats makes the job pause instead of piling them on the one worker that is
// left. A seat's gradient takes 6.5 MB here, the job about 90 MB beside them: one worker holds 8 of 12 seats.
func TestMemoryTooSmall(t *testing.T) {
	file := config(t, "quickstart.yaml")
	args := []string{"--set", "train.steps=60", "--set", "seats=12", "--set", "model.layers=[784, 2048, 10]", "--set", "train.batch_per_seat=16"}
	want := job{file: file, workers: 1, args: args}.run(t, 0)
	l := job{file: file, args: args, env: []string{"GOMEMLIMIT=144MiB"}}.start(t)
	if err := kill(l.step(5).Workers[0].PID); err != nil {
		t.Fatal(err)
	}
	paused := l.until(func(s *launch.Status) bool { return s.State == "waiting" })
	t.Log(paused.Message)
	if !strings.Contains(paused.Message, "the gradients of 12 seats do not fit into memory") || !strings.Contains(paused.Message, paused.Workers[0].ID) {
		t.Errorf("the pause's message is %q", paused.Message)
	}
	if code, _, stderr := run(t, t.TempDir(), "scale", "--workers", "2", "--dir", l.dir); code != 0 {
		t.Fatalf("scale: exit code %d: %s", code, stderr)
	}
	if got := l.end(0); got.Digest != want.Digest {
		t.Errorf("digest %s, want %s", got.Digest, want.Digest)
	}
}
