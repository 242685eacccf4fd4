package launch

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/rpc"
	"ringmaster/internal/tether"
)

// Only the newest wish counts, and only one that is newer than those that were taken.
func TestTakeWishKeepsTheNewest(t *testing.T) {
	r := &run{wishes: make(chan wish, 1)}
	for _, s := range []*rpc.JobStatus{
		{Wanted: 3},                             // as submitted: nobody asked for another number
		{Wanted: 4, Scalings: 1},                // replaced before anybody began with it
		{Wanted: 2, Scalings: 2},                // the one to be kept
		{Wanted: 2, Scalings: 2},                // said again
		{Wanted: 1, Scalings: 1},                // an old status
		{Wanted: 1, Scalings: 3, Ended: true},   // too late
		{Wanted: 0, Scalings: 4, State: "none"}, // no number
	} {
		r.takeWish(s)
	}
	if got := <-r.wishes; got != (wish{workers: 2, scalings: 2}) {
		t.Errorf("kept %+v", got)
	}
	if len(r.wishes) != 0 {
		t.Error("a second wish is left")
	}
}

// shell starts a shell command and waits for its end.
func shell(t *testing.T, script string, end func(*Child)) *Child {
	t.Helper()
	parent, err := tether.NewParent()
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	c, err := startChild("w1", "/bin/sh", []string{"-c", script}, nil, filepath.Join(t.TempDir(), "w1.log"), parent)
	if err != nil {
		t.Fatal(err)
	}
	if end != nil {
		end(c)
	}
	<-c.Done()
	return c
}

func TestFailedTellsWhoEndedAProcess(t *testing.T) {
	signal := func(s syscall.Signal) func(*Child) {
		return func(c *Child) {
			if err := c.Signal(s); err != nil {
				t.Error(err)
			}
		}
	}
	for _, c := range []struct {
		script string
		end    func(*Child)
		failed bool
	}{
		{"exit 0", nil, false},
		{"exit 3", nil, true},
		{"exec sleep 60", signal(syscall.SIGKILL), false},
		{"exec sleep 60", signal(syscall.SIGTERM), false},
		{"exec sleep 60", (*Child).Kill, false},
		{"exec sleep 60", (*Child).Dismiss, false},
	} {
		if got := shell(t, c.script, c.end).failed(); got != c.failed {
			t.Errorf("%q: failed %v, want %v", c.script, got, c.failed)
		}
	}
}

// A coordinator that ends by itself right after it was started, again and again, is of no use; one that is killed always is.
func TestCoordinatorsAreStartedAgain(t *testing.T) {
	broken := shell(t, "exit 1", nil)
	killed := shell(t, "exec sleep 60", (*Child).Kill)
	for name, c := range map[string]struct {
		child *Child
		ends  int // after this many falls
	}{"broken": {broken, reviveMost}, "killed": {killed, 0}} {
		r := &run{cluster: &Cluster{coordinators: []*Child{c.child}}, o: Options{Display: quiet{}}}
		ctx := canceled()
		brief, ended := map[string]int{}, 0
		for fall := 1; fall <= 2*reviveMost && ended == 0; fall++ {
			c.child.began = time.Now()
			if r.coordinatorFell(ctx, c.child, brief) != nil {
				ended = fall
			}
		}
		r.helpers.Wait()
		if ended != c.ends {
			t.Errorf("%s: the launch ended after %d falls, want %d", name, ended, c.ends)
		}
	}
}

func TestSettleCheckpointsNamesAWholeCopy(t *testing.T) {
	dir := Directory(t.TempDir())
	write := func(id, folder string) string {
		path := filepath.Join(dir.Checkpoints(id), folder)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, checkpoint.ManifestName), []byte("{}"), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	everywhere := write("c1", "step-1-g1")
	write("c2", "step-1-g1")
	second := write("c2", "step-2-g1")
	missing := filepath.Join(dir.Checkpoints("c1"), "step-3-g1")
	got := []CheckpointSummary{{Path: everywhere}, {Path: filepath.Join(dir.Checkpoints("c1"), "step-2-g1")}, {Path: missing}}
	dir.settleCheckpoints(got, []string{"c1", "c2", "c3"})
	for i, want := range []string{everywhere, second, missing} {
		if got[i].Path != want {
			t.Errorf("checkpoint %d is said to be in %s, want %s", i+1, got[i].Path, want)
		}
	}
}
