package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/cli"
	"ringmaster/internal/client"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/config"
	"ringmaster/internal/dataset/shards"
	"ringmaster/internal/hf"
	"ringmaster/internal/launch"
	"ringmaster/internal/objects"
	"ringmaster/internal/progress"
	"ringmaster/internal/rpc"
)

func submitCommand() *cobra.Command {
	var flags jobFlags
	var to target
	var how submitFlags
	cmd := &cobra.Command{
		Use:   "submit JOB.yaml --cluster ADDR[,ADDR...]",
		Short: "Give a job to a running cluster and watch it",
		Long: `Gives a job to a running cluster and watches it to its end. Ctrl-C only detaches: the job goes on.

Jobs take turns: the one of the largest --priority comes first, of equal ones the one submitted first. A running job of a smaller
priority saves a checkpoint, waits, and goes on later from the step at which it was, with the same bits.`,
		Example: `  ringmaster submit job.yaml --cluster coordinator-1:7000
  ringmaster submit job.yaml --cluster coordinator-1:7000 --dry-run
  id=$(ringmaster submit job.yaml --cluster coordinator-1:7000 --detach)
  ringmaster jobs show "$id" --cluster coordinator-1:7000
  ringmaster submit job.yaml --cluster coordinator-1:7000 --resume s3://training/job
  ringmaster submit job.yaml --cluster coordinator-1:7000 --records runs/job --on-event https://hooks.example.com/training`,
		Args: cli.Takes("JOB.yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkCluster(to.cluster); err != nil {
				return wrong(err)
			}
			if err := flags.check(args[0]); err != nil {
				return err
			}
			if err := checkRecords(how.records, ""); err != nil {
				return err
			}
			if how.resume != "" && how.dry {
				return wrong(errors.New("--dry-run brings no checkpoint to the cluster; leave --resume out"))
			}
			if how.asJSON && !how.dry {
				return wrong(errors.New("--json is for --dry-run; --summary writes a job's end as JSON"))
			}
			return runSubmit(cmd.Context(), args[0], flags, to, how)
		},
	}
	flags.register(cmd)
	eventFlag(cmd, &flags.onEvent)
	cmd.Flags().StringSliceVar(&to.cluster, "cluster", nil, "`address`es of coordinators, host:port")
	certsFlag(cmd, &to.certs)
	cmd.Flags().IntVar(&how.workers, "workers", 0, "workers to use (default: all that are there, at most the job's seats and max_workers)")
	cmd.Flags().IntVar(&how.priority, "priority", 0, fmt.Sprintf("the job's `priority`, from %d to %d", -fsm.MaxPriority, fsm.MaxPriority))
	cmd.Flags().StringVar(&how.resume, "resume", "", "go on from the newest good checkpoint in `s3://BUCKET/PREFIX`, or below a folder of this machine")
	cmd.Flags().BoolVar(&how.detach, "detach", false, "print the job's id and return, without watching it")
	cmd.Flags().StringVar(&how.records, "records", "", "record the job in `FOLDER` of this machine while it is watched, as a launch does in its own (metrics.jsonl, events.jsonl, tensorboard/)")
	cmd.Flags().BoolVar(&how.dry, "dry-run", false, "check the job, and say whether it would find workers, memory and its turn there; submit nothing")
	cmd.Flags().BoolVar(&how.asJSON, "json", false, "with --dry-run: write its answer as JSON")
	cmd.Flags().StringVar(&how.once, "once", "", "for schedulers: submit under this `KEY`. With the same KEY the command goes on with the job that it submitted before. It waits for a\n"+
		"cluster that does not answer yet, and Ctrl-C or SIGTERM pauses the job, until the command comes again")
	cmd.MarkFlagsMutuallyExclusive("detach", "dry-run")
	cmd.MarkFlagsMutuallyExclusive("detach", "summary")
	cmd.MarkFlagsMutuallyExclusive("once", "dry-run")
	cmd.MarkFlagsMutuallyExclusive("once", "detach")
	cli.Either(cmd, "detach", "records")
	cli.Either(cmd, "detach", "on-event")
	return cmd
}

// copyPatience is how long a job that has ended is watched while a bucket does not take its checkpoints.
const copyPatience = 10 * time.Minute

// submitFlags say how a job is given to a cluster.
type submitFlags struct {
	workers, priority int
	detach, dry       bool
	asJSON            bool   // of a dry run
	resume            string // s3://BUCKET/PREFIX or a run's folder whose newest checkpoint the job goes on from; empty: none
	records           string // folder; empty: nothing is recorded here
	once              string // names the submission; empty: each is another
}

// check refuses flags that do not fit the job.
func (f *submitFlags) check(job *config.Job) error {
	if f.workers < 0 || f.workers > job.Seats {
		return job.Errorf("seats", "--workers %d must be from 0 to the job's seats: %d", f.workers, job.Seats)
	}
	if most := job.MaxWorkers; most > 0 && f.workers > most {
		return job.Errorf("max_workers", "--workers %d is more than the job's max_workers: %d", f.workers, most)
	}
	return checkPriority(f.priority)
}

