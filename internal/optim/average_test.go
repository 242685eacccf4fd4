package optim

import (
	"math"
	"slices"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/plan"
	"ringmaster/internal/tensor/kernel"
)

func TestPyTorchAverages(t *testing.T) {
	g := readGolden(t)
	all := plan.Interval{Begin: 0, End: len(g.Start)}
	if len(g.Averages) != 2 {
		t.Fatalf("%d averages", len(g.Averages))
	}
	for _, c := range g.Averages {
		sgd, err := New(config.Optimizer{Kind: config.OptimizerSGD, Form: config.FormPyTorch, LR: 0.1}, constant, len(g.Start), []Group{{all, 1, 0}})
		if err != nil {
			t.Fatal(err)
		}
		o, err := Average(sgd, c.Decay, false, len(g.Start), []Group{{all, 1, 0}})
		if err != nil {
			t.Fatal(err)
		}
		params := append([]float32(nil), g.Start...)
		for step, sum := range g.Sums {
			o.Step(nil, uint64(step+1), params, sum, all, float64(g.Count), 1)
			for i, want := range c.Params[step] {
				if have := o.State()[0][i]; !close32(have, want) {
					t.Errorf("decay %v: after step %d the average of parameter %d is %v, want %v", c.Decay, step+1, i, have, want)
				}
			}
		}
	}
}

// With warm-up the first steps weigh more. Nothing is kept for parameters that stay, and no division into intervals and threads shows.
func TestAverage(t *testing.T) {
	const n = 3*threadLen + 5
	train := config.Train{Optimizer: config.Optimizer{Kind: config.OptimizerSGD, Form: config.FormPyTorch, LR: 1}, EMA: 0.999, EMAWarmup: true}
	team := kernel.NewTeam(3)
	defer team.Close()
	var ends [][]float32
	for _, parts := range []int{1, 4} {
		groups := []Group{{plan.Interval{Begin: 1, End: n}, 1, 0}} // the first one is frozen
		sgd, err := New(train.Optimizer, constant, n, groups)
		if err != nil {
			t.Fatal(err)
		}
		o, err := Average(sgd, train.EMA, train.EMAWarmup, n, groups)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(o.Names(), Names(&train)) || len(o.State()) != 1 {
			t.Errorf("vectors %v, want %v", o.Names(), Names(&train))
		}
		params, grad := make([]float32, n), make([]float32, n-1)
		params[0] = 0.1
		for i := range grad {
			grad[i] = -1 // so parameter i is step
		}
		want := 1.0
		for step := uint64(1); step <= 20; step++ {
			for _, in := range (plan.Interval{Begin: 0, End: n - 1}).Parts(parts) {
				o.Step(team, step, params, grad, in, 1, 1)
			}
			if step > 1 {
				want += (1 - min(0.999, float64(1+step)/float64(10+step))) * (float64(step) - want)
			}
			ema := o.State()[0]
			if math.Abs(float64(ema[0])-want) > 1e-5 || ema[0] != ema[n-2] || len(ema) != n-1 || params[0] != 0.1 {
				t.Fatalf("step %d: %d averages, %v and %v, want %v", step, len(ema), ema[0], ema[n-2], want)
			}
		}
		ends = append(ends, o.State()[0])
	}
	if !slices.Equal(ends[0], ends[1]) {
		t.Error("the division into intervals shows")
	}
}
