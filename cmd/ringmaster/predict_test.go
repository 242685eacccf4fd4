package main

import (
	"math"
	"testing"
)

func TestAnAnswerRanksTheClassesByProbability(t *testing.T) {
	got, err := rank([]float32{1, 3, 1, 2}, []string{"a", "b", "c"})
	if err != nil {
		t.Fatal(err)
	}
	sum := float32(0)
	for i, want := range []guess{{"b", 1, 0}, {"3", 3, 0}, {"a", 0, 0}, {"c", 2, 0}} {
		if got[i].Class != want.Class || got[i].Label != want.Label {
			t.Errorf("place %d is %+v, want %s", i, got[i], want.Class)
		}
		sum += got[i].Probability
	}
	if got[2].Probability != got[3].Probability || sum < 0.9999 || sum > 1.0001 {
		t.Errorf("probabilities %+v", got)
	}
	if _, err := rank([]float32{0, float32(math.NaN())}, nil); err == nil {
		t.Error("NaN is ranked")
	}
}
