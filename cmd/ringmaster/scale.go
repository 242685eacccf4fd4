package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
	"ringmaster/internal/client"
	"ringmaster/internal/launch"
	"ringmaster/internal/plural"
	"ringmaster/internal/rpc"
	"ringmaster/internal/sleep"
)

const (
	scaleWait = 10 * time.Second       // how long the ring may take to have the new size before the command returns
	scaleLook = 100 * time.Millisecond // between two looks whether it has
)

func scaleCommand() *cobra.Command {
	var dir, job, certificate string
	var cluster []string
	workers := 0
	cmd := &cobra.Command{
		Use:   "scale --workers N [--job JOB] [--dir DIR | --cluster ADDR]",
		Short: "Change the number of workers of a running job",
		Long: `Changes the number of workers of the job that runs, without stopping it: workers come and go between two steps, and the
result has the same bits. Without --dir and --cluster it is the run below runs that was launched last.

A launch starts and stops worker processes to match. On other clusters start bin/worker yourself where more are needed.`,
		Args: cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if workers < 1 {
				return wrong(errors.New("--workers must be at least 1: say how many workers the job shall have"))
			}
			addresses, err := clusterOf(dir, cluster)
			if err != nil {
				return err
			}
			ctx, cancel := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer cancel()
			if len(cluster) == 0 {
				certificate = "" // a launch is on this machine alone
			}
			options, err := connection(certificate, addresses)
			if err != nil {
				return err
			}
			client := client.New(addresses, options...)
			return errors.Join(runScale(ctx, os.Stdout, client, job, workers, addresses, len(cluster) == 0), failed(client.Close()))
		},
	}
	cmd.Flags().IntVar(&workers, "workers", 0, "number of workers, from 1 to the job's seats")
	cmd.Flags().StringVar(&job, "job", "", "id or name of the `job`; where one runs alone it need not be named")
	cmd.Flags().StringVar(&dir, "dir", "", "`folder` of a run on this machine")
	cmd.Flags().StringSliceVar(&cluster, "cluster", nil, "`address`es of coordinators, host:port")
	certsFlag(cmd, &certificate)
	cli.Either(cmd, "dir", "cluster")
	return cmd
}

// clusterOf is where the coordinators of a run, or those named, are.
func clusterOf(dir string, cluster []string) ([]string, error) {
	if len(cluster) > 0 {
		return cluster, wrong(checkCluster(cluster))
	}
	run := launch.Directory(dir)
	if dir == "" {
		var err error
		if run, err = launch.LatestDirectory(launch.RunsDir); err != nil {
			return nil, wrong(err)
		}
	}
	endpoints, up, err := run.Endpoints()
	if err != nil {
		return nil, wrong(err)
	}
	if !up {
		return nil, &exit{exitNotUp, fmt.Errorf("%s: no cluster is up; launch the job, or name another --dir", run)}
	}
	return endpoints.Addresses(), nil
}

func runScale(ctx context.Context, out io.Writer, client *client.Client, of string, workers int, addresses []string, launched bool) error {
	asking, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if of != "" {
		found, err := findJob(asking, client, of)
		if err != nil {
			return err
		}
		of = found.Id
	}
	before, err := client.Status(asking, of)
	if err != nil {
		return &exit{exitNotUp, err}
	}
	job := before.GetJob()
	switch {
	case of == "" && len(before.Others) > 0:
		return wrong(errors.New("several jobs run there: say which by --job; ringmaster jobs lists them"))
	case job == nil || job.Ended:
		return failed(errors.New("no job runs there that could be scaled"))
	case workers > int(job.Seats):
		return wrong(fmt.Errorf("job %s has %s: --workers must be 1 to %d, not %d", job.Job, plural.Of(job.Seats, "seat"), job.Seats, workers))
	}
	if err := client.Scale(asking, job.Job, workers); err != nil {
		return failed(err)
	}
	return failed(awaitScale(ctx, out, client, job, workers, addresses, launched))
}

// awaitScale reports how the ring reached its new size, or what it waits for.
func awaitScale(ctx context.Context, out io.Writer, client *client.Client, before *rpc.JobStatus, workers int, addresses []string, launched bool) error {
	waiting, cancel := context.WithTimeout(ctx, scaleWait)
	defer cancel()
	last := before
	for waiting.Err() == nil {
		answer, err := client.Status(waiting, before.Job)
		if err == nil {
			last = answer.GetJob()
		}
		if n := len(last.Views); n > 0 && last.Views[n-1].Started && int(last.Views[n-1].Workers) == workers {
			_, err := fmt.Fprintf(out, "%s: %s from step %d on (%d before)\n", last.Job, plural.Of(workers, "worker"), last.Views[n-1].Step, before.Workers)
			return err
		}
		if last.Ended {
			return fmt.Errorf("job %s ended (%s) at step %d before it had %s", last.Job, last.State, last.Step, plural.Of(workers, "worker"))
		}
		sleep.For(waiting, scaleLook)
	}
	if ctx.Err() != nil {
		return nil // interrupted: the request remains
	}
	more := "ringmaster status shows what it waits for"
	if !launched && int(last.Workers) < workers {
		more = "start more by: worker --join " + strings.Join(addresses, ",")
	}
	_, err := fmt.Fprintf(out, "%s: %s asked for, %d so far; %s\n", last.Job, plural.Are(workers, "worker"), last.Workers, more)
	return err
}
