package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"ringmaster/internal/cli"
	"ringmaster/internal/client"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/launch"
	"ringmaster/internal/plural"
	"ringmaster/internal/printable"
	"ringmaster/internal/rpc"
	"ringmaster/internal/sleep"
)

// jobsFlags say which cluster's jobs are meant.
type jobsFlags struct {
	dir, certificate string
	cluster          []string
	asJSON           bool
}

func (f *jobsFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.dir, "dir", "", "`folder` of a run on this machine")
	cmd.Flags().StringSliceVar(&f.cluster, "cluster", nil, "`address`es of coordinators, host:port")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "write JSON")
	certsFlag(cmd, &f.certificate)
	cli.Either(cmd, "dir", "cluster")
}

// connect says where the cluster is, and with what it is spoken to.
func (f *jobsFlags) connect() (addresses []string, options []grpc.DialOption, err error) {
	if addresses, err = clusterOf(f.dir, f.cluster); err != nil {
		return nil, nil, err
	}
	certificate := f.certificate
	if len(f.cluster) == 0 {
		certificate = "" // a launch is on this machine alone
	}
	options, err = connection(certificate, addresses)
	return addresses, options, err
}

// ask calls do with a client of the cluster.
func (f *jobsFlags) ask(ctx context.Context, do func(context.Context, *client.Client) error) error {
	addresses, options, err := f.connect()
	if err != nil {
		return err
	}
	asking, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	c := client.New(addresses, options...)
	err = errors.Join(do(asking, c), c.Close())
	if errors.Is(err, client.ErrUnreachable) {
		return &exit{exitNotUp, err}
	}
	return err
}

func jobsCommand() *cobra.Command {
	cmd := jobsList("jobs")
	cmd.Short = "List the jobs of a cluster, pause, resume, cancel and order them"
	cmd.Long = `Lists the jobs of a cluster, and changes what becomes of them; without --dir and --cluster, of the run below runs that was launched last.

Jobs take turns. The one of the largest priority comes first, of equal ones the one submitted first. Each takes as many workers as it can, up to
its max_workers; those that are left go to the next. A job shrinks before it makes way for one of a larger priority. A job that is paused, or makes way for
one of a larger priority, saves a checkpoint after its step; later it goes on from there, with the same bits.`
	cmd.Example = `  ringmaster jobs --cluster coordinator-1:7000
  ringmaster jobs pause mnist --cluster coordinator-1:7000
  ringmaster jobs save mnist --cluster coordinator-1:7000
  ringmaster jobs priority mnist 10 --cluster coordinator-1:7000`
	cmd.AddCommand(jobsList("list"), jobsShow(), jobsPriority(),
		jobsChange("pause", "Have a job save a checkpoint and give its workers up until it is resumed", rpc.Change_CHANGE_PAUSE, "paused: it gives its workers up after its step"),
		jobsChange("resume", "Let a paused job take its turn again", rpc.Change_CHANGE_RESUME, "resumed"),
		jobsChange("cancel", "End a job at once; its checkpoints stay", rpc.Change_CHANGE_CANCEL, "cancelled"),
		jobsStop(), jobsSave(), jobsLogs(), jobsFollow())
	return cmd
}

func jobsList(use string) *cobra.Command {
	var flags jobsFlags
	cmd := &cobra.Command{
		Use:   use + " [--dir DIR | --cluster ADDR]",
		Short: "List the jobs of a cluster",
		Args:  cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.ask(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				jobs, err := c.Jobs(ctx)
				if err != nil {
					return failed(err)
				}
				return failed(showJobs(os.Stdout, jobs, flags.asJSON))
			})
		},
	}
	flags.register(cmd)
	return cmd
}

func jobsShow() *cobra.Command {
	var flags jobsFlags
	cmd := &cobra.Command{
		Use:   "show JOB [--dir DIR | --cluster ADDR]",
		Short: "Show one job, by its id or name",
		Args:  cli.Takes("JOB"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.ask(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				job, err := findJob(ctx, c, args[0])
				if err != nil {
					return err
				}
				return failed(showJob(os.Stdout, job, flags.asJSON))
			})
		},
	}
	flags.register(cmd)
	return cmd
}

