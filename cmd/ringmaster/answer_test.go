package main

import (
	"math"
	"testing"

	"ringmaster/internal/metric"
)

// TestAnswers makes answers of outputs: the first of the likeliest classes, a single label as one of two classes, several labels each with its
// probability, numbers as they are. What is not finite is no answer.
func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		a       answering
		outputs []float32
		want    []string
	}{
		{answering{kind: metric.Classes, labels: []string{"a", "b", "c"}, chance: make([]float32, 3)}, []float32{-200, 1, 1}, []string{"b", "0", "0.5", "0.5"}},
		{answering{kind: metric.Labels, labels: []string{"no", "yes"}, chance: make([]float32, 2)}, []float32{200}, []string{"yes", "0", "1"}},
		{answering{kind: metric.Labels, labels: []string{"no", "yes"}, chance: make([]float32, 2)}, []float32{0}, []string{"no", "0.5", "0.5"}},
		{answering{kind: metric.Labels, chance: make([]float32, 2)}, []float32{200, 0, -200}, []string{"1", "0", "0", "1", "0.5", "0"}},
		{answering{kind: metric.Values, chance: make([]float32, 2)}, []float32{0.1, -7}, []string{"0.1", "-7"}},
	} {
		row, err := test.a.appendTo(nil, test.outputs)
		if err != nil || len(row) != len(test.want) {
			t.Fatalf("%v: %v, %v", test.outputs, row, err)
		}
		for i, v := range row {
			if word, err := v.Word(); err != nil || word != test.want[i] {
				t.Errorf("%v: value %d is %q, %v, want %q", test.outputs, i, word, err, test.want[i])
			}
		}
	}
	a := answering{kind: metric.Values}
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		if _, err := a.appendTo(nil, []float32{float32(bad)}); err == nil {
			t.Errorf("%v is an answer", bad)
		}
	}
}
