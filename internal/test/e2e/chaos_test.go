package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringmaster/internal/chaos"
)

// A few faults of every process, some while the cluster recovers from the one before, change no bit.
func TestFaultsChangeNoBit(t *testing.T) {
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

// What cannot be done is refused in one line before anything is announced or made.
func TestChaosRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "job.yaml")
	if err := os.WriteFile(file, []byte("data: {kind: mnist, dir: nowhere}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	quick := config(t, "quickstart.yaml")
	for _, test := range []struct{ args, want string }{
		{quick + " --faults 0", "--faults must be at least 1"},
		{quick + " --kinds kill-cat", `no fault is of the kind "kill-cat"; there are kill-worker`},
		{quick + " --kinds kill-leader --workers 1 --coordinators 1", "kill-leader"},
		{quick + " --workers 9", "--workers 9 must be 1 to the job's seats: 4"},
		{quick + " --overlap 2", "--overlap must be 0 to 1, not 2"},
		{quick + " --coordinators 2", "--coordinators must be 1, 3 or 5, not 2"},
		{quick + " --threads 0", "--threads must be from 1"},
		{file, "data folder nowhere does not exist"},
	} {
		dir := t.TempDir()
		code, out, stderr := run(t, dir, append([]string{"chaos"}, strings.Fields(test.args)...)...)
		if code != 2 || out != "" {
			t.Errorf("chaos %s: exit code %d, stdout %q", test.args, code, out)
		}
		oneLine(t, stderr, test.want)
		if left, err := filepath.Glob(filepath.Join(dir, "runs", "*")); err != nil || len(left) > 0 {
			t.Errorf("chaos %s leaves %v, %v", test.args, left, err)
		}
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
