package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ringmaster/internal/chaos"
	"ringmaster/internal/cli"
	"ringmaster/internal/config"
	"ringmaster/internal/host"
	"ringmaster/internal/launch"
	"ringmaster/internal/plural"
)

func chaosCommand() *cobra.Command {
	var sets, kinds []string
	var asJSON bool
	var names []string
	for _, k := range append(chaos.Kinds(), chaos.StallKinds()...) {
		names = append(names, string(k))
	}
	o := chaos.Options{Machine: host.ID()}
	cmd := &cobra.Command{
		Use:   "chaos JOB.yaml",
		Short: "Train a job while a cluster's processes are killed, stopped and restarted, and compare the digests",
		Long: `Trains the job once undisturbed on one worker. Then trains it on a local cluster of processes that are killed, stopped,
restarted and added while it trains, from the seed, and compares digest, state digest and every epoch's figures. A run that
ends before all faults have happened is followed by another one on a new cluster, so a job of any length will do.

The exit code is 0 only if all digests are equal and no finished step was lost. Folders of runs that came out well are
removed unless --keep is given.

With --stalls the faults hold the ring up without taking anybody out of it: a worker that is stopped for a moment, one that
reads its data from a slow disk, one at half speed, a link that lets nothing through in one direction. Then the exit code
is 0 only if the status names the culprit of at least 95 of 100 within a second, and what it does, too.`,
		Args: cli.Takes("JOB.yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, k := range kinds {
				o.Kinds = append(o.Kinds, chaos.Kind(k))
			}
			job, err := config.Load(args[0], sets)
			if err != nil {
				return wrong(err)
			}
			o.Job = job
			if err := errors.Join(checkThreads(o.Threads), selectKernel()); err != nil {
				return err
			}
			return runChaos(cmd.Context(), o, asJSON)
		},
	}
	flags := cmd.Flags()
	flags.Uint64Var(&o.Seed, "seed", 1, "of the faults: the same seed draws the same ones")
	flags.IntVar(&o.Faults, "faults", 50, "number of faults")
	flags.IntVar(&o.Workers, "workers", 0, "workers at the beginning (default: 3, at most the job's seats)")
	flags.IntVar(&o.Coordinators, "coordinators", 3, "number of coordinators: 1, 3 or 5")
	flags.IntVar(&o.Threads, "threads", 1, "compute threads of each worker")
	flags.StringVar(&o.Dir, "dir", "", "`folder` for the runs, new or empty (default: the next free runs/NAME-chaos-N)")
	flags.BoolVar(&o.Keep, "keep", false, "keep the folders of runs that came out well too")
	flags.StringSliceVar(&kinds, "kinds", nil, "draw from these faults only: "+strings.Join(names, ", "))
	flags.Float64Var(&o.Overlap, "overlap", 0.4, "share of faults that hit while the cluster recovers from the one before")
	flags.BoolVar(&o.Stalls, "stalls", false, "faults that hold the ring up, one at a time: does the status name the culprit?")
	flags.StringArrayVar(&sets, "set", nil, "override a job key, `KEY=VALUE` (train.steps=200); repeatable")
	flags.BoolVar(&asJSON, "json", false, "write the report in JSON")
	return cmd
}

func runChaos(ctx context.Context, o chaos.Options, asJSON bool) error {
	made := o.Dir == ""
	if made {
		dir, err := launch.NextDirectory(launch.RunsDir, o.Job.Name+"-chaos")
		if err != nil {
			return wrong(err)
		}
		o.Dir = string(dir)
	} else {
		o.Dir = filepath.Clean(o.Dir)
	}
	if !asJSON {
		o.Out = os.Stdout
	}
	o.Begin = func() {
		fmt.Fprintf(os.Stderr, "chaos: seed %d, %s, in %s\n", o.Seed, plural.Of(o.Faults, "fault"), o.Dir)
	}
	var report *chaos.Report
	err := interruptible(ctx, func(ctx context.Context) (err error) {
		report, err = chaos.Run(ctx, o)
		return err
	})
	var interrupted *exit
	var usage *launch.UsageError
	switch {
	case errors.As(err, &interrupted):
		return interrupted
	case errors.As(err, &usage):
		if made {
			err = errors.Join(err, os.Remove(o.Dir)) // nothing was started
		}
		return wrong(err)
	case err != nil:
		return failed(err)
	}
	if asJSON {
		err = writeJSON(os.Stdout, report)
	} else {
		_, err = fmt.Print(report.Table())
	}
	if err == nil && !report.Passed {
		err = fmt.Errorf("%s of seed %d changed what came out: %s", plural.Of(report.Faults, "fault"), report.Seed, strings.Join(report.Problems, "; "))
	}
	return failed(err)
}
