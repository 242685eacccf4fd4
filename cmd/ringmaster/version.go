package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version, and the kernels this machine gets",
		Args:  cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Println(cli.Version(cmd.Root().Name()))
			return failed(err)
		},
	}
}
