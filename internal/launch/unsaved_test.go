package launch

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringmaster/internal/rpc"
)

func full(step, since uint64) *rpc.Unsaved {
	return &rpc.Unsaved{Place: "c1", What: "the checkpoint", Step: step, Reason: "no space", SinceMs: since, Blocking: true}
}

// What cannot be stored is said once, whichever checkpoint it is; that it is over is said when a checkpoint is there.
func TestUnsavedIsNoted(t *testing.T) {
	var e events
	job := func(checkpoint uint64, unsaved ...*rpc.Unsaved) *rpc.JobStatus {
		return &rpc.JobStatus{State: "running", Unsaved: unsaved, Checkpoints: []*rpc.CheckpointRecord{{Step: checkpoint}}}
	}
	for i, test := range []struct {
		status *rpc.JobStatus
		want   string // of the lines; "": none
	}{
		{job(1), ""},
		{job(1, full(5, 10)), "coordinator c1 cannot store the checkpoint: no space; the training goes on"},
		{job(1, full(5, 2000)), ""},
		{job(1, full(10, 4000)), ""},
		{job(1), ""}, // between two attempts
		{job(1, full(10, 6000)), ""},
		{job(10), "coordinator c1 stores again"},
		{job(10), ""},
		{job(10, full(15, 1)), "coordinator c1 cannot store"},
		{&rpc.JobStatus{State: "failed", Ended: true}, ""},
	} {
		if got := strings.Join(e.take(test.status), "\n"); test.want == "" && got != "" || !strings.HasPrefix(got, test.want) {
			t.Errorf("status %d: %q, want %q", i, got, test.want)
		}
	}
	if len(e.unsaved) != 2 || !e.unsaved[0].Over || e.unsaved[1].Over || e.unsaved[0].SinceMs != 6000 {
		t.Errorf("remembered: %+v", e.unsaved)
	}
}

func TestUnsavedIsShown(t *testing.T) {
	job := mustJob(t, "name: a")
	s := &rpc.JobStatus{Name: "a", State: "running", Step: 5, StepsTotal: 10, Unsaved: []*rpc.Unsaved{full(5, 61000)}}
	if line := snapshot(s, job).Line(); !strings.Contains(line, "coordinator c1 cannot store the checkpoint: no space") {
		t.Errorf("the progress line is %q", line)
	}
	status := Describe(&rpc.ClusterStatus{Job: s}, "")
	if u := status.Unsaved; len(u) != 1 || u[0].ID != "c1" || u[0].Reason != "no space" || u[0].SinceMs != 61000 || !u[0].Blocking || u[0].Worker {
		t.Errorf("the status says %+v", u)
	}
	if table := status.Table(); !strings.Contains(table, "cannot store the checkpoint: no space (for 1m01s)") {
		t.Errorf("the status is\n%s", table)
	}
}

// A launch does not wait for ever for an end that the coordinators cannot write down; while the job trains it waits.
func TestUnrecordedEnd(t *testing.T) {
	now := time.Unix(1000, 0)
	stuck := []*rpc.Unsaved{{Place: "c1", What: rpc.UnsavedLog, Reason: "no space", SinceMs: 1e6}}
	training, ended := &rpc.JobStatus{Step: 5, StepsTotal: 10, Unsaved: stuck}, &rpc.JobStatus{Step: 10, StepsTotal: 10, Unsaved: stuck}
	r := &run{}
	if err := errors.Join(r.unrecorded(training, now), r.unrecorded(training, now.Add(time.Hour)), r.unrecorded(ended, now.Add(time.Hour)),
		r.unrecorded(ended, now.Add(time.Hour+endPatience-1))); err != nil {
		t.Errorf("too early: %v", err)
	}
	if err := r.unrecorded(ended, now.Add(time.Hour+endPatience)); !errors.Is(err, ErrUnrecorded) || !strings.Contains(err.Error(), "c1 cannot store its log: no space") {
		t.Errorf("%v", err)
	}
	r = &run{signal: syscall.SIGTERM}
	if err := r.unrecorded(training, now); err != nil {
		t.Errorf("interrupted just now: %v", err)
	}
	if err := r.unrecorded(training, now.Add(stopPatience)); !errors.Is(err, ErrUnrecorded) {
		t.Errorf("interrupted: %v", err)
	}
}
