package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ringmaster/internal/cli"
	"ringmaster/internal/config"
	"ringmaster/internal/host"
	"ringmaster/internal/launch"
	"ringmaster/internal/objects"
	"ringmaster/internal/printable"
	"ringmaster/internal/progress"
)

// began is when the command began: what a summary calls wall time counts from here.
var began = time.Now()

// flushPatience bounds how long a command that is over waits for whoever reads its output.
const flushPatience = 2 * time.Second

// jobFlags are the flags of commands that take a job to its end.
type jobFlags struct {
	sets     []string
	summary  string
	progress string
	onEvent  []string
}

func (f *jobFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.sets, "set", nil, "override a job key, `KEY=VALUE` (train.steps=200); repeatable")
	cmd.Flags().StringVar(&f.summary, "summary", "", "write a summary in JSON to `FILE` when the job ends, however it ends")
	cmd.Flags().StringVar(&f.progress, "progress", "auto", "how progress is shown: "+strings.Join(progress.Modes, ", ")+
		"\n(auto: a bar on a terminal, else plain lines; none: only each epoch's figures and what happens to the cluster)")
}

// check refuses flags that would fail, or take something away, when the job has ended.
func (f *jobFlags) check(jobFile string) error {
	if _, err := targetsOf(f.onEvent); err != nil {
		return wrong(err)
	}
	if f.summary == "" {
		return nil
	}
	old, err := os.Stat(f.summary)
	if job, err2 := os.Stat(jobFile); err == nil && err2 == nil && os.SameFile(old, job) {
		return wrong(fmt.Errorf("--summary %s is the job's file, which it would replace; name another one", f.summary))
	}
	return wrong(checkTarget("--summary", f.summary))
}

func launchCommand() *cobra.Command {
	var flags jobFlags
	o := launch.Options{Coordinators: 1}
	var page pageFlags
	cmd := &cobra.Command{
		Use:   "launch JOB.yaml",
		Short: "Start coordinators and workers on this machine and take a job to its end",
		Long: `Starts coordinators and workers as processes on this machine, submits the job, watches it to its end and stops the processes.

Ctrl-C writes a checkpoint and ends; --resume goes on from it, with any number of workers. A second Ctrl-C ends at once. SIGTERM, SIGHUP (the
terminal is closed), SIGUSR1, SIGUSR2 (a scheduler's warning) and a pipe that nobody reads any more end it in the same way. The exit code
is 128 and the signal's number. --resume in a folder without a run begins one there, so one command line serves however often it is started;
--resume s3://BUCKET/PREFIX does so on machines that come and go.`,
		Example: `  ringmaster launch configs/quickstart.yaml
  ringmaster launch configs/quickstart.yaml --workers 2 --set train.epochs=10 --ui
  ringmaster launch configs/quickstart.yaml --on-event 'test $RINGMASTER_EVENT != failed || mail -s "$RINGMASTER_TEXT" me@host'
  ringmaster launch configs/quickstart.yaml --on-event https://hooks.example.com/training`,
		Args: cli.Takes("JOB.yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("workers") && o.Workers < 1 || cmd.Flags().Changed("threads") && o.Threads < 1 {
				return wrong(errors.New("--workers and --threads must be at least 1"))
			}
			if err := flags.check(args[0]); err != nil {
				return err
			}
			return runLaunch(cmd.Context(), args[0], flags, o, page, again(cmd.Flags()))
		},
	}
	flags.register(cmd)
	eventFlag(cmd, &flags.onEvent)
	cmd.Flags().IntVar(&o.Workers, "workers", 0, "number of workers (default: as many as CPUs, at most the job's seats)")
	cmd.Flags().IntVar(&o.Coordinators, "coordinators", 1, "number of coordinators: 1, 3 or 5")
	cmd.Flags().IntVar(&o.Threads, "threads", 0, "compute threads of each worker (default: CPUs / workers)")
	cmd.Flags().StringVar(&o.Dir, "dir", "", "`folder` for everything the run writes (default: the next free runs/NAME-N)")
	cmd.Flags().BoolVar(&page.wanted, "ui", false, "serve a page in the browser that shows the run, and print its address (see ringmaster ui)")
	bindFlag(cmd, "ui-bind", &page.bind)
	cmd.Flags().BoolVar(&o.Metrics, "metrics", false, "serve metrics for Prometheus, one address of loopback for each process; they are listed in metrics.json in the run's folder")
	resumeFlag(cmd, &o)
	return cmd
}

