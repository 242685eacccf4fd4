package e2e

import (
	"os"
	"strings"
	"testing"
)

// A new job begins from a run's weights: with the same bits on any cluster, and after an interruption without the run it began from.
func TestBeginFromARun(t *testing.T) {
	file := config(t, "quickstart.yaml")
	first := job{file: file, args: []string{"--set", "train.steps=30"}, workers: 1}.start(t)
	first.end(0)
	args := []string{"--set", "model.init=" + first.dir, "--set", "model.init_skip=[\"4\"]", "--set", "train.optimizer.lr=0.0005", "--set", "seed=9", "--set", "train.schedule.horizon=40"}
	until := func(steps string) []string { return append([]string{"--set", "train.steps=" + steps}, args...) }
	want := job{file: file, args: until("40"), workers: 1}.run(t, 0)
	resumed := job{file: file, args: until("20"), workers: 3}.start(t)
	resumed.end(0)
	if text := resumed.stdout.String(); !strings.Contains(text, "begins from 4 tensors of "+first.dir) || !strings.Contains(text, "from the seed: 4.weight, 4.bias") {
		t.Errorf("launch does not say what it begins from: %s", text)
	}
	code, _, stderr := run(t, t.TempDir(), append([]string{"launch", file, "--set", "model.layers=[784, 100, 10]", "--set", "model.init=" + first.dir}, "--set", "train.steps=1")...)
	if code != 2 || !strings.Contains(stderr, "tensor 0.weight has shape [128 784], the model wants [100 784]") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("weights of another model: exit code %d, %s", code, stderr)
	}
	if err := os.RemoveAll(first.dir); err != nil {
		t.Fatal(err)
	}
	got := job{file: file, dir: resumed.dir, args: append(until("40"), "--resume"), workers: 2}.run(t, 0)
	if got.Digest != want.Digest || got.StateDigest != want.StateDigest || got.Step != 40 {
		t.Errorf("resumed without the weights: %s at step %d, want %s", got.Digest, got.Step, want.Digest)
	}
	code, _, stderr = run(t, t.TempDir(), append([]string{"launch", file}, until("40")...)...)
	if code != 2 || !strings.Contains(stderr, "--set model.init") || !strings.Contains(stderr, "model.init: ") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("without the weights: exit code %d, %s", code, stderr)
	}
}
