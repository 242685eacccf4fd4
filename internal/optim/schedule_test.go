package optim

import (
	"math"
	"testing"

	"ringmaster/internal/config"
)

func TestSchedulesFollowTheirFormulas(t *testing.T) {
	cosine := func(x float64) float64 { return 0.1 + 0.9*(1+math.Cos(math.Pi*x))/2 }
	cases := []struct {
		name  string
		cfg   config.Schedule
		rates map[uint64]float64
	}{
		{"constant", config.Schedule{Kind: "constant"}, map[uint64]float64{0: 1, 1: 1, 1000: 1}},
		{"constant with warm-up", config.Schedule{Kind: "constant", Warmup: 4}, map[uint64]float64{1: 0.25, 3: 0.75, 4: 1, 5: 1}},
		{"step", config.Schedule{Kind: "step", StepSize: 10, Gamma: 0.5}, map[uint64]float64{1: 1, 10: 1, 11: 0.5, 20: 0.5, 21: 0.25, 101: 1.0 / 1024}},
		{"step with warm-up", config.Schedule{Kind: "step", StepSize: 10, Gamma: 0.5, Warmup: 5}, map[uint64]float64{1: 0.2, 5: 1, 15: 1, 16: 0.5}},
		{"linear", config.Schedule{Kind: "linear", MinLR: 0.2, Horizon: 8}, map[uint64]float64{1: 1, 5: 0.6, 8: 0.3, 9: 0.2, 99: 0.2}},
		{"linear with warm-up", config.Schedule{Kind: "linear", Warmup: 2, Horizon: 10}, map[uint64]float64{1: 0.5, 2: 1, 3: 1, 7: 0.5, 11: 0}},
		{"cosine", config.Schedule{Kind: "cosine", MinLR: 0.1, Horizon: 100}, map[uint64]float64{1: 1, 26: cosine(0.25), 51: 0.55, 76: cosine(0.75), 100: cosine(0.99), 101: 0.1, 500: 0.1}},
		{"restarts with warm-up", config.Schedule{Kind: "warm_restarts", MinLR: 0.1, Warmup: 5, T0: 4, TMult: 3}, map[uint64]float64{1: 0.2, 5: 1, 6: 1, 8: 0.55, 10: 1, 16: 0.55, 22: 1}},
		{"one cycle beyond its end", config.Schedule{Kind: "one_cycle", PctStart: 0.25, DivFactor: 10, FinalDivFactor: 2, Horizon: 8}, map[uint64]float64{1: 0.1, 2: 1, 5: 0.525, 8: 0.05, 9: 0.05, 99: 0.05}},
		{"one cycle of a step", config.Schedule{Kind: "one_cycle", PctStart: 1, DivFactor: 10, FinalDivFactor: 2, Horizon: 1}, map[uint64]float64{1: 1, 2: 0.05}},
	}
	for _, c := range cases {
		s, err := NewSchedule(1, c.cfg)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		for step, want := range c.rates {
			if have := s.Rate(step); math.Abs(have-want) > 1e-15 {
				t.Errorf("%s: rate of step %d is %v, want %v", c.name, step, have, want)
			}
		}
	}
}

func TestPowersAreNearTheLibrarys(t *testing.T) {
	for _, x := range []float64{0, 0.5, 0.9, 0.999, 1} {
		for _, n := range []uint64{0, 1, 2, 3, 10, 1000, 1 << 20} {
			if have, want := power(x, n), math.Pow(x, float64(n)); math.Abs(have-want) > 1e-12*want {
				t.Errorf("%v^%d = %v, want %v", x, n, have, want)
			}
		}
	}
}
