package optim

import (
	"testing"

	"ringmaster/internal/config"
)

// A schedule may change where no update has yet felt it, and nothing else may.
func TestChanges(t *testing.T) {
	job := func(sets ...string) *config.Job {
		const text = "name: j\nmodel: {kind: mlp, layers: [784, 2, 10]}\ndata: {kind: glyphs}\ntrain: {steps: 100, optimizer: {kind: adam, lr: 0.1}}\n"
		j, err := config.Parse("j.yaml", []byte(text), sets)
		if err != nil {
			t.Fatal(err)
		}
		j.Resolve(0)
		return j
	}
	const steps, by20 = "train.schedule.kind=step", "train.schedule.step_size=20"
	old := job(steps, by20)
	for _, c := range []struct {
		sets   []string
		common uint64 // of 100 updates
		other  bool   // something beside the schedule differs
	}{
		{[]string{steps, by20}, 100, false},
		{[]string{steps, "train.schedule.step_size=30"}, 20, false},
		{[]string{steps, by20, "train.schedule.gamma=0.5"}, 20, false},
		{[]string{"train.schedule.kind=constant"}, 20, false},
		{[]string{"train.schedule.kind=linear"}, 1, false},
		{[]string{steps, by20, "train.schedule.warmup=10"}, 0, false},
		{[]string{"train.schedule.kind=one_cycle"}, 0, false},
		{[]string{steps, "train.schedule.step_size=30", "train.optimizer.beta2=0.9"}, 20, true},
		{[]string{steps, by20, "seed=2"}, 100, true},
	} {
		next := job(c.sets...)
		if got := Common(old, next, 100); got != c.common {
			t.Errorf("%v: %d updates in common, want %d", c.sets, got, c.common)
		}
		for _, updates := range []uint64{0, c.common, c.common + 1} {
			differs := c.other || updates > c.common && c.common < 100
			if got := Changes(old, next, updates); (len(got) > 0) != differs {
				t.Errorf("%v after %d updates: %v", c.sets, updates, got)
			}
		}
	}
	unknown := job()
	unknown.Train.Schedule = config.Schedule{Kind: config.ScheduleCosine} // without its horizon nothing is known of it
	if got := Common(unknown, unknown, 5); got != 0 {
		t.Errorf("%d updates in common with an unknown schedule", got)
	}
}
