package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/launch"
)

// However often a run is killed and resumed, its folder keeps what keep_last says, no half a checkpoint, no former launch's log, and
// the files that are not the run's own.
func TestKeepLastAcrossKills(t *testing.T) {
	file := config(t, "quickstart.yaml")
	args := []string{"--set", "train.steps=900", "--set", "checkpoint.every_steps=15", "--set", "checkpoint.keep_last=3"}
	want := job{file: file, workers: 1, args: args}.run(t, 0)
	j := job{file: file, dir: filepath.Join(t.TempDir(), "run"), args: append([]string{"--resume", "--coordinators", "3"}, args...)}
	notes := filepath.Join(j.dir, "coordinators", "c1", "checkpoints", "notes.txt")
	for k := range 2 {
		l := j.start(t)
		l.step(uint64(150 * (k + 1)))
		l.signal(syscall.SIGKILL)
		l.wait()
		if k == 0 {
			if err := os.WriteFile(notes, []byte("mine"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	l := j.start(t)
	if got := l.end(0); got.Digest != want.Digest || got.State != "done" {
		t.Errorf("came out as %+v, want digest %s", got, want.Digest)
	}
	if said := l.stdout.String(); !strings.Contains(said, "deleted the coordinators' logs of earlier launches (1) from ") {
		t.Errorf("it did not say what it deleted: %s", said)
	}
	for _, c := range launch.CoordinatorIDs(3) {
		entries, err := os.ReadDir(launch.Directory(j.dir).Checkpoints(c))
		if err != nil {
			t.Fatal(err)
		}
		held := 0
		for _, e := range entries {
			if _, ok := checkpoint.ParseName(e.Name()); ok {
				held++
			}
		}
		logs, _ := filepath.Glob(filepath.Join(j.dir, "coordinators", c, "raft-*"))
		if held > 3 || held < 1 || len(logs) != 1 {
			t.Errorf("coordinator %s keeps %d checkpoints and the logs %v: %v", c, held, logs, entries)
		}
	}
	if _, err := os.Stat(notes); err != nil {
		t.Error(err)
	}
}
