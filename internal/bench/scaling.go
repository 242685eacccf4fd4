package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"ringmaster/internal/config"
	"ringmaster/internal/launch"
	"ringmaster/internal/median"
	"ringmaster/internal/plan"
)

// ScalingOptions say what Scaling measures.
type ScalingOptions struct {
	File     string   // of the job
	Sets     []string // job keys to override, KEY=VALUE
	Workers  []int    // numbers of workers
	Threads  int      // of each worker in every arrangement; 0: CPUs / the largest number of workers, at least 1
	Rounds   int      // how often everything is measured
	Window   time.Duration
	Patience time.Duration     // how long a run may take until it trains
	Tell     func(line string) // hears how it goes on
}

// ScalingResult is what a ring of workers makes of a job's steps. Each figure is the median over the rounds of what one round has.
type ScalingResult struct {
	Case       string  `json:"case"`
	Workers    int     `json:"workers"`
	Threads    int     `json:"threads"`
	Seats      int     `json:"seats"`
	Alone      float64 `json:"alone_steps_per_s"` // one worker with all seats
	Apart      float64 `json:"apart_steps_per_s"` // as many workers at the same time, each with its own part of the seats, without a ring: the slowest
	Ring       float64 `json:"ring_steps_per_s"`  // the same workers in a ring
	Efficiency float64 `json:"efficiency"`        // ring / apart
	Speedup    float64 `json:"speedup"`           // ring / alone
	AddedMs    float64 `json:"added_ms"`          // what a step in the ring takes longer than apart

	// Of a step, all workers together. Those of the CPU are 0 where the system does not say.
	CPUMs         float64 `json:"cpu_ms"`
	ApartCPUMs    float64 `json:"apart_cpu_ms"`
	Switches      float64 `json:"switches"` // context switches
	ApartSwitches float64 `json:"apart_switches"`
	SentBytes     float64 `json:"sent_bytes"` // that the ring gave the links
}

func (r ScalingResult) row() []string {
	return []string{r.Case, strconv.Itoa(r.Workers), fmt.Sprintf("%.1f", r.Alone), fmt.Sprintf("%.1f", r.Apart), fmt.Sprintf("%.1f", r.Ring),
		fmt.Sprintf("%.1f %%", 100*r.Efficiency), fmt.Sprintf("%.2f", r.Speedup), fmt.Sprintf("%.3f", r.AddedMs), fmt.Sprintf("%.3f", r.CPUMs),
		fmt.Sprintf("%.3f", r.ApartCPUMs), fmt.Sprintf("%.1f", r.Switches), fmt.Sprintf("%.1f", r.ApartSwitches), fmt.Sprintf("%.1f", r.SentBytes/(1<<10))}
}

var scalingColumns = []string{"CASE", "WORKERS", "ALONE/S", "APART/S", "RING/S", "EFFICIENCY", "SPEEDUP", "ADDED MS", "CPU MS", "APART CPU MS", "SWITCHES", "APART SWITCHES", "SENT KIB"}

func (r ScalingResult) sample() sample {
	return sample{name: fmt.Sprintf("Scaling/%s/workers=%d/threads=%d", r.Case, r.Workers, r.Threads), n: 1,
		values: []value{{1e9 / r.Ring, "ns/op"}, {r.Efficiency, "efficiency"}, {r.AddedMs, "added-ms"}, {r.CPUMs, "cpu-ms"}, {r.Switches, "switches"}}}
}

// check settles the defaults and says what cannot be measured.
func (o *ScalingOptions) check() error {
	switch {
	case len(o.Workers) == 0 || slices.Min(o.Workers) < 1:
		return errors.New("--workers takes numbers of workers, at least 1 each: 1,2,4")
	case o.Rounds < 1:
		return errors.New("--rounds must be at least 1")
	case o.Window < leastWindow:
		return fmt.Errorf("--time must be at least %v, not %v", leastWindow, o.Window)
	case o.Threads < 0 || o.Threads > config.MaxThreads:
		return fmt.Errorf("--threads must be from 1 to %d, not %d", config.MaxThreads, o.Threads)
	}
	o.Workers = slices.Compact(slices.Sorted(slices.Values(o.Workers)))
	if o.Threads == 0 {
		o.Threads = launch.DefaultThreads(slices.Max(o.Workers))
	}
	if o.Patience == 0 {
		o.Patience = trainedAtAll
	}
	return nil
}

