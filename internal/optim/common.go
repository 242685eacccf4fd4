package optim

import (
	"slices"
	"strings"

	"ringmaster/internal/config"
)

// Common is the number of updates, at most most, that two jobs' schedules make alike: with the same learning rate and momentum, bit for bit. The
// jobs' horizons must be known. Whatever else differs between the jobs does not count.
func Common(a, b *config.Job, most uint64) uint64 {
	x, errX := NewSchedule(a.Train.Optimizer.LR, a.Train.Schedule)
	y, errY := NewSchedule(b.Train.Optimizer.LR, b.Train.Schedule)
	if errX != nil || errY != nil {
		return 0
	}
	for step := uint64(1); step <= most; step++ {
		if x.At(step, a.Train.Optimizer) != y.At(step, b.Train.Optimizer) {
			return step - 1
		}
	}
	return most
}

// Update is what an update takes from the schedule.
type Update struct{ Rate, Momentum, Beta1 float64 }

// At is the update number step, counted from 1, of an optimizer.
func (s Schedule) At(step uint64, cfg config.Optimizer) Update {
	return Update{s.Rate(step), s.Momentum(step, cfg.Momentum), s.Momentum(step, cfg.Beta1)}
}

// Changes lists what prevents job next from going on, after a number of updates, with the state of job old: config.Changes without the keys of
// the schedule if both schedules make those updates alike. Alone, job next would have come to the same bits.
func Changes(old, next *config.Job, updates uint64) []config.Difference {
	found := config.Changes(old, next)
	if slices.ContainsFunc(found, ofSchedule) && Common(old, next, updates) == updates {
		found = slices.DeleteFunc(found, ofSchedule)
	}
	return found
}

func ofSchedule(d config.Difference) bool { return strings.HasPrefix(d.Key, "train.schedule.") }
