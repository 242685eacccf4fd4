// Package program is what the daemons' main functions share: flags over a configuration file, the log, signals, and the
// tie to the process that started them.
package program

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
	"ringmaster/internal/config"
	"ringmaster/internal/logs"
	"ringmaster/internal/printable"
	"ringmaster/internal/tether"
)

// Exit codes other than 0.
const (
	exitFailed = 1
	exitUsage  = 2   // wrong usage or configuration, a port that was asked for but is taken
	exitOrphan = 3   // the process that started this one has died
	exitSignal = 128 // and the signal's number: asked to end twice
)

// Body is a daemon at work: it returns when ctx ends, or when it cannot go on.
type Body func(ctx context.Context, log *slog.Logger) error

// Summaries says what the daemons are, in a line each.
var Summaries = map[string]string{
	"coordinator": "One coordinator replica: decides who trains, keeps the log and the checkpoints",
	"worker":      "One worker: trains its share of every batch",
}

// Daemon describes a daemon's program.
type Daemon struct {
	Name    string // of the program, one of Summaries
	Options []config.Option
	// Load reads the configuration and returns the body and the level of the log.
	Load func(file string, flags []config.Flag) (body Body, level string, err error)
}

// Main carries the program out and returns its exit code. The first signal that asks for the end (cli.NotifyEnd) ends the body's
// context, SIGINT or SIGTERM after another of them the process; and so does a body that does not end in time, whatever keeps it. Neither a
// closed pipe behind stderr nor a file at its largest size ends it. Errors are one line on stderr.
func Main(d Daemon) int { return d.Run(os.Args[1:]) }

// Run is Main with arguments of its own.
func (d Daemon) Run(args []string) int {
	cli.OutliveFullFiles()
	cli.OutliveReaders()
	code := 0
	cmd := d.command(func(body Body, level slog.Level) { code = d.live(body, level) })
	cmd.SetArgs(args)
	if err := cmd.Execute(); err != nil {
		d.complain(err)
		return exitUsage
	}
	return code
}

// maxError is the length of an error that is shown: fifty problems of a file fit in.
const maxError = 64 << 10

func (d Daemon) complain(err error) {
	fmt.Fprintf(os.Stderr, "%s: %s\n", d.Name, printable.Line(strings.Join(strings.Fields(err.Error()), " "), maxError))
}

// Manual is the daemon's command line, for its manual page: what it is called with, and no more.
func (d Daemon) Manual() *cobra.Command { return d.command(func(Body, slog.Level) {}) }

// command parses flags and configuration and hands the body to run.
func (d Daemon) command(run func(Body, slog.Level)) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:           d.Name + " [--config FILE]",
		Short:         Summaries[d.Name],
		Long:          Summaries[d.Name] + ".\n\nEvery flag is also a key of the configuration file; flags win.",
		Args:          cli.Takes(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			body, level, err := d.Load(file, d.given(cmd))
			if err != nil {
				return err
			}
			var lowest slog.Level
			if err := lowest.UnmarshalText([]byte(level)); err != nil {
				return fmt.Errorf("log: %w", err)
			}
			run(body, lowest)
			return nil
		},
	}
	cli.Explain(cmd)
	cli.Versioned(cmd)
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.Flags().StringVar(&file, "config", "", "configuration `file`")
	for _, option := range d.Options {
		cmd.Flags().String(flagName(option.Key), "", option.Usage)
	}
	return cmd
}

// given lists the flags that were given, as keys of the configuration.
func (d Daemon) given(cmd *cobra.Command) []config.Flag {
	var flags []config.Flag
	for _, option := range d.Options {
		name := flagName(option.Key)
		if f := cmd.Flags().Lookup(name); f.Changed {
			flags = append(flags, config.Flag{Name: "--" + name, Key: option.Key, Value: f.Value.String()})
		}
	}
	return flags
}

func flagName(key string) string { return strings.ReplaceAll(key, "_", "-") }

// endPatience is how long a body may take to end. A worker waits up to 10 s to be let go; the rest takes seconds, unless a file
// system does not answer.
const endPatience = 20 * time.Second

// handleSignals cancels the body's context at the first signal, and ends the process at a second one or if the body does not end.
func (d Daemon) handleSignals(signals <-chan os.Signal, cancel func(), log *slog.Logger) {
	insisted := false
	take := func(s os.Signal) {
		if again := insisted; cli.Insists(s) {
			insisted = true
			if number, ok := s.(syscall.Signal); ok && again {
				os.Exit(exitSignal + int(number))
			}
		}
	}
	first := <-signals
	take(first)
	cancel()
	late := time.After(endPatience)
	log.Info("asked to end", "signal", first.String())
	for {
		select {
		case s := <-signals:
			take(s)
		case <-late:
			d.complain(fmt.Errorf("did not end within %v after %v, so it ended at once", endPatience, first))
			os.Exit(exitFailed)
		}
	}
}

// live runs the body until it ends or is asked to end.
func (d Daemon) live(body Body, level slog.Level) int {
	log := logs.Keeping(os.Stderr, level)
	if err := tether.Watch(func() { os.Exit(exitOrphan) }); err != nil {
		d.complain(err)
		return exitFailed
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 4)
	cli.NotifyEnd(signals)
	go d.handleSignals(signals, cancel, log)
	err := body(ctx, log)
	switch {
	case err == nil || errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return 0
	case config.IsProblem(err) || errors.Is(err, syscall.EADDRINUSE):
		d.complain(err)
		return exitUsage
	}
	d.complain(err)
	if own := interface{ ExitCode() int }(nil); errors.As(err, &own) {
		return own.ExitCode()
	}
	return exitFailed
}
