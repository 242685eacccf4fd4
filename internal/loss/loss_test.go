package loss

import (
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/metric"
)

var (
	class  = dataset.Field{Name: "species", Type: dataset.Int32, Role: dataset.Target, Classes: 3}
	tokens = dataset.Field{Name: "next", Type: dataset.Int32, Role: dataset.Target, Shape: []int{16}, Classes: 65}
	price  = dataset.Field{Name: "price", Type: dataset.Float32, Role: dataset.Target}
	yesNo  = dataset.Field{Name: "spam", Type: dataset.Int32, Role: dataset.Target, Classes: 2}
	pair   = dataset.Field{Name: "place", Type: dataset.Float32, Role: dataset.Target, Shape: []int{2}}
)

func TestNew(t *testing.T) {
	for _, c := range []struct {
		kind        string
		target      dataset.Field
		rows, width int
		wants       string
		classifies  bool
	}{
		{config.LossCrossEntropy, class, 1, 3, "3 classes", true},
		{config.LossCrossEntropy, tokens, 16, 65, "65 classes", true},
		{config.LossMSE, price, 1, 1, "1 target value", false},
		{config.LossMSE, pair, 1, 2, "2 target values", false},
		{config.LossMAE, price, 1, 1, "1 target value", false},
		{config.LossHuber, pair, 1, 2, "2 target values", false},
		{config.LossBinary, price, 1, 1, "1 label", false},
		{config.LossBinary, pair, 1, 2, "2 labels", false},
		{config.LossBinary, yesNo, 1, 1, "1 label", false},
	} {
		l, err := New(config.Train{Loss: c.kind}, dataset.Schema{c.target})
		if err != nil {
			t.Fatal(err)
		}
		if l.Rows() != c.rows || l.Width() != c.width || l.Wants() != c.wants || (l.Task().Kind == metric.Classes) != c.classifies {
			t.Errorf("%s of %s: %d rows of %d (%s)", c.kind, c.target.Name, l.Rows(), l.Width(), l.Wants())
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		kind   string
		schema dataset.Schema
		want   string
	}{
		{config.LossCrossEntropy, dataset.Schema{price}, "train.loss: cross_entropy compares with classes, but the target price is numbers"},
		{config.LossMSE, dataset.Schema{class}, "train.loss: mse compares with numbers, but the target species is classes"},
		{config.LossHuber, dataset.Schema{class}, "train.loss: huber compares with numbers, but the target species is classes"},
		{config.LossBinary, dataset.Schema{class}, "train.loss: binary compares with labels that are 0 or 1, but the target species is species: int32, 3 classes: set train.loss: cross_entropy"},
		{config.LossMSE, nil, "the data has no target"},
		{config.LossMSE, dataset.Schema{price, pair}, "the data has 2 targets (price, place) where there should be one"},
		{"hope", dataset.Schema{price}, `there is no loss "hope"`},
	} {
		if _, err := New(config.Train{Loss: c.kind}, c.schema); err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "train.loss: ") {
			t.Errorf("%s of %v: %v, want %q", c.kind, c.schema, err, c.want)
		}
	}
}

// The job may name the field that the output is compared with, an input too.
func TestNamedTarget(t *testing.T) {
	schema := dataset.Schema{{Name: "pixels", Type: dataset.Float32, Role: dataset.Input, Shape: []int{3, 4, 4}}, class}
	l, err := New(config.Train{Loss: config.LossMSE, Target: "pixels"}, schema)
	if err != nil || l.Rows() != 1 || l.Width() != 48 {
		t.Fatalf("%+v, %v", l, err)
	}
	for target, want := range map[string]string{
		"pixel":   "train.target: the data has no field pixel; there are pixels, species",
		"species": "mse compares with numbers, but the target species is classes",
	} {
		if _, err := New(config.Train{Loss: config.LossMSE, Target: target}, schema); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", target, err, want)
		}
	}
}

func TestClassWeightsAreOneAClass(t *testing.T) {
	_, err := New(config.Train{Loss: config.LossCrossEntropy, ClassWeights: []float64{1, 2}}, dataset.Schema{class})
	if want := "train.class_weights: there are 2 weights, but the target species has 3 classes: list one for each"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	if _, err := New(config.Train{Loss: config.LossCrossEntropy, ClassWeights: []float64{1, 2, 0}}, dataset.Schema{class}); err != nil {
		t.Error(err)
	}
}
