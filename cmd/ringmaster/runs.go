package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/cli"
	"ringmaster/internal/host"
	"ringmaster/internal/launch"
	"ringmaster/internal/plural"
	"ringmaster/internal/printable"
	"ringmaster/internal/report"
)

func runsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "runs [DIR]",
		Short: "List the runs in a folder of this machine",
		Long: `Lists the runs in DIR (default: runs), those that changed last first, with their states, steps, losses and digests. Runs that train are asked; of others
the last status is read. A run whose files are damaged is listed with what is wrong.`,
		Example: `  ringmaster runs
  ringmaster runs --json | jq -r '.[] | select(.state == "interrupted") | .run'`,
		Args: cli.Takes("[DIR]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := launch.RunsDir
			if len(args) > 0 {
				dir = args[0]
			}
			rows, err := report.List(cmd.Context(), dir, host.ID())
			if err != nil {
				return wrong(err)
			}
			if asJSON {
				return failed(writeJSON(os.Stdout, rows))
			}
			return failed(showRuns(os.Stdout, rows))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func showRuns(out io.Writer, rows []report.Row) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(out, "no runs yet")
		return err
	}
	lines := []string{"RUN\tSTATE\tSTEP\tLOSS\tDIGEST\tCHANGED\tSIZE\t"}
	for _, r := range rows {
		loss, digest := "-", "-"
		if r.TrainLoss != nil {
			loss = fmt.Sprintf("%.4f", *r.TrainLoss)
		}
		if len(r.Digest) > 12 {
			digest = r.Digest[:12]
			if r.DigestAt != r.Step {
				digest += fmt.Sprintf(" (step %d)", r.DigestAt)
			}
		}
		lines = append(lines, fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s", printable.Line(r.Run, 200), printable.Line(r.State, 20), runSteps(r), loss,
			printable.Line(digest, 60), r.Changed.Format("2006-01-02 15:04"), printable.Bytes(uint64(r.Bytes)), printable.Line(r.Problem, 200)))
	}
	return table(out, lines)
}

func runSteps(r report.Row) string {
	if r.Steps == 0 {
		return fmt.Sprint(r.Step)
	}
	return fmt.Sprintf("%d/%d", r.Step, r.Steps)
}

func diffCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "diff RUN RUN",
		Short: "Say where two runs differ: configuration, data, curve, weights",
		Long: `Compares two runs by their newest good checkpoints: the keys of the configuration that differ, the fingerprints of the data, the first step at
which the curves part, the first epoch whose figures differ, and the weights at the newest step of which both have a checkpoint. RUN is a run's folder, a
folder of checkpoints, or one checkpoint, also one of another machine.

The exit code is 0 where nothing differs and 1 where something does. Curves are compared bit for bit: trainings that do the same are equal from the
first step to the last, so the first step that differs is where to look for the reason.`,
		Example: `  ringmaster diff runs/quickstart-1 runs/quickstart-2
  ringmaster diff runs/quickstart-1 backup --json | jq .curve_differs`,
		Args: cli.Takes("RUN", "RUN"),
		RunE: func(_ *cobra.Command, args []string) error {
			var runs [2]*report.Run
			for i, arg := range args {
				var err error
				if runs[i], err = loadRun(arg); err != nil {
					return err
				}
			}
			d := report.Compare(runs[0], runs[1])
			show := d.Write
			if asJSON {
				show = func(out io.Writer) error { return writeJSON(out, d) }
			}
			if err := show(os.Stdout); err != nil {
				return failed(err)
			}
			if !d.Same {
				return &exit{exitFailed, nil}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

// loadRun reads a run by its newest good checkpoint. What cannot be read is wrong usage.
func loadRun(dir string) (*report.Run, error) {
	entry, err := pick(dir, false, 0)
	if err != nil {
		return nil, err
	}
	found, err := checkpoint.Survey(disk.OS{}, dir)
	if err != nil {
		return nil, wrong(err)
	}
	run, err := report.Load(dir, entry, found.Entries)
	if err != nil {
		return nil, wrong(fmt.Errorf("%w; name another run", err))
	}
	if run.Skipped > 0 {
		fmt.Fprintf(os.Stderr, "ringmaster: %s: left out %s of its events, which cannot be read\n", dir, plural.Of(run.Skipped, "line"))
	}
	return run, nil
}