// Scaling measures a job's steps on clusters of processes on this machine: alone on one worker, on several workers that do not know each other, and on
// the same in a ring, all in turn and again in each round. Nothing is kept. A *launch.UsageError means that nothing was started.
func Scaling(ctx context.Context, o ScalingOptions) (report *Report, err error) {
	if err := o.check(); err != nil {
		return nil, &launch.UsageError{Err: err}
	}
	s := &scaling{ScalingOptions: o, meter: meter{threads: o.Threads, window: o.Window, patience: o.Patience}, rounds: map[int][]ScalingResult{}}
	if err := s.load(); err != nil {
		return nil, &launch.UsageError{Err: err}
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for n := range o.Rounds {
		if err := s.round(ctx, n); err != nil {
			return nil, err
		}
	}
	report = &Report{Columns: scalingColumns}
	for _, workers := range o.Workers {
		report.Results = append(report.Results, s.median(workers))
	}
	return report, nil
}

// scaling is a measurement under way.
type scaling struct {
	ScalingOptions
	meter
	whole  *config.Job         // with all seats
	parts  map[int]*config.Job // with some seats, as one worker of a ring has
	rounds map[int][]ScalingResult
}

// load reads the job as it is, and with the seats of each worker that trains apart.
func (s *scaling) load() (err error) {
	if s.whole, err = steady(s.File, s.Sets...); err != nil {
		return err
	}
	s.parts = map[int]*config.Job{}
	for _, workers := range s.Workers {
		if workers > s.whole.Seats {
			return s.whole.Errorf("seats", "--workers %d is more than the job's seats: %d; take fewer workers, or more seats (--set seats=%d)", workers, s.whole.Seats, workers)
		}
		for _, arc := range s.arcs(workers) {
			if s.parts[arc.Len()] != nil {
				continue
			}
			if s.parts[arc.Len()], err = steady(s.File, slices.Concat(s.Sets, []string{"seats=" + strconv.Itoa(arc.Len())})...); err != nil {
				return fmt.Errorf("the part of the job that one of %d workers has: %w", workers, err)
			}
		}
	}
	return nil
}

// arcs are the seats of each worker of a ring.
func (s *scaling) arcs(workers int) []plan.Arc {
	var arcs []plan.Arc
	for k := range workers {
		arcs = append(arcs, plan.Arc(plan.Interval{Begin: 0, End: s.whole.Seats}.Part(k, workers)))
	}
	return arcs
}

// round measures everything once, and in every other round what is compared in the opposite order.
func (s *scaling) round(ctx context.Context, n int) error {
	measure := func(what string, workers int, jobs ...*config.Job) (stepCost, error) {
		cost, err := s.measure(ctx, workers, jobs)
		if err != nil {
			return cost, fmt.Errorf("%s: %w", what, err)
		}
		s.tell("round %d of %d: %s: %.1f steps/s", n+1, s.Rounds, what, 1000/cost.ms)
		return cost, nil
	}
	alone, err := measure("one worker alone", 1, s.whole)
	if err != nil {
		return err
	}
	for _, workers := range s.Workers {
		apart, ring := alone, alone
		var jobs []*config.Job
		for _, arc := range s.arcs(workers) {
			jobs = append(jobs, s.parts[arc.Len()])
		}
		turns := []func() error{
			func() (err error) {
				apart, err = measure(fmt.Sprint(workers, " workers apart"), 1, jobs...)
				return err
			},
			func() (err error) {
				ring, err = measure(fmt.Sprint(workers, " workers in a ring"), workers, s.whole)
				return err
			},
		}
		if n%2 == 1 {
			slices.Reverse(turns)
		}
		for _, turn := range turns {
			if workers == 1 {
				break // all three are the same
			}
			if err := turn(); err != nil {
				return err
			}
		}
		s.rounds[workers] = append(s.rounds[workers], compare(alone, apart, ring))
	}
	return nil
}

func (s *scaling) tell(format string, args ...any) {
	if s.Tell != nil {
		s.Tell(fmt.Sprintf(format, args...))
	}
}

// compare is what one round says of a number of workers.
func compare(alone, apart, ring stepCost) ScalingResult {
	return ScalingResult{Alone: 1000 / alone.ms, Apart: 1000 / apart.ms, Ring: 1000 / ring.ms, Efficiency: apart.ms / ring.ms, Speedup: alone.ms / ring.ms,
		AddedMs: ring.ms - apart.ms, CPUMs: ring.cpuMs, ApartCPUMs: apart.cpuMs, Switches: ring.switches, ApartSwitches: apart.switches, SentBytes: ring.sent}
}

// median is the median of each figure by itself.
func (s *scaling) median(workers int) ScalingResult {
	of := func(figure func(*ScalingResult) float64) float64 {
		var values []float64
		for _, r := range s.rounds[workers] {
			values = append(values, figure(&r))
		}
		return median.Of(values)
	}
	return ScalingResult{Case: s.whole.Name, Workers: workers, Threads: s.Threads, Seats: s.whole.Seats,
		Alone:         of(func(r *ScalingResult) float64 { return r.Alone }),
		Apart:         of(func(r *ScalingResult) float64 { return r.Apart }),
		Ring:          of(func(r *ScalingResult) float64 { return r.Ring }),
		Efficiency:    of(func(r *ScalingResult) float64 { return r.Efficiency }),
		Speedup:       of(func(r *ScalingResult) float64 { return r.Speedup }),
		AddedMs:       of(func(r *ScalingResult) float64 { return r.AddedMs }),
		CPUMs:         of(func(r *ScalingResult) float64 { return r.CPUMs }),
		ApartCPUMs:    of(func(r *ScalingResult) float64 { return r.ApartCPUMs }),
		Switches:      of(func(r *ScalingResult) float64 { return r.Switches }),
		ApartSwitches: of(func(r *ScalingResult) float64 { return r.ApartSwitches }),
		SentBytes:     of(func(r *ScalingResult) float64 { return r.SentBytes }),
	}
}
