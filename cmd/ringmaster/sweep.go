package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
	"ringmaster/internal/config"
	"ringmaster/internal/launch"
	"ringmaster/internal/progress"
	"ringmaster/internal/report"
	"ringmaster/internal/sweep"
	"ringmaster/internal/wholefile"
)

// sweepFlags are what a person says to "ringmaster sweep".
type sweepFlags struct {
	sets, grid, random []string
	trials, seeds      int
	metric             string
	startup            int
	noShare, asJSON    bool
	detach             bool
	parallel           int
	job                jobFlags // progress, and who is told of events
	local              launch.Options
	to                 target
	submit             submitFlags
}

func sweepCommand() *cobra.Command {
	var f sweepFlags
	cmd := &cobra.Command{
		Use:   "sweep JOB.yaml --grid KEY=A,B... | --random KEY=LOW..HIGH... | --seeds N",
		Short: "Train a job with many settings of some keys, and compare them",
		Long: `Trains the job once for each combination of the grid's values, each time with --trials draws of the random keys, and each of these points
with --seeds seeds. The trials run one after the other, or --parallel at once, each in a folder of its own below --dir, which is a run's as launch
writes it; or with --cluster as jobs NAME-trial-N of that cluster's queue, recorded in these folders while they are watched.

After --startup trials the median rule ends a trial at the end of an epoch in which its best figure so far is worse than the median of what the
trials before it had reached after as many epochs; of these, with --parallel N, all but the N-1 just before it. A trial that only trains longer than
one before it goes on from there. Trials that differ in the learning rate's schedule alone begin with one training of the steps in which their rates
are equal (the same warm-up, a decay that has not begun). Neither changes a bit. What is drawn, where each trial ends and what it reaches
follows from the job, the flags and the seed alone, on any cluster.

Ctrl-C ends the trials that run with a checkpoint; --resume goes on with the sweep. In a cluster it cancels their jobs. --detach submits all trials
there and returns; --resume finds them, waits for them and compares them. The results so far are in DIR/sweep.json.`,
		Example: `  ringmaster sweep job.yaml --grid train.optimizer.lr=0.1,0.03,0.01 --seeds 3
  ringmaster sweep job.yaml --random train.optimizer.lr=log:0.0001..0.1 --random train.batch_per_seat=8,16,32 --trials 20
  ringmaster sweep job.yaml --grid train.epochs=1,2,4 --cluster coordinator-1:7000 --priority -10
  ringmaster sweep job.yaml --seeds 5 --cluster coordinator-1:7000 --startup 0 --detach --dir sweeps/seeds
  ringmaster sweep job.yaml --seeds 5 --cluster coordinator-1:7000 --startup 0 --resume --dir sweeps/seeds`,
		Args: cli.Takes("JOB.yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.local.Resume && f.local.Dir == "" {
				return wrong(errors.New("--resume needs --dir, the folder of the sweep"))
			}
			if err := f.check(); err != nil {
				return wrong(err)
			}
			return runSweep(cmd.Context(), args[0], f)
		},
	}
	f.register(cmd)
	return cmd
}

func (f *sweepFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.grid, "grid", nil, "a key and its values, `KEY=A,B,C`; repeatable: all combinations are tried")
	flags.StringArrayVar(&f.random, "random", nil, "a key and what its values are drawn from, `KEY=LOW..HIGH`, KEY=log:LOW..HIGH or KEY=A,B,C; repeatable")
	flags.IntVar(&f.trials, "trials", 0, "points that are drawn for --random (default 10)")
	flags.IntVar(&f.seeds, "seeds", 1, "trainings of each point: with the job's seed and those after it")
	flags.StringVar(&f.metric, "metric", "", "the figure of the evaluations by which trials are compared (default: train.early_stop's, else loss)")
	flags.IntVar(&f.startup, "startup", 4, "trials that end by themselves before the median rule ends others; 0: no rule")
	flags.BoolVar(&f.noShare, "no-share", false, "train every trial from its seed, also where it could go on from another one's checkpoint")
	flags.StringArrayVar(&f.sets, "set", nil, "override a job key in all trials, `KEY=VALUE`; repeatable")
	flags.StringVar(&f.local.Dir, "dir", "", "`folder` for everything the sweep writes (default: the next free runs/NAME-sweep-N)")
	flags.BoolVar(&f.local.Resume, "resume", false, "go on with the sweep in the folder")
	flags.IntVar(&f.local.Workers, "workers", 0, "number of workers (default: as many as CPUs, at most the job's seats)")
	flags.IntVar(&f.local.Coordinators, "coordinators", 1, "number of coordinators on this machine: 1, 3 or 5")
	flags.IntVar(&f.local.Threads, "threads", 0, "compute threads of each worker on this machine (default: CPUs / workers)")
	flags.IntVar(&f.parallel, "parallel", 1, "trials at once: on this machine they share its CPUs, and each needs memory of its own; in a cluster the queue decides")
	flags.StringVar(&f.job.progress, "progress", "auto", "how progress is shown, as in launch")
	eventFlag(cmd, &f.job.onEvent)
	flags.BoolVar(&f.detach, "detach", false, "submit all trials to the cluster and return; needs --startup 0")
	flags.BoolVar(&f.asJSON, "json", false, "write the results as JSON")
	flags.StringSliceVar(&f.to.cluster, "cluster", nil, "`address`es of coordinators, host:port: trials are jobs of that cluster")
	certsFlag(cmd, &f.to.certs)
	flags.IntVar(&f.submit.priority, "priority", 0, "the trials' `priority` in the cluster's queue")
	cmd.MarkFlagsMutuallyExclusive("cluster", "coordinators")
	cmd.MarkFlagsMutuallyExclusive("cluster", "threads")
}

