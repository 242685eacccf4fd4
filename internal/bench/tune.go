package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ringmaster/internal/config"
	"ringmaster/internal/launch"
	"ringmaster/internal/median"
	"ringmaster/internal/plan"
	"ringmaster/internal/plural"
	"ringmaster/internal/trainer"
)

// TuneOptions say what Tune tries.
type TuneOptions struct {
	File    string   // of the job
	Sets    []string // job keys to override, KEY=VALUE
	Sizes   []string // of buckets: 512KiB, 2MiB
	Workers int
	Threads int // of each worker; 0: CPUs / workers, at least 1
	Rounds  int
	Window  time.Duration     // of each measurement
	Tell    func(line string) // hears how it goes on
}

// TuneSizes are the sizes that are tried unless others are named.
var TuneSizes = []string{"256KiB", "512KiB", "1MiB", "2MiB", "4MiB", "8MiB"}

// TuneResult is what a size of buckets makes of a job's steps.
type TuneResult struct {
	Case      string  `json:"case"` // the size: 512KiB
	BucketKiB int     `json:"bucket_kib"`
	Buckets   int     `json:"buckets"`
	Ms        float64 `json:"ms"`         // of a step, the median over the rounds
	OfDefault float64 `json:"of_default"` // that against the default size's, the median of what each round says
	Advised   bool    `json:"advised"`
	Workers   int     `json:"workers"`
}

func (r TuneResult) row() []string {
	return []string{r.Case, fmt.Sprint(r.Buckets), fmt.Sprintf("%.3f", r.Ms), fmt.Sprintf("%.1f", 1000/r.Ms), fmt.Sprintf("%.1f %%", 100*r.OfDefault)}
}

func (r TuneResult) sample() sample {
	return sample{name: fmt.Sprintf("Tune/%s/workers=%d", r.Case, r.Workers), n: 1, values: []value{{1e6 * r.Ms, "ns/op"}}}
}

// defaultKiB is the size of buckets of a job that names none.
const defaultKiB = plan.BucketLen * 4 >> 10

// worthwhile is what the time of a step must shrink to for another size than the default to be advised: less is noise.
const worthwhile = 0.97

// tuning is a measurement under way.
type tuning struct {
	TuneOptions
	meter
	tried []tried
}

// tried is a size under measurement.
type tried struct {
	TuneResult
	job *config.Job
	ms  []float64 // by round
}

