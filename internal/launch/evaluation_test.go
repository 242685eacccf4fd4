package launch

import (
	"encoding/json"
	"math"
	"testing"

	"ringmaster/internal/rpc"
)

func TestEvaluationHasTheMetricsByTheirNames(t *testing.T) {
	e := evalSummary(true, 0.5, 0.25, "f1=0.75 auc=NaN accuracy=0.25 r2=-1")
	text, err := json.Marshal(e)
	if want := `{"loss":0.5,"accuracy":0.25,"f1":0.75,"auc":null,"r2":-1}`; err != nil || string(text) != want {
		t.Errorf("%s, %v, want %s", text, err, want)
	}
	var read EvalSummary
	if err := json.Unmarshal(text, &read); err != nil || len(read.Metrics) != 3 || read.Metrics[0].Name != "f1" || !math.IsNaN(read.Metrics[1].Value) {
		t.Errorf("%+v, %v", read, err)
	}
	again, err := json.Marshal(read)
	if err != nil || string(again) != string(text) {
		t.Errorf("%s became %s, %v", text, again, err)
	}
	plain, err := json.Marshal(evalSummary(true, math.Inf(1), math.NaN(), ""))
	if want := `{"loss":null,"accuracy":null}`; err != nil || string(plain) != want {
		t.Errorf("without metrics: %s, %v", plain, err)
	}
	if err := json.Unmarshal([]byte(`[1]`), &read); err == nil {
		t.Error("a list was taken for an evaluation")
	}
	if e.Same(evalSummary(true, 0.5, 0.25, "f1=0.75 auc=NaN accuracy=0.25 r2=1")) || !e.Same(evalSummary(true, 0.5, 0.25, "f1=0.75 auc=NaN accuracy=0.25 r2=-1")) || e.Same(nil) {
		t.Error("evaluations are not compared by all their figures")
	}
}

func TestLinesShowTheFirstMetric(t *testing.T) {
	for metrics, want := range map[string]string{
		"":                    "epoch 2  train loss 0.1250  test loss 0.5000  test accuracy 25.00 %",
		"f1=0.75 auc=NaN":     "epoch 2  train loss 0.1250  test loss 0.5000  test f1 0.7500",
		"top5=0.5":            "epoch 2  train loss 0.1250  test loss 0.5000  test top5 50.00 %",
		"auc=NaN":             "epoch 2  train loss 0.1250  test loss 0.5000  test auc undefined",
		"what no one can say": "epoch 2  train loss 0.1250  test loss 0.5000  test accuracy 25.00 %",
	} {
		if got := epochLine(&rpc.EpochRecord{Epoch: 2, TrainLoss: 0.125, HasEval: true, EvalLoss: 0.5, EvalAccuracy: 0.25, Metrics: metrics}, ""); got != want {
			t.Errorf("%q: %s, want %s", metrics, got, want)
		}
	}
}
