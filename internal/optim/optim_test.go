package optim

import (
	"fmt"
	"math"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/plan"
	"ringmaster/internal/tensor/kernel"
)

func adamConfig(kind, form string) config.Optimizer {
	epsilon := 1e-7
	if form == config.FormPyTorch {
		epsilon = 1e-8
	}
	return config.Optimizer{Kind: kind, Form: form, LR: 0.01, Beta1: 0.9, Beta2: 0.999, Epsilon: epsilon}
}

var constant = config.Schedule{Kind: config.ScheduleConstant}

// decaying makes groups of n parameters, of which those in the intervals decay.
func decaying(n int, decay float64, in ...plan.Interval) (groups []Group) {
	at := 0
	for _, d := range append(in, plan.Interval{Begin: n, End: n}) {
		groups = append(groups, Group{Interval: plan.Interval{Begin: at, End: d.Begin}, LRFactor: 1}, Group{Interval: d, LRFactor: 1, WeightDecay: decay})
		at = d.End
	}
	return groups
}

// gradient is an arbitrary but fixed summed gradient of parameter i at a step.
func gradient(i int, step uint64) float64 {
	return float64(float32(math.Sin(float64(i)*1.7+float64(step)*0.9) * 8))
}

// textbook is one parameter under a configuration, in float64, as the frameworks' documentation states the update.
type textbook struct {
	p, m, v, b float64
}

func (x *textbook) step(c config.Optimizer, t uint64, g, rate float64, decays bool) {
	if decays && c.Kind == config.OptimizerAdamW {
		x.p *= 1 - rate*c.WeightDecay
	} else if decays {
		g += c.WeightDecay * x.p
	}
	if c.Kind == config.OptimizerSGD {
		x.sgd(c, g, rate)
		return
	}
	x.m = c.Beta1*x.m + (1-c.Beta1)*g
	x.v = c.Beta2*x.v + (1-c.Beta2)*g*g
	c1, c2 := 1-math.Pow(c.Beta1, float64(t)), 1-math.Pow(c.Beta2, float64(t))
	if c.Form == config.FormKeras {
		x.p -= rate * math.Sqrt(c2) / c1 * x.m / (math.Sqrt(x.v) + c.Epsilon)
	} else {
		x.p -= rate * (x.m / c1) / (math.Sqrt(x.v/c2) + c.Epsilon)
	}
}

func (x *textbook) sgd(c config.Optimizer, g, rate float64) {
	if c.Form == config.FormKeras {
		x.b = c.Momentum*x.b - rate*g
		if c.Nesterov {
			x.p += c.Momentum*x.b - rate*g
		} else {
			x.p += x.b
		}
		return
	}
	x.b = c.Momentum*x.b + g
	if c.Nesterov {
		x.p -= rate * (g + c.Momentum*x.b)
	} else {
		x.p -= rate * x.b
	}
}

