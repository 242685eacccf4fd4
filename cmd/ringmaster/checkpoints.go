package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/cli"
	"ringmaster/internal/objects"
	"ringmaster/internal/plural"
)

func checkpointsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "checkpoints",
		Short: "List, verify, copy and export checkpoints, and show what they remember of the training",
		Args:  cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	cmd.AddCommand(listCommand(), verifyCommand(), exportCommand(), historyCommand(), copyCommand())
	return cmd
}

// checkpointRow is one checkpoint as list and verify show it.
type checkpointRow struct {
	Step       uint64 `json:"step"`
	Generation uint64 `json:"generation"`
	Job        string `json:"job,omitempty"`
	Epoch      int    `json:"epoch,omitempty"`
	Bytes      int64  `json:"bytes"`
	Digest     string `json:"digest,omitempty"`
	Path       string `json:"path"`
	Good       bool   `json:"good"`
	Problem    string `json:"problem,omitempty"`
}

func rowOf(e checkpoint.Entry) checkpointRow {
	row := checkpointRow{Step: e.Step, Generation: uint64(e.Generation), Bytes: e.Bytes, Path: e.Path, Good: e.Err == nil}
	if e.Err != nil {
		row.Problem = e.Err.Error()
	}
	if m := e.Manifest; m != nil {
		row.Job, row.Epoch, row.Digest = m.Job, m.Position.Epoch, m.Digest.String()
	}
	return row
}

// survey lists the checkpoints below a folder; that there are none is an error.
func survey(dir string) (*checkpoint.Found, error) {
	found, err := checkpoint.Survey(disk.OS{}, dir)
	if err != nil {
		return nil, wrong(err)
	}
	if len(found.Entries) == 0 {
		return nil, wrong(fmt.Errorf("there is no checkpoint in %s; name a run's folder, a folder of checkpoints, or one checkpoint", dir))
	}
	return found, nil
}

func listCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list DIR",
		Short: "List the checkpoints below a folder or in s3://BUCKET/PREFIX, without reading all of them",
		Args:  cli.Takes("DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			entries, err := found(args[0], false)
			if err != nil {
				return err
			}
			return failed(showCheckpoints(os.Stdout, entries, asJSON))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func verifyCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify DIR",
		Short: "Check every file of the checkpoints below a folder or in s3://BUCKET/PREFIX against its SHA-256",
		Args:  cli.Takes("DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			entries, err := found(args[0], true)
			if err != nil {
				return err
			}
			bad := 0
			for _, e := range entries {
				if e.Err != nil && !errors.Is(e.Err, checkpoint.ErrUnfinished) {
					bad++
				}
			}
			if err := showCheckpoints(os.Stdout, entries, asJSON); err != nil {
				return failed(err)
			}
			if bad > 0 {
				use := "; launch the job again in another folder"
				if slices.ContainsFunc(entries, func(e checkpoint.Entry) bool { return e.Err == nil }) {
					use = "; --resume uses the newest whole one"
				}
				return failed(fmt.Errorf("damaged: %d of %s%s", bad, plural.Of(len(entries), "checkpoint"), use))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func showCheckpoints(out io.Writer, entries []checkpoint.Entry, asJSON bool) error {
	rows := make([]checkpointRow, len(entries))
	lines := []string{"STEP\tEPOCH\tBYTES\tDIGEST\tSTATE\tPATH"}
	for i, e := range entries {
		rows[i] = rowOf(e)
		state := "good"
		if e.Err != nil {
			state = rows[i].Problem
		}
		lines = append(lines, fmt.Sprintf("%d\t%d\t%d\t%.12s\t%s\t%s", e.Step, rows[i].Epoch, e.Bytes, rows[i].Digest, state, e.Path))
	}
	if asJSON {
		return writeJSON(out, map[string]any{"checkpoints": rows})
	}
	return table(out, lines)
}

// checkTarget refuses what cannot become a file that a flag names, before any work is done for it.
func checkTarget(flag, target string) error {
	if info, err := os.Stat(target); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s %s is no regular file: name another one to write", flag, target)
	}
	folder := filepath.Dir(target)
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return fmt.Errorf("%s %s: there is no folder %s; make it, or name another file", flag, target, folder)
	}
	return nil
}

// pick is the good checkpoint to be exported; one in an object store is brought to this machine. Damaged ones that it passes over are named on stderr.
func pick(dir string, byStep bool, step uint64) (*checkpoint.Entry, error) {
	if objects.Is(dir) {
		folder, err := bring(dir, byStep, step)
		if err != nil {
			return nil, err
		}
		dir, byStep = folder, false
	}
	if byStep {
		found, err := survey(dir)
		if err != nil {
			return nil, err
		}
		if err := oneRun(found); err != nil {
			return nil, err
		}
		entry, err := found.At(step)
		return entry, wrong(err)
	}
	found, err := checkpoint.Locate(disk.OS{}, dir)
	if err != nil {
		return nil, wrong(err)
	}
	if err := oneRun(found); err != nil {
		return nil, err
	}
	for _, line := range found.Warnings() {
		fmt.Fprintln(os.Stderr, "ringmaster: "+line)
	}
	entry, err := found.Best()
	if err != nil {
		return nil, wrong(fmt.Errorf("%w; name another run's folder, folder of checkpoints, or checkpoint", err))
	}
	return entry, nil
}

// oneRun refuses the checkpoints of several runs, which have nothing to do with each other.
func oneRun(found *checkpoint.Found) error {
	var runs []string
	for _, e := range found.Entries {
		run, _, launched := strings.Cut(filepath.ToSlash(e.Path), "/coordinators/")
		if launched && !slices.Contains(runs, run) {
			runs = append(runs, run)
		}
	}
	if len(runs) < 2 {
		return nil
	}
	slices.Sort(runs)
	listed := strings.Join(runs[:min(len(runs), 8)], ", ")
	if len(runs) > 8 {
		listed += ", ..."
	}
	return wrong(fmt.Errorf("%s holds %d runs (%s): name one of them", found.Dir, len(runs), listed))
}