// jobsChange is a command that does one thing to a job.
func jobsChange(name, short string, change rpc.Change, done string) *cobra.Command {
	return jobsAct(name+" JOB", short, cli.Takes("JOB"), func(ctx context.Context, c *client.Client, job *rpc.JobLine, _ []string) (string, error) {
		return done, c.Change(ctx, job.Id, change, 0)
	})
}

func jobsStop() *cobra.Command {
	return jobsAct("stop JOB", "End a job after its step, with a checkpoint that it can be resumed from", cli.Takes("JOB"), func(ctx context.Context, c *client.Client, job *rpc.JobLine, _ []string) (string, error) {
		return "stopped: it saves a checkpoint after its step", c.Stop(ctx, job.Id)
	})
}

// saveAsk is how often jobs save looks whether the checkpoint is stored.
const saveAsk = 200 * time.Millisecond

func jobsSave() *cobra.Command {
	var wait time.Duration
	cmd := jobsAct("save JOB", "Have a job save a checkpoint at its next step boundary, and tell when it is stored", cli.Takes("JOB"), func(ctx context.Context, c *client.Client, job *rpc.JobLine, _ []string) (string, error) {
		if err := c.Change(ctx, job.Id, rpc.Change_CHANGE_SAVE, 0); err != nil {
			return "", err
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wait)
		defer cancel()
		return awaitSaved(ctx, c, job.Id)
	})
	cmd.Flags().DurationVar(&wait, "wait", time.Minute, "`time` to wait for the checkpoint; it is saved even if that is too short")
	return cmd
}

// awaitSaved waits until the checkpoint that was asked for is stored.
func awaitSaved(ctx context.Context, c *client.Client, id string) (string, error) {
	for {
		job, err := findJob(ctx, c, id)
		switch n := len(job.GetCheckpoints()); {
		case err != nil && ctx.Err() == nil:
			return "", err
		case ctx.Err() != nil || err == nil && job.Saving && !sleep.For(ctx, saveAsk):
			return "", fmt.Errorf("job %s: the checkpoint was asked for and is not stored yet; ringmaster jobs show %s tells of it", id, id)
		case job.Saving:
		case n == 0:
			return "", fmt.Errorf("job %s is %s, without a checkpoint", id, job.State)
		default:
			return fmt.Sprintf("saved %s, %s", job.Checkpoints[n-1].Directory, printable.Bytes(job.Checkpoints[n-1].Bytes)), nil
		}
	}
}

func jobsPriority() *cobra.Command {
	return jobsAct("priority JOB N", "Give a job another priority", cli.Takes("JOB", "N"), func(ctx context.Context, c *client.Client, job *rpc.JobLine, args []string) (string, error) {
		priority, err := strconv.Atoi(args[0])
		if err != nil {
			return "", wrong(fmt.Errorf("priority %s: it must be a whole number from %d to %d", printable.Line(args[0], 40), -fsm.MaxPriority, fsm.MaxPriority))
		}
		if err := checkPriority(priority); err != nil {
			return "", wrong(err)
		}
		return fmt.Sprintf("priority %d", priority), c.Change(ctx, job.Id, rpc.Change_CHANGE_PRIORITY, priority)
	})
}

func checkPriority(priority int) error {
	if priority < -fsm.MaxPriority || priority > fsm.MaxPriority {
		return fmt.Errorf("priority %d: it must be from %d to %d", priority, -fsm.MaxPriority, fsm.MaxPriority)
	}
	return nil
}

