package daemon

import (
	"strings"

	"ringmaster/internal/rpc"
	"ringmaster/internal/telemetry"
	"ringmaster/internal/trainer"
	"ringmaster/internal/worker"
)

// activities are what a worker's time is divided into.
var activities = map[trainer.Doing]string{
	trainer.Idle: "idle", trainer.Reading: "reading", trainer.Computing: "computing", trainer.Evaluating: "evaluating", trainer.Saving: "saving",
	trainer.Waiting: "waiting", trainer.Connecting: "connecting", trainer.Fetching: "fetching", trainer.Held: "held",
}

// workerFamilies are a worker's metrics.
var workerFamilies = []telemetry.Family[worker.Figures]{
	telemetry.Many("ringmaster_worker_attached", "Whether the worker is attached to the leading coordinator.", telemetry.Gauge, nil, func(f *worker.Figures, put telemetry.Put) { put.Bool(f.Attached) }),
	telemetry.Many("ringmaster_worker_phase", "1 for what the worker does for its job, else 0.", telemetry.Gauge, []string{"phase"}, func(f *worker.Figures, put telemetry.Put) {
		for n, name := range rpc.Phase_name {
			put.Bool(f.Phase == rpc.Phase(n), strings.ToLower(strings.TrimPrefix(name, "PHASE_")))
		}
	}),
	telemetry.One("ringmaster_worker_generation", "The newest view that the worker has reported to.", telemetry.Gauge, func(f *worker.Figures) float64 { return float64(f.Generation) }),
	telemetry.One("ringmaster_worker_seats", "Seats that the worker occupies.", telemetry.Gauge, func(f *worker.Figures) float64 { return float64(f.Seats) }),
	telemetry.One("ringmaster_worker_step", "The step of the job that the worker has done last; 0 without a job.", telemetry.Gauge, func(f *worker.Figures) float64 { return float64(f.Step) }),
	telemetry.One("ringmaster_worker_train_loss", "Mean training loss over the recent steps.", telemetry.Gauge, func(f *worker.Figures) float64 { return f.Loss }),
	telemetry.One("ringmaster_worker_samples_total", "Samples of the global batches of the steps that the worker took part in.", telemetry.Counter, func(f *worker.Figures) float64 { return float64(f.Work.Samples) }),
	telemetry.Many("ringmaster_worker_step_duration_seconds", "How long steps took, waiting for others included.", telemetry.Durations, nil, func(f *worker.Figures, put telemetry.Put) { put.Durations(f.Work.Took) }),
	telemetry.One("ringmaster_worker_seat_duration_seconds", "What one seat takes the worker in a step, without waiting for others; 0 where it is not known yet.", telemetry.Gauge, func(f *worker.Figures) float64 { return f.Seat.Seconds() }),
	telemetry.Many("ringmaster_worker_activity_seconds_total", "The step loop's time by what it did: computing, waiting (for others in the ring), reading (samples), saving (copying the state), evaluating, connecting, fetching (the state), held (kept from running by its machine), idle.", telemetry.Counter, []string{"activity"}, func(f *worker.Figures, put telemetry.Put) {
		for d, name := range activities {
			put.Value(max(0, f.Work.Spent[d].Seconds()), name)
		}
	}),
	telemetry.One("ringmaster_worker_waiting_seconds", "For how long the worker has been waiting for a neighbour in the ring; 0: it is not.", telemetry.Gauge, func(f *worker.Figures) float64 { return f.Waiting.Seconds() }),
	telemetry.One("ringmaster_worker_ring_sent_bytes_total", "Bytes that the ring gave the link to the next worker.", telemetry.Counter, func(f *worker.Figures) float64 { return float64(f.Sent) }),
	telemetry.One("ringmaster_worker_ring_received_bytes_total", "Bytes that the ring took from the link from the previous worker.", telemetry.Counter, func(f *worker.Figures) float64 { return float64(f.Received) }),
	telemetry.One("ringmaster_worker_rings_total", "Rings that the worker has joined, one for each view.", telemetry.Counter, func(f *worker.Figures) float64 { return float64(f.Sessions) }),
	telemetry.One("ringmaster_worker_rings_broken_total", "Rings that broke because a neighbour was lost.", telemetry.Counter, func(f *worker.Figures) float64 { return float64(f.Broken) }),
	telemetry.One("ringmaster_worker_checkpoint_shares_total", "Shares of checkpoints that a majority of the coordinators has stored for the worker.", telemetry.Counter, func(f *worker.Figures) float64 { return float64(f.Shares) }),
	telemetry.One("ringmaster_worker_checkpoint_bytes_total", "Bytes of these shares.", telemetry.Counter, func(f *worker.Figures) float64 { return float64(f.Bytes) }),
	telemetry.One("ringmaster_worker_checkpoint_refusals_total", "Times that one coordinator did not store a share; it is tried again.", telemetry.Counter, func(f *worker.Figures) float64 { return float64(f.Refusals) }),
	telemetry.Many("ringmaster_worker_checkpoint_store_duration_seconds", "How long it took from the copy of the state until a majority had stored the worker's shares.", telemetry.Durations, nil, func(f *worker.Figures, put telemetry.Put) { put.Durations(f.Stored) }),
	telemetry.Many("ringmaster_worker_checkpoint_stall_duration_seconds", "How long the step loop stood still for the copy of the state.", telemetry.Durations, nil, func(f *worker.Figures, put telemetry.Put) { put.Durations(f.Stalled) }),
	telemetry.One("ringmaster_worker_job_memory_bytes", "Memory that the job is planned to take in the worker, without its seats' gradients.", telemetry.Gauge, func(f *worker.Figures) float64 { return float64(f.JobMemory) }),
}
