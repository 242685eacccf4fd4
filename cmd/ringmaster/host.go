package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
	daemons "ringmaster/internal/daemon/program"
	"ringmaster/internal/fleet/agent"
)

// hostCommand is what ringmaster up calls on the hosts: the agent, and the daemons, so that one program has to be brought there.
func hostCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:    "host",
		Short:  "Act on a host for ringmaster up: for programs, not for people",
		Hidden: true,
		Args:   cli.Takes(),
		RunE:   func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "agent",
		Short: "Carry out a request from standard input",
		Args:  cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return failed(err)
			}
			home, err := os.UserHomeDir()
			if err != nil {
				return failed(fmt.Errorf("find the home folder: %w", err))
			}
			a := &agent.Agent{Program: self, Command: []string{"host"}, Home: home, In: os.Stdin, Out: os.Stdout, Now: time.Now}
			return failed(a.Serve(cmd.Context()))
		},
	})
	for _, d := range []daemons.Daemon{daemons.Coordinator, daemons.Worker} {
		cmd.AddCommand(&cobra.Command{
			Use:                d.Name + " [--config FILE]",
			Short:              daemons.Summaries[d.Name],
			DisableFlagParsing: true, // the daemon has its own
			RunE: func(_ *cobra.Command, args []string) error {
				if code := d.Run(args); code != 0 {
					return &exit{code, nil} // it has said why
				}
				return nil
			},
		})
	}
	return cmd
}
