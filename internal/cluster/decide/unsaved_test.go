package decide

import (
	"strings"
	"testing"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// A single coordinator whose log has a checkpoint that its folder has not does not call the job done: it waits, and fails in the end.
func TestManifestThatCannotBeWritten(t *testing.T) {
	now := time.Unix(1000, 0)
	view := plan.View{Generation: 1, Seats: 1, Members: []plan.Member{{Worker: "w1", Incarnation: 7, Arc: plan.Arc{End: 1}}}}
	j := &fsm.Job{ID: "a", Seats: 1, Phase: fsm.Running, Generation: 1, View: &fsm.View{View: view}, Started: &fsm.Start{Generation: 1},
		Checkpoints: []fsm.Checkpoint{{Generation: 1, Step: 9, Directory: "step-9"}}}
	o := &observations{voters: []string{"c1"}, lacksNewest: map[string]bool{"a": true}, workers: map[plan.Incarnation]*seen{7: {connected: true, savingSince: now,
		report: &rpc.Report{Worker: "w1", Job: "a", Generation: 1, Outcome: &rpc.Outcome{Generation: 1, Step: 9, Complete: true}}}}}
	if d := decideFinish(j, o, now, DefaultTiming()); d == nil || d.Wait != "saving the checkpoint at step 9" {
		t.Errorf("before the keeper has come to it: %+v", d)
	}
	o.own = []*rpc.Unsaved{{Place: "c1", What: "the checkpoint at step 9", Step: 9, Reason: "no space", Blocking: true, SinceMs: 40000}}
	if d := decideFinish(j, o, now, DefaultTiming()); d == nil || d.Command != nil {
		t.Errorf("given up at once: %+v", d)
	}
	d := decideFinish(j, o, now.Add(DefaultTiming().Unsaved), DefaultTiming())
	if d == nil || d.Command == nil || d.Command.Finish.Phase != fsm.Failed || !strings.Contains(d.Command.Finish.Error, "c1 cannot store the checkpoint at step 9: no space") {
		t.Errorf("at the end: %+v", d)
	}
	o.lacksNewest, o.own = nil, nil
	if d := decideFinish(j, o, now, DefaultTiming()); d == nil || d.Command == nil || d.Command.Finish.Phase != fsm.Done {
		t.Errorf("when it is whole: %+v", d)
	}
}
