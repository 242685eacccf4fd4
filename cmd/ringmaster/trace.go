package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
	"ringmaster/internal/client"
	"ringmaster/internal/plural"
	"ringmaster/internal/trace"
	"ringmaster/internal/wholefile"
)

// maxTraceSteps is how many steps a coordinator lets trace.
const maxTraceSteps = 10000

func traceCommand() *cobra.Command {
	var dir, certificate, job, out string
	var addresses []string
	var steps int
	cmd := &cobra.Command{
		Use:   "trace [--dir DIR | --cluster ADDR] [--steps N] [--out FILE.json]",
		Short: "Record where the time of some steps goes, in all workers",
		Long: `Has all workers of a job record what they do in some of its next steps (reading, forward and backward of each seat and their operations, the sum of each bucket, waiting for
whom, what the ring packs, passes on, waits for and adds up, optimizer, copies for checkpoints), and writes that in the Chrome trace event format, which Perfetto and chrome://tracing open.

The clocks of the machines are compared with the leading coordinator's, and the file says by how much each one was moved, and how exactly that is known. Training goes on meanwhile with
the same bits. Without --dir and --cluster, the run below runs that was launched last is meant.`,
		Example: `  ringmaster trace --steps 20 --out trace.json
  ringmaster trace --cluster coordinator-1:7070 --certs certs --job mnist`,
		Args: cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkTraceSteps("--steps", steps); err != nil {
				return err
			}
			if err := checkTarget("--out", out); err != nil {
				return wrong(err)
			}
			at, err := clusterOf(dir, addresses)
			if err != nil {
				return err
			}
			if len(addresses) == 0 {
				certificate = "" // a launch is on this machine alone
			}
			options, err := connection(certificate, at)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			c := client.New(at, options...)
			return errors.Join(recordTrace(ctx, c, job, steps, out), c.Close())
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "`folder` of a run on this machine")
	cmd.Flags().StringSliceVar(&addresses, "cluster", nil, "`address`es of coordinators, host:port")
	cmd.Flags().StringVar(&job, "job", "", "`id` or name of the job (default: the one that runs)")
	cmd.Flags().IntVar(&steps, "steps", 20, "`number` of steps")
	cmd.Flags().StringVar(&out, "out", "trace.json", "`file` to write")
	certsFlag(cmd, &certificate)
	cli.Either(cmd, "dir", "cluster")
	return cmd
}

func checkTraceSteps(flag string, steps int) error {
	if steps < 1 || steps > maxTraceSteps {
		return wrong(fmt.Errorf("%s must be from 1 to %d", flag, maxTraceSteps))
	}
	return nil
}

// recordTrace asks for the trace, writes it, and says what is in it.
func recordTrace(ctx context.Context, c *client.Client, job string, steps int, out string) error {
	asking, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if job != "" {
		found, err := findJob(asking, c, job)
		if err != nil {
			return err
		}
		job = found.Id
	} else if _, err := c.Status(asking, ""); errors.Is(err, client.ErrUnreachable) {
		return &exit{exitNotUp, err}
	}
	t, err := c.Trace(ctx, job, steps)
	if err != nil {
		return failed(err)
	}
	return failed(writeTrace(t, out, os.Stdout))
}

// writeTrace writes a trace to a file and says what is in it.
func writeTrace(t *client.Trace, out string, to io.Writer) error {
	spans, seen, lost := 0, 0, uint64(0)
	for _, p := range t.Processes {
		spans += len(p.Spans)
		seen = max(seen, p.Steps()) // a job that ends, or a ring that breaks, leaves fewer than were asked for
		lost += p.Lost
	}
	if spans == 0 { // an earlier trace in that file stays
		return fmt.Errorf("nothing was recorded: job %s ended, or its ring broke, before step %d", t.Job, t.First)
	}
	slices.SortFunc(t.Processes, func(a, b trace.Process) int { return cmp.Compare(a.Worker, b.Worker) })
	if err := wholefile.Write(out, 0o666, func(w io.Writer) error { return trace.Write(w, t.Job, t.Processes) }); err != nil {
		return err
	}
	if len(t.Missing) > 0 {
		fmt.Fprintf(os.Stderr, "no trace came from %s: they have left\n", strings.Join(t.Missing, ", "))
	}
	if lost > 0 {
		fmt.Fprintf(os.Stderr, "there was no room for %s more; trace fewer steps\n", plural.Of(lost, "span"))
	}
	_, err := fmt.Fprintf(to, "%s: %s of %s from step %d on, %s; open it in Perfetto or chrome://tracing\n", out, plural.Of(seen, "step"),
		plural.Of(len(t.Processes), "worker"), t.First, plural.Of(spans, "span"))
	return err
}