// Tune trains a job with several sizes of buckets, in turn, on a cluster of processes on this machine, and advises one. Nothing is kept. A *launch.UsageError
// means that nothing was started.
func Tune(ctx context.Context, o TuneOptions) (report *Report, err error) {
	t := &tuning{TuneOptions: o}
	if err := t.load(); err != nil {
		return nil, &launch.UsageError{Err: err}
	}
	if err := t.open(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	for n := range o.Rounds {
		for k := range t.tried {
			size := &t.tried[k]
			cost, err := t.measure(ctx, o.Workers, []*config.Job{size.job})
			if err != nil {
				return nil, fmt.Errorf("buckets of %s: %w", size.Case, err)
			}
			size.ms = append(size.ms, cost.ms)
			if o.Tell != nil {
				o.Tell(fmt.Sprintf("round %d of %d: %s of %s: %.1f steps/s", n+1, o.Rounds, plural.Of(size.Buckets, "bucket"), size.Case, 1000/cost.ms))
			}
		}
	}
	return t.report(), nil
}

// load checks the options and reads the job with each size.
func (t *tuning) load() error {
	switch {
	case t.Workers < 2 || t.Workers > mostWorkers:
		return fmt.Errorf("--workers must be from 2 to %d", mostWorkers)
	case t.Rounds < 1:
		return errors.New("--rounds must be at least 1")
	case t.Window < leastWindow:
		return fmt.Errorf("--time must be at least %v, not %v", leastWindow, t.Window)
	case t.Threads < 0 || t.Threads > config.MaxThreads:
		return fmt.Errorf("--threads must be from 1 to %d, not %d", config.MaxThreads, t.Threads)
	}
	if t.Threads == 0 {
		t.Threads = launch.DefaultThreads(t.Workers)
	}
	t.meter = meter{threads: t.Threads, window: t.Window, patience: trainedAtAll}
	sizes := []int{defaultKiB}
	for _, text := range t.Sizes {
		bytes, err := parseBytes(text)
		if err != nil {
			return fmt.Errorf("--bytes: %w", err)
		}
		if bytes%(1<<10) != 0 {
			return fmt.Errorf("--bytes: a bucket has whole KiB, not %s", text)
		}
		sizes = append(sizes, bytes>>10)
	}
	slices.Sort(sizes)
	return t.try(slices.Compact(sizes))
}

// try reads the job with each size. Of sizes that make the same buckets the smallest is tried, or the default.
func (t *tuning) try(sizes []int) error {
	base, err := steady(t.File, t.Sets...)
	if err != nil {
		return err
	}
	if t.Workers > base.Seats {
		return base.Errorf("seats", "--workers %d is more than the job's seats: %d; take fewer workers, or more seats (--set seats=%d)", t.Workers, base.Seats, t.Workers)
	}
	assembled, err := trainer.Assemble(base)
	if err != nil {
		return err
	}
	for _, kib := range sizes {
		job, err := steady(t.File, slices.Concat(t.Sets, []string{fmt.Sprintf("train.bucket_kib=%d", kib)})...)
		if err != nil {
			return err
		}
		size := tried{TuneResult: TuneResult{Case: sizeText(kib), BucketKiB: kib, Buckets: len(trainer.BucketsOf(job, assembled.Model)), Workers: t.Workers}, job: job}
		if last := len(t.tried) - 1; last >= 0 && t.tried[last].Buckets == size.Buckets {
			if kib != defaultKiB {
				continue
			}
			t.tried = t.tried[:last]
		}
		t.tried = append(t.tried, size)
	}
	return nil
}

// sizeText writes a size as people do.
func sizeText(kib int) string {
	if kib >= 1<<10 && kib%(1<<10) == 0 {
		return fmt.Sprint(kib>>10, "MiB")
	}
	return fmt.Sprint(kib, "KiB")
}

// report compares the sizes with the default one and advises the quickest, if it is worth while.
func (t *tuning) report() *Report {
	report := &Report{Columns: []string{"BUCKET", "BUCKETS", "STEP MS", "STEPS/S", "OF DEFAULT"}}
	usual := slices.IndexFunc(t.tried, func(s tried) bool { return s.BucketKiB == defaultKiB })
	best := usual
	for k := range t.tried {
		size, ratios := &t.tried[k], []float64(nil)
		for n, ms := range size.ms {
			ratios = append(ratios, ms/t.tried[usual].ms[n])
		}
		size.Ms, size.OfDefault = median.Of(slices.Clone(size.ms)), median.Of(ratios)
	}
	for k, size := range t.tried {
		if size.OfDefault < min(worthwhile, t.tried[best].OfDefault) {
			best = k
		}
	}
	t.tried[best].Advised = true
	for _, size := range t.tried {
		report.Results = append(report.Results, size.TuneResult)
	}
	if best == usual {
		report.Notes = []string{fmt.Sprintf("Leave the job file as it is: no size is %.0f %% quicker than the default of %s.", 100*(1-worthwhile), sizeText(defaultKiB))}
		return report
	}
	report.Notes = []string{
		fmt.Sprintf("Buckets of %s make a step %.1f %% shorter. In the job file, below train:", t.tried[best].Case, 100*(1-t.tried[best].OfDefault)),
		fmt.Sprintf("    bucket_kib: %d", t.tried[best].BucketKiB),
		"The borders of buckets decide the order of additions, so this is another job with other bits: choose before it begins.",
	}
	return report
}
