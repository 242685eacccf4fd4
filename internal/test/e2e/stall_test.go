package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringmaster/internal/chaos"
	"ringmaster/internal/launch"
)

// A worker that is stopped for a moment is named by the status in JSON and as a table, by the leader's log and by the
// progress line, with what the others wait for; once it goes on, nobody is.
func TestStallNamesItsCulprit(t *testing.T) {
	file := config(t, "quickstart.yaml")
	want := job{file: file, workers: 1, args: []string{"--set", "train.steps=3000"}}.run(t, 0)
	l := job{file: file, args: []string{"--set", "train.steps=3000"}}.start(t)
	s := l.step(50)
	var victim launch.WorkerStatus
	for _, w := range s.Workers {
		if w.ID == "w2" {
			victim = w
		}
	}
	named := func() (*launch.StallStatus, string) {
		if err := syscall.Kill(int(victim.PID), syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		// The leader's patience ends after 1.5 s. On a busy machine the status may take long enough to be asked for.
		waking := time.AfterFunc(1300*time.Millisecond, func() { _ = syscall.Kill(int(victim.PID), syscall.SIGCONT) })
		defer waking.Stop()
		defer func() { _ = syscall.Kill(int(victim.PID), syscall.SIGCONT) }()
		for began := time.Now(); time.Since(began) < 1200*time.Millisecond; time.Sleep(10 * time.Millisecond) {
			s := statusOf(t, "--dir", l.dir)
			if s == nil || s.Stalled == nil || s.Stalled.Doing != "not answering" {
				continue
			}
			t.Logf("named after %v: %s", time.Since(began).Round(time.Millisecond), s.Stalled.Reason)
			_, table, _ := run(t, t.TempDir(), "status", "--dir", l.dir)
			return s.Stalled, table
		}
		return nil, ""
	}
	var stall *launch.StallStatus
	table := ""
	for range 3 { // the machine may be too busy for once
		if stall, table = named(); stall != nil {
			break
		}
		l.until(func(s *launch.Status) bool { return s.Stalled == nil && len(s.Workers) == 2 })
	}
	if stall == nil {
		t.Fatalf("nobody was named\n%s", l.logs())
	}
	if stall.Worker != "w2" || stall.Host != victim.Host || stall.Step < 50 || stall.Bucket == nil || stall.Chunk == nil || stall.SinceMs < 300 || stall.Slow {
		t.Errorf("%+v", stall)
	}
	clue := fmt.Sprintf("waiting for w2 on %s: not answering for ", victim.Host)
	if !strings.Contains(table, clue) {
		t.Errorf("the table does not name it:\n%s", table)
	}
	l.until(func(s *launch.Status) bool { return s.Stalled == nil && s.Step > stall.Step })
	if got := l.end(0); got.Digest != want.Digest {
		t.Errorf("digest %s, want %s", got.Digest, want.Digest)
	}
	if !strings.Contains(l.stdout.String(), clue) {
		t.Errorf("no progress line names it:\n%s", l.stdout.String())
	}
	log, err := os.ReadFile(filepath.Join(l.dir, "logs", "c1.log"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(log), clue) || !strings.Contains(string(log), "nobody holds the job up any more") {
		t.Errorf("the leader's log does not name it:\n%s", log)
	}
}

// Faults of all four kinds on real processes, shortly; "make stalls" does it at length. On a machine as busy as one that
// runs all tests every worker is slow at times, so only those faults are counted that stop the ring whatever else runs.
// No bit changes.
func TestStalledWorkersAreNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "chaos")
	_, out, stderr := run(t, t.TempDir(), "chaos", config(t, "quickstart.yaml"), "--dir", dir, "--stalls", "--faults", "6", "--seed", "23",
		"--workers", "2", "--coordinators", "1", "--set", "train.steps=3000", "--json")
	var r chaos.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%s: %v\n%s", out, err, stderr)
	}
	if !r.DigestsEqual || r.LostSteps != 0 || r.Attribution == nil || r.Attribution.Faults != 6 {
		t.Fatalf("%+v", r)
	}
	a, faults, right := r.Attribution, 0, 0
	t.Logf("%d of %d named rightly: %+v, wrong %q", a.Right, a.Faults, a.Kinds, a.Wrong)
	for _, k := range a.Kinds {
		if k.Kind != "all" && k.Kind != string(chaos.HalfSpeed) {
			faults, right = faults+k.Faults, right+k.Recoveries
		}
	}
	if faults < 3 || 2*right < faults {
		t.Errorf("%d of %d faults that stop the ring were named rightly", right, faults)
	}
}
