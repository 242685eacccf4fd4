// Command ringmaster is what people type: it launches clusters on this machine, gives jobs to running ones, shows what they
// do, and looks after checkpoints.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
	"ringmaster/internal/printable"
)

// Exit codes beside 0.
const (
	exitFailed     = 1
	exitUsage      = 2 // wrong usage or configuration: nothing was started
	exitNotUp      = 3 // status: the cluster is not up yet
	exitSignalBase = 128
)

// exit is an error with the exit code that it means. err is nil where the code says everything.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// failed and wrong make errors with their exit codes; nil stays nil.
func failed(err error) error {
	if err == nil {
		return nil
	}
	return &exit{exitFailed, err}
}

func wrong(err error) error {
	if err == nil {
		return nil
	}
	return &exit{exitUsage, err}
}

func main() {
	cli.OutliveFullFiles()
	os.Exit(run(os.Args[1:]))
}

// run carries a command line out and returns the exit code.
func run(args []string) int {
	root := rootCommand()
	root.SetArgs(joinResume(args))
	err := root.Execute()
	if err == nil {
		return 0
	}
	e := &exit{exitUsage, err} // what has no code of its own comes from reading the command line
	var own *exit
	if errors.As(err, &own) {
		e = own
	}
	if e.err != nil {
		fmt.Fprintln(os.Stderr, "ringmaster: "+oneLine(e.err))
	}
	return e.code
}

// maxError is the length of an error that is shown: fifty problems of a job file fit in.
const maxError = 64 << 10

// oneLine writes an error on one line.
func oneLine(err error) string {
	var lines []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return printable.Line(strings.Join(lines, "; "), maxError)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "ringmaster",
		Short:         "Train neural networks data-parallel on ordinary machines, with the same bits on any cluster",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			cli.ExpandHomes(cmd)
			if err := cli.NotEmpty(cmd, "certs", "prompt", "stop"); err != nil { // no certificate in spite of the variable; an own message
				return err
			}
			return expandCluster(cmd)
		},
	}
	cli.Explain(root)
	cli.Versioned(root)
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(
		launchCommand(), nodeCommand(), upCommand(), downCommand(), hostsCommand(), hostCommand(), submitCommand(), statusCommand(), jobsCommand(), traceCommand(), uiCommand(),
		watchCommand(), scaleCommand(), coordinatorsCommand(), chaosCommand(), sweepCommand(), checkpointsCommand(),
		exportCommand(), recordsCommand(), runsCommand(), diffCommand(), reportCommand(), validateCommand(), doctorCommand(), evalCommand(), predictCommand(),
		generateCommand(), dataCommand(), tokenizerCommand(), certsCommand(), benchCommand(),
		completionCommand(), manCommand(), versionCommand(),
	)
	root.InitDefaultHelpCmd()
	exemplify(root)
	complete(root)
	return root
}