// resumeFlag is --resume, which may stand alone or name a bucket.
func resumeFlag(cmd *cobra.Command, o *launch.Options) {
	f := cmd.Flags().VarPF(&resumeValue{o}, "resume", "", "go on from the newest good checkpoint in the folder (without --dir: in the newest runs/NAME-N), or in `s3://BUCKET/PREFIX`\nif the newest of this job is there")
	f.NoOptDefVal = "true"
}

// resumeValue is the value of --resume.
type resumeValue struct{ o *launch.Options }

// String implements pflag.Value.
func (v *resumeValue) String() string {
	switch {
	case v.o == nil || !v.o.Resume:
		return "false"
	case v.o.Bucket != "":
		return v.o.Bucket
	}
	return "true"
}

// Type implements pflag.Value.
func (v *resumeValue) Type() string { return "s3://BUCKET/PREFIX" }

// Set implements pflag.Value.
func (v *resumeValue) Set(text string) error {
	if objects.Is(text) {
		_, err := objects.Parse(text)
		v.o.Resume, v.o.Bucket = true, text
		return err
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		return fmt.Errorf("%s is no s3://BUCKET/PREFIX; a run's folder is named by --dir", printable.Typed(text))
	}
	v.o.Resume, v.o.Bucket = on, ""
	return nil
}

// joinResume makes --resume s3://BUCKET/PREFIX one argument: a flag that may stand alone takes its value by = only.
func joinResume(args []string) []string {
	var joined []string
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			return append(joined, args[i:]...)
		}
		if args[i] == "--resume" && i+1 < len(args) && objects.Is(args[i+1]) {
			joined = append(joined, "--resume="+args[i+1])
			i++
			continue
		}
		joined = append(joined, args[i])
	}
	return joined
}

// again are the flags with which the run in its folder goes on as it was launched.
func again(given *pflag.FlagSet) []string {
	var args []string
	given.Visit(func(f *pflag.Flag) {
		switch f.Name {
		case "on-event":
			if values, ok := f.Value.(pflag.SliceValue); ok {
				for _, v := range values.GetSlice() {
					args = append(args, "--on-event", v)
				}
			}
		case "dir", "resume", "set", "summary", "progress", "ui", "ui-bind", "metrics":
		default:
			args = append(args, "--"+f.Name, f.Value.String())
		}
	})
	return args
}

func runLaunch(ctx context.Context, file string, flags jobFlags, o launch.Options, page pageFlags, again []string) error {
	job, err := config.Load(file, flags.sets) // which may be a pipe: until it is read an interrupt ends the process
	if err != nil {
		return wrong(err)
	}
	interrupts := make(chan os.Signal, 4)
	cli.NotifyEnd(interrupts)
	defer signal.Stop(interrupts)
	out, warnings := progress.NewOutput(os.Stdout), progress.NewOutput(os.Stderr)
	defer warnings.Close(flushPatience)
	defer out.Close(flushPatience)
	if cli.OutliveReaders() {
		o.Unread = out.Gone()
	}
	if err := selectKernel(); err != nil {
		return err
	}
	display, err := progress.New(flags.progress, out, time.Now)
	if err != nil {
		return wrong(err)
	}
	o.Job, o.Display, o.Warnings, o.Interrupts, o.Began, o.Machine = job, display, warnings, interrupts, began, host.ID()
	if page.wanted {
		end, err := openFor(ctx, page.bind, &o)
		if err != nil {
			return err
		}
		defer end()
	}
	notifier, err := flags.notifier(func(err error) { fmt.Fprintln(warnings, "ringmaster: "+oneLine(err)) })
	if err != nil {
		return err
	}
	defer notifier.Close() // which may take a while, when everything is said
	o.Tell = notifier.Tell
	result, err := launch.Run(ctx, o)
	if result == nil {
		display.Close()
		return notStarted(err)
	}
	err = errors.Join(err, writeSummary(flags.summary, result.Summary))
	if err == nil && result.Summary.State != launch.StateFailed {
		resume := append([]string{"ringmaster", "launch", file, "--dir", string(result.Dir), "--resume"}, again...)
		fmt.Fprint(out, result.Summary.Table(nextSteps(resume, flags.sets, job, result)))
	}
	return ending(result, err)
}

