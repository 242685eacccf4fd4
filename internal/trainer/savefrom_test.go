package trainer

import (
	"maps"
	"testing"
)

// late is a saver whose worker hears that a checkpoint is wanted when that is saved already.
type late struct {
	*log
	signals *Signals
}

func (l late) Save(t *Trainer) bool {
	l.signals.SaveFrom.Store(1)
	return l.log.Save(t)
}

// One worker has heard that a checkpoint is wanted, the others hear it later: all save at its next step boundary, once.
func TestAllSaveOnceWhenOneHearsOfIt(t *testing.T) {
	p := assemble(t, 4, "")
	p.Job.Checkpoint.EverySteps = 0
	saved := &log{saves: map[uint64]int{}}
	train(t, p, 3, 1, 1, nil, nil, func(r *Run) {
		r.Signals = &Signals{}
		if r.Arc.Contains(0) {
			r.Signals.SaveFrom.Store(1)
		}
		r.Saver = late{saved, r.Signals}
	})
	if want := map[uint64]int{1: 3}; !maps.Equal(saved.saves, want) {
		t.Errorf("saved %v, want %v", saved.saves, want)
	}
}
