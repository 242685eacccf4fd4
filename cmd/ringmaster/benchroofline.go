package main

import (
	"context"

	"github.com/spf13/cobra"

	"ringmaster/internal/bench"
	"ringmaster/internal/cli"
)

func benchRooflineCommand() *cobra.Command {
	var flags benchFlags
	var options bench.RooflineOptions
	cmd := &cobra.Command{
		Use:   "roofline JOB.yaml",
		Short: "Show where a training step's time goes, and what bounds each kind of operation",
		Long: `Trains some steps of a job with all its seats in this process and shows, for each kind of operation forward and backward, the optimizer and the rest of a step:

  MS, SHARE       its time in a step, the median over the steps, and which part of the step that is
  GFLOP, MIB      the floating-point operations of its products; the tensors that it reads and writes, each counted once
  ARITHMETIC MS   how long the products take at the peak of this machine: the fastest product whose operands stay in the caches
  MEMORY MS       how long the tensors take at the bandwidth of this machine's memory
  LEFT MS         the time minus the larger of the two bounds; it can be negative where tensors come from a cache

Large layers beside batch norms do much of the norms' work piece by piece; that time is theirs. Nothing is kept. Give the job one seat (--set seats=1) for the speed of a single seat's batch.`,
		Example: `  ringmaster bench roofline configs/mobilenetv2-cifar10.yaml --set seats=1 --set train.batch_per_seat=32 --steps 5`,
		Args:    cli.Takes("JOB.yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			options.File = args[0]
			if err := checkThreads(options.Threads); err != nil {
				return err
			}
			return flags.show(cmd.Context(), func(ctx context.Context) (*bench.Report, error) { return bench.Roofline(ctx, options) })
		},
	}
	cmd.Flags().StringArrayVar(&options.Sets, "set", nil, "override a job key, `KEY=VALUE`; repeatable")
	cmd.Flags().IntVar(&options.Steps, "steps", 20, "steps to measure")
	cmd.Flags().IntVar(&options.Threads, "threads", 1, "compute threads")
	cmd.Flags().BoolVar(&options.Each, "each", false, "show every operation by itself")
	flags.register(cmd)
	return cmd
}
