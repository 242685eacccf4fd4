package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"ringmaster/internal/commandline"
	"ringmaster/internal/config"
	"ringmaster/internal/tensor/kernel"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version, and the kernels this machine gets",
		Args:  commandline.Takes(),
		RunE: func(*cobra.Command, []string) error {
			fmt.Printf("ringmaster %s, %s %s/%s, %s kernels, numerics contract %d\n", revision(), runtime.Version(), runtime.GOOS, runtime.GOARCH,
				kernel.Best(), config.ContractVersion)
			return nil
		},
	}
}

// revision is the version that the build was made from.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	commit, modified := "", ""
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			commit = setting.Value
		case setting.Key == "vcs.modified" && setting.Value == "true":
			modified = "+changes"
		}
	}
	if commit == "" {
		return info.Main.Version
	}
	return commit[:min(12, len(commit))] + modified
}
