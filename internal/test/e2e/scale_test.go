package e2e

import (
	"strconv"
	"strings"
	"syscall"
	"testing"

	"ringmaster/internal/launch"
)

// One, four, two, three workers within one run, asked for by a person: same bits, and processes to match.
func TestScalingChangesProcessesAndNoBit(t *testing.T) {
	file := config(t, "quickstart.yaml")
	want := reference(t)
	env, release := slowly(t)
	l := job{file: file, workers: 1, env: env}.start(t)
	l.step(50)
	for _, n := range []int{4, 2, 3} {
		code, out, stderr := run(t, t.TempDir(), "scale", "--workers", strconv.Itoa(n), "--dir", l.dir)
		if code != 0 || !strings.Contains(out, strconv.Itoa(n)+" workers") {
			t.Fatalf("scale to %d: exit code %d: %s%s", n, code, out, stderr)
		}
		l.until(func(s *launch.Status) bool {
			seated := 0
			for _, w := range s.Workers {
				if w.Arc != nil {
					seated++
				}
			}
			return seated == n && len(s.Workers) == n
		})
	}
	release()
	got := l.end(0)
	if got.Digest != want.Digest || got.StateDigest != want.StateDigest {
		t.Errorf("digest %s, want %s", got.Digest, want.Digest)
	}
	sizes := map[int]bool{}
	for _, v := range got.Views {
		sizes[v.Workers] = true
		if v.LostSteps != 0 || v.Cause == "worker lost" {
			t.Errorf("view %+v", v)
		}
	}
	for _, n := range []int{1, 4, 2, 3} {
		if !sizes[n] {
			t.Errorf("no view of %d workers in %+v", n, got.Views)
		}
	}
}

func TestScaleRefuses(t *testing.T) {
	l := job{file: config(t, "quickstart.yaml"), args: []string{"--set", "train.steps=200000"}}.start(t)
	l.step(1)
	for _, c := range []struct {
		code  int
		args  []string
		words []string
	}{
		{2, []string{"--workers", "5", "--dir", l.dir}, []string{"4 seats", "5"}},
		{2, []string{"--workers", "0", "--dir", l.dir}, []string{"--workers"}},
		{2, []string{"--workers", "2", "--cluster", "nowhere"}, []string{"--cluster"}},
		{3, []string{"--workers", "2", "--cluster", freePort(t)}, []string{"no coordinator answers"}},
		{3, []string{"--workers", "2", "--dir", t.TempDir()}, []string{"no cluster is up"}},
	} {
		code, _, stderr := run(t, t.TempDir(), append([]string{"scale"}, c.args...)...)
		if code != c.code {
			t.Errorf("scale %v: exit code %d, want %d", c.args, code, c.code)
		}
		oneLine(t, stderr, c.words...)
	}
	l.signal(syscall.SIGINT)
	l.end(130)
}

// The only coordinator of a launch is killed: it is started again, the workers attach to it, and nothing is lost.
func TestLostCoordinator(t *testing.T) {
	file := config(t, "quickstart.yaml")
	args := []string{"--set", "train.steps=2500"}
	want := job{file: file, workers: 1, args: args}.run(t, 0)
	l := job{file: file, args: args}.start(t)
	if err := kill(l.step(100).Coordinators[0].PID); err != nil {
		t.Fatal(err)
	}
	got := l.end(0)
	if got.Digest != want.Digest || got.State != "done" {
		t.Errorf("came out as %+v, want digest %s", got, want.Digest)
	}
	for _, v := range got.Views {
		if v.Cause == "worker lost" || v.LostSteps != 0 {
			t.Errorf("the workers should not have noticed: view %+v", v)
		}
	}
	if !strings.Contains(l.stdout.String(), "started again") {
		t.Errorf("nothing was said about it: %s", l.stdout.String())
	}
}

// A worker that is killed while the cluster comes up does not end the launch: the others do its work.
func TestWorkerLostBeforeTheStart(t *testing.T) {
	file := config(t, "quickstart.yaml")
	args := []string{"--set", "train.steps=500"}
	want := job{file: file, workers: 1, args: args}.run(t, 0)
	l := job{file: file, workers: 3, args: args}.start(t)
	l.file("cluster.json")
	endpoints, ok, err := launch.Directory(l.dir).Endpoints()
	if err != nil || !ok {
		t.Fatalf("%v, %v", ok, err)
	}
	if err := kill(int64(endpoints.PIDs["w2"])); err != nil {
		t.Fatal(err)
	}
	got := l.end(0)
	if got.Digest != want.Digest || got.State != "done" {
		t.Errorf("came out as %+v, want digest %s", got, want.Digest)
	}
}

// With no worker left the job waits; Ctrl-C ends it all the same, and it can be resumed from its newest checkpoint.
func TestInterruptWithoutWorkers(t *testing.T) {
	file := config(t, "quickstart.yaml")
	args := []string{"--set", "train.steps=1500", "--set", "checkpoint.every_steps=100"}
	l := job{file: file, args: args}.start(t)
	l.file("coordinators/c1/checkpoints/step-0000000100-g1-*/manifest.json")
	for _, w := range l.step(1).Workers {
		if err := kill(w.PID); err != nil {
			t.Fatal(err)
		}
	}
	l.until(func(s *launch.Status) bool { return len(s.Workers) == 0 })
	l.signal(syscall.SIGINT)
	if s := l.end(130); s.State != "interrupted" || len(s.Checkpoints) == 0 {
		t.Errorf("came out as %+v", s)
	}
	want := reference(t, args[:2]...) // saving changes no bit
	got := job{file: file, dir: l.dir, args: append([]string{"--resume"}, args...)}.run(t, 0)
	if got.Digest != want.Digest {
		t.Errorf("resumed: digest %s, want %s", got.Digest, want.Digest)
	}
}
