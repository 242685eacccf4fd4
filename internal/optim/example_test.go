package optim_test

import (
	"fmt"

	"ringmaster/internal/config"
	"ringmaster/internal/optim"
	"ringmaster/internal/plan"
	"ringmaster/internal/tensor/kernel"
)

// A gradient is summed over the samples, and the optimizer divides it by their number. Halves may be updated apart.
func ExampleNew() {
	sgd, err := optim.New(config.Optimizer{Kind: "sgd", LR: 0.5, Form: "pytorch"}, config.Schedule{Kind: "constant"}, 4,
		[]optim.Group{{Interval: plan.Interval{Begin: 0, End: 4}, LRFactor: 1}})
	if err != nil {
		panic(err)
	}
	team := kernel.NewTeam(1)
	defer team.Close()
	params, sums := []float32{1, 1, 1, 1}, []float32{8, 4, 0, -4}
	for _, half := range (plan.Interval{Begin: 0, End: 4}).Parts(2) {
		sgd.Step(team, 1, params, sums, half, 4, 1)
	}
	fmt.Println(params)
	// Output: [0 0.5 1 1.5]
}

func ExampleSchedule_Rate() {
	s, err := optim.NewSchedule(0.1, config.Schedule{Kind: "linear", Warmup: 2, Horizon: 6})
	if err != nil {
		panic(err)
	}
	for step := range uint64(7) {
		fmt.Printf("%.3f ", s.Rate(step+1))
	}
	// Output: 0.050 0.100 0.100 0.075 0.050 0.025 0.000
}

// A gradient of norm 10 (its sum over 2 samples has norm 20) is scaled to norm 1.
func ExampleClipScale() {
	fmt.Println(optim.ClipScale(400, 2, 1))
	// Output: 0.1
}
