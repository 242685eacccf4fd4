package launch

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"ringmaster/internal/codes"
	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/folderlock"
	"ringmaster/internal/hf"
	"ringmaster/internal/model"
	"ringmaster/internal/rpc"
	"ringmaster/internal/trainer"
)

// UsageError is wrong usage or configuration: nothing was started. It is one line.
type UsageError struct{ Err error }

// Error is the message of what is wrong.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap is what is wrong.
func (e *UsageError) Unwrap() error { return e.Err }

func usage(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// Checked is a job of which everything is known to fit together.
type Checked struct {
	Job         *config.Job
	Samples     int // in the training set
	Fingerprint []byte
	Files       []*rpc.DataFile
	Memory      trainer.Memory // that the job takes on each worker
	Account     []string       // what was read of the data and what was left out

	model *model.Model
}

// Check opens the job's data and builds its model, so that what does not fit is found before anything is started. The
// errors point at the job file.
func Check(job *config.Job) (*Checked, error) {
	if err := hf.Settle(job); err != nil {
		return nil, job.Blame("model", err)
	}
	if err := dataset.Settle(job); err != nil {
		return nil, job.Blame("data", err)
	}
	data, err := codes.Open(job.Data)
	if err != nil {
		return nil, job.Blame("data", err)
	}
	m, err := trainer.BuildModel(job, data.Schema)
	if err != nil {
		return nil, err
	}
	note, err := trainer.CheckStatistics(job, m, data.Train.Len())
	if err != nil {
		return nil, err
	}
	metrics, err := trainer.BuildMetrics(job, m, data)
	if err != nil {
		return nil, err
	}
	c := &Checked{Job: job, Samples: data.Train.Len(), Fingerprint: data.Fingerprint[:], model: m, Memory: (&trainer.Plan{Job: job, Data: data, Model: m, Metrics: metrics}).Memory()}
	// The schedule's horizon, where the file does not state it, is the end of the job, known only now.
	schedule, end := job.Train.Schedule, job.TotalSteps(c.Samples)
	if falls := schedule.Kind == config.ScheduleCosine || schedule.Kind == config.ScheduleLinear; falls && schedule.Horizon == 0 && schedule.Warmup >= end {
		return nil, job.Errorf("train.schedule.warmup", "train.schedule.warmup %d must end before the job does, at step %d; lower it, or set train.schedule.horizon", schedule.Warmup, end)
	}
	if c.Account = data.Account(); note != "" {
		c.Account = append(c.Account, note)
	}
	if note := trainer.Frozen(job, m); note != "" {
		c.Account = append(c.Account, note)
	}
	for _, f := range data.Files {
		c.Files = append(c.Files, &rpc.DataFile{Name: f.Path, Sha256: f.Sum[:]})
	}
	return c, nil
}

// CheckInit checks the weights that the job begins from and fixes their digest in the job. One that goes on from a checkpoint needs them no
// more, unless it had not taken a step.
func (c *Checked) CheckInit(ctx context.Context, origin *Origin) error {
	if origin != nil && origin.Manifest.Step > 0 {
		return nil
	}
	note, err := trainer.CheckInit(ctx, c.Job, c.model)
	if note != "" {
		c.Account = append(c.Account, note)
	}
	return err
}

// CheckSizes checks the numbers of processes. Zero workers or threads choose the defaults.
func (o *Options) CheckSizes() error {
	if !slices.Contains([]int{1, 3, 5}, o.Coordinators) {
		return usage("--coordinators must be 1, 3 or 5, not %d", o.Coordinators)
	}
	if o.Workers < 0 || o.Threads < 0 {
		return usage("--workers and --threads must be at least 1")
	}
	if o.Threads > config.MaxThreads {
		return usage("--threads must be at most %d, not %d", config.MaxThreads, o.Threads)
	}
	if o.Workers > o.Job.Seats {
		return &UsageError{o.Job.Errorf("seats", "--workers %d is more than the job's seats: %d; take fewer workers, or more seats (which is another job)", o.Workers, o.Job.Seats)}
	}
	if o.Workers > 0 && o.Workers < o.Job.MinWorkers {
		return &UsageError{o.Job.Errorf("min_workers", "--workers %d is fewer than the job's min_workers: %d", o.Workers, o.Job.MinWorkers)}
	}
	most := cmp.Or(o.Job.MaxWorkers, o.Job.Seats)
	if o.Workers > most {
		return &UsageError{o.Job.Errorf("max_workers", "--workers %d is more than the job's max_workers: %d", o.Workers, most)}
	}
	if o.Workers == 0 {
		o.Workers = max(DefaultWorkers(most), o.Job.MinWorkers)
	}
	if o.Threads == 0 {
		o.Threads = DefaultThreads(o.Workers)
	}
	return nil
}

// directory decides the run's folder, without creating anything yet: "" means the next free NAME-N. A folder to resume may hold no run
// yet: one command line serves all launches of a run that a scheduler starts again and again.
func (o *Options) directory() (Directory, error) {
	switch {
	case o.Dir == "" && o.Resume:
		dir, err := NewestDirectory(RunsDir, o.Job.Name)
		if err != nil {
			return "", &UsageError{err}
		}
		return dir, nil
	case o.Dir == "":
		return "", nil
	case !o.Resume && Directory(o.Dir).HoldsRun():
		return "", usage("%s holds a run already; go on with it by --resume, or name another --dir", o.Dir)
	}
	return Directory(o.Dir), nil
}

// own makes this launch the owner of the run's folder, where it is not yet. Nobody else trains there then; what ends with a launch
// that was killed (its coordinators and workers) waits in folders of its own.
func (o *Options) own(dir Directory) error {
	if o.owner != nil {
		return nil
	}
	owner, err := folderlock.Own(string(dir), 0)
	if taken := (*folderlock.TakenError)(nil); errors.As(err, &taken) {
		return usage("%s is being trained by %s; wait for its end or interrupt it, or name another --dir", dir, taken.Owner)
	}
	if err != nil {
		return usage("make the run's folder: %w; name another one by --dir", err)
	}
	o.owner = owner
	if !o.Resume && dir.HoldsRun() { // another launch was quicker
		return usage("%s holds a run already; go on with it by --resume, or name another --dir", dir)
	}
	return nil
}

// short is the beginning of a hash, for messages.
func short(hash []byte) string { return hex.EncodeToString(hash[:min(6, len(hash))]) + "…" }
