package e2e

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"ringmaster/internal/chaos"
)

// A few faults of every process, some while the cluster recovers from the one before, change no bit.
func TestChaos(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "chaos")
	code, out, stderr := run(t, t.TempDir(), "chaos", config(t, "quickstart.yaml"), "--dir", dir, "--faults", "10", "--seed", "3",
		"--set", "train.steps=1500", "--json")
	if code != 0 {
		t.Fatalf("exit code %d: %s\n%s", code, stderr, out)
	}
	var r chaos.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	if !r.Passed || r.Faults != 10 || r.LostSteps != 0 || !r.DigestsEqual || r.Seed != 3 || len(r.Problems) != 0 || r.Digest == "" {
		t.Errorf("%+v", r)
	}
	recoveries := 0
	for _, k := range r.Kinds {
		recoveries += k.Recoveries
	}
	if recoveries == 0 {
		t.Errorf("no fault was recovered from: %+v", r.Kinds)
	}
}

// One coordinator alone is killed and started again under a running job, and workers are killed while it is away.
func TestChaosWithOneCoordinator(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "chaos")
	code, out, stderr := run(t, t.TempDir(), "chaos", config(t, "quickstart.yaml"), "--dir", dir, "--faults", "5", "--coordinators", "1",
		"--kinds", "kill-worker,kill-coordinators", "--overlap", "0.7", "--set", "train.steps=1500")
	if code != 0 {
		t.Fatalf("exit code %d: %s\n%s", code, stderr, out)
	}
}

func TestChaosRefuses(t *testing.T) {
	file := config(t, "quickstart.yaml")
	for _, args := range [][]string{
		{"chaos", file, "--kinds", "kill-cat"},
		{"chaos", file, "--workers", "9"},
		{"chaos", file, "--faults", "0"},
		{"chaos", file, "--overlap", "2"},
		{"chaos", file, "--coordinators", "2"},
		{"chaos", file, "--workers", "1", "--coordinators", "1", "--kinds", "kill-leader"},
	} {
		if code, _, stderr := run(t, t.TempDir(), args...); code != 2 {
			t.Errorf("%v: exit code %d, want 2: %s", args, code, stderr)
		}
	}
}
