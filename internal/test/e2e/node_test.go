package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ringmaster/internal/launch"
	"ringmaster/internal/test/support"
)

// tasks starts the tasks of a Slurm job as srun does, each on a node of its own as far as it knows.
func tasks(t *testing.T, dir string, count, restarts int, env []string, args ...string) []*process {
	t.Helper()
	var out []*process
	for rank := range count {
		own := append([]string{"SLURM_JOB_ID=17", "SLURM_STEP_ID=0", fmt.Sprint("SLURM_NTASKS=", count), fmt.Sprint("SLURM_PROCID=", rank), fmt.Sprintf("SLURM_STEP_NODELIST=n[0-%d]", count-1),
			fmt.Sprint("SLURMD_NODENAME=n", rank), "SLURM_CPUS_PER_TASK=1", fmt.Sprint("SLURM_RESTART_COUNT=", restarts)}, env...)
		all := append([]string{"node", config(t, "quickstart.yaml"), "--dir", dir, "--interface", "lo", "--progress", "plain"}, args...)
		out = append(out, start(t, programs, t.TempDir(), own, "ringmaster", all...))
	}
	return out
}

// TestTasksOfASchedulerTrain trains on three tasks, one of which is killed with its coordinator, asks for the end of all, and goes on with two. The digest
// is that of an undisturbed run.
func TestTasksOfASchedulerTrain(t *testing.T) {
	t.Parallel()
	few := []string{"--set", "train.steps=300"}
	want := reference(t, few...).Digest
	dir := filepath.Join(t.TempDir(), "run")
	slow, release := slowly(t)
	first := tasks(t, dir, 3, 0, slow, few...)
	until := func(what string, ok func(s *launch.Status) bool) {
		t.Helper()
		support.Eventually(t, what, func() bool {
			text, err := os.ReadFile(filepath.Join(dir, "status.json"))
			var s launch.Status
			return err == nil && json.Unmarshal(text, &s) == nil && ok(&s)
		})
	}
	until("a step", func(s *launch.Status) bool { return s.Step > 0 })
	first[2].signal(syscall.SIGKILL)
	until("a step without the third", func(s *launch.Status) bool { return s.Generation > 1 && len(s.Workers) == 2 && s.Step > 0 })
	for _, p := range first[:2] {
		p.signal(syscall.SIGTERM)
	}
	release()
	for rank, p := range first[:2] {
		if code := p.wait(); code != 128+int(syscall.SIGTERM) {
			t.Errorf("task %d ended with %d: %s%s", rank, code, p.stdout.String(), p.stderr.String())
		}
	}
	second := tasks(t, dir, 2, 1, nil, few...)
	for rank, p := range second {
		if code := p.wait(); code != 0 {
			t.Errorf("task %d ended with %d: %s%s", rank, code, p.stdout.String(), p.stderr.String())
		}
	}
	if out := second[0].stdout.String(); !strings.Contains(out, want) || !strings.Contains(out, "going on from step") {
		t.Errorf("without %s:\n%s", want, out)
	}
}
