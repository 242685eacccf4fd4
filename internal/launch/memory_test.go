package launch

import (
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/trainer"
)

func TestCheckMemory(t *testing.T) {
	job, err := config.Parse("job.yaml", []byte("seats: 4\nmodel: {kind: mlp, layers: [784, 10]}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	const gib = 1 << 30
	// 5 GiB a worker, since a state is copied, and 4 for all seats. A tenth of the machine is left.
	takes := trainer.Memory{State: 2 * gib, Work: gib, Seat: gib}
	for _, c := range []struct {
		name    string
		workers int
		least   int // min_workers
		has     int64
		limit   int64
		want    []string // nil: it passes
	}{
		{"unknown", 100, 1, 0, 0, nil},
		{"just enough", 2, 1, 10*14*gib/9 + 10, 0, nil},
		{"one byte less for each", 2, 1, 10*14*gib/9 - 20, 0, []string{"2 workers may take 7.0 GiB", "--workers 1 is the most that fits"}},
		{"too many workers", 4, 1, 20 * gib, 0, []string{"job.yaml:2:", "of 20.0 GiB on this machine", "each of 4 workers may take 4.5 GiB", "takes 5.0 GiB there (state and its copy 4.0 GiB, samples and activations 1.0 GiB)", "each of 4 seats 1.0 GiB", "--workers 2 is the most that fits"}},
		{"fewer than min_workers would fit", 2, 2, 11 * gib, 0, []string{"each of 2 workers may take", "take a smaller model"}},
		{"a limit alone", 4, 1, 0, 6 * gib, nil},
		{"a limit that is too low", 4, 1, 100 * gib, 6*gib - 1, []string{"of GOMEMLIMIT 6.0 GiB each of 4 workers may take 6.0 GiB", "; raise that, or take a smaller model"}},
		{"a limit that is too low beside one that is lower", 4, 1, 20 * gib, 6*gib - 1, []string{"of 20.0 GiB on this machine"}},
		{"none would fit", 2, 1, 100 << 20, 0, []string{"of 100.0 MiB", "take a smaller model, fewer seats or a smaller train.batch_per_seat, which is another job"}},
	} {
		job.MinWorkers = c.least
		err := checkMemory(job, takes, c.workers, c.has, c.limit)
		if (err != nil) != (c.want != nil) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", c.name, err, want)
			}
		}
	}
}

// A control group that the job would fit into, but not the processes, is refused with the sums.
func TestProcessesFitIntoMemory(t *testing.T) {
	job := &config.Job{Seats: 2}
	takes := trainer.Memory{State: 1 << 20, Work: 1 << 20, Seat: 1 << 20}
	need := int64(launchBytes + coordinatorBytes + 2*workerBytes + 2*takes.Job() + 2*takes.Seat)
	for _, c := range []struct {
		has  int64
		fits bool
	}{{0, true}, {need, true}, {need - 1, false}} {
		err := checkProcesses(job, takes, 2, 1, c.has)
		if (err == nil) != c.fits || err != nil && !strings.Contains(err.Error(), "1 coordinator, 2 workers and launch itself take 76.0 MiB at the least") {
			t.Errorf("%d bytes: %v", c.has, err)
		}
	}
}
