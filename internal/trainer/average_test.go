package trainer

import (
	"slices"
	"sync"
	"testing"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/optim"
)

// The average of the weights is part of the state, the same on any ring and across resumes. It is what is evaluated, and does not touch the training.
func TestAverageOnAnyRing(t *testing.T) {
	plain := train(t, assemble(t, 4, ""), 1, 1, 1, nil, nil)[0]
	p := assemble(t, 4, ", ema: 0.9, ema_warmup: true")
	tr := sameEverywhere(t, p)
	state := tr.State()
	last := state.Optim[len(state.Optim)-1]
	if last.Name != optim.AverageName || slices.Equal(last.Data, tr.params) || !slices.Equal(plain.params, tr.params) {
		t.Errorf("the state's last vector is %s; training with and without it differs: %v", last.Name, !slices.Equal(plain.params, tr.params))
	}
	layout, err := p.Layout()
	if err != nil {
		t.Fatal(err)
	}
	if own := layout.NewState().Optim; own[len(own)-1].Name != optim.AverageName {
		t.Errorf("checkpoints end with %s", own[len(own)-1].Name)
	}

	p.PerPass = 25 // the job's end is an epoch's
	var mu sync.Mutex
	var ends []EpochEnd
	train(t, p, 2, 1, 1, nil, nil, func(r *Run) {
		r.OnEpoch = func(e EpochEnd) {
			mu.Lock()
			defer mu.Unlock()
			ends = append(ends, e)
		}
	})
	average, err := p.Score(nil, last.Data, tr.stats)
	if err != nil {
		t.Fatal(err)
	}
	trained, err := p.Score(nil, tr.params, tr.stats)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range ends {
		if *e.Eval != *average || *e.Eval == *trained {
			t.Errorf("the run evaluates to %+v, its average to %+v, its parameters to %+v", *e.Eval, *average, *trained)
		}
	}
	if len(ends) != 2 {
		t.Errorf("%d ends", len(ends))
	}
}

// Before the first step the average is the first weights, those of model.init too.
func TestAverageBeginsAsTheParameters(t *testing.T) {
	p := assemble(t, 4, ", ema: 0.9")
	tr, err := New(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	state := tr.State()
	if got := state.Optim[2]; got.Name != optim.AverageName || checkpoint.Digest(got.Data) != checkpoint.Digest(state.Params) {
		t.Errorf("vector %s differs from the parameters", got.Name)
	}
}
