package worker

import (
	"encoding/json"
	"math"
	"testing"
)

func TestStateHeaderKeepsTheSums(t *testing.T) {
	text, err := json.Marshal(stateHeader{Step: 3, Loss: math.Float64bits(0.1), Count: 7, Correct: 2, Weight: math.Float64bits(1.0 / 3), Floats: 9})
	if err != nil {
		t.Fatal(err)
	}
	var h stateHeader
	if err := h.decode(text); err != nil {
		t.Fatal(err)
	}
	if s := h.sums(); s.Loss != 0.1 || s.Count != 7 || s.Correct != 2 || s.Weight != 1.0/3 {
		t.Errorf("%+v from %s", s, text)
	}
}
