package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
	"ringmaster/internal/host"
	"ringmaster/internal/launch"
)

func statusCommand() *cobra.Command {
	var dir, certificate string
	var cluster []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status [--dir DIR | --cluster ADDR]",
		Short: "Show what a job and its cluster are doing",
		Long: `Shows what a job and its cluster are doing; without --dir and --cluster, of the run below runs that was launched last.

The exit code is 3 while the cluster is not up yet. After its end the last state is shown.`,
		Args: cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			status, err := findStatus(cmd.Context(), dir, cluster, certificate)
			if err != nil {
				return err
			}
			return failed(showStatus(os.Stdout, status, asJSON))
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "`folder` of a run on this machine")
	cmd.Flags().StringSliceVar(&cluster, "cluster", nil, "`address`es of coordinators, host:port")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	certsFlag(cmd, &certificate)
	cli.Either(cmd, "dir", "cluster")
	return cmd
}

func findStatus(ctx context.Context, dir string, cluster []string, certificate string) (*launch.Status, error) {
	if len(cluster) > 0 {
		if err := checkCluster(cluster); err != nil {
			return nil, wrong(err)
		}
		options, err := connection(certificate, cluster)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		status, err := launch.AskStatus(ctx, cluster, host.ID(), options...)
		if err != nil {
			return nil, &exit{exitNotUp, err}
		}
		return status, nil
	}
	run := launch.Directory(dir)
	if dir == "" {
		var err error
		if run, err = launch.LatestDirectory(launch.RunsDir); err != nil {
			return nil, wrong(err)
		}
	}
	status, err := run.Status(ctx, host.ID())
	if errors.Is(err, launch.ErrNotUp) {
		return nil, &exit{exitNotUp, err}
	}
	return status, wrong(err)
}

func showStatus(out io.Writer, s *launch.Status, asJSON bool) error {
	if asJSON {
		return writeJSON(out, s)
	}
	_, err := fmt.Fprint(out, s.Table())
	return err
}

func writeJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// table writes rows whose cells are separated by tabs as aligned columns.
func table(out io.Writer, rows []string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, row)
	}
	return w.Flush()
}
