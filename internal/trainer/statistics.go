package trainer

import (
	"fmt"

	"ringmaster/internal/config"
	"ringmaster/internal/model"
	"ringmaster/internal/plan"
)

// CheckStatistics refuses a job whose seats train on a single sample where a batch norm would see one value of each channel: there is no
// variance of one value, and the running one goes to nothing. Where only the rest at the end of an epoch gives a seat one sample, that
// seat's variance counts as zero there; the note says so.
func CheckStatistics(job *config.Job, m *model.Model, samples int) (note string, err error) {
	seats, perSeat, micros := job.Seats, job.Train.PerSeat(), job.Train.MicroBatches()
	if size := seats * micros * statisticsLen(m.StatsLen()); micros > 1 && size > gatherRoom {
		return "", job.Errorf("train.accumulate", "train.accumulate %d has each step gather %d MiB of batch statistics, the limit is %d MiB: lower it, and raise train.batch_per_seat", micros, size>>20, gatherRoom>>20)
	}
	alone := func(step int) bool {
		for seat := range seats {
			shard := plan.Shard(samples, seats, perSeat, step, seat)
			for k := range min(micros, shard.Len()) {
				if shard.Part(k, micros).Len() == 1 {
					return true
				}
			}
		}
		return false
	}
	last := plan.StepsPerEpoch(samples, seats, perSeat) - 1
	if !alone(0) && !alone(last) {
		return "", nil
	}
	norm := m.Undefined()
	switch {
	case norm == "":
		return "", nil
	case job.Train.BatchPerSeat == 1:
		return "", job.Errorf("train.batch_per_seat", "train.batch_per_seat 1 gives batch norm %s one value of each channel, of which there is no variance: raise it to 2 or more", norm)
	case alone(0):
		return "", job.Errorf("seats", "seats %d have %d samples among them, some only one: it gives batch norm %s one value of each channel, of which there is no variance; take at most %d seats",
			seats, samples, norm, max(samples/2, 1))
	case job.TotalSteps(samples) <= last:
		return "", nil
	}
	return fmt.Sprintf("the last step of an epoch leaves some seats one sample: batch norm %s takes their variance for zero; another train.batch_per_seat or number of seats avoids that", norm), nil
}
