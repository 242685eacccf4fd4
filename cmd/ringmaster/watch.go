package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"google.golang.org/grpc"

	"ringmaster/internal/certs"
	"ringmaster/internal/cli"
	"ringmaster/internal/client"
	"ringmaster/internal/config"
	"ringmaster/internal/host"
	"ringmaster/internal/launch"
	"ringmaster/internal/progress"
	"ringmaster/internal/rpc"
	"ringmaster/internal/sleep"
	"ringmaster/internal/ui"
	"ringmaster/internal/watch"
)

func watchCommand() *cobra.Command {
	var dir, certificate string
	var cluster []string
	var readOnly, plain bool
	cmd := &cobra.Command{
		Use:   "watch [--dir DIR | --cluster ADDR]",
		Short: "Watch a job in the terminal, and pause, resume or scale it by keys",
		Long: `Fills the terminal with what a cluster does: the curve of the loss, the workers and whom they wait for, who holds the job up, events and
the queue. Keys: p pauses the job, r resumes it, + and - change its number of workers, s saves a checkpoint, x stops it with a checkpoint; each asks first. Where there are several jobs, 1 to 9 show the one of that
number in the list, tab the next one. l makes the axis of the losses logarithmic. q leaves, and the job goes on. It follows the leader and outlives any coordinator. Without --dir and --cluster it shows the run below runs that was
launched last.

Where standard input or output is no terminal, TERM is dumb, or NO_COLOR or --plain is set, it writes a line when something changes, and
ends with the job: exit code 1 if that failed.`,
		Example: `  ringmaster watch
  ringmaster watch --cluster coordinator-1:7000 --certs certs --read-only
  ringmaster watch --plain`,
		Args: cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			addresses, err := clusterOf(dir, cluster)
			if err != nil {
				return err
			}
			if len(cluster) == 0 {
				certificate = "" // a launch is on this machine alone
			}
			options, role, err := connectionAs(certificate, addresses)
			if err != nil {
				return err
			}
			if plain || !fullScreen() {
				return watchLines(cmd.Context(), addresses, options)
			}
			return watchScreen(cmd.Context(), addresses, options, readOnly || role == certs.Viewer)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "`folder` of a run on this machine")
	cmd.Flags().StringSliceVar(&cluster, "cluster", nil, "`address`es of coordinators, host:port")
	cmd.Flags().BoolVar(&readOnly, "read-only", false, "heed no keys that change something")
	cmd.Flags().BoolVar(&plain, "plain", false, "write lines, even on a terminal")
	certsFlag(cmd, &certificate)
	cli.Either(cmd, "dir", "cluster")
	return cmd
}

// fullScreen reports whether the terminal can be filled.
func fullScreen() bool {
	return term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func watchScreen(ctx context.Context, addresses []string, options []grpc.DialOption, readOnly bool) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	cfg := ui.Config{Dial: func() ui.Cluster { return client.New(addresses, options...) }, Machine: host.ID(), ReadOnly: readOnly, Log: slog.New(slog.DiscardHandler)}
	by, err := watch.Run(ctx, cfg, os.Stdin, os.Stdout, signals)
	if by != nil {
		return signalled(by, nil)
	}
	return failed(err)
}

// watchLines writes a line when something changes, until the job has ended.
func watchLines(ctx context.Context, addresses []string, options []grpc.DialOption) error {
	out := progress.NewOutput(os.Stdout)
	defer out.Close(flushPatience)
	ctx, cancel := untilDetached(ctx, out.Gone())
	defer cancel(nil)
	c := client.New(addresses, options...)
	last, err := followJob(ctx, c, out)
	err = errors.Join(err, failed(c.Close()))
	var by *detachedError
	if errors.As(context.Cause(ctx), &by) && !last.GetEnded() {
		return signalled(by.signal, fmt.Errorf("detached; the job goes on: ringmaster status --cluster %s", strings.Join(addresses, ",")))
	}
	if err != nil {
		return err
	}
	return ending(&launch.Result{Summary: launch.Summarize(last, "", time.Time{}, time.Now())}, nil)
}

// followJob shows the job that runs, or the newest, once there is one.
func followJob(ctx context.Context, c *client.Client, out io.Writer) (*rpc.JobStatus, error) {
	display, err := progress.New("plain", out, time.Now)
	if err != nil {
		return nil, failed(err)
	}
	asking, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	status, err := c.Status(asking, "")
	if err != nil {
		return nil, &exit{exitNotUp, err}
	}
	for told := false; status.GetJob() == nil; told = true {
		if !told {
			display.Note("no job yet")
		}
		if !sleep.For(ctx, time.Second) {
			return nil, nil
		}
		if status, err = c.Status(ctx, ""); err != nil {
			return nil, failed(err)
		}
	}
	job, err := config.Decode(status.Job.Config)
	if err != nil {
		job = &config.Job{} // of another version's program: the figures of epochs are told all the same
	}
	display.Note("watching " + status.Job.Job)
	var watched launch.Watched
	last, err := c.Watch(ctx, status.Job.Job, 0, func(s *rpc.JobStatus) { watched.Show(display, s, job) })
	display.Close()
	return last, failed(err)
}