// jobsAct is a command that does something to the job that its first argument names, and says what.
func jobsAct(use, short string, takes cobra.PositionalArgs, act func(ctx context.Context, c *client.Client, job *rpc.JobLine, args []string) (string, error)) *cobra.Command {
	var flags jobsFlags
	cmd := &cobra.Command{
		Use:   use + " [--dir DIR | --cluster ADDR]",
		Short: short,
		Args:  takes,
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.ask(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				job, err := findJob(ctx, c, args[0])
				if err != nil {
					return err
				}
				done, err := act(ctx, c, job, args[1:])
				var own *exit
				if err != nil && !errors.As(err, &own) {
					return failed(err)
				}
				if err != nil {
					return err
				}
				if flags.asJSON {
					after, err := findJob(ctx, c, job.Id)
					if err != nil {
						return err
					}
					return failed(showJob(os.Stdout, after, true))
				}
				_, err = fmt.Fprintf(os.Stdout, "%s: %s\n", job.Id, done)
				return failed(err)
			})
		},
	}
	flags.register(cmd)
	return cmd
}

// findJob finds a job by its id, else by its name: of several with that name the one that has not ended.
func findJob(ctx context.Context, c *client.Client, of string) (*rpc.JobLine, error) {
	jobs, err := c.Jobs(ctx)
	if err != nil {
		return nil, failed(err)
	}
	var named, open []*rpc.JobLine
	for _, j := range jobs {
		if j.Id == of {
			return j, nil
		}
		if j.Name == of {
			named = append(named, j)
			if !jobEnded(j) {
				open = append(open, j)
			}
		}
	}
	switch {
	case len(open) == 1:
		return open[0], nil
	case len(named) == 0:
		return nil, wrong(fmt.Errorf("no job %s there; ringmaster jobs lists them", printable.Line(of, 100)))
	case len(open) == 0 && len(named) == 1:
		return named[0], nil
	}
	var ids []string
	for _, j := range named {
		ids = append(ids, j.Id)
	}
	return nil, wrong(fmt.Errorf("%s are named %s: say which by its id (%s)", plural.Of(len(named), "job"), of, printable.Line(strings.Join(ids, ", "), 300)))
}

func jobEnded(j *rpc.JobLine) bool {
	return slices.Contains([]string{string(fsm.Done), string(fsm.Failed), string(fsm.Interrupted), string(fsm.Cancelled)}, j.State)
}

func showJobs(out io.Writer, jobs []*rpc.JobLine, asJSON bool) error {
	if asJSON {
		return writeJSON(out, launch.DescribeJobs(jobs))
	}
	if len(jobs) == 0 {
		_, err := fmt.Fprintln(out, "no jobs yet")
		return err
	}
	rows := []string{"JOB\tNAME\tSTATE\tPLACE\tPRIORITY\tSTEP\tWORKERS\t"}
	for _, j := range jobs {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s", j.Id, j.Name, j.State, dash(j.Place), j.Priority, stepsOf(j), dash(j.Workers), j.Message))
	}
	return table(out, rows)
}

func showJob(out io.Writer, j *rpc.JobLine, asJSON bool) error {
	if asJSON {
		return writeJSON(out, launch.DescribeJobs([]*rpc.JobLine{j})[0])
	}
	rows := []string{"job\t" + j.Id, "name\t" + j.Name, "state\t" + j.State, fmt.Sprintf("priority\t%d", j.Priority), "step\t" + stepsOf(j), fmt.Sprintf("seed\t%d", j.Seed)}
	if j.Place > 0 {
		rows = append(rows, fmt.Sprintf("place\t%d in the queue", j.Place))
	}
	if j.Workers > 0 {
		rows = append(rows, fmt.Sprintf("workers\t%d", j.Workers))
	}
	if j.Saving {
		rows = append(rows, "saving\ta checkpoint was asked for and is not stored yet")
	}
	if j.Message != "" {
		rows = append(rows, "message\t"+j.Message)
	}
	if len(j.Digest) > 0 {
		rows = append(rows, fmt.Sprintf("digest\t%x, at step %d", j.Digest, j.DigestStep))
	}
	for _, c := range j.Checkpoints {
		rows = append(rows, fmt.Sprintf("checkpoint\t%s, %s", c.Directory, printable.Bytes(c.Bytes)))
	}
	return table(out, rows)
}

func stepsOf(j *rpc.JobLine) string {
	if j.Steps == 0 {
		return fmt.Sprint(j.Step)
	}
	return fmt.Sprintf("%d/%d", j.Step, j.Steps)
}

// dash is a number, or a dash for 0.
func dash(n uint32) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}
