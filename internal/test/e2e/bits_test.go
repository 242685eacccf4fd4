package e2e

import (
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// ragged is a job whose epochs end in a batch of 8 samples for 28 places, with steps that reach over the end of the first
// epoch and its evaluation.
var ragged = []string{"--set", "train.batch_per_seat=7", "--set", "train.steps=760", "--set", "checkpoint.every_steps=300"}

// brief is short enough for the slowest kernels.
var brief = []string{"--set", "train.steps=30"}

// One job gives the same digests, losses and accuracies however it is run. (Other builds: internal/test/golden.)
func TestSameBits(t *testing.T) {
	file := config(t, "quickstart.yaml")
	want := reference(t, ragged...)
	if want.State != "done" || want.Step != 760 || want.Epoch != 2 || want.Samples != 20000+45*28 || len(want.Epochs) != 1 {
		t.Fatalf("the reference run came out as %+v", want)
	}
	for _, test := range []struct {
		name string
		job  job
	}{
		{"2 workers", job{workers: 2}},
		{"3 workers", job{workers: 3}},
		{"4 workers", job{workers: 4}},
		{"3 coordinators", job{workers: 2, args: []string{"--coordinators", "3"}}},
		{"2 threads", job{workers: 1, args: []string{"--threads", "2"}}},
		{"3 threads", job{workers: 2, args: []string{"--threads", "3"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.job.file = file
			test.job.args = append(test.job.args, ragged...)
			got := test.job.run(t, 0)
			if got.Digest != want.Digest || got.StateDigest != want.StateDigest || got.TrainLoss != want.TrainLoss ||
				!got.Eval.Same(want.Eval) || got.Epochs[0].TrainLoss != want.Epochs[0].TrainLoss || !got.Epochs[0].Eval.Same(want.Epochs[0].Eval) {
				t.Errorf("came out as\n%+v %+v\nwant\n%+v %+v", got, got.Eval, want, want.Eval)
			}
		})
	}
}

// Kernels of every kind that this machine has give the same bits.
func TestSameBitsWithEveryKernel(t *testing.T) {
	file := config(t, "quickstart.yaml")
	digest := ""
	for _, kernel := range []string{"", "go", "avx2", "avx512", "neon"} {
		l := job{file: file, args: brief, env: []string{"RINGMASTER_KERNEL=" + kernel}}.start(t)
		if code := l.wait(); code != 0 {
			if kernel == "" || kernel == "go" {
				t.Errorf("kernel %q: exit code %d: %s", kernel, code, l.stderr.String())
			}
			continue // this machine does not have it
		}
		got := readSummary(t, l.summary)
		if digest == "" {
			digest = got.Digest
		}
		if got.Digest != digest || got.Step != 30 {
			t.Errorf("kernel %q: digest %s after step %d, want %s", kernel, got.Digest, got.Step, digest)
		}
	}
}

// A job interrupted by Ctrl-C before its first step and at random moments, resumed with other numbers of workers each time,
// comes out as the one that was left alone.
func TestSameBitsAfterInterrupts(t *testing.T) {
	file := config(t, "quickstart.yaml")
	want := reference(t, ragged...)
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("RINGMASTER_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("RINGMASTER_TEST_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	j := job{file: file, dir: t.TempDir(), workers: 3, args: ragged}
	l := j.start(t)
	l.file("job.yaml")
	l.signal(os.Interrupt) // the processes are just being started
	if s := l.end(130); s.State != "interrupted" || s.Step != 0 || len(s.Checkpoints) != 1 {
		t.Fatalf("interrupted before the first step: %+v", s)
	}
	j.args = append([]string{"--resume"}, ragged...)
	last := uint64(0)
	for _, workers := range []int{1, 4, 2} {
		j.workers = workers
		l := j.start(t)
		l.step(last + 1 + r.Uint64N(200))
		l.signal([]os.Signal{os.Interrupt, syscall.SIGTERM}[workers%2])
		s := l.end(map[int]int{0: 130, 1: 143}[workers%2])
		if s.State != "interrupted" || s.Step <= last {
			t.Fatalf("resumed at step %d with %d workers and interrupted: %+v", last, workers, s)
		}
		last = s.Step
	}
	j.workers = 3
	got := j.run(t, 0)
	if got.State != "done" || got.Digest != want.Digest || got.StateDigest != want.StateDigest || !got.Eval.Same(want.Eval) || len(got.Epochs) != 1 ||
		got.Epochs[0].TrainLoss != want.Epochs[0].TrainLoss || got.Samples != want.Samples {
		t.Errorf("came out as\n%+v\nwant\n%+v", got, want)
	}
}
