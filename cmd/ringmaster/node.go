package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
	"ringmaster/internal/config"
	"ringmaster/internal/host"
	"ringmaster/internal/launch"
	"ringmaster/internal/node"
	"ringmaster/internal/progress"
	"ringmaster/internal/slurm"
)

func nodeCommand() *cobra.Command {
	var flags jobFlags
	var o node.Options
	cmd := &cobra.Command{
		Use:   "node JOB.yaml",
		Short: "Train as one task of a Slurm job: srun ringmaster node JOB.yaml",
		Long: `Trains a job on the nodes of a Slurm allocation: srun starts this command once for each task, and that is all. Every task runs a worker;
the first also runs a coordinator, and on three nodes or more one task of each of the first three does, so that any node may be lost (srun --no-kill).
The first task shows the progress and writes the summary. Tasks find each other, and keep the job's certificates, in the run's folder, which
all nodes must see.

SIGTERM and the signal that sbatch --signal sends write a checkpoint and end the job. Started again, also by requeueing, it goes on from the newest
checkpoint in the folder, on any number of nodes, with the same bits. There are batch scripts in configs/slurm.`,
		Example: `  srun --nodes 4 --ntasks-per-node 1 --cpus-per-task 32 ringmaster node job.yaml
  sbatch configs/slurm/train.sbatch job.yaml
  srun --nodes 2 ringmaster node job.yaml --dir runs/mine --interface ib0`,
		Args: cli.Takes("JOB.yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("threads") && (o.Threads < 1 || o.Threads > config.MaxThreads) {
				return wrong(fmt.Errorf("--threads must be from 1 to %d", config.MaxThreads))
			}
			if err := flags.check(args[0]); err != nil {
				return err
			}
			return runNode(cmd.Context(), args[0], flags, o)
		},
	}
	flags.register(cmd)
	eventFlag(cmd, &flags.onEvent)
	cmd.Flags().StringVar(&o.Dir, "dir", "", "`folder` of the run, which all nodes see (default: runs/NAME-slurm-JOBID)")
	cmd.Flags().StringVar(&o.Interface, "interface", "", "`name` or address of the network interface by which nodes reach each other (default: found by itself)")
	cmd.Flags().IntVar(&o.Threads, "threads", 0, "compute threads of each worker (default: what Slurm gave the task, SLURM_CPUS_PER_TASK)")
	return cmd
}

func runNode(ctx context.Context, file string, flags jobFlags, o node.Options) error {
	var err error
	if o.Task, err = slurm.Here(os.Getenv); err != nil {
		return wrong(err)
	}
	job, err := config.Load(file, flags.sets)
	if err != nil {
		return wrong(err)
	}
	if err := selectKernel(); err != nil {
		return err
	}
	if o.Dir == "" {
		o.Dir = filepath.Join(launch.RunsDir, job.Name+"-slurm-"+o.Task.Job)
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return wrong(err)
	}
	o.Warn = func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "ringmaster: task %d: %s\n", o.Task.Rank, fmt.Sprintf(format, args...))
	}
	interrupts := make(chan os.Signal, 4)
	cli.NotifyEnd(interrupts)
	defer signal.Stop(interrupts)
	n, err := node.New(ctx, o)
	if err != nil {
		return wrong(err)
	}
	if o.Task.Rank == 0 {
		return leadTasks(ctx, job, flags, o, n, interrupts)
	}
	by, err := n.Follow(ctx, interrupts)
	if by != nil && err != nil {
		return signalled(by, nil)
	}
	if errors.Is(err, node.ErrNotDone) {
		return &exit{exitFailed, nil}
	}
	return failed(err)
}

// leadTasks is the first task: it launches the job on all of them.
func leadTasks(ctx context.Context, job *config.Job, flags jobFlags, o node.Options, n *node.Node, interrupts chan os.Signal) error {
	out, warnings := progress.NewOutput(os.Stdout), progress.NewOutput(os.Stderr)
	defer warnings.Close(flushPatience)
	defer out.Close(flushPatience)
	display, err := progress.New(flags.progress, out, time.Now)
	if err != nil {
		return wrong(errors.Join(err, n.Stop(false)))
	}
	notifier, err := flags.notifier(func(err error) { fmt.Fprintln(warnings, "ringmaster: "+oneLine(err)) })
	if err != nil {
		return errors.Join(err, n.Stop(false))
	}
	defer notifier.Close()
	result, err := launch.Run(ctx, launch.Options{
		Job: job, Workers: min(o.Task.Tasks, job.Seats), Coordinators: n.Coordinators(), Threads: o.Threads, Dir: o.Dir, Resume: true, Fleet: n,
		Display: display, Warnings: warnings, Interrupts: interrupts, Began: began, Machine: host.ID(), Tell: notifier.Tell,
	})
	if result == nil {
		display.Close()
		return notStarted(errors.Join(err, n.Stop(false)))
	}
	err = errors.Join(err, writeSummary(flags.summary, result.Summary))
	if err == nil && result.Summary.State != launch.StateFailed {
		fmt.Fprint(out, result.Summary.Table(nil))
	}
	return ending(result, err)
}
