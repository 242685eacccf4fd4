package e2e

import (
	"strings"
	"testing"

	"ringmaster/internal/launch"
)

// Two jobs share three workers: the first one shrinks for one of a larger priority, which takes one worker. A worker of the first is killed. Both
// end with the bits that they have alone.
func TestJobsShareWorkers(t *testing.T) {
	file := config(t, "quickstart.yaml")
	want, urgent := reference(t), reference(t, "--set", "train.steps=40", "--set", "name=urgent")
	env, release := slowly(t)
	l := job{file: file, workers: 3, env: env}.start(t)
	address := l.step(20).Coordinators[0].Address
	code, _, stderr := run(t, t.TempDir(), "submit", file, "--cluster", address, "--detach", "--priority", "7",
		"--set", "train.steps=40", "--set", "name=urgent", "--set", "max_workers=1")
	if code != 0 {
		t.Fatal(stderr)
	}
	both := l.until(func(s *launch.Status) bool {
		return s.Job == "urgent" && s.Step > 0 && len(s.Others) == 1 && s.Others[0].State == "running" && s.Others[0].Workers == 2
	})
	if text := both.Table(); !strings.Contains(text, "\n"+want.Job+"  running  step ") || strings.Count(text, "for job "+want.Job) != 2 {
		t.Errorf("the status says:\n%s", text)
	}
	if code, _, stderr := run(t, t.TempDir(), "scale", "--workers", "1", "--dir", l.dir); code != 2 || !strings.Contains(stderr, "--job") {
		t.Errorf("scale without a job: exit code %d: %s", code, stderr)
	}
	for _, w := range both.Workers {
		if w.Job == want.Job {
			if err := kill(w.PID); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	l.until(func(s *launch.Status) bool { return len(s.Others) == 1 && s.Others[0].Workers == 1 })
	l.until(func(s *launch.Status) bool { return s.Job == want.Job })
	if second := l.jobs()["urgent"]; second.State != "done" || second.Digest != urgent.Digest {
		t.Errorf("the other job: %+v, want digest %s", second, urgent.Digest)
	}
	release()
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
