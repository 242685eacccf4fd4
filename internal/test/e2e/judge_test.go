package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/launch"
)

// A job with accumulated micro-batches and an average of its weights stops early after the same epoch with the same bits, whatever is killed: the
// leading coordinator, a worker, all of them. The checkpoint of its best epoch stays across resumes, and commands take it.
func TestStopsEarlyWhateverIsKilled(t *testing.T) {
	file := config(t, "quickstart.yaml")
	args := []string{"--set", "train.epochs=20", "--set", "train.batch_per_seat=25", "--set", "train.accumulate=2", "--set", "train.optimizer.lr=0.02", "--set", "train.ema=0.95",
		"--set", "train.early_stop.patience=1", "--set", "checkpoint.keep_best=loss", "--set", "checkpoint.keep_last=1", "--set", "checkpoint.every_steps=30"}
	want := job{file: file, workers: 1, args: args}.run(t, 0)
	if n := len(want.Epochs); want.State != "done" || n < 3 || n >= 20 || want.Step != uint64(100*n) || !strings.HasPrefix(want.Reason, "stopped early: loss has been no better than ") {
		t.Fatalf("undisturbed it came out as %+v", want)
	}
	best := want.Step - 100

	j := job{file: file, workers: 3, dir: filepath.Join(t.TempDir(), "run"), args: append([]string{"--resume", "--coordinators", "3"}, args...)}
	l := j.start(t)
	s := l.step(120)
	for _, c := range s.Coordinators {
		if c.Leader {
			_ = kill(c.PID) // it may have lost the lead
		}
	}
	_ = kill(s.Workers[0].PID)
	l.step(best + 30)
	l.signal(syscall.SIGKILL)
	l.wait()
	j.workers = 2
	for range 2 { // the second time there is nothing left to do
		got := j.run(t, 0)
		if got.Digest != want.Digest || got.StateDigest != want.StateDigest || got.Step != want.Step || got.State != "done" || got.Reason != want.Reason || !reflect.DeepEqual(got.Epochs, want.Epochs) {
			t.Errorf("came out as %+v, want %+v", got, want)
		}
		keepBest := 0
		for _, c := range launch.CoordinatorIDs(3) {
			var steps []uint64
			entries, _ := os.ReadDir(launch.Directory(j.dir).Checkpoints(c))
			for _, e := range entries {
				if name, ok := checkpoint.ParseName(e.Name()); ok && (len(steps) == 0 || steps[len(steps)-1] != name.Step) {
					steps = append(steps, name.Step)
				}
			}
			switch {
			case slices.Equal(steps, []uint64{best, want.Step}):
				keepBest++
			case !slices.Equal(steps, []uint64{want.Step}):
				t.Errorf("coordinator %s keeps checkpoints at %v, want the best, %d, and the last", c, steps, best)
			}
		}
		if keepBest < 2 { // the one that was killed may not have had it before all were
			t.Errorf("%d coordinators keep the best checkpoint", keepBest)
		}
	}
	code, out, stderr := run(t, t.TempDir(), "eval", j.dir, "--best", "--json")
	var e struct {
		Step    uint64
		Weights string
		Loss    float64
	}
	if err := json.Unmarshal([]byte(out), &e); code != 0 || err != nil || e.Step != best || e.Weights != "ema" || e.Loss != float64(want.Epochs[best/100-1].Eval.Loss) {
		t.Errorf("eval --best: exit code %d, %v, %s%s", code, err, out, stderr)
	}
	target := filepath.Join(t.TempDir(), "model.safetensors")
	if code, out, stderr := run(t, t.TempDir(), "export", j.dir, "--best", "--out", target); code != 0 || !strings.Contains(out, "the average of the parameters after step") {
		t.Errorf("export --best: exit code %d, %s%s", code, out, stderr)
	}
	checkExport(t, target)
}
