package e2e

import (
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"ringmaster/internal/launch"
)

// The main job: four workers, one coordinator, the embedded digits. The first step runs soon, and the end tells how well
// it went and what to try next.
func TestQuickstart(t *testing.T) {
	l := job{file: config(t, "quickstart.yaml"), workers: 4}.start(t)
	s := l.end(0)
	if s.State != "done" || s.Eval == nil || s.Eval.Accuracy < 0.97 || s.Workers != 4 || s.SamplesPerS <= 0 || s.FirstStepS <= 0 {
		t.Errorf("came out as %+v", s)
	}
	t.Logf("accuracy %.4f, first step after %.2f s, %.0f samples/s, %.1f s", s.Eval.Accuracy, s.FirstStepS, s.SamplesPerS, s.WallS)
	out := l.stdout.String()
	for _, want := range []string{"epoch 1  train loss", "samples/s  4 workers", "left", "test accuracy", s.Digest, s.Checkpoints[len(s.Checkpoints)-1].Path, "ringmaster export"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output does not show %q:\n%s", want, out)
		}
	}
	if l.stderr.Len() > 0 {
		t.Errorf("stderr is not empty: %s", l.stderr.String())
	}
}

// MNIST reaches the accuracies of Keras.
func TestMNIST(t *testing.T) {
	if testing.Short() {
		t.Skip("three whole trainings")
	}
	dir, sum := data(t, "mnist"), 0.0
	var mu sync.Mutex
	t.Run("seeds", func(t *testing.T) {
		for seed := 1; seed <= 3; seed++ {
			t.Run(strconv.Itoa(seed), func(t *testing.T) {
				t.Parallel() // one worker and thread each: what they come to is the same for any number
				s := job{file: config(t, "mnist-mlp.yaml"), workers: 1, args: []string{"--threads", "1", "--set", "data.dir=" + dir, "--set", "seed=" + strconv.Itoa(seed)}}.run(t, 0)
				if s.Step != 9375 || s.Epoch != 5 || s.Samples != 300000 || len(s.Epochs) != 5 || s.Eval == nil || s.Eval.Accuracy < 0.970 {
					t.Errorf("came out as %+v", s)
				}
				if s.Eval != nil {
					t.Logf("accuracy %.4f, train loss %.4f, %.0f samples/s", s.Eval.Accuracy, s.TrainLoss, s.SamplesPerS)
					mu.Lock()
					defer mu.Unlock()
					sum += float64(s.Eval.Accuracy)
				}
			})
		}
	})
	if sum/3 < 0.974 {
		t.Errorf("the mean accuracy is %.4f, want 0.974", sum/3)
	}
}

// A worker killed in the middle of a run takes nothing with it: the others go on and reach the same bits.
func TestLostWorker(t *testing.T) {
	file := config(t, "quickstart.yaml")
	args := []string{"--set", "train.steps=1500"}
	want := reference(t, args...)
	l := job{file: file, workers: 3, args: args}.start(t)
	s := l.step(100)
	if err := kill(s.Workers[1].PID); err != nil {
		t.Fatal(err)
	}
	got := l.end(0)
	if got.Digest != want.Digest || got.State != "done" {
		t.Errorf("came out as %+v, want digest %s", got, want.Digest)
	}
	if n := len(got.Views); n < 2 || got.Views[n-1].Workers != 2 || got.Views[n-1].Cause != "worker lost" || !strings.Contains(got.Views[n-1].Reason, s.Workers[1].ID) {
		t.Errorf("views %+v", got.Views)
	}
}

// With all workers lost the job waits, says so, and goes on from the newest checkpoint as soon as others come.
func TestAllWorkersLost(t *testing.T) {
	file := config(t, "quickstart.yaml")
	args := []string{"--set", "train.steps=1500", "--set", "checkpoint.every_steps=100"}
	l := job{file: file, args: args}.start(t)
	l.until(func(s *launch.Status) bool {
		whole, _ := filepath.Glob(filepath.Join(l.dir, "coordinators", "c1", "checkpoints", "*", "manifest.json"))
		return len(whole) > 0
	})
	for _, w := range l.step(1).Workers {
		if err := kill(w.PID); err != nil {
			t.Fatal(err)
		}
	}
	l.until(func(s *launch.Status) bool { return strings.Contains(s.Message, "waiting") && len(s.Workers) == 0 })
	if code, _, stderr := run(t, t.TempDir(), "scale", "--workers", "2", "--dir", l.dir); code != 0 {
		t.Fatalf("scale: exit code %d: %s", code, stderr)
	}
	got := l.end(0)
	want := reference(t, args[:2]...) // saving changes no bit
	if got.Digest != want.Digest || got.State != "done" {
		t.Errorf("came out as %+v, want digest %s", got, want.Digest)
	}
}

// A folder's name may be of any bytes, though messages are UTF-8: workers report their sockets in it.
func TestFolderOfAnyName(t *testing.T) {
	file, args := config(t, "quickstart.yaml"), []string{"--set", "train.steps=20"}
	want := job{file: file, workers: 1, args: args}.run(t, 0)
	got := job{file: file, dir: filepath.Join(t.TempDir(), "caf\xe9"), args: args}.run(t, 0)
	if got.Digest != want.Digest || got.State != "done" {
		t.Errorf("came out as %+v, want digest %s", got, want.Digest)
	}
}
