package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"ringmaster/internal/config"
	"ringmaster/internal/host"
	"ringmaster/internal/launch"
	"ringmaster/internal/telemetry"
)

// Bounds of a measurement.
const (
	leastWindow  = 100 * time.Millisecond
	warmSteps    = 10          // before a measurement, and
	warmTime     = time.Second // for so long: what a first step allocates is paid then
	leastSteps   = 20          // of a measurement, however short it is to be
	trainedAtAll = 5 * time.Minute
)

// meter measures the steps of jobs that train on clusters of processes on this machine.
type meter struct {
	root     string        // folder for the runs
	runs     int           // launched so far
	threads  int           // of each worker
	window   time.Duration // of each measurement
	patience time.Duration // how long a run may take until it trains
}

// open makes the folder for the runs; close takes it away.
func (m *meter) open() (err error) {
	if m.root, err = os.MkdirTemp("", "ringmaster-bench-"); err != nil {
		return &launch.UsageError{Err: fmt.Errorf("make a folder for the runs: %w; set TMPDIR to a folder that can be written to", err)}
	}
	return nil
}

func (m *meter) close() error { return os.RemoveAll(m.root) }

// steady reads a job that does nothing but steps until it is stopped. Weights that hardly move neither diverge nor converge, however many steps are
// taken; that costs as much time.
func steady(file string, sets ...string) (*config.Job, error) {
	job, err := config.Load(file, append(sets, append(endless, "balance=false", "train.optimizer.lr=1e-7")...))
	if err == nil {
		job.Train.EarlyStop, job.Checkpoint.KeepBest = config.EarlyStop{}, ""
	}
	return job, err
}

// stepCost is what a step takes: its time, that of the slowest worker, and the rest of all workers together.
type stepCost struct{ ms, cpuMs, switches, sent float64 }

// measure trains the jobs at the same time, each on a cluster of its own with as many workers, and says what a step takes.
func (m *meter) measure(ctx context.Context, workers int, jobs []*config.Job) (cost stepCost, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	runs := make([]*training, len(jobs))
	for i, job := range jobs {
		m.runs++
		runs[i] = startTraining(ctx, job, launch.Options{Workers: workers, Threads: m.threads, Metrics: true, Dir: filepath.Join(m.root, strconv.Itoa(m.runs))}, m.patience)
	}
	defer func() {
		err = each(runs, func(run *training) error { return run.stop(err) })
	}()
	err = each(runs, func(run *training) error {
		err := warm(run)
		if err != nil {
			cancel() // nobody waits for the others
		}
		return err
	})
	if err != nil {
		return cost, err
	}
	return m.watch(runs, launch.WorkerIDs(workers))
}

// each does the same to all runs at the same time.
func each(runs []*training, do func(*training) error) error {
	var all errgroup.Group
	for _, run := range runs {
		all.Go(func() error { return do(run) })
	}
	return all.Wait()
}

// warm waits until the run has trained for a while.
func warm(run *training) error {
	trains := func(steps uint64) func(*launch.Status) bool {
		return func(s *launch.Status) bool { return s.Step >= steps }
	}
	if _, err := run.await(trains(1)); err != nil {
		return err
	}
	if err := run.pause(warmTime); err != nil {
		return err
	}
	_, err := run.await(trains(warmSteps))
	return err
}

// watch measures the steps of the runs' workers for the window's time, or longer if that has too few.
func (m *meter) watch(runs []*training, ids []string) (stepCost, error) {
	before, err := readWorkers(runs, ids)
	if err != nil {
		return stepCost{}, err
	}
	for began := time.Now(); ; {
		if err := each(runs, func(run *training) error { return run.pause(m.window) }); err != nil {
			return stepCost{}, err
		}
		after, err := readWorkers(runs, ids)
		if err != nil {
			return stepCost{}, err
		}
		fewest := after[0].steps - before[0].steps
		for k := range after {
			fewest = min(fewest, after[k].steps-before[k].steps)
		}
		switch {
		case fewest >= leastSteps:
			return costBetween(before, after), nil
		case time.Since(began) > m.patience:
			return stepCost{}, fmt.Errorf("%.0f steps in %v are too few to measure", fewest, m.patience)
		}
	}
}

// reading is what a worker has done and taken so far.
type reading struct {
	at      time.Time
	steps   float64
	seconds float64 // of these steps
	sent    float64 // bytes
	usage   host.Usage
}

// readWorkers reads all workers of the runs.
func readWorkers(runs []*training, ids []string) ([]reading, error) {
	all := make([]reading, 0, len(runs)*len(ids))
	for _, run := range runs {
		endpoints, up, err := run.dir.Endpoints()
		if err == nil && !up {
			err = errors.New("the cluster is not up any more")
		}
		if err != nil {
			return nil, err
		}
		addresses, err := run.dir.MetricsAddresses()
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			figures, err := telemetry.Read(run.ctx, addresses[id])
			if err != nil {
				return nil, fmt.Errorf("worker %s: %w", id, err)
			}
			r := reading{at: time.Now(), steps: figures["ringmaster_worker_step_duration_seconds_count"], seconds: figures["ringmaster_worker_step_duration_seconds_sum"],
				sent: figures["ringmaster_worker_ring_sent_bytes_total"]}
			r.usage, _ = host.UsageOf(endpoints.PIDs[id])
			all = append(all, r)
		}
	}
	return all, nil
}

// costBetween is what a step took between two readings of the same workers. Evaluations count as far as they take what steps take in the same time.
func costBetween(before, after []reading) stepCost {
	var cost stepCost
	for k, from := range before {
		to := after[k]
		steps, elapsed := to.steps-from.steps, to.at.Sub(from.at)
		seconds := (to.seconds - from.seconds) / steps
		cost.ms = max(cost.ms, 1e3*seconds)
		cost.cpuMs += 1e3 * seconds * float64(to.usage.CPU-from.usage.CPU) / float64(elapsed)
		cost.switches += seconds * float64(to.usage.Switches-from.usage.Switches) / elapsed.Seconds()
		cost.sent += (to.sent - from.sent) / steps
	}
	return cost
}