// check refuses flags that do not go together.
func (f *sweepFlags) check() error {
	_, err := targetsOf(f.job.onEvent)
	switch {
	case err != nil:
		return err
	case f.parallel < 1 || f.parallel > sweep.MaxTrials:
		return fmt.Errorf("--parallel %d must be 1 to %d", f.parallel, sweep.MaxTrials)
	case f.detach && len(f.to.cluster) == 0:
		return errors.New("--detach needs --cluster: on this machine trials end with the command that runs them")
	case f.detach && f.startup > 0:
		return errors.New("--detach needs --startup 0: the median rule ends trials by what earlier ones have reached, for which somebody has to wait")
	case f.detach && len(f.job.onEvent) > 0:
		return errors.New("--detach and --on-event do not go together: nobody is there to tell; follow a trial by ringmaster jobs follow JOB --on-event")
	}
	return nil
}

// space is what the flags say of the trials.
func (f *sweepFlags) space() (s sweep.Space, err error) {
	for _, text := range f.grid {
		a, err := sweep.ParseAxis(text)
		if err != nil {
			return s, fmt.Errorf("--grid %w", err)
		}
		s.Grid = append(s.Grid, a)
	}
	for _, text := range f.random {
		d, err := sweep.ParseDraw(text)
		if err != nil {
			return s, fmt.Errorf("--random %w", err)
		}
		s.Random = append(s.Random, d)
	}
	if s.Points, s.Seeds = f.trials, f.seeds; f.trials == 0 && len(s.Random) > 0 {
		s.Points = 10
	}
	if f.trials < 0 || f.seeds < 1 || f.startup < 0 {
		return s, errors.New("--trials, --seeds and --startup cannot be negative, and --seeds is at least 1")
	}
	return s, nil
}

func runSweep(ctx context.Context, file string, f sweepFlags) error {
	space, err := f.space()
	if err != nil {
		return wrong(err)
	}
	job, err := config.Load(file, f.sets)
	if err != nil {
		return wrong(err)
	}
	out, warnings := progress.NewOutput(os.Stdout), progress.NewOutput(os.Stderr)
	defer warnings.Close(flushPatience)
	defer out.Close(flushPatience)
	shown := io.Writer(out)
	if f.asJSON || f.detach {
		shown = warnings // the results alone are for the reader of the output
	}
	o := sweep.Options{Space: space, Metric: f.metric, Startup: f.startup, At: f.parallel, Resume: f.local.Resume, Share: !f.noShare && len(f.to.cluster) == 0, Out: shown,
		Folder: func() (_ string, err error) {
			if f.local.Dir == "" {
				var next launch.Directory
				next, err = launch.NextDirectory(launch.RunsDir, job.Name+"-sweep")
				f.local.Dir = string(next)
			}
			return filepath.Clean(f.local.Dir), err
		},
		Job: func(sets []string) (*config.Job, error) {
			return config.Load(file, append(append([]string(nil), f.sets...), sets...))
		}}
	notifier, err := f.job.notifier(func(err error) { fmt.Fprintln(warnings, "ringmaster: "+oneLine(err)) })
	if err != nil {
		return err
	}
	defer notifier.Close() // which may take a while, when everything is said
	t := trials{flags: &f, out: out, warnings: warnings, shown: shown, tell: notifier.Tell, workers: f.local.Workers}
	end := func() error { return nil }
	if len(f.to.cluster) > 0 {
		end, err = t.onCluster(&o)
	} else {
		var forget func()
		forget, err = t.onMachine(&o)
		defer forget()
	}
	if err != nil {
		return err
	}
	r, err := sweep.Run(ctx, o)
	err = errors.Join(err, end())
	return f.conclude(out, r, err)
}

// conclude shows what came out, and is the exit code and message of the sweep.
func (f *sweepFlags) conclude(out io.Writer, r *sweep.Report, err error) error {
	var usage *sweep.ErrUsage
	if errors.As(err, &usage) {
		return wrong(err)
	}
	if r == nil {
		return failed(err)
	}
	if f.detach && err == nil {
		return f.left(out, r)
	}
	var shown error
	if f.asJSON {
		shown = writeJSON(out, r)
	} else {
		_, shown = fmt.Fprint(out, "\n"+r.Table())
	}
	if len(f.to.cluster) == 0 && r.Best > 0 { // the runs are here
		page, drawn := drawSweep(f.local.Dir, r)
		if shown = errors.Join(shown, drawn); !f.asJSON && drawn == nil {
			_, shown = fmt.Fprintf(out, "plots: %s\n", page)
		}
	}
	var code *exit
	switch {
	case errors.As(err, &code):
		return code
	case err != nil:
		return failed(err)
	case shown == nil && r.Best == 0:
		return failed(fmt.Errorf("no trial has a figure for %s", r.Metric))
	}
	return failed(shown)
}

// left says which jobs the trials are.
func (f *sweepFlags) left(out io.Writer, r *sweep.Report) error {
	if f.asJSON {
		return failed(writeJSON(out, r))
	}
	for _, o := range r.Trials {
		fmt.Fprintln(out, o.Run)
	}
	fmt.Fprintf(os.Stderr, "the trials are in the cluster's queue; ringmaster sweep --resume --dir %s and the other flags, without --detach, wait for them\n", f.local.Dir)
	return nil
}

// drawSweep writes a page with the curves of a sweep's best trials.
func drawSweep(dir string, r *sweep.Report) (path string, err error) {
	var runs []*report.Run
	for _, o := range r.Ranked(report.MaxRuns) {
		run, err := loadRun(o.Run)
		if err != nil {
			return "", err
		}
		runs = append(runs, run)
	}
	path = filepath.Join(dir, "report.html")
	return path, wholefile.Write(path, 0o666, func(w io.Writer) error { return report.WritePage(w, runs) })
}