// target is the cluster that a command speaks to.
type target struct {
	cluster []string // addresses of coordinators
	certs   string   // folder of the person's certificate; may be empty
}

func checkCluster(addresses []string) error {
	if len(addresses) == 0 {
		return errors.New("--cluster is missing: name a coordinator's host:port")
	}
	for _, address := range addresses {
		if err := config.CheckAddress(address); err != nil {
			return fmt.Errorf("--cluster: %w", err)
		}
	}
	return nil
}

func runSubmit(ctx context.Context, file string, flags jobFlags, to target, how submitFlags) error {
	options, err := connection(to.certs, to.cluster)
	if err != nil {
		return err
	}
	job, err := config.Load(file, flags.sets) // which may be a pipe: until it is read an interrupt ends the process
	if err != nil {
		return wrong(err)
	}
	out := progress.NewOutput(os.Stdout)
	defer out.Close(flushPatience)
	ctx, cancel := untilDetached(ctx, out.Gone())
	defer cancel(nil)
	if err := how.check(job); err != nil {
		return wrong(err)
	}
	origin, earlier, err := originOf(ctx, how.resume, job)
	if err != nil {
		return wrong(err)
	}
	request, checked, err := prepared(ctx, job, how.workers, origin)
	if err != nil {
		return wrong(err)
	}
	request.Priority, request.Token = int32(how.priority), tokenOf(how.once)
	if how.dry {
		return dryRun(ctx, to, options, job, request, checked, how.asJSON, out)
	}
	account, err := goOn(ctx, to, options, request, origin, earlier, accountOf(checked))
	if err != nil {
		return err
	}
	if how.detach {
		return detach(ctx, to, options, request, account, out)
	}
	display, err := progress.New(flags.progress, out, time.Now)
	if err != nil {
		return wrong(err)
	}
	for _, line := range account {
		display.Note(line)
	}
	coordinators := client.New(to.cluster, options...)
	follower, err := flags.follow(how.records, to, options, job)
	if err != nil {
		return errors.Join(err, coordinators.Close())
	}
	id, last, err := submitted(ctx, coordinators, request, job, display, follower, how.once != "")
	var by *detachedError
	detached := errors.As(context.Cause(ctx), &by) && !last.GetEnded()
	if detached && how.once != "" {
		return errors.Join(pauseTied(coordinators, id, by.signal), coordinators.Close())
	}
	err = errors.Join(err, coordinators.Close())
	if detached {
		return signalled(by.signal, fmt.Errorf("detached; the job goes on: ringmaster status --cluster %s", strings.Join(to.cluster, ",")))
	}
	if last == nil {
		return err
	}
	summary := launch.Summarize(last, "", began, time.Now())
	if err := errors.Join(err, writeSummary(flags.summary, summary)); err != nil {
		return failed(err)
	}
	if summary.State == launch.StateDone {
		fmt.Fprint(out, summary.Table(nil))
	}
	return ending(&launch.Result{Summary: summary}, nil)
}

// submitted gives the job to the cluster and follows it. It returns its id, and the last status that was seen: nil when the job was not even taken.
func submitted(ctx context.Context, coordinators *client.Client, request *rpc.SubmitRequest, job *config.Job, display progress.Display, follower *follower, once bool) (id string, last *rpc.JobStatus, err error) {
	defer follower.close()
	defer display.Close()
	give := submitNow
	if once {
		give = submitOnce
	}
	if id, err = give(ctx, coordinators, request, display); err != nil {
		return id, nil, err
	}
	last, err = watchSubmitted(ctx, coordinators, id, job, display, follower.recorder.See)
	return id, last, err
}

// detach gives the job to the cluster and prints its id alone, for scripts.
func detach(ctx context.Context, to target, options []grpc.DialOption, request *rpc.SubmitRequest, account []string, out io.Writer) error {
	for _, line := range account {
		fmt.Fprintln(os.Stderr, line)
	}
	coordinators := client.New(to.cluster, options...)
	asking, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	id, err := coordinators.Submit(asking, request)
	if err = errors.Join(err, coordinators.Close()); errors.Is(err, client.ErrUnreachable) {
		return wrong(err)
	} else if err != nil {
		return failed(err)
	}
	_, err = fmt.Fprintln(out, id)
	return failed(err)
}

// detachedError ends the watching of a job that goes on.
type detachedError struct{ signal os.Signal }

func (e *detachedError) Error() string { return fmt.Sprintf("detached (%v)", e.signal) }

