package launch

import (
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/trainer"
)

func TestCheckMemory(t *testing.T) {
	job, err := config.Parse("job.yaml", []byte("seats: 4\nmin_workers: 2\nmodel: {kind: mlp, layers: [784, 10]}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	const gib = 1 << 30
	takes := trainer.Memory{State: 3 * gib, Work: gib, Seat: gib} // 4 GiB a worker, and 4 in all
	for _, c := range []struct {
		name    string
		workers int
		has     int64
		want    []string // nil: it passes
	}{
		{"unknown", 100, 0, nil},
		{"just enough", 3, 16 * gib, nil},
		{"too many workers", 4, 16*gib + gib - 1, []string{"job.yaml:3:", "takes 20.0 GiB", "17.0 GiB", "4 workers with 3.0 GiB of state and 1.0 GiB of activations each", "gradients of 4 seats with 1.0 GiB each", "--workers 3 is the most that fits"}},
		{"fewer than min_workers would fit", 2, 9 * gib, []string{"takes 12.0 GiB", "take a smaller model"}},
		{"none would fit", 2, 100 << 20, []string{"has 100.0 MiB", "take a smaller model, fewer seats (which is another job) or a smaller train.batch_per_seat"}},
	} {
		err := checkMemory(job, takes, c.workers, c.has)
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
