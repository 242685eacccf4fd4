// Command worker is the daemon of one worker.
package main

import (
	"context"
	"log/slog"
	"os"

	"ringmaster/internal/config"
	"ringmaster/internal/daemon"
	"ringmaster/internal/daemon/program"
	"ringmaster/internal/tensor/kernel"
)

func main() {
	os.Exit(program.Main(program.Daemon{
		Name:    "worker",
		Options: config.WorkerOptions,
		Load: func(file string, flags []config.Flag) (program.Body, string, error) {
			cfg, err := config.LoadWorker(file, flags)
			if err != nil {
				return nil, "", err
			}
			if err := kernel.Select(os.Getenv(kernel.EnvironmentVariable)); err != nil {
				return nil, "", err
			}
			return func(ctx context.Context, log *slog.Logger) error { return daemon.Worker(ctx, cfg, log) }, cfg.Log, nil
		},
	}))
}
