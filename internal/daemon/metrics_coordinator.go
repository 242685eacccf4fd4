package daemon

import (
	"os"
	"path/filepath"
	"syscall"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/cluster"
	"ringmaster/internal/cluster/raftnode"
	"ringmaster/internal/rpc"
	"ringmaster/internal/telemetry"
)

// coordinatorFigures are a coordinator's, with those of its log and its disk.
type coordinatorFigures struct {
	*cluster.Figures
	log        raftnode.Figures
	dir        string
	free, size uint64 // bytes of its file system
}

func coordinatorFiguresOf(s *cluster.Server, n *raftnode.Node, dir string) *coordinatorFigures {
	f := &coordinatorFigures{Figures: s.Figures(), log: n.Figures(), dir: dir}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err == nil {
		block := uint64(disk.Bsize)
		f.free, f.size = uint64(disk.Bavail)*block, disk.Blocks*block
	}
	return f
}

type coordinatorFamily = telemetry.Family[coordinatorFigures]

// ofJobs is a family with a figure for each job that runs, which only the leader knows. Its label is not "job", a name that
// Prometheus gives to what it scrapes.
func ofJobs(name, help string, read func(*rpc.JobStatus) (float64, bool)) coordinatorFamily {
	return telemetry.Many(name, help, telemetry.Gauge, []string{"run"}, func(f *coordinatorFigures, put telemetry.Put) {
		for _, j := range f.Running {
			if v, ok := read(j); ok {
				put.Value(v, j.Job)
			}
		}
	})
}

// always is a figure that every job has.
func always[T uint32 | uint64 | int](v T) (float64, bool) { return float64(v), true }

// coordinatorFamilies are a coordinator's metrics.
var coordinatorFamilies = append(append(logFamilies, clusterFamilies...), jobFamilies...)

var logFamilies = []coordinatorFamily{
	telemetry.One("ringmaster_raft_leader", "Whether this coordinator leads.", telemetry.Gauge, func(f *coordinatorFigures) float64 { return one(f.log.Leads) }),
	telemetry.One("ringmaster_raft_has_leader", "Whether this coordinator knows a leader.", telemetry.Gauge, func(f *coordinatorFigures) float64 { return one(f.log.HasLeader) }),
	telemetry.One("ringmaster_raft_term", "Raft's term.", telemetry.Gauge, func(f *coordinatorFigures) float64 { return float64(f.log.Term) }),
	telemetry.One("ringmaster_raft_last_index", "Index of the newest entry in this coordinator's log.", telemetry.Gauge, func(f *coordinatorFigures) float64 { return float64(f.log.Last) }),
	telemetry.One("ringmaster_raft_commit_index", "Index of the newest committed entry that this coordinator knows.", telemetry.Gauge, func(f *coordinatorFigures) float64 { return float64(f.log.Committed) }),
	telemetry.One("ringmaster_raft_applied_index", "Index of the newest entry that is applied here.", telemetry.Gauge, func(f *coordinatorFigures) float64 { return float64(f.log.Applied) }),
	telemetry.One("ringmaster_raft_queue_entries", "Entries that wait to be applied here.", telemetry.Gauge, func(f *coordinatorFigures) float64 { return float64(f.log.Pending) }),
	telemetry.One("ringmaster_raft_replicas", "Coordinators in the log's configuration.", telemetry.Gauge, func(f *coordinatorFigures) float64 { return float64(f.log.Replicas) }),
	telemetry.One("ringmaster_storage_free_bytes", "Bytes that are free where this coordinator keeps checkpoints and its log.", telemetry.Gauge, func(f *coordinatorFigures) float64 { return float64(f.free) }),
	telemetry.One("ringmaster_storage_size_bytes", "Size of that file system.", telemetry.Gauge, func(f *coordinatorFigures) float64 { return float64(f.size) }),
	telemetry.One("ringmaster_storage_troubles", "Things that this coordinator cannot store at present: files of checkpoints, its log.", telemetry.Gauge, func(f *coordinatorFigures) float64 { return float64(f.Troubles) }),
	telemetry.One("ringmaster_checkpoint_files_total", "Files of checkpoints that were stored here.", telemetry.Counter, func(f *coordinatorFigures) float64 { return float64(f.Files) }),
	telemetry.One("ringmaster_checkpoint_file_bytes_total", "Bytes of these files.", telemetry.Counter, func(f *coordinatorFigures) float64 { return float64(f.Bytes) }),
	telemetry.One("ringmaster_checkpoint_file_failures_total", "Files of checkpoints that could not be stored here, or did not arrive whole.", telemetry.Counter, func(f *coordinatorFigures) float64 { return float64(f.Refused) }),
	telemetry.Many("ringmaster_checkpoint_file_store_duration_seconds", "How long storing a file of a checkpoint took.", telemetry.Durations, nil, func(f *coordinatorFigures, put telemetry.Put) { put.Durations(f.Took) }),
}