func TestStepFollowsTextbook(t *testing.T) {
	var cases []config.Optimizer
	for _, form := range []string{config.FormKeras, config.FormPyTorch} {
		for _, kind := range []string{config.OptimizerAdam, config.OptimizerAdamW} {
			for _, decay := range []float64{0, 0.1} {
				c := adamConfig(kind, form)
				c.WeightDecay = decay
				cases = append(cases, c)
			}
		}
		for _, momentum := range []float64{0, 0.9} {
			c := config.Optimizer{Kind: config.OptimizerSGD, Form: form, LR: 0.02, Momentum: momentum, WeightDecay: 0.05}
			cases = append(cases, c)
			c.Nesterov = momentum != 0
			cases = append(cases, c)
		}
	}
	schedule := config.Schedule{Kind: config.ScheduleLinear, Warmup: 5, Horizon: 40, MinLR: 0.001}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s-%s-wd%v-mu%v-%v", c.Kind, c.Form, c.WeightDecay, c.Momentum, c.Nesterov), func(t *testing.T) {
			const n, steps, count = 40, 30, 24
			const clip = 0.75
			decay := []plan.Interval{{Begin: 3, End: 17}, {Begin: 17, End: 18}, {Begin: 30, End: 40}}
			o, err := New(c, schedule, n, decaying(n, c.WeightDecay, decay...))
			if err != nil {
				t.Fatal(err)
			}
			params, grad, want := make([]float32, n), make([]float32, n), make([]textbook, n)
			for i := range params {
				params[i] = float32(i%7) - 3
				want[i].p = float64(params[i])
			}
			rate, err := NewSchedule(c.LR, schedule)
			if err != nil {
				t.Fatal(err)
			}
			for step := uint64(1); step <= steps; step++ {
				for i := range grad {
					g := gradient(i, step)
					grad[i] = float32(g)
					decays := i >= 3 && i < 18 || i >= 30
					want[i].step(c, step, g/count*clip, rate.Rate(step), decays)
				}
				o.Step(nil, step, params, grad, plan.Interval{Begin: 0, End: n}, count, clip)
			}
			for i := range params {
				if d := math.Abs(float64(params[i]) - want[i].p); d > 2e-5 {
					t.Errorf("parameter %d is %v, want %v", i, params[i], want[i].p)
				}
			}
		})
	}
}

func TestStepInPartsAndThreadsGivesSameBits(t *testing.T) {
	const n = 5*threadLen + 77
	decay := []plan.Interval{{Begin: 100, End: 50000}, {Begin: 60001, End: n - 9}}
	run := func(team *kernel.Team, parts int, c config.Optimizer) [][]float32 {
		o, err := New(c, constant, n, decaying(n, c.WeightDecay, decay...))
		if err != nil {
			t.Fatal(err)
		}
		params, grad := make([]float32, n), make([]float32, n)
		for i := range params {
			params[i] = float32(i%1000) * 0.001
		}
		for step := uint64(1); step <= 3; step++ {
			for i := range grad {
				grad[i] = float32((i*7919+int(step)*104729)%2001-1000) * 0.01
			}
			for _, in := range (plan.Interval{Begin: 0, End: n}).Parts(parts) {
				o.Step(team, step, params, grad, in, 31, 0.5)
			}
		}
		return append(o.State(), params)
	}
	adamw := adamConfig(config.OptimizerAdamW, config.FormPyTorch)
	adamw.WeightDecay = 0.1
	sgd := config.Optimizer{Kind: config.OptimizerSGD, Form: config.FormPyTorch, LR: 0.1, Momentum: 0.9, WeightDecay: 1e-4}
	for _, c := range []config.Optimizer{adamw, sgd} {
		want := run(nil, 1, c)
		for _, threads := range []int{1, 2, 3} {
			team := kernel.NewTeam(threads)
			for _, parts := range []int{1, 4} {
				for k, have := range run(team, parts, c) {
					for i := range have {
						if math.Float32bits(have[i]) != math.Float32bits(want[k][i]) {
							t.Fatalf("%s, %d threads, %d parts: vector %d differs at %d: %v, want %v", c.Kind, threads, parts, k, i, have[i], want[k][i])
						}
					}
				}
			}
			team.Close()
		}
	}
}

func TestNoSamplesChangeNothing(t *testing.T) {
	for _, c := range []config.Optimizer{adamConfig(config.OptimizerAdam, config.FormKeras), {Kind: config.OptimizerSGD, Form: config.FormPyTorch, LR: 1, Momentum: 0.9}} {
		o, err := New(c, constant, 3, decaying(3, 0))
		if err != nil {
			t.Fatal(err)
		}
		params := []float32{1, 2, 3}
		o.Step(nil, 1, params, []float32{5, 5, 5}, plan.Interval{Begin: 0, End: 3}, 0, 1)
		for _, state := range append(o.State(), []float32{params[0] - 1, params[1] - 2, params[2] - 3}) {
			for i, v := range state {
				if v != 0 {
					t.Errorf("%s: element %d moved by %v", c.Kind, i, v)
				}
			}
		}
	}
}

