package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"ringmaster/internal/client"
	"ringmaster/internal/config"
	"ringmaster/internal/launch"
	"ringmaster/internal/progress"
	"ringmaster/internal/trainer"
)

// TrainOptions say what Train measures.
type TrainOptions struct {
	File    string   // of the job
	Sets    []string // job keys to override, KEY=VALUE
	Workers int
	Threads int // of each worker
	Steps   int

	// Traced is given a trace of TraceSteps of the steps; nil: none is recorded. The training then has at least Steps.
	Traced     func(*client.Trace) error
	TraceSteps int
}

// TrainResult is the speed of training one job.
type TrainResult struct {
	Case        string  `json:"case"`
	StepsPerS   float64 `json:"steps_per_s"`
	SamplesPerS float64 `json:"samples_per_s"`
	PeakRSSMiB  float64 `json:"peak_rss_mib"`  // of the largest worker
	StepsRSSMiB float64 `json:"steps_rss_mib"` // likewise in its steps, without the evaluation and the checkpoint at the end; 0 where that was not seen
	GFLOPS      float64 `json:"gflops"`        // of the model's products, all workers together
	Workers     int     `json:"workers"`
	Threads     int     `json:"threads"`
	Steps       uint64  `json:"steps"`
}

func (r TrainResult) row() []string {
	return []string{r.Case, fmt.Sprintf("%.1f", r.StepsPerS), fmt.Sprintf("%.0f", r.SamplesPerS), fmt.Sprintf("%.1f", r.GFLOPS), fmt.Sprintf("%.1f", r.PeakRSSMiB)}
}

func (r TrainResult) sample() sample {
	return sample{name: fmt.Sprintf("Train/%s/workers=%d/threads=%d", r.Case, r.Workers, r.Threads), n: int(r.Steps),
		values: []value{{1e9 / r.StepsPerS, "ns/op"}, {r.StepsPerS, "steps/s"}, {r.SamplesPerS, "samples/s"}, {r.GFLOPS, "GFLOP/s"}, {r.PeakRSSMiB, "peak-MiB"}}}
}

// Train measures some steps of a job on a cluster of processes on this machine, in a folder that is deleted afterwards. A
// *launch.UsageError means that nothing was started.
func Train(ctx context.Context, o TrainOptions) (report *Report, err error) {
	if o.Workers < 1 || o.Threads < 1 || o.Steps < 1 {
		return nil, &launch.UsageError{Err: errors.New("--workers, --threads and --steps must be at least 1")}
	}
	// A warm-up longer than so few steps would be refused; the learning rate costs no time.
	sets := append(o.Sets, "train.steps="+strconv.Itoa(o.Steps), "checkpoint.every_steps=0", "train.schedule.warmup=0")
	if o.Traced != nil {
		sets = append(o.Sets, endless...)
	}
	job, err := config.Load(o.File, sets)
	if err != nil {
		return nil, &launch.UsageError{Err: err}
	}
	dir, err := os.MkdirTemp("", "ringmaster-bench-")
	if err != nil {
		return nil, &launch.UsageError{Err: fmt.Errorf("make a folder for the run: %w; set TMPDIR to a folder that can be written to", err)}
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	run := startTraining(ctx, job, launch.Options{Workers: o.Workers, Threads: o.Threads, Dir: filepath.Join(dir, "run")}, trainedAtAll)
	if o.Traced == nil {
		err = run.end()
	} else {
		err = run.stop(o.record(run))
	}
	if err != nil {
		return nil, err
	}
	assembled, err := trainer.Assemble(job)
	if err != nil {
		return nil, err
	}
	ran := run.result
	s, batch := ran.Summary, job.Train.BatchPerSeat
	perSample := 2 * float64(assembled.Model.MultiplyAdds(batch)) / float64(batch)
	return &Report{Columns: []string{"CASE", "STEPS/S", "SAMPLES/S", "GFLOP/S", "PEAK MIB"}, Results: []Result{
		TrainResult{Case: job.Name, StepsPerS: float64(s.Step) / float64(s.TrainS), SamplesPerS: float64(s.SamplesPerS),
			PeakRSSMiB: float64(ran.PeakBytes) / (1 << 20), StepsRSSMiB: float64(ran.StepsPeakBytes) / (1 << 20), GFLOPS: perSample * float64(s.SamplesPerS) / 1e9,
			Workers: o.Workers, Threads: o.Threads, Steps: s.Step}}}, nil
}

// record traces steps of the training and waits until it has as many as wanted.
func (o *TrainOptions) record(run *training) (err error) {
	if _, err := run.await(func(s *launch.Status) bool { return s.Step >= warmSteps }); err != nil {
		return err
	}
	endpoints, _, err := run.dir.Endpoints()
	if err != nil {
		return err
	}
	c := client.New(endpoints.Addresses())
	defer func() { err = errors.Join(err, c.Close()) }()
	traced, err := c.Trace(run.ctx, "", o.TraceSteps)
	if err != nil {
		return err
	}
	if err := o.Traced(traced); err != nil {
		return err
	}
	_, err = run.await(func(s *launch.Status) bool { return s.Step >= uint64(o.Steps) })
	return err
}

// silent is a display that shows nothing.
type silent struct{}

func (silent) Update(progress.Snapshot) {}
func (silent) Note(string)              {}
func (silent) Close()                   {}
