// Command coordinator is the daemon of one coordinator.
package main

import (
	"context"
	"log/slog"
	"os"

	"ringmaster/internal/config"
	"ringmaster/internal/daemon"
	"ringmaster/internal/daemon/program"
)

func main() {
	os.Exit(program.Main(program.Daemon{
		Name:    "coordinator",
		Options: config.CoordinatorOptions,
		Load: func(file string, flags []config.Flag) (program.Body, string, error) {
			cfg, err := config.LoadCoordinator(file, flags)
			if err != nil {
				return nil, "", err
			}
			return func(ctx context.Context, log *slog.Logger) error { return daemon.Coordinator(ctx, cfg, log) }, cfg.Log, nil
		},
	}))
}
