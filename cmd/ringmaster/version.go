package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"ringmaster/internal/commandline"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version, and the kernels this machine gets",
		Args:  commandline.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Println(commandline.Version(cmd.Root().Name()))
			return failed(err)
		},
	}
}
