package program

import (
	"context"
	"log/slog"
	"os"

	"ringmaster/internal/config"
	"ringmaster/internal/daemon"
	"ringmaster/internal/tensor/kernel"
)

// Coordinator is the program of a coordinator.
var Coordinator = Daemon{
	Name:    "coordinator",
	Options: config.CoordinatorOptions,
	Load: func(file string, flags []config.Flag) (Body, string, error) {
		cfg, err := config.LoadCoordinator(file, flags)
		if err != nil {
			return nil, "", err
		}
		return func(ctx context.Context, log *slog.Logger) error { return daemon.Coordinator(ctx, cfg, log) }, cfg.Log, nil
	},
}

// Worker is the program of a worker.
var Worker = Daemon{
	Name:    "worker",
	Options: config.WorkerOptions,
	Load: func(file string, flags []config.Flag) (Body, string, error) {
		cfg, err := config.LoadWorker(file, flags)
		if err != nil {
			return nil, "", err
		}
		if err := kernel.Select(os.Getenv(kernel.EnvironmentVariable)); err != nil {
			return nil, "", err
		}
		return func(ctx context.Context, log *slog.Logger) error { return daemon.Worker(ctx, cfg, log) }, cfg.Log, nil
	},
}
