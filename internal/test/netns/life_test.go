//go:build netns

package netns

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Machines come up in any order: workers long before coordinators, and one coordinator long before the others.
func TestAnyStartOrder(t *testing.T) {
	t.Parallel()
	want, err := undisturbed(steps)
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, rate)
	c.start(c.workers...)
	time.Sleep(5 * time.Second)
	c.start(c.coordinators[2])
	time.Sleep(3 * time.Second)
	c.start(c.coordinators[:2]...)
	began := time.Now()
	c.leader()
	led := time.Since(began)
	j := c.submit(jobFile, jobSets(steps)...)
	j.reach(1, patience)
	t.Logf("a leader after %v, the first step after %v", led.Round(100*time.Millisecond), time.Since(began).Round(100*time.Millisecond))
	s := j.end(afterwards)
	check(t, c, j, s, steps, want)
	if len(s.Views) == 0 || s.Views[0].Workers != len(c.workers) {
		t.Errorf("not all workers came: %s", views(s))
	}
}

// A worker that is asked to end leaves between two steps: no step is lost, and the process ends by itself.
func TestAWorkerThatIsAskedToEndLosesNoStep(t *testing.T) {
	t.Parallel()
	want, err := undisturbed(steps)
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, rate)
	c.start(slices.Concat(c.coordinators, c.workers)...)
	c.leader()
	j := c.submit(jobFile, jobSets(steps)...)
	j.reach(60, patience)
	w := c.workers[2]
	began := time.Now()
	c.signal(w, syscall.SIGTERM)
	code, ok := w.proc.ended(patience)
	t.Logf("left after %v", time.Since(began).Round(time.Millisecond))
	if !ok || code != 0 {
		t.Errorf("%s ended: %v, exit code %d\n%s", w.id, ok, code, c.log(w))
	}
	s := j.end(afterwards)
	check(t, c, j, s, steps, want)
	last := s.Views[len(s.Views)-1]
	if last.Cause != "left" || last.Workers != len(c.workers)-1 || !strings.Contains(last.Reason, w.id) {
		t.Errorf("the last view does not say that %s left: %s", w.id, views(s))
	}
}

// A worker whose advertised address is another machine's does not come up, and says why at once.
func TestWrongAdvertise(t *testing.T) {
	t.Parallel()
	c := newCluster(t, rate)
	c.start(c.coordinators...)
	c.leader()
	w, other := c.workers[0], c.coordinators[1]
	w.args[slices.Index(w.args, "--advertise")+1] = other.address()
	c.start(w)
	code, ok := w.proc.ended(patience)
	if log := c.log(w); !ok || code == 0 || !strings.Contains(log, other.address()) || !strings.Contains(log, "does not lead back to this process") {
		t.Errorf("%s ended: %v, exit code %d; its log does not name %s:\n%s", w.id, ok, code, other.address(), log)
	}
}
