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
	var how jobFlags
	var folder string
	cmd := &cobra.Command{
		Use:   "follow JOB [--dir DIR | --cluster ADDR]",
		Short: "Watch a job to its end, as submit does. Ctrl-C only detaches",
		Long: `Watches a job to its end, as submit does. Ctrl-C only detaches. --records and --on-event do for a job that was submitted with --detach what they
do for submit: from now on, as long as it is watched.`,
		Example: `  ringmaster jobs follow mnist --cluster coordinator-1:7000
  ringmaster jobs follow mnist --cluster coordinator-1:7000 --progress none --on-event https://hooks.example.com/training`,
		Args: cli.Takes("JOB"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := how.check(""); err != nil {
				return err
			}
			return flags.ask(cmd.Context(), func(asking context.Context, c *client.Client) error {
				line, err := findJob(asking, c, args[0])
				if err != nil {
					return err
				}
				if err := checkRecords(folder, line.Id); err != nil {
					return err
				}
				return watchToEnd(cmd.Context(), c, line.Id, how, folder, flags)
			})
		},
	}
	flags.register(cmd)
	_ = cmd.Flags().MarkHidden("json") // what --json would be here is --summary
	cmd.Flags().StringVar(&how.progress, "progress", "auto", "how progress is shown, see submit")
	cmd.Flags().StringVar(&how.summary, "summary", "", "write a summary in JSON to `FILE` when the job ends, however it ends")
	eventFlag(cmd, &how.onEvent)
	cmd.Flags().StringVar(&folder, "records", "", "record the job in `FOLDER` of this machine while it is watched, as a launch does in its own (metrics.jsonl, events.jsonl, tensorboard/)")
	return cmd
}

// watchToEnd watches a job to its end, which becomes the command's.
func watchToEnd(ctx context.Context, c *client.Client, id string, how jobFlags, folder string, where jobsFlags) error {
	out := progress.NewOutput(os.Stdout)
	defer out.Close(flushPatience)
	ctx, cancel := untilDetached(ctx, out.Gone())
	defer cancel(nil)
	display, err := progress.New(how.progress, out, time.Now)
	if err != nil {
		return wrong(err)
	}
	var watched launch.Watched
	var job *config.Job
	var besides *follower
	last, err := c.Watch(ctx, id, 0, func(s *rpc.JobStatus) {
		if job == nil {
			if job, err = config.Decode(s.Config); err != nil {
				job = &config.Job{} // of another version's program, or of a job that ended long ago: its figures are told all the same
			}
			if besides, err = where.follow(how, folder, job); err != nil {
				cancel(err)
			}
		}
		watched.Show(display, s, job)
		if besides != nil {
			besides.recorder.See(s)
		}
	})
	display.Close()
	if besides != nil {
		besides.close()
	}
	var by *detachedError
	var refused *exit
	switch cause := context.Cause(ctx); {
	case errors.As(cause, &refused):
		return refused
	case errors.As(cause, &by) && !last.GetEnded():
		return signalled(by.signal, fmt.Errorf("detached; the job goes on: ringmaster jobs follow %s", id))
	case last == nil:
		return failed(err)
	}
	summary := launch.Summarize(last, "", began, time.Now())
	if err := errors.Join(err, writeSummary(how.summary, summary)); err != nil {
		return failed(err)
	}
	if summary.State == launch.StateDone {
		fmt.Fprint(out, summary.Table(nil))
	}
	return ending(&launch.Result{Summary: summary}, nil)
}

// follow records the job in a folder and tells of its events; nil where neither was asked for.
func (f *jobsFlags) follow(how jobFlags, folder string, job *config.Job) (*follower, error) {
	if folder == "" && len(how.onEvent) == 0 {
		return nil, nil
	}
	addresses, options, err := f.connect()
	if err != nil {
		return nil, err
	}
	return how.follow(folder, target{cluster: addresses}, options, job)
}
