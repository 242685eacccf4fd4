package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
	"ringmaster/internal/records"
	"ringmaster/internal/wholefile"
)

func recordsCommand() *cobra.Command {
	var format, out string
	var step uint64
	cmd := &cobra.Command{
		Use:   "records RUN",
		Short: "Write a run's curve and evaluations as JSON lines, CSV or TensorBoard's event files",
		Long: `Writes what a run's newest good checkpoint remembers: loss, accuracy, learning rate and gradient norm by step, as ringmaster checkpoints history
prints them, and the figures of every epoch. RUN is a run's folder, a folder of checkpoints, or one checkpoint. Equal trainings give equal
bytes, on any cluster.

A launch writes the same into its folder whenever a checkpoint is stored (metrics.jsonl, metrics.csv), and what happened when into events.jsonl and
tensorboard/; this command makes them from a checkpoint alone, which knows no clock, so in TensorBoard look at the axis of steps.`,
		Example: `  ringmaster records runs/quickstart-1 --format csv > curve.csv
  ringmaster records runs/quickstart-1 --format jsonl --out curve.jsonl
  ringmaster records runs/quickstart-1 --format tensorboard --out tb && tensorboard --logdir tb`,
		Args: cli.Takes("RUN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return writeRecords(args[0], format, out, cmd.Flags().Changed("step"), step)
		},
	}
	cmd.Flags().StringVar(&format, "format", "jsonl", "jsonl, csv or tensorboard")
	cmd.Flags().StringVar(&out, "out", "", "`file` to write, for tensorboard a folder (default: standard output)")
	cmd.Flags().Uint64Var(&step, "step", 0, "take the checkpoint after this step (default: the newest good one)")
	return cmd
}

func writeRecords(dir, format, out string, byStep bool, step uint64) error {
	write := map[string]func(*records.Run, io.Writer) error{"jsonl": (*records.Run).WriteJSONL, "csv": (*records.Run).WriteCSV, "tensorboard": (*records.Run).WriteEvents}[format]
	if write == nil {
		return wrong(fmt.Errorf("--format %s is not known; there are jsonl, csv, tensorboard", format))
	}
	if format == "tensorboard" && out == "" {
		return wrong(errors.New("--format tensorboard needs a folder: name one by --out"))
	}
	target := out
	if format == "tensorboard" {
		target = filepath.Join(out, records.EventFile(0, "records"))
		if err := checkEvents(out, filepath.Base(target)); err != nil {
			return wrong(err)
		}
	} else if out != "" {
		if err := checkTarget("--out", out); err != nil {
			return wrong(err)
		}
	}
	entry, err := pick(dir, byStep, step)
	if err != nil {
		return err
	}
	run, err := records.Of(entry)
	if err != nil {
		return failed(err)
	}
	if out == "" {
		return failed(write(run, os.Stdout))
	}
	if format == "tensorboard" {
		if err := os.MkdirAll(out, 0o755); err != nil {
			return failed(fmt.Errorf("--out: %w", err))
		}
	}
	return failed(wholefile.Write(target, 0o666, func(w io.Writer) error { return write(run, w) }))
}

// checkEvents refuses a folder that is a file, or that holds event files of others, with which TensorBoard would mix this one.
func checkEvents(folder, own string) error {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--out %s: it is no folder that can be read; name another one", folder)
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), "tfevents") && e.Name() != own {
			return fmt.Errorf("--out %s: it holds %s already, and TensorBoard would mix the two; name another folder", folder, e.Name())
		}
	}
	return nil
}
