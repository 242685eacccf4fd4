package launch

import (
	"fmt"

	"ringmaster/internal/config"
	"ringmaster/internal/trainer"
)

// checkMemory refuses a launch whose workers together take more memory than the machine has, in bytes; 0: that is not
// known. Only what they will certainly fill counts, so a launch that passes may still be too large.
func checkMemory(job *config.Job, takes trainer.Memory, workers int, has int64) error {
	need := func(workers int) int64 { return int64(workers)*(takes.State+takes.Work) + int64(job.Seats)*takes.Seat }
	if has == 0 || need(workers) <= has {
		return nil
	}
	fit := workers - 1
	for fit > 0 && need(fit) > has {
		fit--
	}
	remedy := "take a smaller model, fewer seats (which is another job) or a smaller train.batch_per_seat"
	if fit >= max(1, job.MinWorkers) {
		remedy = fmt.Sprintf("--workers %d is the most that fits", fit)
	}
	return job.Errorf("model", "the job takes %s of memory, this machine has %s: %s with %s of state and %s of activations each, and gradients of %s with %s each; %s",
		size(need(workers)), size(has), count(workers, "worker"), size(takes.State), size(takes.Work), count(job.Seats, "seat"), size(takes.Seat), remedy)
}

// count is a number of things: "1 seat", "2 seats".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// size is a number of bytes for people.
func size(bytes int64) string {
	if bytes < 1<<30 {
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
}
