package main

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"ringmaster/internal/metric"
)

func TestEvaluationHasTheMetricsBesideTheLoss(t *testing.T) {
	loss := 0.5
	e := evaluation{origin: origin{Job: "j", Checkpoint: "c", Digest: "d"}, Loss: &loss, Count: 3, scores: scores{
		figures: []metric.Figure{{Name: "f1", Value: 0.25}, {Name: "accuracy", Value: 1}, {Name: "auc", Value: math.NaN()}},
		Classes: []classScores{{"a", 1, 0.5, 0.75, 2}, {"b", 0, 0, 0, 1}}, Confusion: [][]float64{{2, 0}, {1, 0}}}}
	text, err := json.Marshal(e)
	want := `{"job":"j","checkpoint":"c","digest":"d","loss":0.5,"accuracy":null,"count":3,` +
		`"classes":[{"name":"a","precision":1,"recall":0.5,"f1":0.75,"targets":2},{"name":"b","precision":0,"recall":0,"f1":0,"targets":1}],` +
		`"confusion":[[2,0],[1,0]],"f1":0.25,"auc":null}`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v, want\n%s", text, err, want)
	}
	text, err = json.Marshal(evaluation{origin: e.origin, Loss: &loss, Count: 3})
	if want := `{"job":"j","checkpoint":"c","digest":"d","loss":0.5,"accuracy":null,"count":3}`; err != nil || string(text) != want {
		t.Errorf("without metrics %s, %v", text, err)
	}
	var out strings.Builder
	if err := e.tables(&out); err != nil {
		t.Fatal(err)
	}
	if want := `
class  precision  recall  f1      targets
a      1.0000     0.5000  0.7500  2
b      0.0000     0.0000  0.0000  1

actual, predicted  a  b
a                  2  0
b                  1  0
`; out.String() != want {
		t.Errorf("the tables are\n%s", out.String())
	}
}

func TestOnlyEvalTakesMetrics(t *testing.T) {
	for _, c := range []struct {
		flags trainedFlags
		want  string
	}{
		{trainedFlags{threads: 1, sets: []string{"train.metrics=[f1]"}}, "only keys below data can be set"},
		{trainedFlags{threads: 1, sets: []string{"train.metrics=[f1]"}, metrics: true}, "look for checkpoints in no-such-folder"},
		{trainedFlags{threads: 1, sets: []string{"train.epochs=1"}, metrics: true}, "only keys below data and train.metrics can be set"},
	} {
		if _, err := c.flags.find(evalCommand(), "no-such-folder"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %s", c.flags.sets, err, c.want)
		}
	}
}