// notStarted is the exit code and message of a launch that started nothing.
func notStarted(err error) error {
	var usage *launch.UsageError
	if errors.As(err, &usage) {
		return wrong(err)
	}
	var interrupted *launch.InterruptedError
	if errors.As(err, &interrupted) {
		return signalled(interrupted.Signal, err)
	}
	return failed(err)
}

// ending is the exit code and message of a launch.
func ending(result *launch.Result, err error) error {
	s := result.Summary
	switch {
	case result.Signal != nil && s.State != launch.StateDone:
		if err == nil && s.Error != "" {
			err = errors.New(s.Error)
		}
		return signalled(result.Signal, err)
	case err != nil:
		return failed(err)
	case s.State == launch.StateDone:
		return nil
	case s.Error != "":
		return failed(errors.New(s.Error))
	}
	return failed(fmt.Errorf("the job ended in state %s at step %d", s.State, s.Step))
}

// signalled is the end by a signal.
func signalled(s os.Signal, err error) error {
	if number, ok := s.(syscall.Signal); ok {
		return &exit{exitSignalBase + int(number), err}
	}
	return &exit{exitFailed, err}
}

func writeSummary(path string, s *launch.Summary) error {
	if path == "" {
		return nil
	}
	return launch.WriteJSON(path, s)
}

// nextSteps are commands that make sense now, resume with the keys set being the one that goes on with the run.
func nextSteps(resume, sets []string, job *config.Job, result *launch.Result) []string {
	if s := result.Summary.State; s == launch.StateInterrupted || s == launch.StateCancelled {
		return []string{commandLine(withSets(resume, sets))}
	}
	key, value := "train.epochs", job.Train.Epochs+1
	if job.Train.Steps > 0 {
		key, value = "train.steps", 2*job.Train.Steps
	}
	if patience := job.Train.EarlyStop.Patience; result.Summary.State == launch.StateDone && result.Summary.Reason != "" && patience > 0 {
		key, value = "train.early_stop.patience", 2*patience // it stopped early: more epochs alone would end at once
	}
	kept := slices.DeleteFunc(slices.Clone(sets), func(set string) bool { return strings.HasPrefix(set, key+"=") })
	return []string{
		commandLine([]string{"ringmaster", "export", string(result.Dir), "--out", "model.safetensors"}),
		commandLine(withSets(resume, append(kept, fmt.Sprintf("%s=%d", key, value)))),
	}
}

func withSets(args, sets []string) []string {
	for _, set := range sets {
		args = append(args, "--set", set)
	}
	return args
}

// commandLine quotes the arguments for a shell where they need it.
func commandLine(args []string) string {
	quoted := make([]string, len(args))
	for i, arg := range args {
		plain := func(r rune) bool {
			return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) || strings.ContainsRune("-_./:=,@%+", r)
		}
		if quoted[i] = arg; arg == "" || strings.ContainsFunc(arg, func(r rune) bool { return !plain(r) }) {
			quoted[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
