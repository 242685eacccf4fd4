package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
	"ringmaster/internal/client"
	"ringmaster/internal/config"
	"ringmaster/internal/launch"
	"ringmaster/internal/progress"
	"ringmaster/internal/rpc"
)

func jobsFollow() *cobra.Command {
	var flags jobsFlags
	var shown, summary string
	cmd := &cobra.Command{
		Use:     "follow JOB [--dir DIR | --cluster ADDR]",
		Short:   "Watch a job to its end, as submit does. Ctrl-C only detaches",
		Example: "  ringmaster jobs follow mnist --cluster coordinator-1:7000",
		Args:    cli.Takes("JOB"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if summary != "" {
				if err := checkTarget("--summary", summary); err != nil {
					return wrong(err)
				}
			}
			return flags.ask(cmd.Context(), func(asking context.Context, c *client.Client) error {
				line, err := findJob(asking, c, args[0])
				if err != nil {
					return err
				}
				return watchToEnd(cmd.Context(), c, line.Id, shown, summary)
			})
		},
	}
	flags.register(cmd)
	_ = cmd.Flags().MarkHidden("json") // what --json would be here is --summary
	cmd.Flags().StringVar(&shown, "progress", "auto", "how progress is shown, see submit")
	cmd.Flags().StringVar(&summary, "summary", "", "write a summary in JSON to `FILE` when the job ends, however it ends")
	return cmd
}

// watchToEnd watches a job to its end, which becomes the command's.
func watchToEnd(ctx context.Context, c *client.Client, id, shown, file string) error {
	out := progress.NewOutput(os.Stdout)
	defer out.Close(flushPatience)
	ctx, cancel := untilDetached(ctx, out.Gone())
	defer cancel(nil)
	display, err := progress.New(shown, out, time.Now)
	if err != nil {
		return wrong(err)
	}
	var watched launch.Watched
	var job *config.Job
	last, err := c.Watch(ctx, id, 0, func(s *rpc.JobStatus) {
		if job == nil {
			if job, err = config.Decode(s.Config); err != nil {
				job = &config.Job{} // of another version's program, or of a job that ended long ago: its figures are told all the same
			}
		}
		watched.Show(display, s, job)
	})
	display.Close()
	var by *detachedError
	if errors.As(context.Cause(ctx), &by) && !last.GetEnded() {
		return signalled(by.signal, fmt.Errorf("detached; the job goes on: ringmaster jobs follow %s", id))
	}
	if last == nil {
		return failed(err)
	}
	summary := launch.Summarize(last, "", began, time.Now())
	if err := errors.Join(err, writeSummary(file, summary)); err != nil {
		return failed(err)
	}
	if summary.State == launch.StateDone {
		fmt.Fprint(out, summary.Table(nil))
	}
	return ending(&launch.Result{Summary: summary}, nil)
}
