package optim

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/plan"
)

// golden is what PyTorch did; testdata/golden.py recorded it.
type golden struct {
	Count      uint64
	Start      []float32
	Sums       [][]float32
	Optimizers []struct {
		Name     string
		Settings struct {
			LR, Momentum, Eps float64
			Betas             []float64
			WeightDecay       float64 `json:"weight_decay"`
			Nesterov          bool
		}
		Params, State [][]float32
	}
	Schedules map[string][]float64
	Cycles    []struct {
		Name           string
		Rates, Momenta []float64
		Params         [][]float32
	}
	Averages []struct {
		Decay  float64
		Params [][]float32
	}
	Clips []struct {
		Bound float64
		Grad  []float32
	}
}

func readGolden(t *testing.T) (g golden) {
	t.Helper()
	text, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatalf("parse testdata/golden.json: %v", err)
	}
	return g
}

func close32(have, want float32) bool {
	return math.Abs(float64(have-want)) <= 4e-6*max(1, math.Abs(float64(want)))
}

func TestPyTorchOptimizers(t *testing.T) {
	g := readGolden(t)
	all := plan.Interval{Begin: 0, End: len(g.Start)}
	for k, c := range g.Optimizers {
		s := c.Settings
		cfg := config.Optimizer{Kind: c.Name, Form: config.FormPyTorch, LR: s.LR, Epsilon: s.Eps, Momentum: s.Momentum, Nesterov: s.Nesterov, WeightDecay: s.WeightDecay}
		if len(s.Betas) == 2 {
			cfg.Beta1, cfg.Beta2 = s.Betas[0], s.Betas[1]
		}
		o, err := New(cfg, constant, len(g.Start), []Group{{all, 1, s.WeightDecay}})
		if err != nil {
			t.Fatal(err)
		}
		params := append([]float32(nil), g.Start...)
		for step, sum := range g.Sums {
			o.Step(nil, uint64(step+1), params, sum, all, float64(g.Count), 1)
			for i, want := range c.Params[step] {
				if !close32(params[i], want) {
					t.Fatalf("case %d, %s: after step %d parameter %d is %v, want %v", k, c.Name, step+1, i, params[i], want)
				}
			}
		}
		if len(o.State()) != len(c.State) || len(o.Names()) != len(c.State) {
			t.Fatalf("case %d, %s: %d state vectors %v, want %d", k, c.Name, len(o.State()), o.Names(), len(c.State))
		}
		for n, want := range c.State {
			for i := range want {
				if have := o.State()[n][i]; !close32(have, want[i]) {
					t.Errorf("case %d, %s: %s %d is %v, want %v", k, c.Name, o.Names()[n], i, have, want[i])
				}
			}
		}
	}
}

func TestPyTorchSchedules(t *testing.T) {
	configs := map[string]config.Schedule{
		"step":   {Kind: config.ScheduleStep, StepSize: 7, Gamma: 0.3},
		"cosine": {Kind: config.ScheduleCosine, MinLR: 0.05, Horizon: 24},
		"linear": {Kind: config.ScheduleLinear, MinLR: 0.05, Horizon: 20},

		"restarts":        {Kind: config.ScheduleWarmRestarts, MinLR: 0.05, T0: 7, TMult: 1},
		"longer restarts": {Kind: config.ScheduleWarmRestarts, MinLR: 0.05, T0: 3, TMult: 2},
		"one cycle":       {Kind: config.ScheduleOneCycle, PctStart: 0.3, DivFactor: 25, FinalDivFactor: 1e4, Horizon: 26},
		"steep cycle":     {Kind: config.ScheduleOneCycle, PctStart: 0.1, DivFactor: 10, FinalDivFactor: 50, Horizon: 26},
		"falling cycle":   {Kind: config.ScheduleOneCycle, PctStart: 0, DivFactor: 25, FinalDivFactor: 1e4, Horizon: 26},
	}
	if have := len(readGolden(t).Schedules); have != len(configs) {
		t.Fatalf("%d schedules are recorded, %d are known", have, len(configs))
	}
	for name, rates := range readGolden(t).Schedules {
		s, err := NewSchedule(0.5, configs[name])
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range rates {
			if have := s.Rate(uint64(i + 1)); math.Abs(have-want) > 1e-12 {
				t.Errorf("%s: the rate of update %d is %v, want %v", name, i+1, have, want)
			}
		}
	}
}

func TestPyTorchClipping(t *testing.T) {
	g := readGolden(t)
	squares := 0.0
	for _, v := range g.Sums[0] {
		squares += float64(v) * float64(v)
	}
	for _, c := range g.Clips {
		scale := ClipScale(squares, float64(g.Count), c.Bound)
		for i, want := range c.Grad {
			if have := g.Sums[0][i] / float32(g.Count) * scale; !close32(have, want) {
				t.Errorf("bound %v: gradient %d is %v, want %v", c.Bound, i, have, want)
			}
		}
	}
}

// TestPyTorchOneCycle compares updates while rate and momentum move.
func TestPyTorchOneCycle(t *testing.T) {
	g := readGolden(t)
	all := plan.Interval{Begin: 0, End: len(g.Start)}
	optimizers := []config.Optimizer{
		{Kind: config.OptimizerAdam, Form: config.FormPyTorch, LR: 0.02, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8},
		{Kind: config.OptimizerSGD, Form: config.FormPyTorch, LR: 0.1, Momentum: 0.9},
	}
	cycle := config.Schedule{Kind: config.ScheduleOneCycle, PctStart: 0.3, DivFactor: 25, FinalDivFactor: 1e4, CycleMomentum: true, BaseMomentum: 0.85, MaxMomentum: 0.95, Horizon: len(g.Sums)}
	schedules := []config.Schedule{cycle, cycle}
	schedules[1].PctStart, schedules[1].BaseMomentum, schedules[1].MaxMomentum = 0.4, 0.8, 0.97
	for k, c := range g.Cycles {
		o, err := New(optimizers[k], schedules[k], len(g.Start), []Group{{all, 1, 0}})
		if err != nil {
			t.Fatal(err)
		}
		rate, err := NewSchedule(optimizers[k].LR, schedules[k])
		if err != nil {
			t.Fatal(err)
		}
		params := append([]float32(nil), g.Start...)
		for i, sum := range g.Sums {
			step := uint64(i + 1)
			if have, want := rate.Momentum(step, 0.9), c.Momenta[i]; math.Abs(have-want) > 1e-12 {
				t.Errorf("%s: the momentum of update %d is %v, want %v", c.Name, step, have, want)
			}
			if have, want := rate.Rate(step), c.Rates[i]; math.Abs(have-want) > 1e-12 {
				t.Errorf("%s: the rate of update %d is %v, want %v", c.Name, step, have, want)
			}
			o.Step(nil, step, params, sum, all, float64(g.Count), 1)
			for i, want := range c.Params[i] {
				if !close32(params[i], want) {
					t.Fatalf("%s: after step %d parameter %d is %v, want %v", c.Name, step, i, params[i], want)
				}
			}
		}
	}
}
