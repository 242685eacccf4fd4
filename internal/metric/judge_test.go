package metric

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
)

// The rule is that of Keras' EarlyStopping, and the earliest of equals is the best.
func TestJudge(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		rule   Rule
		values []float64
		best   int
		waited int
		stop   uint64
	}{
		{Rule{Patience: 2}, []float64{3, 2, 2, 1, 1, 1}, 4, 2, 60},
		{Rule{Patience: 3}, []float64{3, 2, 2, 1, 1, 1}, 4, 2, 0},
		{Rule{Patience: 1, MinDelta: 0.5}, []float64{3, 2.4, 2}, 2, 1, 30},
		{Rule{Patience: 1, Highest: true}, []float64{0.5, 0.6, 0.7}, 3, 0, 0},
		{Rule{Patience: 1, Highest: true, MinDelta: 0.2}, []float64{0.5, 0.6}, 1, 1, 20},
		{Rule{Patience: 2}, []float64{nan, nan}, 0, 2, 20},
		{Rule{Patience: 2}, []float64{nan, 1, nan, 0.5, nan, math.Inf(1)}, 4, 2, 60},
		{Rule{}, []float64{1, 2, 3, 4}, 1, 3, 0}, // it never ends
		{Rule{Patience: 1}, nil, 0, 0, 0},
		{Rule{Bars: []float64{3, 2, 1}}, []float64{3, 2, 1, 5, 5}, 3, 2, 0}, // as good as the bar is good enough, and there are no more bars
		{Rule{Bars: []float64{3, 2, 1}}, []float64{2, 2.5, 1.5}, 3, 0, 30},  // the best so far counts
		{Rule{Bars: []float64{0.5, 0.6}, Highest: true}, []float64{0.5, 0.59}, 2, 0, 20},
		{Rule{Bars: []float64{3}}, []float64{nan, 1}, 2, 0, 10},
		{Rule{Bars: []float64{9, 9, 9}, Patience: 2}, []float64{1, 2, 2}, 1, 2, 30},
	} {
		c.rule.Metric = "loss"
		var j Judged
		for i, v := range c.values {
			j = c.rule.Judge(j, &Evaluated{Epoch: i + 1, Step: uint64(10 * (i + 1)), HasEval: true, Loss: v})
		}
		if j.Epoch != c.best || j.Waited != c.waited || j.Stop != c.stop || j.Epoch > 0 && j.Best != c.values[j.Epoch-1] {
			t.Errorf("%+v over %v: %+v, want epoch %d, waited %d, stop %d", c.rule, c.values, j, c.best, c.waited, c.stop)
		}
		if reason := c.rule.Reason(j); c.stop > 0 && !strings.HasPrefix(reason, "stopped early: loss ") {
			t.Error(reason)
		}
	}
}

func TestValues(t *testing.T) {
	e := Evaluated{TrainLoss: 1, HasEval: true, Loss: 2, Accuracy: 3, Figures: "f1=4 auc=NaN"}
	var got []float64
	for _, name := range []string{"train_loss", "loss", "accuracy", "f1"} {
		got = append(got, e.Value(name))
	}
	if !slices.Equal(got, []float64{1, 2, 3, 4}) || e.Value("auc") == e.Value("auc") || e.Value("rmse") == e.Value("rmse") {
		t.Errorf("%v, auc %v, rmse %v", got, e.Value("auc"), e.Value("rmse"))
	}
	e.HasEval, e.Figures = false, "=1"
	if v := e.Value("loss"); v == v {
		t.Errorf("without an evaluation the loss is %v", v)
	}
}

func TestRulesOfAJob(t *testing.T) {
	job, err := config.Parse("x.yaml", []byte("train: {early_stop: {metric: f1, patience: 3, min_delta: 0.1}, metrics: [f1]}\ncheckpoint: {keep_best: loss}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if r := EarlyStop(job); !reflect.DeepEqual(r, &Rule{Metric: "f1", Highest: true, MinDelta: 0.1, Patience: 3}) {
		t.Errorf("%+v", r)
	}
	if r := KeepBest(job); !reflect.DeepEqual(r, &Rule{Metric: "loss"}) {
		t.Errorf("%+v", r)
	}
	job.Train.EarlyStop.Mode = config.ModeMin
	if r := EarlyStop(job); r.Highest {
		t.Errorf("%+v", r)
	}
	plain, err := config.Parse("x.yaml", nil, nil)
	if err != nil || EarlyStop(plain) != nil || KeepBest(plain) != nil {
		t.Error(err, "a job without rules has some")
	}
}
