package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringmaster/internal/launch"
)

// ask runs a subcommand of jobs on a launch's cluster.
func (l *launched) ask(args ...string) string {
	l.t.Helper()
	code, out, stderr := run(l.t, l.t.TempDir(), append(append([]string{"jobs"}, args...), "--dir", l.dir)...)
	if code != 0 {
		l.t.Fatalf("jobs %v: exit code %d: %s", args, code, stderr)
	}
	return out
}

// listed is a job as ringmaster jobs --json tells it.
type listed struct {
	ID, State, Digest string
	Place, Steps      int
}

// jobs are the cluster's jobs by their ids.
func (l *launched) jobs() map[string]listed {
	l.t.Helper()
	var all []listed
	if err := json.Unmarshal([]byte(l.ask("list", "--json")), &all); err != nil {
		l.t.Fatal(err)
	}
	byID := map[string]listed{}
	for _, j := range all {
		byID[j.ID] = j
	}
	return byID
}

// A job is paused, resumed, put off by one of a larger priority while all its workers are killed, and ends with the bits of one that nobody
// touched. So does the other one.
func TestPausedAndPutOff(t *testing.T) {
	file := config(t, "quickstart.yaml")
	want, urgent := reference(t), reference(t, "--set", "train.steps=300", "--set", "name=urgent")

	env, release := slowly(t)
	l := job{file: file, workers: 2, env: env}.start(t)
	l.step(20)
	if out := l.ask("save", want.Job); !strings.Contains(out, want.Job+": saved step-") || !strings.Contains(l.ask("show", want.Job), strings.Fields(out)[2]) {
		t.Errorf("save: %q", out)
	}
	for _, of := range []string{want.Job, "c1", "w2"} {
		out := l.ask("logs", of, "--tail", "5")
		prefix := map[bool]string{true: "w1: time=", false: "time="}[of == want.Job]
		if !strings.Contains("\n"+out, "\n"+prefix) || strings.Count(out, "\n") > 10 {
			t.Errorf("the log of %s: %q", of, out)
		}
	}
	if code, _, stderr := run(t, t.TempDir(), "jobs", "logs", "w9", "--dir", l.dir); code != 2 || !strings.Contains(stderr, "no job w9 there") {
		t.Errorf("the log of nobody: exit code %d, %s", code, stderr)
	}
	l.ask("pause", want.Job)
	paused := l.until(func(s *launch.Status) bool { return s.State == "paused" })
	if len(paused.Workers) != 2 || !strings.Contains(paused.Message, "jobs resume "+want.Job) {
		t.Errorf("paused: %d workers, message %q", len(paused.Workers), paused.Message)
	}
	l.ask("resume", want.Job)
	l.step(paused.Step + 20)

	code, says, stderr := run(t, t.TempDir(), "submit", file, "--cluster", paused.Coordinators[0].Address, "--dry-run", "--priority", "7")
	if code != 0 || !strings.Contains(says, "the workers there hold all seats") || !strings.Contains(says, "job "+want.Job+" would save a checkpoint and make way") || len(l.jobs()) != 1 {
		t.Errorf("dry run: exit code %d, %q, %s", code, says, stderr)
	}
	code, id, stderr := run(t, t.TempDir(), "submit", file, "--cluster", paused.Coordinators[0].Address, "--detach", "--priority", "7",
		"--set", "train.steps=300", "--set", "name=urgent")
	if code != 0 || strings.TrimSpace(id) != "urgent" {
		t.Fatalf("submit: exit code %d, id %q: %s", code, id, stderr)
	}
	other := l.until(func(s *launch.Status) bool { return s.Job == "urgent" && s.Step > 0 })
	if first, second := l.jobs()[want.Job], l.jobs()["urgent"]; first.State != "queued" || first.Place != 1 || second.State != "running" || second.Steps != 300 {
		t.Errorf("%+v, %+v", first, second)
	}
	if err := kill(int64(other.Workers[0].PID)); err != nil {
		t.Fatal(err)
	}
	release()
	l.until(func(s *launch.Status) bool { return s.Job == want.Job && s.State == "running" })
	if second := l.jobs()["urgent"]; second.State != "done" || second.Digest != urgent.Digest {
		t.Errorf("the other job: %+v, want digest %s", second, urgent.Digest)
	}
	told := filepath.Join(t.TempDir(), "told")
	if code, says, stderr := run(t, t.TempDir(), "jobs", "follow", "urgent", "--progress", "none", "--dir", l.dir, "--on-event", `echo "$RINGMASTER_EVENT $RINGMASTER_JOB" >> `+told); code != 0 || !strings.Contains(says, urgent.Digest) {
		t.Errorf("follow: exit code %d, %q, %s", code, says, stderr)
	}
	if events, err := os.ReadFile(told); err != nil || !strings.HasSuffix(string(events), "finished urgent\n") {
		t.Errorf("told of %q, %v", events, err)
	}
	if code, _, stderr := run(t, t.TempDir(), "jobs", "follow", "urgent", "--records", l.dir, "--dir", l.dir); code != 2 || !strings.Contains(stderr, "holds a run") {
		t.Errorf("records in a run's folder: exit code %d, %s", code, stderr)
	}
	got := l.end(0)
	if got.Digest != want.Digest || got.StateDigest != want.StateDigest {
		t.Errorf("digest %s, want %s", got.Digest, want.Digest)
	}
	for _, v := range got.Views {
		if v.LostSteps != 0 {
			t.Errorf("view %+v", v)
		}
	}
}

func TestJobsRefuse(t *testing.T) {
	l := job{file: config(t, "quickstart.yaml"), args: []string{"--set", "train.steps=200000"}}.start(t)
	address := l.step(1).Coordinators[0].Address
	for range 2 {
		if code, _, stderr := run(t, t.TempDir(), "submit", config(t, "quickstart.yaml"), "--cluster", address, "--detach", "--set", "name=twice"); code != 0 {
			t.Fatal(stderr)
		}
	}
	l.ask("cancel", "twice-2")
	l.ask("stop", "twice")
	for _, c := range []struct {
		code  int
		args  []string
		words []string
	}{
		{2, []string{"show", "nobody", "--dir", l.dir}, []string{"no job nobody"}},
		{2, []string{"priority", "quickstart", "much", "--dir", l.dir}, []string{"much", "-1000 to 1000"}},
		{2, []string{"priority", "quickstart", "5000", "--dir", l.dir}, []string{"5000", "-1000 to 1000"}},
		{1, []string{"pause", "twice", "--dir", l.dir}, []string{"twice", "interrupted"}},
		{1, []string{"resume", "twice-2", "--dir", l.dir}, []string{"twice-2", "cancelled"}},
		{2, []string{"pause", "--dir", l.dir}, []string{"JOB"}},
		{2, []string{"list", "--cluster", "nowhere"}, []string{"--cluster"}},
		{3, []string{"list", "--cluster", freePort(t)}, []string{"no coordinator answers"}},
		{3, []string{"list", "--dir", t.TempDir()}, []string{"no cluster is up"}},
	} {
		code, _, stderr := run(t, t.TempDir(), append([]string{"jobs"}, c.args...)...)
		if code != c.code {
			t.Errorf("jobs %v: exit code %d, want %d", c.args, code, c.code)
		}
		oneLine(t, stderr, c.words...)
	}
	l.ask("stop", "quickstart")
	if got := l.end(1); got.State != launch.StateInterrupted || len(got.Checkpoints) == 0 {
		t.Errorf("stopped: %s with %d checkpoints", got.State, len(got.Checkpoints))
	}
}
