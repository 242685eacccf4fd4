package e2e

import (
	"strings"
	"syscall"
	"testing"

	"ringmaster/internal/launch"
)

// A scheduler's command has the job paused when it is asked to end, and goes on with the same job when it comes again.
func TestSubmittedOnce(t *testing.T) {
	file := config(t, "quickstart.yaml")
	want := reference(t)
	h := byHand(t, 1)
	var release func()
	h.env, release = slowly(t)
	submit := func() *process {
		return start(t, programs, t.TempDir(), nil, "ringmaster", "submit", file, "--cluster", h.cluster(), "--once", "4711", "--progress", "plain")
	}
	first := submit()
	h.worker(t.TempDir(), h.addresses[0])
	h.until(func(s *launch.Status) bool { return s.Step > 20 })
	first.signal(syscall.SIGTERM)
	if code := first.wait(); code != 143 || !strings.Contains(first.stderr.String(), "job "+want.Job+" is paused") {
		t.Errorf("asked to end: exit code %d, %s", code, first.stderr.String())
	}
	h.until(func(s *launch.Status) bool { return s.State == "paused" })
	release()
	again := submit()
	if code := again.wait(); code != 0 || !strings.Contains(again.stdout.String(), want.Digest) || !strings.Contains(again.stdout.String(), "it was paused; it goes on") {
		t.Errorf("again: exit code %d, %s%s", code, again.stdout.String(), again.stderr.String())
	}
	if third := submit(); third.wait() != 0 || !strings.Contains(third.stdout.String(), want.Digest) {
		t.Errorf("after its end: %s%s", third.stdout.String(), third.stderr.String())
	}
	_, list, _ := run(t, t.TempDir(), "jobs", "--cluster", h.cluster(), "--json")
	if n := strings.Count(list, `"id"`); n != 1 {
		t.Errorf("the cluster has %d jobs: %s", n, list)
	}
}