// untilDetached is a context that ends with a *detachedError when a signal asks for the end, or nobody reads the output any more.
func untilDetached(parent context.Context, gone <-chan struct{}) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	if !cli.OutliveReaders() {
		gone = nil
	}
	signals := make(chan os.Signal, 1)
	cli.NotifyEnd(signals)
	go func() {
		defer signal.Stop(signals)
		select {
		case s := <-signals:
			cancel(&detachedError{s})
		case <-gone:
			cancel(&detachedError{syscall.SIGPIPE})
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// submission is prepared for those who need no more than the lines that say what was read and left out.
func submission(ctx context.Context, job *config.Job, workers int) (request *rpc.SubmitRequest, account []string, err error) {
	request, checked, err := prepared(ctx, job, workers, nil)
	return request, accountOf(checked), err
}

func accountOf(checked *launch.Checked) []string {
	if checked == nil {
		return nil
	}
	return checked.Account
}

// prepared is the request for a job. If the data is also on this machine it is checked here already; if it is
// not, the workers find out, and checked is nil. origin is the checkpoint that it goes on from, nil for none.
func prepared(ctx context.Context, job *config.Job, workers int, origin *launch.Origin) (request *rpc.SubmitRequest, checked *launch.Checked, err error) {
	request = &rpc.SubmitRequest{Workers: uint32(workers)}
	elsewhere := false
	for _, place := range job.Data.Places() {
		if shards.IsURL(place) {
			continue
		}
		_, err := os.Stat(config.ExpandHome(place))
		elsewhere = elsewhere || errors.Is(err, fs.ErrNotExist)
	}
	if !elsewhere {
		if checked, err = launch.Check(job); err != nil {
			return nil, nil, err
		}
		if origin != nil {
			if err := origin.Admit(checked); err != nil {
				return nil, nil, err
			}
		}
		if err := checked.CheckInit(ctx, origin); err != nil {
			return nil, nil, err
		}
		job.Resolve(checked.Samples)
		request.Fingerprint, request.Files = checked.Fingerprint, checked.Files
	}
	if elsewhere && origin != nil {
		job.Inherit(origin.Job) // the coordinators compare the rest
	}
	if m := job.Model; elsewhere && origin == nil && m.Init != "" && m.InitDigest == "" {
		return nil, nil, job.Errorf("model.init", "model.init: without the data here the weights in %s cannot be checked; write their digest into model.init_digest (launch and submit print it), or submit where the data is", m.Init)
	}
	if err := hf.Settle(job); err != nil {
		return nil, nil, job.Blame("model", err)
	}
	request.Config = job.Encode()
	return request, checked, nil
}

// originOf finds the checkpoint that a job goes on from; nil where no place is named. earlier are the folders of those of its run up to it.
func originOf(ctx context.Context, place string, job *config.Job) (*launch.Origin, []string, error) {
	switch {
	case place == "":
		return nil, nil, nil
	case objects.Is(place):
		return launch.BringOrigin(ctx, place, job, checkpoint.Name{}, os.Stderr)
	}
	origin, err := launch.FindOrigin(place, os.Stderr)
	return origin, nil, err
}

// goOn brings a checkpoint, if there is one, to the coordinators, and makes the request one to go on from it. It adds to the account.
func goOn(ctx context.Context, to target, options []grpc.DialOption, request *rpc.SubmitRequest, origin *launch.Origin, earlier, account []string) ([]string, error) {
	if origin == nil {
		return account, nil
	}
	coordinators := client.New(to.cluster, options...)
	err := origin.Upload(ctx, coordinators, to.cluster)
	if err = errors.Join(err, coordinators.Close()); err != nil {
		return nil, failed(err)
	}
	request.Manifest, err = origin.Manifest.Encode()
	request.Earlier = earlier
	return append(account, fmt.Sprintf("going on from step %d (%s)", origin.Manifest.Step, origin)), failed(err)
}

// submitNow gives the job to the cluster, which must answer.
func submitNow(ctx context.Context, coordinators *client.Client, request *rpc.SubmitRequest, display progress.Display) (id string, err error) {
	first, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	id, err = coordinators.Submit(first, request)
	if errors.Is(err, client.ErrUnreachable) {
		return "", wrong(err)
	}
	if err != nil {
		return "", failed(err)
	}
	display.Note("submitted as " + id)
	return id, nil
}

// submitAndWatch gives the job to the cluster and watches it. It returns the last status that was seen, nil when the job was not even taken.
func submitAndWatch(ctx context.Context, coordinators *client.Client, request *rpc.SubmitRequest, job *config.Job, display progress.Display, see func(*rpc.JobStatus)) (*rpc.JobStatus, error) {
	id, err := submitNow(ctx, coordinators, request, display)
	if err != nil {
		return nil, err
	}
	return watchSubmitted(ctx, coordinators, id, job, display, see)
}

// watchSubmitted shows the job to its end and calls see, which may be nil, with every status, too. It returns the last status that was seen.
func watchSubmitted(ctx context.Context, coordinators *client.Client, id string, job *config.Job, display progress.Display, see func(*rpc.JobStatus)) (*rpc.JobStatus, error) {
	var watched launch.Watched
	last, err := coordinators.Watch(ctx, id, 0, func(s *rpc.JobStatus) {
		watched.Show(display, s, job)
		if see != nil {
			see(s)
		}
	})
	if err == nil {
		last, err = launch.AwaitCopies(ctx, last, copyPatience, func(ctx context.Context) (*rpc.JobStatus, error) {
			ctx, cancel := context.WithTimeout(ctx, answerTimeout)
			defer cancel()
			answer, err := coordinators.Status(ctx, id)
			return answer.GetJob(), err
		}, display.Note)
	}
	return last, failed(err)
}
