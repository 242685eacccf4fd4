package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
	"ringmaster/internal/config"
	"ringmaster/internal/launch"
	"ringmaster/internal/plural"
	"ringmaster/internal/printable"
)

func validateCommand() *cobra.Command {
	var sets []string
	cmd := &cobra.Command{
		Use:   "validate JOB.yaml",
		Short: "Check a job file, its data and its model without starting anything",
		Long:  "Reads the job file and the data and builds the model, as launch does before it starts anything, and says what memory a step will take. Nothing is written. Exit code 2: the job has a mistake.",
		Args:  cli.Takes("JOB.yaml"),
		RunE: func(_ *cobra.Command, args []string) error {
			job, err := config.Load(args[0], sets)
			if err != nil {
				return wrong(err)
			}
			checked, err := launch.Check(job)
			if err != nil {
				return wrong(err)
			}
			for _, line := range checked.Account {
				fmt.Println(line)
			}
			fmt.Printf("memory: activations and samples of a seat's step %s, its gradient %s, parameters and optimizer %s\n",
				printable.Bytes(uint64(checked.Memory.Step)), printable.Bytes(uint64(checked.Memory.Seat)), printable.Bytes(uint64(checked.Memory.State)))
			fmt.Printf("job %s is valid: %s in %s\n", job.Name, plural.Of(job.TotalSteps(checked.Samples), "step"), plural.Of(job.Seats, "seat"))
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&sets, "set", nil, "override a job key, `KEY=VALUE` (train.steps=200); repeatable")
	return cmd
}
