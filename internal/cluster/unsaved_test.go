package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// What the system says when it does not store is found in every wrapping, and is said without a path.
func TestDiskFaults(t *testing.T) {
	for errno, words := range map[syscall.Errno]string{syscall.ENOSPC: "space", syscall.EDQUOT: "quota", syscall.EFBIG: "ulimit -f", syscall.EROFS: "read-only",
		syscall.EACCES: "permission denied", syscall.EPERM: "not permitted", syscall.EIO: "input/output error"} {
		err := fmt.Errorf("store: %w", errors.Join(errors.New("a"), &fs.PathError{Op: "write", Path: "/secret", Err: errno}))
		if got, ok := diskFault(err); !ok || !strings.Contains(got, words) || strings.Contains(got, "/secret") {
			t.Errorf("%v: %q, %v", errno, got, ok)
		}
	}
	for _, err := range []error{nil, errors.New("other bytes under this name"), syscall.ECONNREFUSED} {
		if got, ok := diskFault(err); ok {
			t.Errorf("%v is taken for a fault of a disk: %s", err, got)
		}
	}
}

// A trouble keeps its age while it goes on, and is over when it is not found any more.
func TestTroubles(t *testing.T) {
	var own troubles
	now := time.Unix(1000, 0)
	fact := func(step uint64) *rpc.Unsaved {
		return &rpc.Unsaved{Place: "c1", What: fmt.Sprint("step ", step), Step: step}
	}
	own.replace("checkpoint ", []*rpc.Unsaved{fact(1)}, now)
	own.replace("other ", []*rpc.Unsaved{fact(9)}, now)
	own.replace("checkpoint ", []*rpc.Unsaved{fact(1), fact(2)}, now.Add(3*time.Second))
	got := own.list(now.Add(5 * time.Second))
	if len(got) != 3 || got[0].SinceMs != 5000 || got[1].SinceMs != 2000 || got[2].Step != 9 {
		t.Errorf("%v", got)
	}
	own.replace("checkpoint ", nil, now)
	if got := own.list(now); len(got) != 1 || got[0].Step != 9 {
		t.Errorf("afterwards: %v", got)
	}
}

// A single coordinator whose log has a checkpoint that its folder has not does not call the job done: it waits, and fails in the end.
func TestManifestThatCannotBeWritten(t *testing.T) {
	now := time.Unix(1000, 0)
	whole := false
	view := plan.View{Generation: 1, Seats: 1, Members: []plan.Member{{Worker: "w1", Incarnation: 7, Arc: plan.Arc{End: 1}}}}
	j := &fsm.Job{ID: "a", Seats: 1, Phase: fsm.Running, Generation: 1, View: &fsm.View{View: view}, Started: &fsm.Start{Generation: 1},
		Checkpoints: []fsm.Checkpoint{{Generation: 1, Step: 9, Directory: "step-9"}}}
	o := &observations{voters: []string{"c1"}, whole: func(string) bool { return whole }, workers: map[plan.Incarnation]*seen{7: {connected: true, savingSince: now,
		report: &rpc.Report{Worker: "w1", Job: "a", Generation: 1, Outcome: &rpc.Outcome{Generation: 1, Step: 9, Complete: true}}}}}
	if d := decideFinish(j, o, now, DefaultTiming()); d == nil || d.wait != "saving the checkpoint at step 9" {
		t.Errorf("before the keeper has come to it: %+v", d)
	}
	o.own = []*rpc.Unsaved{{Place: "c1", What: "the checkpoint at step 9", Step: 9, Reason: "no space", Blocking: true, SinceMs: 40000}}
	if d := decideFinish(j, o, now, DefaultTiming()); d == nil || d.command != nil {
		t.Errorf("given up at once: %+v", d)
	}
	d := decideFinish(j, o, now.Add(DefaultTiming().Unsaved), DefaultTiming())
	if d == nil || d.command == nil || d.command.Finish.Phase != fsm.Failed || !strings.Contains(d.command.Finish.Error, "c1 cannot store the checkpoint at step 9: no space") {
		t.Errorf("at the end: %+v", d)
	}
	whole, o.own = true, nil
	if d := decideFinish(j, o, now, DefaultTiming()); d == nil || d.command == nil || d.command.Finish.Phase != fsm.Done {
		t.Errorf("when it is whole: %+v", d)
	}
}