var clusterFamilies = []coordinatorFamily{
	telemetry.Many("ringmaster_jobs", "Jobs by their phase; only the leader counts them.", telemetry.Gauge, []string{"phase"}, func(f *coordinatorFigures, put telemetry.Put) {
		for _, phase := range cluster.Phases {
			put.Value(float64(f.Phases[phase]), string(phase))
		}
	}),
	telemetry.One("ringmaster_workers_attached", "Workers that are attached to this coordinator, which leads; else 0.", telemetry.Gauge, func(f *coordinatorFigures) float64 { return float64(f.Attached) }),
	telemetry.One("ringmaster_workers_seated", "Attached workers that have seats.", telemetry.Gauge, func(f *coordinatorFigures) float64 { return float64(f.Seated) }),
	telemetry.Many("ringmaster_views_total", "Views that this coordinator has made, by cause.", telemetry.Counter, []string{"cause"}, func(f *coordinatorFigures, put telemetry.Put) {
		for _, cause := range cluster.Causes {
			put.Value(float64(f.Views[cause]), cause)
		}
	}),
	telemetry.Many("ringmaster_stalls_total", "Times that a worker held a job up: it stood still, or was slow.", telemetry.Counter, []string{"kind"}, func(f *coordinatorFigures, put telemetry.Put) {
		put.Value(float64(f.Held), "stalled")
		put.Value(float64(f.Slow), "slow")
	}),
	telemetry.One("ringmaster_checkpoints_total", "Checkpoints that this coordinator has committed.", telemetry.Counter, func(f *coordinatorFigures) float64 { return float64(f.Committed) }),
	telemetry.One("ringmaster_checkpoint_bytes_total", "Bytes of these checkpoints.", telemetry.Counter, func(f *coordinatorFigures) float64 { return float64(f.CommitBytes) }),
}

var jobFamilies = []coordinatorFamily{
	ofJobs("ringmaster_job_step", "Steps that the job has done.", func(j *rpc.JobStatus) (float64, bool) { return always(j.Step) }),
	ofJobs("ringmaster_job_steps", "Steps after which the job ends; absent until a worker has told.", func(j *rpc.JobStatus) (float64, bool) { return float64(j.StepsTotal), j.StepsTotal > 0 }),
	ofJobs("ringmaster_job_epoch", "Epoch under way, from 1.", func(j *rpc.JobStatus) (float64, bool) { return always(j.Epoch) }),
	ofJobs("ringmaster_job_samples", "Samples that the job has trained on.", func(j *rpc.JobStatus) (float64, bool) { return always(j.Samples) }),
	ofJobs("ringmaster_job_train_loss", "Mean training loss over the recent steps.", func(j *rpc.JobStatus) (float64, bool) { return j.TrainLoss, j.HasTrainLoss }),
	ofJobs("ringmaster_job_generation", "Number of the job's view.", func(j *rpc.JobStatus) (float64, bool) { return always(j.Generation) }),
	ofJobs("ringmaster_job_seats", "Seats of the job.", func(j *rpc.JobStatus) (float64, bool) { return always(j.Seats) }),
	ofJobs("ringmaster_job_workers", "Workers in the job's view.", func(j *rpc.JobStatus) (float64, bool) { return always(j.Workers) }),
	ofJobs("ringmaster_job_workers_wanted", "Workers that were asked for; 0: as many as are attached.", func(j *rpc.JobStatus) (float64, bool) { return always(j.Wanted) }),
	ofJobs("ringmaster_job_stalled", "1 while a worker holds the job up, standing still or slow.", func(j *rpc.JobStatus) (float64, bool) { return one(j.Stalled != nil), true }),
	ofJobs("ringmaster_job_stalled_seconds", "For how long it has; 0: nobody does.", func(j *rpc.JobStatus) (float64, bool) { return float64(j.Stalled.GetSinceMs()) / 1e3, true }),
	ofJobs("ringmaster_job_unsaved", "Things of the job that some place cannot store at present.", func(j *rpc.JobStatus) (float64, bool) { return always(len(j.Unsaved)) }),
	ofJobs("ringmaster_job_checkpoints", "Checkpoints of the job that are kept.", func(j *rpc.JobStatus) (float64, bool) { return always(len(j.Checkpoints)) }),
	ofJobs("ringmaster_job_last_checkpoint_step", "Step of the job's newest checkpoint.", func(j *rpc.JobStatus) (float64, bool) {
		last := newest(j)
		return float64(last.GetStep()), last != nil
	}),
	ofJobs("ringmaster_job_last_checkpoint_bytes", "Size of the job's newest checkpoint.", func(j *rpc.JobStatus) (float64, bool) {
		last := newest(j)
		return float64(last.GetBytes()), last != nil
	}),
	telemetry.Many("ringmaster_job_last_checkpoint_timestamp_seconds", "When this coordinator completed its copy of the job's newest checkpoint, in seconds since 1970.", telemetry.Gauge, []string{"run"}, func(f *coordinatorFigures, put telemetry.Put) {
		for _, j := range f.Running {
			last := newest(j)
			if last == nil {
				continue
			}
			if info, err := os.Stat(filepath.Join(f.dir, "checkpoints", last.Directory, checkpoint.ManifestName)); err == nil {
				put.Value(float64(info.ModTime().UnixMilli())/1e3, j.Job)
			}
		}
	}),
}

func one(v bool) float64 {
	if v {
		return 1
	}
	return 0
}

// newest is a job's newest checkpoint; nil where there is none.
func newest(j *rpc.JobStatus) *rpc.CheckpointRecord {
	if n := len(j.Checkpoints); n > 0 {
		return j.Checkpoints[n-1]
	}
	return nil
}
