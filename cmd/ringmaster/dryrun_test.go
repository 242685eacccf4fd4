package main

import (
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/launch"
	"ringmaster/internal/rpc"
	"ringmaster/internal/trainer"
)

func TestWhatADryRunSays(t *testing.T) {
	job := &config.Job{Seats: 4, MinWorkers: 2}
	workers := func(memory ...uint64) (all []*rpc.WorkerStatus) {
		for _, m := range memory {
			all = append(all, &rpc.WorkerStatus{Id: "w1", Memory: m << 20})
		}
		return all
	}
	checked := &launch.Checked{Memory: trainer.Memory{State: 100 << 20, Work: 100 << 20, Seat: 50 << 20}}
	queue := []*rpc.JobLine{{Id: "a", State: "running", Workers: 2}, {Id: "b", State: "queued", Place: 1}, {Id: "c", State: "paused", Priority: 9}, {Id: "d", State: "done", Priority: 9}}
	takes := "memory: 300.0 MiB in each worker beside its data, 50.0 MiB for each seat; "
	for _, c := range []struct{ got, want string }{
		{enough(job, 0, 1), "workers: 1 attached, at least 2 needed: it would wait"},
		{enough(job, 3, 2), "workers: 2 attached, 3 asked for: it would start with those after a while"},
		{enough(job, 2, 3), "workers: 3 attached, 2 asked for"},
		{enough(job, 0, 9), "workers: 9 attached, it would use up to 4"},
		{fits(job, nil, nil), "memory: not known, since the data are not here"},
		{fits(job, checked, workers(400, 400)), takes + "the workers there hold all seats"},
		{fits(job, checked, workers(400, 200)), takes + "the workers there hold 2 of 4 seats: it would wait for more"},
		{fits(job, checked, workers(400, 0)), takes + "worker w1 does not tell how much it has"},
		{place(queue, 0, job, 0, 4), "queue: it would wait for 2 jobs"},
		{place(queue, 1, job, 0, 4), "queue: job a would save a checkpoint and make way"},
		{place(queue[2:], 0, job, 0, 4), "queue: its turn would come at once"},
		{place(queue[:1], 0, job, 0, 4), "queue: its turn would come at once, beside 1 job"},
		{place(queue[:1], 0, job, 0, 3), "queue: it would wait for 1 job"},
		{place(queue[:1], 1, &config.Job{Seats: 4, MaxWorkers: 2}, 0, 4), "queue: its turn would come at once, beside 1 job"},
		{place(queue[:1], 1, &config.Job{Seats: 4, MaxWorkers: 3}, 0, 4), "queue: job a would shrink for it, or save a checkpoint and make way"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
