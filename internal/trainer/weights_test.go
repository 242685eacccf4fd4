package trainer

import (
	"math"
	"slices"
	"testing"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/model"
)

// Classes that all weigh 2 train as if none had a weight, in every bit: sums are twice as large, and so is what divides them.
func TestEqualClassWeightsChangeNothing(t *testing.T) {
	plain := train(t, assemble(t, 4, ""), 2, 1, 1, nil, nil)[0]
	twice := train(t, assemble(t, 4, ", class_weights: [2, 2, 2, 2, 2, 2, 2, 2, 2, 2]"), 2, 1, 1, nil, nil)[0]
	if !slices.Equal(plain.State().Params, twice.State().Params) || plain.TrainLoss() != twice.TrainLoss() {
		t.Errorf("other parameters, or train losses %v and %v", plain.TrainLoss(), twice.TrainLoss())
	}
	if sums := twice.State().Sums; sums.Weight != 2*float64(sums.Count) || plain.State().Sums.Weight != 0 {
		t.Errorf("sums %+v, without weights %+v", sums, plain.State().Sums)
	}
}

// Weights of classes give the same bits however the seats are spread; what they weigh together is part of the state.
func TestClassWeightsOnAnyRing(t *testing.T) {
	p := assemble(t, 5, ", clip_norm: 0.5, label_smoothing: 0.1, class_weights: [1, 0, 0.3, 7, 1, 1, 0.2, 1, 1, 2.5]")
	alone := train(t, p, 1, 1, 1, nil, nil)[0].State()
	three := train(t, p, 3, 2, 1, nil, nil)[0].State()
	want := checkpoint.StateDigest(&alone)
	if got := checkpoint.StateDigest(&three); got != want {
		t.Errorf("one worker computes %x, three %x", want, got)
	}
	if alone.Sums.Weight <= 0 || alone.Sums.Weight == float64(alone.Sums.Count) {
		t.Errorf("sums %+v", alone.Sums)
	}
	alone.Sums.Weight++
	if checkpoint.StateDigest(&alone) == want {
		t.Error("the weight is no part of the state digest")
	}
}

func TestTalliesFoldWeights(t *testing.T) {
	var records []byte
	for _, w := range []float64{0.1, 0.2, 0.3} {
		record := make([]byte, recordLen)
		putRecord(record, model.Result{Loss: 1, Weight: w, Count: 2, Finite: true}, 0)
		records = append(records, record...)
	}
	one := 0.1 // summed at run time, in seat order
	if got, want := fold(records), one+0.2+0.3; got.weight != want || got.divisor() != want || got.count != 6 {
		t.Errorf("%+v, want the weight %v", got, want)
	}
	if got := divisor(0, 6); got != 6 || orOne(0) != 1 || math.IsNaN(got) {
		t.Errorf("6 targets without weights divide by %v", got)
	}
}