func TestStepAllocatesNothing(t *testing.T) {
	const n = 4 * threadLen
	team := kernel.NewTeam(2)
	defer team.Close()
	params, grad := make([]float32, n), make([]float32, n)
	for _, c := range []config.Optimizer{adamConfig(config.OptimizerAdam, config.FormKeras), {Kind: config.OptimizerSGD, Form: config.FormPyTorch, LR: 1, Momentum: 0.9}} {
		o, err := New(c, constant, n, decaying(n, 0))
		if err != nil {
			t.Fatal(err)
		}
		step := uint64(0)
		if allocs := testing.AllocsPerRun(5, func() {
			step++
			o.Step(team, step, params, grad, plan.Interval{Begin: 0, End: n}, 32, 1)
		}); allocs != 0 {
			t.Errorf("%s: a step allocates %v times", c.Kind, allocs)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	adam := adamConfig(config.OptimizerAdam, config.FormKeras)
	cases := []struct {
		name     string
		cfg      config.Optimizer
		schedule config.Schedule
		groups   []Group
	}{
		{"unknown kind", config.Optimizer{Kind: "lion", Form: config.FormKeras}, constant, nil},
		{"unknown form", adamConfig(config.OptimizerAdam, "jax"), constant, nil},
		{"unknown schedule", adam, config.Schedule{Kind: "exponential"}, nil},
		{"no horizon", adam, config.Schedule{Kind: config.ScheduleCosine}, nil},
		{"warm-up to the horizon", adam, config.Schedule{Kind: config.ScheduleLinear, Warmup: 10, Horizon: 10}, nil},
		{"no step size", adam, config.Schedule{Kind: config.ScheduleStep}, nil},
		{"negative warm-up", adam, config.Schedule{Kind: config.ScheduleConstant, Warmup: -1}, nil},
		{"groups out of order", adam, constant, []Group{{Interval: plan.Interval{Begin: 5, End: 8}}, {Interval: plan.Interval{Begin: 2, End: 4}}}},
		{"a group outside", adam, constant, []Group{{Interval: plan.Interval{Begin: 5, End: 11}}}},
	}
	for _, c := range cases {
		if _, err := New(c.cfg, c.schedule, 10, c.groups); err == nil {
			t.Errorf("%s: accepted", c.name)
		}
	}
}

func TestClipScale(t *testing.T) {
	cases := []struct {
		sum   float64
		count uint64
		norm  float64
		want  float64
	}{
		{400, 2, 1, 0.1},         // norm 10
		{400, 2, 20, 1},          // within the bound
		{400, 2, 0, 1},           // no bound
		{400, 0, 1, 1},           // no samples
		{math.Inf(1), 2, 1, 0},   // as PyTorch
		{0, 5, 1, 1},             // no gradient
		{1e-12, 1, 5e-7, 1 / 2.}, // nothing is added to small norms
	}
	if have := ClipScale(math.NaN(), 2, 1); !math.IsNaN(float64(have)) {
		t.Errorf("ClipScale of a norm that is not a number is %v", have)
	}
	for _, c := range cases {
		if have := ClipScale(c.sum, float64(c.count), c.norm); math.Abs(float64(have)-c.want) > 1e-6 {
			t.Errorf("ClipScale(%v, %d, %v) = %v, want %v", c.sum, c.count, c.norm, have, c.want)
		}
	}
}

// Moments below the normal numbers last until the next step that clears them, by its number; not-a-number stays.
func TestDenormalMomentsAreFlushed(t *testing.T) {
	for _, c := range []config.Optimizer{
		adamConfig(config.OptimizerAdam, config.FormPyTorch), adamConfig(config.OptimizerAdamW, config.FormKeras),
		{Kind: config.OptimizerSGD, Form: config.FormPyTorch, LR: 0.02, Momentum: 0.9},
		{Kind: config.OptimizerSGD, Form: config.FormKeras, LR: 0.02, Momentum: 0.9, Nesterov: true},
	} {
		const n = 40
		o, err := New(c, config.Schedule{}, n, decaying(n, 0))
		if err != nil {
			t.Fatal(err)
		}
		params, grad, all := make([]float32, n), make([]float32, n), plan.Interval{Begin: 0, End: n}
		for step := uint64(flushEvery - 1); step <= flushEvery; step++ {
			for _, moments := range o.State() {
				moments[n-1], moments[3] = 0x1p-128, float32(math.NaN())
			}
			o.Step(nil, step, params, grad, all, 1, 1)
			for k, moments := range o.State() {
				if gone := moments[n-1] == 0; gone != (step == flushEvery) {
					t.Errorf("%s: after step %d a moment of 2^-128 is %v in %s", c.Kind, step, moments[n-1], o.Names()[k])
				}
				if moments[3] == moments[3] {
					t.Errorf("%s: after step %d NaN is %v in %s", c.Kind, step, moments[3], o.Names()[k])
				}
			}
		}
	}
}

// Groups have rates and decays of their own, and what is in none stays as it is, and has no moments.
func TestGroups(t *testing.T) {
	schedule := config.Schedule{Kind: config.ScheduleLinear, Warmup: 5, Horizon: 40, MinLR: 0.001}
	for _, c := range []config.Optimizer{adamConfig(config.OptimizerAdam, config.FormKeras), adamConfig(config.OptimizerAdamW, config.FormPyTorch),
		{Kind: config.OptimizerSGD, Form: config.FormPyTorch, LR: 0.02, Momentum: 0.9}, {Kind: config.OptimizerSGD, Form: config.FormKeras, LR: 0.02, Momentum: 0.9}} {
		c.WeightDecay = 0.3 // which the groups' goes before
		groups := []Group{{Interval: plan.Interval{Begin: 2, End: 5}, LRFactor: 1, WeightDecay: 0.1}, {Interval: plan.Interval{Begin: 5, End: 9}, LRFactor: 0.1},
			{Interval: plan.Interval{Begin: 12, End: 14}, LRFactor: 3, WeightDecay: 0.02}}
		const n, count = 16, 24
		o, err := New(c, schedule, n, groups)
		if err != nil {
			t.Fatal(err)
		}
		rate, err := NewSchedule(c.LR, schedule)
		if err != nil {
			t.Fatal(err)
		}
		params, want := make([]float32, n), make([]textbook, n)
		for i := range params {
			params[i] = float32(i%7) - 3
			want[i].p = float64(params[i])
		}
		for step := uint64(1); step <= 30; step++ {
			var grad []float32
			for _, g := range groups {
				own := c
				own.WeightDecay = g.WeightDecay
				for i := g.Begin; i < g.End; i++ {
					grad = append(grad, float32(gradient(i, step)))
					want[i].step(own, step, gradient(i, step)/count, rate.Rate(step)*g.LRFactor, true)
				}
			}
			for _, in := range (plan.Interval{Begin: 0, End: len(grad)}).Parts(2) {
				o.Step(nil, step, params, grad, in, count, 1)
			}
		}
		if moments := len(o.State()[0]); moments != 9 {
			t.Errorf("%s: %d moments for 9 parameters that are trained", c.Kind, moments)
		}
		for i := range params {
			if d := math.Abs(float64(params[i]) - want[i].p); d > 3e-5 {
				t.Errorf("%s, %s: parameter %d is %v, want %v", c.Kind, c.Form, i, params[i], want[i].p)
			}
			if frozen := i < 2 || i >= 9 && i < 12 || i >= 14; frozen && params[i] != float32(i%7)-3 {
				t.Errorf("%s, %s: frozen parameter %d moved to %v", c.Kind, c.Form, i, params[i])
			}
		}
	}
}
