package main

import (
	"os"

	"github.com/spf13/cobra"

	"ringmaster/internal/bench"
	"ringmaster/internal/cli"
	"ringmaster/internal/launch"
)

func benchLRCommand() *cobra.Command {
	var options bench.LROptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "lr JOB.yaml",
		Short: "Find a learning rate: train for some steps while the rate grows, and show what the loss does",
		Long: "Find a learning rate: train for some steps from the job's first weights while the rate grows by a factor from step to step, and show\n" +
			"what the training loss does (a range test). The suggestion is the rate at which the smoothed loss falls fastest. It computes in this\n" +
			"process and writes nothing; the figures are the same on any machine.",
		Args: cli.Takes("JOB.yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			options.File = args[0]
			if err := checkThreads(options.Threads); err != nil {
				return err
			}
			if err := selectKernel(); err != nil {
				return err
			}
			result, err := bench.LR(cmd.Context(), options)
			if err != nil {
				return notStarted(err)
			}
			if asJSON {
				return failed(writeJSON(os.Stdout, map[string]any{"results": []any{result}}))
			}
			return failed(table(os.Stdout, result.Rows()))
		},
	}
	cmd.Flags().StringArrayVar(&options.Sets, "set", nil, "override a job key, `KEY=VALUE`; repeatable")
	cmd.Flags().Float64Var(&options.From, "from", 1e-6, "the first learning rate")
	cmd.Flags().Float64Var(&options.To, "to", 1, "the last one")
	cmd.Flags().IntVar(&options.Steps, "steps", 200, "steps to train")
	cmd.Flags().IntVar(&options.Threads, "threads", launch.DefaultThreads(1), "compute threads")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}
