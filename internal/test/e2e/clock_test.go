package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/launch"
)

// watched is longer than a connection may be quiet before it is asked, and the other end may take to answer.
const watched = 5 * time.Second

// The wall clocks of a worker and of the leading coordinator jump by an hour and by a year, forward and back, while a job trains: no
// view changes, nothing is lost, and the digest is that of a run whose clocks go right.
func TestWallClockJumps(t *testing.T) {
	t.Parallel() // it waits most of the time
	args := func(steps uint64, more ...string) []string {
		return append(more, "--set", "train.steps="+strconv.FormatUint(steps, 10), "--set", "train.schedule.horizon=100000", "--set", "checkpoint.every_steps=20")
	}
	env, _ := slowly(t)
	l := job{file: config(t, "quickstart.yaml"), args: args(100_000, "--coordinators", "3"), env: env}.start(t)
	s := l.step(5)
	worker := wallClockOf(t, s.Workers[0].PID, filepath.Join(programs, "worker"))
	leader := wallClockOf(t, leading(t, s).PID, filepath.Join(programs, "coordinator"))
	const hour, year = time.Hour, 365 * 24 * time.Hour
	// For the worker an hour forward, a year back, a year forward and an hour back; for the leader the other way round.
	for _, at := range []time.Duration{hour, hour - year, hour, 0} {
		worker.set(at)
		leader.set(-at)
		time.Sleep(watched) // something would happen now
		began := l.step(0)
		if s := l.step(began.Step + 10); s.Generation != 1 || s.State != "running" {
			t.Errorf("with the clocks %v ahead and behind: %+v", at, s)
		}
	}
	worker.set(-year)
	leader.set(year)
	l.signal(os.Interrupt)
	got := l.end(130)
	if len(got.Views) != 1 || len(got.Checkpoints) == 0 {
		t.Errorf("came out as %+v", got)
	}
	for name, shift := range map[string]time.Duration{s.Workers[0].ID: -year, leading(t, s).ID: year} {
		log, err := os.ReadFile(filepath.Join(l.dir, "logs", name+".log"))
		if err != nil || !strings.Contains(string(log), "\ntime="+time.Now().Add(shift).Format("2006-")) {
			t.Errorf("the log of %s shows no time that is %v away (%v):\n%s", name, shift, err, log)
		}
	}
	want := job{file: config(t, "quickstart.yaml"), args: args(got.Step)}.run(t, 0)
	if got.Digest != want.Digest || got.StateDigest != want.StateDigest {
		t.Errorf("came out as %+v, want digest %s", got, want.Digest)
	}
}

// leading is the coordinator that leads.
func leading(t *testing.T, s *launch.Status) launch.CoordinatorStatus {
	t.Helper()
	for _, c := range s.Coordinators {
		if c.Leader {
			return c
		}
	}
	t.Fatalf("none leads: %+v", s)
	return launch.CoordinatorStatus{}
}
